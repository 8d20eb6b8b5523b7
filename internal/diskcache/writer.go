package diskcache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"time"
)

const (
	// maxQueue bounds the entries that wait to be written.
	maxQueue = 8192
	// lookTime is how often the writer looks whether the directory is still there.
	lookTime = 5 * time.Second
	// retryTime is the first wait after a fault, retryMax the longest.
	retryTime = time.Second
	retryMax  = time.Minute
	// drainTime is how long a store that closes goes on writing.
	drainTime = time.Second
	// joinBytes is the largest body that is copied behind its head, so that both are one write.
	joinBytes = PieceBytes
)

// errLost is of a directory that was removed, or replaced.
var errLost = errors.New("the directory is not there any more")

// item is a body that waits to be written.
type item struct {
	key, group string
	meta       []byte
	body       [][]byte
	keep       any
	size       int64
	hash       uint64
	hashGroup  uint32
	epoch      uint32
}

// writer is the one goroutine that changes files, and what it alone knows.
type writer struct {
	store   *Store
	mark    *os.File
	drops   *dropLog
	unsound []*segment // segments to be scanned
	serial  uint32     // the last that was used
	current *segment   // nil if there is none to append to
	end     int64      // of current's entries
	scratch []byte
	lent    [][]byte // pieces of memory for entries that are written again

	retry   time.Duration // zero while all is well
	retryAt time.Time
	lost    bool // the directory; what was there is forgotten
	freed   bool // a full device has been given a segment back since one was filled
}

func createFile(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err // not a file that is nil
	}
	return f, nil
}

// run works until the store closes.
func (w *writer) run() {
	s := w.store
	w.rebuild()
	w.wipe()
	look := time.NewTicker(lookTime)
	defer look.Stop()
	for {
		select {
		case <-s.wake:
			w.step(math.MaxInt64)
		case <-look.C:
			w.look()
		case <-s.closing:
			w.close()
			return
		}
	}
}

// close writes what there is, for a moment, and lets go of all files.
func (w *writer) close() {
	s := w.store
	w.step(drainTime)
	if w.current != nil {
		if err := w.seal(); err != nil {
			s.logger.Debug("disk cache: the newest segment has no footer", "err", err)
		}
	}
	s.mu.Lock()
	order := s.mu.order
	s.mu.Unlock()
	errs := []error{w.drops.close(), closeFile(w.mark)}
	for _, seg := range order {
		errs = append(errs, seg.file.Close())
	}
	if err := errors.Join(errs...); err != nil && !w.lost {
		s.logger.Warn("close disk cache", "dir", s.config.Dir, "err", err)
	}
}

// look is what the writer does every now and then, whether there is something to write or not.
func (w *writer) look() {
	if w.retry == 0 && !held(w.store.config.Dir, w.mark) {
		w.lose("look at the directory", errLost)
	}
	w.step(math.MaxInt64)
}

// step writes drops and entries until there are none, or until the time is over or something fails.
func (w *writer) step(limit time.Duration) {
	s := w.store
	begun := time.Now()
	if w.retry > 0 {
		if begun.Before(w.retryAt) || !w.recover() {
			return
		}
	}
	for time.Since(begun) < limit {
		if err := w.logDrops(); err != nil {
			w.pause("log drops", err)
			return
		}
		s.mu.Lock()
		if len(s.mu.queue) == 0 {
			s.mu.Unlock()
			return
		}
		it := s.mu.queue[0]
		gone := s.mu.dropped(it.hashGroup, it.epoch)
		s.mu.Unlock()
		if !gone {
			if err := w.append(&it); err != nil {
				if errors.Is(err, errLost) {
					w.lose("write an entry", err)
				} else {
					w.pause("write an entry", err)
				}
				return
			}
			s.metrics.writes.Inc()
			w.well()
		}
		s.mu.Lock()
		s.shiftLocked()
		s.mu.Unlock()
	}
}

// shiftLocked takes the first item out of the queue.
func (s *Store) shiftLocked() {
	it := s.mu.queue[0]
	s.mu.queue[0] = item{}
	s.mu.queue = s.mu.queue[1:]
	s.mu.queued -= it.size
	if s.mu.pending[it.hash]--; s.mu.pending[it.hash] == 0 {
		delete(s.mu.pending, it.hash)
	}
}

