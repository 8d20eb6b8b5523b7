package reclog

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// TakeWriter writes one take. AppendPart, FinishSegment and AppendGap of one track are called by one goroutine at a
// time; tracks don't wait for each other.
type TakeWriter struct {
	w      *Writer
	take   media.Take
	dir    string
	tracks []*trackWriter
	// metadata is guarded by Writer's mu.
	metadata metadataWriter

	// mu guards what the background shares. Writer's mu, where both are held, is locked first.
	mu struct {
		sync.Mutex
		// closed: Seal was called.
		closed bool
		// running: the background writes. It ends when it has nothing to do, so an idle take has no goroutine.
		running bool
		// step is closed and replaced whenever the background got on or stopped.
		step chan struct{}
		// err is why lines wait; nil once they are written. unsynced is the first failure of a sync: it stays, since
		// the next sync's success says nothing of the bytes that the failed one gave up.
		err, unsynced error
	}
}

// trackWriter is one track of a take.
type trackWriter struct {
	name  string
	media appendFile
	// seq is the newest part's.
	seq uint32
	// last and end describe the newest line that was accepted: its MSN and the end of its bytes.
	last media.MSN
	end  int64

	// index and lines are the background's; it alone uses them while it runs.
	index appendFile
	lines []byte
	// Guarded by TakeWriter.mu: pending are the lines to write, written is the MSN of the newest on storage, and size the
	// index's bytes with it.
	pending []media.Segment
	written media.MSN
	size    int64
}

// gapWait is how long AppendGap waits for the volume: less than any part may be late. A variable for tests, where the
// volume is good and the machine may stand still.
var gapWait = time.Second

func newTakeWriter(w *Writer, take media.Take, dir string) *TakeWriter {
	t := &TakeWriter{w: w, take: take, dir: dir}
	t.mu.step = make(chan struct{})
	for _, tr := range take.Tracks {
		t.tracks = append(t.tracks, &trackWriter{
			name: tr.Name, seq: SequenceNumber(take.FirstMSN, 0) - 1, end: tr.InitSize,
			last: take.FirstMSN - 1, written: take.FirstMSN - 1,
		})
	}
	return t
}

// createFiles makes the track files with their inits and the empty indexes.
func (t *TakeWriter) createFiles(inits [][]byte) error {
	for i, tr := range t.tracks {
		f, err := createFile(t.w.root.fsys, filepath.Join(t.dir, tr.name+trackSuffix), inits[i])
		if err != nil {
			return err
		}
		tr.media = appendFile{f: f, end: int64(len(inits[i]))}
		if t.w.root.shared {
			tr.media.guard = t.w.fenced
		}
		if f, err = createFile(t.w.root.fsys, filepath.Join(t.dir, tr.name+indexSuffix), nil); err != nil {
			return err
		}
		tr.index = appendFile{f: f}
	}
	return nil
}

func (t *TakeWriter) closeFiles() error {
	var errs []error
	for _, tr := range t.tracks {
		for _, a := range []*appendFile{&tr.media, &tr.index} {
			if a.f != nil {
				errs = append(errs, a.f.Close())
				a.f = nil
			}
		}
	}
	return errors.Join(errs...)
}

// Take gives the take as it was begun, with the InitSize of its tracks.
func (t *TakeWriter) Take() media.Take { return t.take }

// AppendPart appends a part (one moof, led by its mfhd, and one mdat; emsg may come before them) with one write, and
// returns where it begins in the track's file. Its sequence number is SequenceNumber of its segment and index, greater
// than all before. After an error the file is as it was before, so the same or the next part may be tried; ErrBroken
// says that it could not be brought back yet. It allocates nothing. ErrBroken, ErrSealed, media.ErrInvalid,
// media.ErrTooLarge.
func (t *TakeWriter) AppendPart(track int, data []byte) (offset int64, err error) {
	tr, err := t.track(track)
	if err != nil {
		return 0, fmt.Errorf("append part: %w", err)
	}
	seq, err := checkPart(data)
	if err == nil && t.isClosed() {
		err = ErrSealed
	}
	if msn, part := SplitSequenceNumber(seq); err == nil && (seq <= tr.seq || msn <= tr.last) {
		err = fmt.Errorf("%w: part %d.%d is late", media.ErrInvalid, msn, part)
	}
	if err == nil {
		offset, err = tr.media.append(data)
	}
	if err == nil && t.w.root.policy == SyncPart {
		if err = tr.media.f.Sync(); err != nil {
			err = errors.Join(err, tr.media.undo(offset))
		}
	}
	if err == nil {
		err = t.w.ours()
	}
	if err != nil {
		msn, part := SplitSequenceNumber(seq)
		return 0, fmt.Errorf("append part %d.%d of %s: %w", msn, part, tr.name, err)
	}
	tr.seq = seq
	return offset, nil
}

