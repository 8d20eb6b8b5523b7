package diskcache

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
)

// room sees that the newest segment takes that many bytes more, and that with it the bounds are kept. The segment that
// is due to leave is read once more first, for which there is always a segment's room to spare.
func (w *writer) room(need int64) error {
	if w.current != nil && w.fits(need, 1) {
		return nil
	}
	s := w.store
	if !held(s.config.Dir, w.mark) {
		return errLost
	}
	if w.current != nil {
		if err := w.seal(); err != nil {
			return err
		}
	}
	for w.over(s.layout.segment, 1) && w.evict() {
	}
	if err := w.begin(); err != nil {
		return err
	}
	w.freed = false
	for w.over(s.layout.segment, 1) {
		oldest := w.oldest()
		if oldest == nil || oldest == w.current {
			break
		}
		if err := w.readmit(oldest, need); err != nil {
			return err
		}
		w.evict()
	}
	return nil
}

// fits says whether the newest segment has room for entries of that size, and for their slots.
func (w *writer) fits(need int64, entries int) bool {
	n := len(w.current.slots) + entries // only this goroutine changes them
	return w.end+need+footerSize(n) <= w.store.layout.segment && n <= max(1, w.store.config.Entries/8)
}

// over says whether bytes and files more are too much.
func (w *writer) over(bytes int64, files int) bool {
	s := w.store
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.bytes+bytes > s.layout.segments || len(s.mu.order)+files > s.layout.files ||
		s.mu.slots > s.config.Entries-s.config.Entries/8
}

func (w *writer) oldest() *segment {
	s := w.store
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.mu.order) == 0 {
		return nil
	}
	return s.mu.order[0]
}

// begin makes the next segment.
func (w *writer) begin() error {
	s := w.store
	w.serial++
	seg := &segment{
		serial: w.serial, bytes: s.layout.segment, path: filepath.Join(s.config.Dir, segmentName(w.serial)),
	}
	f, err := s.create(seg.path)
	if err != nil {
		return err
	}
	seg.file = f
	w.current, w.end = seg, 0
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.addSegment(seg)
	return nil
}

// seal ends the newest segment with a footer of all its entries, for those that count no more hide older ones.
func (w *writer) seal() error {
	seg := w.current
	w.current = nil
	return w.finish(seg, w.end)
}

// finish writes a segment's footer.
func (w *writer) finish(seg *segment, end int64) error {
	s := w.store
	s.mu.Lock()
	slots := slices.Clone(seg.slots)
	s.mu.Unlock()
	b := appendFooter(nil, seg.serial, end, slots)
	_, err := seg.file.WriteAt(b, end)
	size := end + int64(len(b))
	if err != nil {
		err = errors.Join(err, seg.file.Truncate(end))
		size = end
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.resize(seg, size)
	return err
}

// evict removes the oldest segment. It is false if there is none.
func (w *writer) evict() bool {
	seg := w.oldest()
	if seg == nil {
		return false
	}
	if seg == w.current {
		w.current = nil
	}
	w.store.metrics.evicted(w.discard(seg))
	return true
}

// discard removes a segment and gives how many entries that costs.
func (w *writer) discard(seg *segment) int {
	s := w.store
	// The file goes first, so that the bound holds for what is there.
	if err := os.Remove(seg.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		err = errors.Join(err, seg.file.Truncate(0))
		s.logger.Debug("disk cache: a segment is emptied, for it can't be removed", "err", err)
	}
	s.mu.Lock()
	n := s.mu.removeSegment(seg)
	s.mu.Unlock()
	_ = seg.file.Close() // a reader that has it still reads to its end
	return n
}

// readmit writes again what of a segment was asked for since it was written: up to half a segment, and leaving room for
// an entry of that need.
func (w *writer) readmit(seg *segment, need int64) error {
	s := w.store
	spent := int64(0)
	for i := range seg.slots {
		s.mu.Lock()
		l := seg.slots[i]
		hot := l.hits > 0 && s.mu.live(seg, i)
		epoch := s.mu.epoch // what is dropped from here on is dropped of the copy too
		s.mu.Unlock()
		size := int64(l.size)
		if !hot || spent > 0 && spent+size > s.layout.segment/2 || !w.fits(size+need, 2) {
			continue
		}
		it, err := w.again(seg, l)
		if err != nil {
			continue // a reader will find out
		}
		it.epoch = epoch
		spent += size
		if err := w.append(it); err != nil {
			return err
		}
		s.metrics.readmitted.Inc()
	}
	return nil
}

// again reads an entry to be written again.
func (w *writer) again(seg *segment, l slot) (*item, error) {
	h, err := seg.readHead(l)
	if err != nil {
		return nil, err
	}
	n := 0
	v, err := seg.read(l, h.key, span{to: int64(h.body)}, func(size int) []byte {
		if n == len(w.lent) {
			w.lent = append(w.lent, make([]byte, PieceBytes))
		}
		n++
		return w.lent[n-1][:size]
	})
	const keep = 64
	if len(w.lent) > keep {
		w.lent = append(w.lent[:keep:keep], nil)[:keep] // of an entry of 16 MiB at the most
	}
	return &item{
		key: h.key, group: h.group, meta: h.meta, body: v.Body, size: v.Size, hash: l.hash, hashGroup: l.group,
	}, err
}
