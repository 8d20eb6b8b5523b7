package reclog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/oxbow-video/oxbow/internal/media"
)

// flushBatch is the most lines that are written at once.
const flushBatch = 256

// flush is the background of a take: it writes what is pending and ends. A failure leaves the lines pending, in order;
// the next line or Seal tries again.
func (t *TakeWriter) flush() {
	for more := true; more; {
		more = false
		var failed error
		for _, tr := range t.tracks {
			n, err := t.flushTrack(tr)
			failed = errors.Join(failed, err)
			more = more || n > 0
		}
		more = t.stepped(failed, more)
	}
}

// stepped wakes those who wait; it says whether the background goes on.
func (t *TakeWriter) stepped(failed error, more bool) bool {
	t.mu.Lock()
	again := t.mu.err != nil
	t.mu.Unlock()
	if failed != nil {
		t.w.report(failed, again)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.err = failed
	if !more || failed != nil {
		// Lines that came since a track was looked at must not be left behind.
		more = failed == nil && t.pendingLocked()
	}
	t.mu.running = more
	close(t.mu.step)
	t.mu.step = make(chan struct{})
	return more
}

func (t *TakeWriter) pendingLocked() bool {
	for _, tr := range t.tracks {
		if len(tr.pending) > 0 {
			return true
		}
	}
	return false
}

// flushTrack writes a batch of a track's lines, after a sync of the bytes that they name. What was told beside them
// lasts before: a segment that outlives a loss of power would else have other subtitles after it than it had.
func (t *TakeWriter) flushTrack(tr *trackWriter) (int, error) {
	t.mu.Lock()
	batch := tr.pending[:min(len(tr.pending), flushBatch)]
	t.mu.Unlock()
	if len(batch) == 0 {
		return 0, nil
	}
	if err := t.writeLines(tr, batch); err != nil {
		return 0, fmt.Errorf("index line %d of take %d, %s: %w", batch[0].MSN, t.take.Number, tr.name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	tr.written, tr.size = batch[len(batch)-1].MSN, tr.index.end
	tr.pending = append(tr.pending[:0:0], tr.pending[len(batch):]...)
	return len(batch), nil
}

func (t *TakeWriter) writeLines(tr *trackWriter, batch []media.Segment) error {
	if tr.index.f == nil { // sealed: only gaps come, one in a while
		f, err := t.w.root.fsys.OpenFile(filepath.Join(t.dir, tr.name+indexSuffix), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		tr.index.f = f
		defer func() {
			t.synced(tr.name, f.Close())
			tr.index.f = nil
		}()
		// Behind the opening: who took over before it has another index under the name, and who does from now on puts one
		// there, so that what is written to this one goes nowhere.
		if err := t.w.fenced(); err != nil {
			return err
		}
	}
	var gap, bytes bool
	tr.lines = tr.lines[:0]
	for i := range batch {
		tr.lines = appendLine(tr.lines, &batch[i])
		gap, bytes = gap || batch[i].Size == 0, bytes || batch[i].Size > 0
	}
	if t.w.root.policy == SyncSegment {
		t.syncMetadata()
		if bytes && tr.media.f != nil {
			t.synced(tr.name, tr.media.f.Sync())
		}
	}
	if _, err := tr.index.append(tr.lines); err != nil {
		return err
	}
	// A gap's line is all there is of it; other lines can be rebuilt from the bytes.
	if gap && t.w.root.policy != SyncNever {
		t.synced(tr.name, tr.index.f.Sync())
	}
	return nil
}

// synced tells and keeps the failure of a sync. What was written counts all the same: it can be read, and a recording
// that stood still would lose more. The take will not be marked sealed, so recovery looks at it.
func (t *TakeWriter) synced(name string, err error) {
	if err == nil {
		return
	}
	err = fmt.Errorf("sync take %d, %s: %w", t.take.Number, name, err)
	t.mu.Lock()
	again := t.mu.unsynced != nil
	if !again {
		t.mu.unsynced = err
	}
	t.mu.Unlock()
	t.w.report(err, again)
}
