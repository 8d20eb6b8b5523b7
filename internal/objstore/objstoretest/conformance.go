package objstoretest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Store is what an object store does.
type Store interface {
	Put(ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions) (media.Object, error)
	Stat(ctx context.Context, key string) (media.Object, error)
	ReadFile(ctx context.Context, key string) ([]byte, error)
	OpenRange(ctx context.Context, key string, offset, size int64) (io.ReadCloser, error)
	Delete(ctx context.Context, key string) error
	List(ctx context.Context, prefix string) iter.Seq2[media.Object, error]
	AbortUpload(ctx context.Context, key, uploadID string) error
	AbortUploads(ctx context.Context, prefix string) (int, error)
	Same(ctx context.Context, object media.Object, r io.ReaderAt) (bool, error)
	Uploader
}

// Large is the size of the suite's large objects: stores that send in parts are to be opened with parts of 5 MiB.
const Large = 11<<20 + 17

// Run puts a store through everything that its users rely on. Open gives an empty store.
func Run(t *testing.T, open func(tb testing.TB) Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, Store){
		"put then read":                        putThenRead,
		"put replaces":                         putReplaces,
		"exclusive put refuses other bytes":    putExclusive,
		"put of too few bytes leaves nothing":  putShort,
		"cancelled put leaves nothing":         putCancelled,
		"put stops when its upload isn't kept": putUnnoted,
		"concurrent puts leave one whole":      putConcurrent,
		"absent is ErrNotFound":                absentIsNotFound,
		"range beyond the end is an error":     rangeBeyondEnd,
		"delete is idempotent":                 deleteTwice,
		"list by prefix":                       listPrefix,
		"no key leaves the store":              badKeys,
		"an object is told from others":        compare,
		"put tells its progress":               putTellsProgress,
		"upload grows and is completed":        uploadGrows,
		"upload is found again":                uploadFound,
		"upload of other bytes is sent anew":   uploadDiffers,
		"put goes on with a growing upload":    putAfterGrowth,
		"aborted upload is gone":               uploadAborted,
		"exclusive completion replaces none":   uploadExclusive,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// Bytes gives bytes that look random and are the same for the same seed.
func Bytes(seed uint64, size int) []byte {
	b := make([]byte, size)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	_, _ = r.Read(b)
	return b
}

// Sum is the checksum of bytes.
func Sum(b []byte) uint64 {
	sum := media.NewChecksum()
	_, _ = sum.Write(b)
	return sum.Sum64()
}

// MustPut puts bytes.
func MustPut(tb testing.TB, s Store, key string, b []byte, options media.PutOptions) media.Object {
	tb.Helper()
	o, err := s.Put(tb.Context(), key, bytes.NewReader(b), int64(len(b)), options)
	if err != nil {
		tb.Fatal(err)
	}
	if o.Key != key || o.Size != int64(len(b)) || !o.HasChecksum || o.Checksum != Sum(b) {
		tb.Fatalf("put %s gave %+v, want size %d and checksum %x", key, o, len(b), Sum(b))
	}
	return o
}

// MustHave fails unless the store has exactly these bytes under the key.
func MustHave(tb testing.TB, s Store, key string, want []byte) {
	tb.Helper()
	o, err := s.Stat(tb.Context(), key)
	if err != nil {
		tb.Fatal(err)
	}
	if o.Size != int64(len(want)) || (o.HasChecksum && o.Checksum != Sum(want)) || o.ModifiedAt.IsZero() {
		tb.Fatalf("stat %s gave %+v, want size %d and checksum %x", key, o, len(want), Sum(want))
	}
	have, err := s.ReadFile(tb.Context(), key)
	if err != nil {
		tb.Fatal(err)
	}
	if !bytes.Equal(have, want) {
		tb.Fatalf("%s: %d bytes differ from the %d put", key, len(have), len(want))
	}
}

// MustLack fails unless the store says that there is no such object.
func MustLack(tb testing.TB, s Store, key string) {
	tb.Helper()
	// The test's own context may be over.
	if _, err := s.Stat(context.WithoutCancel(tb.Context()), key); !errors.Is(err, media.ErrNotFound) {
		tb.Fatalf("stat %s: %v, want ErrNotFound", key, err)
	}
}

// MustKeys lists.
func MustKeys(tb testing.TB, s Store, prefix string) []string {
	tb.Helper()
	keys := []string{}
	for o, err := range s.List(tb.Context(), prefix) {
		if err != nil {
			tb.Fatal(err)
		}
		keys = append(keys, o.Key)
	}
	slices.Sort(keys)
	return keys
}

func putThenRead(t *testing.T, s Store) {
	for i, size := range []int{0, 1, 1000, 5 << 20, 5<<20 + 1, Large} {
		key, want := fmt.Sprintf("acme/show/r%d/video.mp4", i), Bytes(uint64(i), size)
		MustPut(t, s, key, want, media.PutOptions{})
		MustHave(t, s, key, want)
		one := min(1, size)
		for _, r := range [][2]int{{0, size}, {0, one}, {size / 3, size / 2}, {size, 0}, {size - one, one}} {
			have := mustRange(t, s, key, r[0], r[1])
			if !bytes.Equal(have, want[r[0]:r[0]+r[1]]) {
				t.Errorf("size %d: range %d+%d differs", size, r[0], r[1])
			}
		}
	}
}

func mustRange(t *testing.T, s Store, key string, offset, size int) []byte {
	t.Helper()
	r, err := s.OpenRange(t.Context(), key, int64(offset), int64(size))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		t.Fatal(err)
	}
	return b
}

