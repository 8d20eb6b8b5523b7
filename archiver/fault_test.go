package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// How an operation fails.
const (
	failBefore  = "fails"
	failAfter   = "is done but its answer is lost"
	crashBefore = "meets a crash"
	crashAfter  = "is done and then comes a crash"
)

var errFault = errors.New("injected fault")

// faults lets one operation on the world's real parts fail: the at-th of all. After a crash every operation fails until
// restart.
type faults struct {
	mode string
	at   int
	mu   struct {
		sync.Mutex
		count int
		fired string // the operation
		dead  bool
	}
}

// do runs an operation, or not, and says what its caller sees.
func (f *faults) do(name string, op func() error) error {
	f.mu.Lock()
	f.mu.count++
	hit, dead := f.mu.count == f.at, f.mu.dead
	if hit && !dead {
		f.mu.fired = name
		f.mu.dead = f.mode == crashBefore || f.mode == crashAfter
	}
	f.mu.Unlock()
	if dead || (hit && (f.mode == failBefore || f.mode == crashBefore)) {
		return fmt.Errorf("%s: %w", name, errFault)
	}
	err := op()
	if hit && err == nil {
		err = fmt.Errorf("%s: %w", name, errFault)
	}
	return err
}

func (f *faults) restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.dead = false
}

func (f *faults) fired() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.fired
}

type faultyObjects struct {
	objstoretest.Store
	f *faults
}

func (o *faultyObjects) ReadFile(ctx context.Context, key string) (b []byte, err error) {
	return b, o.f.do("read object "+key, func() error { b, err = o.Store.ReadFile(ctx, key); return err })
}

func (o *faultyObjects) OpenRange(ctx context.Context, key string, offset, size int64) (r io.ReadCloser, err error) {
	err = o.f.do("open object "+key, func() error { r, err = o.Store.OpenRange(ctx, key, offset, size); return err })
	if err != nil && r != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, err
}

func (o *faultyObjects) Put(
	ctx context.Context, key string, r io.ReaderAt, size int64, options media.PutOptions,
) (object media.Object, err error) {
	return object, o.f.do("put "+key, func() error { object, err = o.Store.Put(ctx, key, r, size, options); return err })
}

func (o *faultyObjects) Stat(ctx context.Context, key string) (object media.Object, err error) {
	return object, o.f.do("stat "+key, func() error { object, err = o.Store.Stat(ctx, key); return err })
}

func (o *faultyObjects) Delete(ctx context.Context, key string) error {
	return o.f.do("delete "+key, func() error { return o.Store.Delete(ctx, key) })
}

func (o *faultyObjects) AbortUpload(ctx context.Context, key, id string) error {
	return o.f.do("abort "+key, func() error { return o.Store.AbortUpload(ctx, key, id) })
}

func (o *faultyObjects) List(ctx context.Context, prefix string) iter.Seq2[media.Object, error] {
	return func(yield func(media.Object, error) bool) {
		for object, err := range o.Store.List(ctx, prefix) {
			if err == nil {
				err = o.f.do("list "+prefix, func() error { return nil })
			}
			if !yield(object, err) || err != nil {
				return
			}
		}
	}
}

type faultyCatalog struct {
	Catalog
	UploadNotes
	f *faults
}

func (c *faultyCatalog) RenewClaim(
	ctx context.Context, claim media.Claim, now time.Time, lease time.Duration,
) (next media.Claim, err error) {
	return next, c.f.do("renew", func() error { next, err = c.Catalog.RenewClaim(ctx, claim, now, lease); return err })
}

func (c *faultyCatalog) FinishClaim(ctx context.Context, claim media.Claim, dropLocal time.Time) error {
	return c.f.do("finish "+string(claim.Action), func() error { return c.Catalog.FinishClaim(ctx, claim, dropLocal) })
}

func (c *faultyCatalog) FailClaim(ctx context.Context, claim media.Claim, cause error, retryAt time.Time) error {
	return c.f.do("fail", func() error { return c.Catalog.FailClaim(ctx, claim, cause, retryAt) })
}

func (c *faultyCatalog) SaveUpload(ctx context.Context, upload media.Upload) error {
	return c.f.do("save upload", func() error { return c.UploadNotes.SaveUpload(ctx, upload) })
}

func (c *faultyCatalog) RemoveUpload(ctx context.Context, upload media.Upload) error {
	return c.f.do("remove upload", func() error { return c.UploadNotes.RemoveUpload(ctx, upload) })
}

type faultyLocal struct {
	Local
	f *faults
}

func (l *faultyLocal) Open(ctx context.Context, name string) (r *reclog.Range, err error) {
	err = l.f.do("open "+name, func() error { r, err = l.Local.Open(ctx, name); return err })
	if err != nil && r != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, err
}

func (l *faultyLocal) Reopen(
	ctx context.Context, path media.StreamPath, id media.RecordingID,
) (rec *reclog.Recording, w *reclog.Writer, err error) {
	err = l.f.do("reopen", func() error { rec, w, err = l.Local.Reopen(ctx, path, id); return err })
	return rec, w, err
}

func (l *faultyLocal) Remove(ctx context.Context, path media.StreamPath, id media.RecordingID) error {
	return l.f.do("remove", func() error { return l.Local.Remove(ctx, path, id) })
}

// TestEveryFaultIsSurvived lets each operation of a recording's life fail in turn, in every way, and looks after every
// step that nothing is announced, or removed, before its time; and at the end that all is done.
func TestEveryFaultIsSurvived(t *testing.T) {
	for _, mode := range []string{failBefore, failAfter, crashBefore, crashAfter} {
		t.Run("one operation "+mode, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newDirWorld(t)
				defer w.close()
				w.takes = 1
				at := 1
				for ; ; at += stride {
					w.id = media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2ctr%04d", at))
					if fired := w.live(&faults{mode: mode, at: at}); fired == "" {
						break
					}
				}
				if at < 40 {
					t.Errorf("a life of only %d operations", at)
				}
			})
		})
	}
}

// live lets a recording live from its end to its deletion under a fault, and says in which operation it happened.
func (w *world) live(f *faults) (fired string) {
	w.tb.Helper()
	w.record(50)
	original := w.localFiles()
	a := w.archiver(Config{}, &faultyObjects{w.objects, f}, &faultyCatalog{w.catalog, w.catalog, f}, &faultyLocal{w.root, f})
	seen := map[media.State]bool{}
	for range 60 {
		if _, err := a.Step(w.tb.Context()); err != nil && !errors.Is(err, errFault) {
			w.tb.Fatalf("fault %d, at %s: %v", f.at, f.fired(), err)
		}
		f.restart()
		w.checkOrder(original)
		row := w.row()
		seen[row.State] = true
		if row.State == media.Deleted {
			if !seen[media.Archived] || len(w.uploads()) > 0 {
				w.tb.Fatalf("fault %d, at %s: states %v, uploads %v", f.at, f.fired(), seen, w.uploads())
			}
			return f.fired()
		}
		time.Sleep(time.Hour) // more than any lease, delay or grace
	}
	w.tb.Fatalf("fault %d, at %s: no end, row %+v", f.at, f.fired(), w.row())
	return ""
}