func (t *TakeWriter) track(track int) (*trackWriter, error) {
	if track < 0 || track >= len(t.tracks) {
		return nil, fmt.Errorf("%w: track %d of %d", media.ErrInvalid, track, len(t.tracks))
	}
	return t.tracks[track], nil
}

// FinishSegment takes a finished segment's index line: the background syncs the segment's bytes and then writes the
// line, in order of MSN. It never waits. MSNs have no gap; the bytes lie in the file behind those of the segment
// before. A segment of which parts were lost is a gap that keeps what bytes it has. A zero date is set from the take's
// anchor. ErrBroken, ErrSealed, media.ErrInvalid, media.ErrTooLarge (continue in another recording).
func (t *TakeWriter) FinishSegment(track int, seg media.Segment) error {
	tr, err := t.track(track)
	if err == nil && t.isClosed() {
		err = ErrSealed
	}
	if err == nil && (seg.Offset < tr.end || seg.Offset+seg.Size > tr.media.end) {
		err = fmt.Errorf("%w: bytes %d+%d lie outside %d to %d", media.ErrInvalid, seg.Offset, seg.Size, tr.end, tr.media.end)
	}
	if err == nil {
		err = t.accept(track, &seg)
	}
	if err != nil {
		return fmt.Errorf("finish segment %d: %w", seg.MSN, err)
	}
	return nil
}

// AppendGap writes the index line of a segment without media before it returns; Offset, Size and Gap are set here. It
// goes on after Seal, until the next take begins. ErrPending: the volume let it wait for a second; the line is queued
// and will be written in its place, so it may be announced. ErrSealed: a newer take has begun. Others as FinishSegment,
// and media.ErrFenced.
func (t *TakeWriter) AppendGap(track int, seg media.Segment) error {
	if err := t.appendGap(track, seg); err != nil {
		return fmt.Errorf("append gap %d: %w", seg.MSN, err)
	}
	return nil
}

func (t *TakeWriter) appendGap(track int, seg media.Segment) error {
	tr, err := t.track(track)
	if err != nil {
		return err
	}
	seg.Gap, seg.Size, seg.Sync, seg.Offset = true, 0, false, max(tr.end, tr.media.end)
	seg.IFrames = nil
	var unsure error
	if t.isClosed() {
		if unsure = t.w.mayAppend(t); unsure != nil && !errors.Is(unsure, ErrPending) {
			return unsure
		}
	}
	if err := t.accept(track, &seg); err != nil {
		return err
	}
	if err := t.await(tr, seg.MSN); err != nil {
		return err
	}
	return unsure
}

// accept checks a line, queues it and sees to it that the background runs.
func (t *TakeWriter) accept(track int, seg *media.Segment) error {
	tr := t.tracks[track]
	seg.Take = t.take.Number
	if seg.Date.IsZero() {
		seg.Date = dateOf(&t.take, seg.DTS, t.take.Tracks[track].Timescale)
	}
	if err := checkSegment(seg); err != nil {
		return fmt.Errorf("%w: %w", media.ErrInvalid, err)
	}
	if seg.MSN != tr.last+1 {
		return fmt.Errorf("%w: the next MSN is %d", media.ErrInvalid, tr.last+1)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(tr.pending) >= maxPending {
		return fmt.Errorf("%w: %d index lines wait for the volume", ErrBroken, len(tr.pending))
	}
	// What is pending has room, whatever the lines say.
	if tr.size+maxPending*MaxLine > MaxIndex {
		return fmt.Errorf("%w: index of %d segments", media.ErrTooLarge, tr.written-t.take.FirstMSN+1)
	}
	tr.pending = append(tr.pending, *seg)
	tr.last, tr.end = seg.MSN, max(tr.end, seg.Offset+seg.Size)
	if !t.mu.running {
		t.mu.running = true
		go t.flush()
	}
	return nil
}

// await waits for a line to be on storage.
func (t *TakeWriter) await(tr *trackWriter, msn media.MSN) error {
	timeout := time.NewTimer(gapWait)
	defer timeout.Stop()
	for {
		t.mu.Lock()
		written, running, step, err := tr.written, t.mu.running, t.mu.step, t.mu.err
		t.mu.Unlock()
		if written >= msn {
			return nil
		}
		if !running {
			return errors.Join(ErrPending, err)
		}
		select {
		case <-step:
		case <-timeout.C:
			return ErrPending
		}
	}
}

func (t *TakeWriter) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.closed
}