func putReplaces(t *testing.T, s Store) {
	for i, size := range []int{10, Large, 20} {
		want := Bytes(uint64(i), size)
		MustPut(t, s, "a/b/recording.json", want, media.PutOptions{})
		MustHave(t, s, "a/b/recording.json", want)
	}
}

func putExclusive(t *testing.T, s Store) {
	for i, size := range []int{10, Large} {
		key, want := fmt.Sprintf("a/b/%d", i), Bytes(1, size)
		MustPut(t, s, key, want, media.PutOptions{Exclusive: true})
		for _, other := range [][]byte{Bytes(2, size), want[:size-1]} {
			_, err := s.Put(t.Context(), key, bytes.NewReader(other), int64(len(other)), media.PutOptions{Exclusive: true})
			if !errors.Is(err, media.ErrExists) {
				t.Errorf("exclusive put of other bytes: %v, want ErrExists", err)
			}
		}
		MustHave(t, s, key, want)
		MustPut(t, s, key, want, media.PutOptions{Exclusive: true})
		MustHave(t, s, key, want)
	}
}

func putShort(t *testing.T, s Store) {
	for _, size := range []int{10, Large} {
		_, err := s.Put(t.Context(), "a/short", bytes.NewReader(Bytes(1, size)), int64(size)+1, media.PutOptions{})
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("put of %d bytes as one more: %v, want ErrUnexpectedEOF", size, err)
		}
		MustLack(t, s, "a/short")
	}
}

// cancelAt cancels a context when a read passes an offset.
type cancelAt struct {
	*bytes.Reader
	offset int64
	cancel context.CancelFunc
}

func (c *cancelAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset >= c.offset {
		c.cancel()
	}
	return c.Reader.ReadAt(p, offset)
}

func putCancelled(t *testing.T, s Store) {
	for _, offset := range []int64{0, Large / 2} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		source := &cancelAt{Reader: bytes.NewReader(Bytes(1, Large)), offset: offset, cancel: cancel}
		if _, err := s.Put(ctx, "a/cancelled", source, Large, media.PutOptions{}); !errors.Is(err, context.Canceled) {
			t.Errorf("put cancelled at %d: %v, want Canceled", offset, err)
		}
		MustLack(t, s, "a/cancelled")
	}
}

func putUnnoted(t *testing.T, s Store) {
	away := errors.New("catalog away")
	noted := false
	_, err := s.Put(t.Context(), "a/unnoted", bytes.NewReader(Bytes(1, Large)), Large, media.PutOptions{
		NoteUpload: func(context.Context, string) error { noted = true; return away },
	})
	if noted {
		if !errors.Is(err, away) {
			t.Errorf("put whose upload was not noted: %v", err)
		}
		MustLack(t, s, "a/unnoted")
	} else if err != nil { // a store without uploads
		t.Error(err)
	}
}

func putConcurrent(t *testing.T, s Store) {
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			b := Bytes(uint64(i), 100_000)
			if _, err := s.Put(t.Context(), "a/b/c", bytes.NewReader(b), int64(len(b)), media.PutOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	have, err := s.ReadFile(t.Context(), "a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		if bytes.Equal(have, Bytes(uint64(i), 100_000)) {
			return
		}
	}
	t.Error("a mixture of several puts")
}

func absentIsNotFound(t *testing.T, s Store) {
	MustPut(t, s, "a/b/c", []byte("there"), media.PutOptions{})
	// The last two are a name on the way to an object, and one below an object.
	for _, key := range []string{"x", "a/x", "a/b/x", "a/b", "a/b/c/d"} {
		MustLack(t, s, key)
		if _, err := s.ReadFile(t.Context(), key); !errors.Is(err, media.ErrNotFound) {
			t.Errorf("read %s: %v", key, err)
		}
		for _, size := range []int64{0, 1} {
			if r, err := s.OpenRange(t.Context(), key, 0, size); !errors.Is(err, media.ErrNotFound) {
				t.Errorf("open %s, %d bytes: %v, %v", key, size, r, err)
			}
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %s: %v", key, err)
		}
	}
	MustHave(t, s, "a/b/c", []byte("there"))
}

