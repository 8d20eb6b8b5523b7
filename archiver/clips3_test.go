package archiver

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// The media of a clip is copied inside of a real S3, in several parts, by an archiver that is stopped and by another.
func TestS3ClipGetsItsOwnMedia(t *testing.T) {
	w, gateway := newS3World(t)
	must(t, w.write(large, media.Ended))
	rec, err := reclog.Load(t.Context(), w.root.Files(), testPath(), w.id)
	must(t, err)
	now := time.Now()
	must(t, w.catalog.SaveRecording(t.Context(), media.Recording{
		ID: w.id, Path: testPath(), State: media.Ended, StartedAt: rec.Tracks[0].Segments[0].Date, EndedAt: now,
		Duration: 14 * time.Second, Bytes: 1, Local: true,
	}))
	a := w.archiver(Config{})
	mustStep(t, a)
	clip := w.madeClip(a, 500*time.Millisecond, 15*time.Second)
	if clip.State != media.Archived {
		t.Fatalf("made: %+v", clip)
	}
	want := segmentsOf(t, w.objects, clip.ID)
	_, err = w.catalog.RequestDelete(t.Context(), w.id)
	must(t, err)
	mustStep(t, a) // waits
	left := 1
	stopped := w.archiver(Config{RetryMin: time.Millisecond, RetryMax: time.Millisecond}, failing{w.objects, &left})
	if _, err := stopped.StepClip(t.Context(), true); !errors.Is(err, errPut) {
		t.Fatal(err)
	}
	sameSegments(t, "cut off", segmentsOf(t, w.objects, clip.ID), want)
	next := w.archiver(Config{Owner: "next"})
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for w.row().State != media.Deleted {
		<-look.C
		_, err := next.StepClip(t.Context(), true)
		must(t, err)
		_, err = next.Step(t.Context())
		must(t, err)
	}
	sameSegments(t, "after its source is gone", segmentsOf(t, w.objects, clip.ID), want)
	if left := multipart(t, gateway); len(left) > 0 {
		t.Errorf("uploads are left: %v", left)
	}
	for _, key := range objstoretest.MustKeys(t, w.objects, "") {
		if strings.Contains(key, string(w.id)) {
			t.Errorf("%s is left", key)
		}
	}
}

// TestPiecesReadTheClipsFile reads a clip's file as uploads do: side by side, in any order, past its end.
func TestPiecesReadTheClipsFile(t *testing.T) {
	const size = 3*pieceSize + 12345
	source := objstoretest.Bytes(1, size)
	c := reclog.Copy{Init: 700, Offset: 5000, Size: size - 5000 - 77}
	want := append(bytes.Clone(source[:c.Init]), source[c.Offset:c.Offset+c.Size]...)
	w := newDirWorld(t)
	defer w.close()
	objstoretest.MustPut(t, w.objects, "acme/show/x", source, media.PutOptions{})
	c.From = "acme/show/x"
	p := newPieces(t.Context(), w.objects, c)
	var group sync.WaitGroup
	for n := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 2))
			for range 50 {
				from := random.Int64N(c.Total())
				b := make([]byte, random.IntN(300_000))
				k, err := p.ReadAt(b, from)
				end := min(from+int64(len(b)), c.Total())
				if int64(k) != end-from || !bytes.Equal(b[:k], want[from:end]) || (k < len(b)) != errors.Is(err, io.EOF) {
					t.Errorf("read %d of %d at %d: %v", k, len(b), from, err)
					return
				}
			}
		})
	}
	group.Wait()
	if n := len(p.mu.recent); n > pieceCount {
		t.Errorf("%d pieces are kept", n)
	}
}
