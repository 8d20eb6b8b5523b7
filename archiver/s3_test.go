package archiver

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// newS3World has a real S3 server for its archive, and parts of 5 MiB.
func newS3World(t *testing.T) (*world, *objstoretest.Gateway) {
	t.Helper()
	gateway := objstoretest.MustStartGateway(t)
	gateway.MustMakeBucket(t, "vod")
	s, err := objstore.OpenS3(t.Context(), objstore.S3Config{
		Endpoint: gateway.Endpoint, AccessKey: gateway.AccessKey, SecretKey: gateway.SecretKey,
		Bucket: "vod", Prefix: "cluster-a", PartSize: 5 << 20, Parallel: 1,
	})
	must(t, err)
	t.Cleanup(s.Close)
	w := newWorld(t, s)
	t.Cleanup(w.close)
	return w, gateway
}

// multipart lists the files of uploads that the gateway has not completed.
func multipart(t *testing.T, gateway *objstoretest.Gateway) []string {
	t.Helper()
	var names []string
	must(t, fs.WalkDir(os.DirFS(gateway.Dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(name, "multipart") {
			names = append(names, name)
		}
		return err
	}))
	return names
}

const large = 2 << 20 // per part; three or four of them are more than one of S3's parts

func TestS3LifeOfARecording(t *testing.T) {
	w, gateway := newS3World(t)
	w.record(large)
	original := w.localFiles()
	a := w.archiver(Config{Grace: time.Nanosecond})
	mustStep(t, a)
	w.checkOrder(original)
	w.checkArchive(original)
	if left := multipart(t, gateway); len(left) > 0 || len(w.uploads()) > 0 {
		t.Errorf("left: %v, %v", left, w.uploads())
	}
	mustStep(t, a) // drop_local
	w.checkArchive(original)
	_, err := w.catalog.RequestDelete(t.Context(), w.id)
	must(t, err)
	mustStep(t, a)
	w.checkOrder(original)
}

// counted counts the puts that sent parts, by watching for uploads that are begun.
type counted struct {
	UploadNotes
	begun atomic.Int64
	// after is called when an upload was noted.
	after func()
}

func (c *counted) SaveUpload(ctx context.Context, upload media.Upload) error {
	err := c.UploadNotes.SaveUpload(ctx, upload)
	c.begun.Add(1)
	if c.after != nil {
		c.after()
	}
	return err
}

func TestS3ArchiverStoppedInTheMiddleOfAnUpload(t *testing.T) {
	w, gateway := newS3World(t)
	w.record(large)
	original := w.localFiles()
	ctx, cancel := context.WithCancel(t.Context())
	uploads := &counted{UploadNotes: w.catalog, after: cancel}
	if _, err := w.archiver(Config{}, uploads).Step(ctx); !errors.Is(err, errStopped) {
		t.Fatal(err)
	}
	if n := len(w.uploads()); n != 1 {
		t.Fatalf("%d uploads are noted", n)
	}
	objstoretest.MustLack(t, w.objects, w.prefix()+"recording.json")
	next := &counted{UploadNotes: w.catalog}
	mustStep(t, w.archiver(Config{}, next))
	w.checkOrder(original)
	w.checkArchive(original)
	if next.begun.Load() != 3 { // four large files, one of which goes on
		t.Errorf("%d uploads begun", next.begun.Load())
	}
	if left := multipart(t, gateway); len(left) > 0 || len(w.uploads()) > 0 {
		t.Errorf("left: %v, %v", left, w.uploads())
	}
}

func TestS3ServerKilledInTheMiddleOfAnUpload(t *testing.T) {
	w, gateway := newS3World(t)
	w.record(large)
	original := w.localFiles()
	n := 0
	uploads := &counted{UploadNotes: w.catalog, after: func() {
		if n++; n == 2 {
			gateway.Kill(t)
		}
	}}
	a := w.archiver(Config{RetryMin: time.Nanosecond, RetryMax: time.Nanosecond}, uploads)
	if _, err := a.Step(t.Context()); !errors.Is(err, media.ErrUnavailable) {
		t.Fatalf("step: %v, want ErrUnavailable", err)
	}
	if row := w.row(); row.State != media.Ended || row.LastError == "" || len(w.localFiles()) != len(original) {
		t.Errorf("row %+v", row)
	}
	gateway.MustStart(t)
	mustStep(t, a)
	w.checkOrder(original)
	w.checkArchive(original)
	if left := multipart(t, gateway); len(left) > 0 || len(w.uploads()) > 0 {
		t.Errorf("left: %v, %v", left, w.uploads())
	}
}

func TestS3DeletionAbortsUploads(t *testing.T) {
	for _, noted := range []bool{true, false} {
		w, gateway := newS3World(t)
		w.record(large)
		ctx, cancel := context.WithCancel(t.Context())
		stopped := w.archiver(Config{}, &counted{UploadNotes: w.catalog, after: cancel})
		if _, err := stopped.Step(ctx); !errors.Is(err, errStopped) {
			t.Fatal(err)
		}
		if !noted { // as by a process that died before
			for _, u := range w.uploads() {
				must(t, w.catalog.RemoveUpload(t.Context(), u))
			}
		}
		_, err := w.catalog.RequestDelete(t.Context(), w.id)
		must(t, err)
		mustStep(t, w.archiver(Config{}))
		if row := w.row(); row.State != media.Deleted {
			t.Errorf("row %+v", row)
		}
		if left := multipart(t, gateway); len(left) > 0 || len(w.uploads()) > 0 {
			t.Errorf("noted %v: left: %v, %v", noted, left, w.uploads())
		}
	}
}

func TestS3FaultsInTheMiddle(t *testing.T) {
	w, gateway := newS3World(t)
	for i, c := range []struct {
		mode string
		at   int
	}{
		// Of the first file: put, save upload, stat, abort, remove upload.
		{failBefore, 4}, {failAfter, 4}, {failAfter, 5}, {crashAfter, 5}, {failAfter, 6}, {crashBefore, 7}, {crashBefore, 8},
		{failAfter, 8}, {failAfter, 33},
	} {
		if stride > 1 && i%3 > 0 { // with the race detector, which finds the same in fewer
			continue
		}
		w.id = media.RecordingID("01kafzq7s8e5gv9mxw2ctr000" + string(rune('0'+i)))
		w.record(large)
		original := w.localFiles()
		f := &faults{mode: c.mode, at: c.at}
		a := w.archiver(Config{
			RetryMin: time.Nanosecond, RetryMax: time.Nanosecond, Lease: 2 * time.Second, Grace: time.Nanosecond,
		}, &faultyObjects{w.objects, f}, &faultyCatalog{w.catalog, w.catalog, f}, &faultyLocal{w.root, f})
		_, err := w.catalog.ChangeRecording(t.Context(), w.id, media.RecordingChange{Keep: new(true)})
		must(t, err)
		deadline := time.Now().Add(10 * time.Minute)
		for w.row().Local {
			if _, err := a.Step(t.Context()); err != nil && !errors.Is(err, errFault) {
				t.Fatal(err)
			}
			f.restart()
			w.checkOrder(original)
			if time.Now().After(deadline) {
				t.Fatalf("fault %+v at %s: no end", c, f.fired())
			}
		}
		t.Logf("%s: %s", c.mode, f.fired())
		if left := multipart(t, gateway); f.fired() == "" || len(left) > 0 || len(w.uploads()) > 0 {
			t.Errorf("fault %+v at %q: left %v, %v", c, f.fired(), left, w.uploads())
		}
	}
}