func rangeBeyondEnd(t *testing.T, s Store) {
	MustPut(t, s, "a/b", Bytes(1, 100), media.PutOptions{})
	for _, r := range [][2]int64{{0, 101}, {99, 2}, {100, 1}, {1000, 10}, {101, 0}} {
		body, err := s.OpenRange(t.Context(), "a/b", r[0], r[1])
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("range %d+%d of 100: %v, %v, want ErrUnexpectedEOF", r[0], r[1], body, err)
		}
	}
	for _, r := range [][2]int64{{-1, 10}, {0, -1}} {
		if _, err := s.OpenRange(t.Context(), "a/b", r[0], r[1]); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("range %d+%d: %v, want ErrInvalid", r[0], r[1], err)
		}
	}
}

func deleteTwice(t *testing.T, s Store) {
	MustPut(t, s, "a/b/c", Bytes(1, 10), media.PutOptions{})
	MustPut(t, s, "a/b/d", Bytes(2, 10), media.PutOptions{})
	for range 2 {
		if err := s.Delete(t.Context(), "a/b/c"); err != nil {
			t.Fatal(err)
		}
		MustLack(t, s, "a/b/c")
	}
	MustHave(t, s, "a/b/d", Bytes(2, 10))
	if err := s.Delete(t.Context(), "a/b/d"); err != nil {
		t.Fatal(err)
	}
	if keys := MustKeys(t, s, ""); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
	MustPut(t, s, "a/b", Bytes(3, 10), media.PutOptions{}) // the folder is gone with its last object
	MustHave(t, s, "a/b", Bytes(3, 10))
	if err := s.AbortUpload(t.Context(), "a/b", "01234567-89ab-cdef-0123-456789abcdef"); err != nil {
		t.Errorf("abort of an unknown upload: %v", err)
	}
}

func listPrefix(t *testing.T, s Store) {
	objects := map[string]int{}
	for i := range 5 {
		objects[fmt.Sprintf("acme/show/r1/%d/video.mp4", i)] = 10 + i
		objects[fmt.Sprintf("acme/show/r10/%d/video.mp4", i)] = 20 + i
		objects[fmt.Sprintf("acme/talk/r%d/recording.json", i)] = i
	}
	for key, size := range objects {
		MustPut(t, s, key, Bytes(1, size), media.PutOptions{})
	}
	prefixes := []string{"", "acme/", "acme/show/r1/", "acme/show/r1", "acme/show/r1/3", "acme/t", "b/", "acme/show/r2/"}
	for _, prefix := range prefixes {
		want := []string{}
		for key := range maps.Keys(objects) {
			if strings.HasPrefix(key, prefix) {
				want = append(want, key)
			}
		}
		slices.Sort(want)
		if have := MustKeys(t, s, prefix); !slices.Equal(have, want) {
			t.Errorf("list %q: %v, want %v", prefix, have, want)
		}
	}
	for o, err := range s.List(t.Context(), "acme/show/") { // may be left early
		if err != nil || o.Size != int64(objects[o.Key]) {
			t.Errorf("list gave %+v, %v", o, err)
		}
		break
	}
	for o, err := range s.List(t.Context(), "acme/") { // may be emptied on the way
		if err == nil {
			err = s.Delete(t.Context(), o.Key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if keys := MustKeys(t, s, ""); len(keys) > 0 {
		t.Errorf("left: %v", keys)
	}
}

func badKeys(t *testing.T, s Store) {
	keys := []string{
		"", ".", "..", "/", "/a", "a/", "a//b", "../a", "a/../b", "a/./b", ".tmp/a", "a/.hidden", "\xff",
		strings.Repeat("k", 2000),
	}
	for _, key := range keys {
		_, statErr := s.Stat(t.Context(), key)
		_, readErr := s.ReadFile(t.Context(), key)
		_, openErr := s.OpenRange(t.Context(), key, 0, 1)
		_, putErr := s.Put(t.Context(), key, strings.NewReader("x"), 1, media.PutOptions{})
		for _, err := range []error{statErr, readErr, openErr, putErr, s.Delete(t.Context(), key)} {
			if !errors.Is(err, media.ErrBadName) {
				t.Errorf("key %.20q: %v, want ErrBadName", key, err)
			}
		}
	}
	for _, err := range s.List(t.Context(), "../") {
		if !errors.Is(err, media.ErrBadName) {
			t.Errorf("list of ../: %v, want ErrBadName", err)
		}
	}
}