// append writes an entry and lets readers have it.
func (w *writer) append(it *item) error {
	h := head{epoch: it.epoch, key: it.key, group: it.group, meta: it.meta, body: uint32(it.size)}
	h.sums = appendSums(nil, it.body)
	size := h.size()
	if err := w.room(size + it.size); err != nil {
		return err
	}
	h.serial = w.current.serial
	b := h.appendTo(w.scratch[:0])
	w.scratch = b[:0]
	rest := it.body
	if it.size <= joinBytes {
		for _, c := range rest {
			b = append(b, c...)
		}
		w.scratch, rest = b[:0], nil
	}
	at := w.end
	for chunk := b; ; chunk, rest = rest[0], rest[1:] {
		if _, err := w.current.file.WriteAt(chunk, at); err != nil {
			return err
		}
		if at += int64(len(chunk)); len(rest) == 0 {
			break
		}
	}
	s := w.store
	s.metrics.writeBytes.Add(float64(at - w.end))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.add(w.current, slot{
		hash: it.hash, offset: uint32(w.end), size: uint32(at - w.end), head: uint32(size),
		group: it.hashGroup, epoch: it.epoch,
	})
	w.end = at
	return nil
}

// appendSums appends a sum per piece of a body, whatever runs it is in.
func appendSums(b []byte, body [][]byte) []byte {
	sum, n := uint32(0), 0
	for _, c := range body {
		for len(c) > 0 {
			take := min(len(c), PieceBytes-n)
			sum = crc32.Update(sum, castagnoli, c[:take])
			c = c[take:]
			if n += take; n == PieceBytes {
				b = binary.LittleEndian.AppendUint32(b, sum)
				sum, n = 0, 0
			}
		}
	}
	if n > 0 {
		b = binary.LittleEndian.AppendUint32(b, sum)
	}
	return b
}

// pause has writes dropped until it is tried again. What is half written is cut off where that can be done, and never
// verifies where not.
func (w *writer) pause(act string, err error) {
	s := w.store
	s.metrics.errors[actWrite].Inc()
	w.cut()
	if noSpace(err) && !w.freed {
		w.freed = true
		w.evict()
	}
	level := s.logger.Debug
	if w.retry == 0 {
		level = s.logger.Warn
	}
	w.retry = min(max(2*w.retry, retryTime), retryMax)
	w.retryAt = time.Now().Add(w.retry)
	level("the disk cache takes nothing new for a while: what it lacks comes from upstream", "dir", s.config.Dir,
		"act", act, "err", err, "retry", w.retry, "do", advice(err))
	time.AfterFunc(w.retry, s.nudge)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.paused = true
	for len(s.mu.queue) > 0 {
		s.shiftLocked()
		s.metrics.shed[shedPaused].Inc()
	}
}

// cut ends the newest segment, if there is one, without a footer.
func (w *writer) cut() {
	seg := w.current
	if w.current = nil; seg == nil {
		return
	}
	if w.end == 0 {
		w.discard(seg)
		return
	}
	_ = seg.file.Truncate(w.end) // it is at fault already
	s := w.store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.resize(seg, w.end)
}

func advice(err error) string {
	switch {
	case errors.Is(err, errLost):
		return "make the directory or mount it again; nothing need be restarted"
	case noSpace(err):
		return "make room on the device, or give the cache less than it has"
	case readOnly(err):
		return "make the directory writable for this process"
	}
	return "look at the device; nothing need be restarted"
}

// recover lets writes in again, after a fault, to see whether they fail.
func (w *writer) recover() bool {
	s := w.store
	if !w.lost && !held(s.config.Dir, w.mark) {
		w.lose("look at the directory", errLost)
		return false
	}
	if w.lost {
		if err := w.load(); err != nil {
			if !broken(err) {
				err = fmt.Errorf("%w: %w", errLost, err)
			}
			w.pause("take the directory again", err)
			return false
		}
		w.lost = false
		w.rebuild()
		w.wipe()
		w.well()
	}
	s.mu.Lock()
	s.mu.paused = false
	s.mu.Unlock()
	return true
}

// well notes that something was written.
func (w *writer) well() {
	if w.retry > 0 {
		w.retry = 0
		w.store.logger.Info("the disk cache takes what is new again", "dir", w.store.config.Dir)
	}
}

// lose forgets a directory that is not there any more, or can't be used. Nothing is removed by name: another's files
// may be there now.
func (w *writer) lose(act string, err error) {
	s := w.store
	s.mu.Lock()
	order, drops, epoch := s.mu.order, s.mu.drops, s.mu.epoch
	s.mu.index = newIndex()
	s.mu.drops, s.mu.epoch = drops, epoch
	s.mu.scanning = true // the directory may come back
	s.mu.Unlock()
	for _, seg := range order {
		_ = seg.file.Close() // of a file that has no name
	}
	_ = errors.Join(w.drops.close(), closeFile(w.mark))
	w.mark, w.current, w.unsound, w.lost = nil, nil, nil, true
	w.pause(act, err)
}
