package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Uploader uploads objects while they grow.
type Uploader interface {
	BeginUpload(ctx context.Context, key string, size int64, options media.PutOptions) (*media.OpenUpload, error)
	FindUpload(ctx context.Context, key, id string, partSize int64) (*media.OpenUpload, error)
	ExtendUpload(ctx context.Context, u *media.OpenUpload, r io.ReaderAt, size int64) error
	CompleteUpload(ctx context.Context, u *media.OpenUpload, exclusive bool) (media.Object, error)
}

const growingKey = "acme/show/growing/1/video.mp4"

// MustBegin begins an upload whose id the caller forgets.
func MustBegin(tb testing.TB, s Store, key string) *media.OpenUpload {
	tb.Helper()
	noted := ""
	u, err := s.BeginUpload(tb.Context(), key, 0, media.PutOptions{
		NoteUpload: func(_ context.Context, id string) error { noted = id; return nil },
	})
	if err != nil {
		tb.Fatal(err)
	}
	if u.ID == "" || u.ID != noted || u.Key != key || u.Size() != 0 {
		tb.Fatalf("upload %+v, noted as %q", u, noted)
	}
	return u
}

// mustExtend extends an upload, and wants it to have exactly the bytes.
func mustExtend(tb testing.TB, s Store, u *media.OpenUpload, b []byte) {
	tb.Helper()
	if err := s.ExtendUpload(tb.Context(), u, bytes.NewReader(b), int64(len(b))); err != nil {
		tb.Fatal(err)
	}
	if u.Size() != int64(len(b)) {
		tb.Fatalf("the upload has %d bytes of %d", u.Size(), len(b))
	}
}

func mustComplete(tb testing.TB, s Store, u *media.OpenUpload, want []byte) {
	tb.Helper()
	o, err := s.CompleteUpload(tb.Context(), u, true)
	if err != nil {
		tb.Fatal(err)
	}
	if o.Size != int64(len(want)) || o.HasChecksum && o.Checksum != Sum(want) {
		tb.Fatalf("completed as %+v, want size %d, checksum %x", o, len(want), Sum(want))
	}
	MustHave(tb, s, u.Key, want)
	if _, err := s.FindUpload(tb.Context(), u.Key, u.ID, 0); !errors.Is(err, media.ErrNotFound) {
		tb.Fatalf("completed upload is still found: %v", err)
	}
}

// growth is how an object grows: within a part, to its end, over several, and not at all.
func growth() []int {
	return []int{1, 1000, 1000, 5 << 20, 5<<20 + 7, 6 << 20, 16<<20 + 3, 20 << 20, Large * 2}
}

func uploadGrows(t *testing.T, s Store) {
	whole := Bytes(1, Large*2)
	u := MustBegin(t, s, growingKey)
	for _, size := range growth() {
		mustExtend(t, s, u, whole[:size])
		MustLack(t, s, growingKey)
	}
	if keys := MustKeys(t, s, ""); len(keys) > 0 {
		t.Errorf("listed before it is complete: %v", keys)
	}
	mustComplete(t, s, u, whole)
	small := MustBegin(t, s, "a/small")
	mustExtend(t, s, small, whole[:10])
	mustExtend(t, s, small, whole[:1000])
	mustComplete(t, s, small, whole[:1000])
	away := errors.New("catalog away")
	if _, err := s.BeginUpload(t.Context(), "a/b", 0, media.PutOptions{
		NoteUpload: func(context.Context, string) error { return away },
	}); !errors.Is(err, away) {
		t.Errorf("upload that was not noted: %v", err)
	}
}

// uploadFound goes on after each step as another process would, which knows the id alone.
func uploadFound(t *testing.T, s Store) {
	whole := Bytes(2, Large*2)
	id, partSize := "", int64(0)
	for _, size := range growth() {
		var u *media.OpenUpload
		if id == "" {
			u = MustBegin(t, s, growingKey)
			id, partSize = u.ID, u.PartSize
		} else {
			var err error
			if u, err = s.FindUpload(t.Context(), growingKey, id, partSize); err != nil {
				t.Fatal(err)
			}
		}
		mustExtend(t, s, u, whole[:size])
	}
	// Completed by one who has not got the source.
	u, err := s.FindUpload(t.Context(), growingKey, id, 0)
	if err != nil {
		t.Fatal(err)
	}
	if u.Size() != int64(len(whole)) {
		t.Fatalf("the store tells of %d bytes of %d", u.Size(), len(whole))
	}
	mustComplete(t, s, u, whole)
	again := *u
	if o, err := s.CompleteUpload(t.Context(), &again, true); err != nil && !errors.Is(err, media.ErrNotFound) {
		t.Errorf("completed twice: %+v, %v", o, err)
	}
	MustHave(t, s, growingKey, whole)
}

func uploadDiffers(t *testing.T, s Store) {
	whole := Bytes(3, Large)
	u := MustBegin(t, s, growingKey)
	other := bytes.Clone(whole)
	other[6<<20] ^= 1
	mustExtend(t, s, u, other)
	found, err := s.FindUpload(t.Context(), growingKey, u.ID, u.PartSize)
	if err != nil {
		t.Fatal(err)
	}
	mustExtend(t, s, found, whole)
	mustComplete(t, s, found, whole)
}

func putAfterGrowth(t *testing.T, s Store) {
	whole := Bytes(4, Large*2)
	u := MustBegin(t, s, growingKey)
	mustExtend(t, s, u, whole[:13<<20])
	MustPut(t, s, growingKey, whole, media.PutOptions{
		UploadID: u.ID, Exclusive: true,
		NoteUpload: func(context.Context, string) error { t.Error("another upload was begun"); return nil },
	})
	MustHave(t, s, growingKey, whole)
	if err := s.ExtendUpload(t.Context(), u, bytes.NewReader(whole), Large*2); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("extending a completed upload: %v, want ErrNotFound", err)
	}
}

func uploadAborted(t *testing.T, s Store) {
	whole := Bytes(5, Large)
	u := MustBegin(t, s, growingKey)
	mustExtend(t, s, u, whole[:6<<20])
	for range 2 {
		if err := s.AbortUpload(t.Context(), growingKey, u.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.FindUpload(t.Context(), growingKey, u.ID, 0); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("find: %v, want ErrNotFound", err)
	}
	if err := s.ExtendUpload(t.Context(), u, bytes.NewReader(whole), Large); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("extend: %v, want ErrNotFound", err)
	}
	if o, err := s.CompleteUpload(t.Context(), u, true); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("complete: %+v, %v, want ErrNotFound", o, err)
	}
	MustLack(t, s, growingKey)
}

func uploadExclusive(t *testing.T, s Store) {
	MustPut(t, s, growingKey, []byte("another"), media.PutOptions{})
	u := MustBegin(t, s, growingKey)
	mustExtend(t, s, u, Bytes(6, 1000))
	if _, err := s.CompleteUpload(t.Context(), u, true); !errors.Is(err, media.ErrExists) {
		t.Errorf("complete: %v, want ErrExists", err)
	}
	MustHave(t, s, growingKey, []byte("another"))
	if err := s.AbortUpload(t.Context(), growingKey, u.ID); err != nil {
		t.Error(err)
	}
}