// nextMSN is what follows the newest line, or part, of any track.
func (t *TakeWriter) nextMSN() media.MSN {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := t.take.FirstMSN
	for _, tr := range t.tracks {
		next = max(next, tr.last+1)
		if msn, _ := SplitSequenceNumber(tr.seq); tr.media.end > tr.end {
			next = max(next, msn+1)
		}
	}
	return next
}

// empty says that the take has no segment.
func (t *TakeWriter) empty() bool { return t.nextMSN() == t.take.FirstMSN }

// Err tells what is wrong in the background: that a sync failed at some time, or that lines wait because they can't be
// written. Nil when all is well.
func (t *TakeWriter) Err() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return errors.Join(t.mu.unsynced, t.mu.err)
}

// Seal ends the take: it waits for the background, syncs and closes the files, and marks the take in the manifest. An
// empty take is taken out of it. After an error the files are closed too, but the take is not marked: Reopen will
// recover it. Every part must be of a finished segment, and all tracks must end with the same MSN. A second Seal does
// nothing.
func (t *TakeWriter) Seal() error {
	t.mu.Lock()
	closed := t.mu.closed
	t.mu.closed = true
	t.mu.Unlock()
	if closed {
		return nil
	}
	if err := t.seal(); err != nil {
		return fmt.Errorf("seal take %d of %s: %w", t.take.Number, t.w.ref, err)
	}
	return nil
}

func (t *TakeWriter) seal() error {
	err := t.drain()
	for _, tr := range t.tracks {
		if tr.media.end > tr.end {
			err = errors.Join(err, fmt.Errorf("%w: %s has parts of no finished segment", media.ErrConflict, tr.name))
		}
		if tr.last != t.tracks[0].last {
			err = errors.Join(err, fmt.Errorf("%w: %s ends with %d, %s with %d", media.ErrConflict,
				tr.name, tr.last, t.tracks[0].name, t.tracks[0].last))
		}
		if tr.media.torn {
			err = errors.Join(err, tr.media.cut())
		}
		err = errors.Join(err, tr.media.f.Sync(), tr.index.f.Sync())
	}
	err = errors.Join(err, t.closeMetadata())
	if err = errors.Join(err, t.closeFiles()); err != nil {
		return err
	}
	return t.w.sealed(t)
}

// Abandon closes the take's files and leaves the rest as it is, for a writer that lost the recording.
func (t *TakeWriter) Abandon() error {
	t.mu.Lock()
	closed := t.mu.closed
	t.mu.closed = true
	for t.mu.running {
		step := t.mu.step
		t.mu.Unlock()
		<-step
		t.mu.Lock()
	}
	t.mu.Unlock()
	if closed {
		return nil
	}
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	err := t.closeFiles()
	if md := &t.metadata; md.file.f != nil {
		err = errors.Join(err, md.file.f.Close())
		md.file.f, md.dirty = nil, false
	}
	if err != nil {
		return fmt.Errorf("abandon take %d of %s: %w", t.take.Number, t.w.ref, err)
	}
	return nil
}

// drain waits until every line is written or the background has given up once more.
func (t *TakeWriter) drain() error {
	t.mu.Lock()
	if !t.mu.running {
		t.mu.running = true
		go t.flush()
	}
	for t.mu.running {
		step := t.mu.step
		t.mu.Unlock()
		<-step
		t.mu.Lock()
	}
	defer t.mu.Unlock()
	return errors.Join(t.mu.unsynced, t.mu.err)
}
