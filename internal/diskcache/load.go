package diskcache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
)

// load takes the directory and fills the index from footers. Segments without a good one are left to rebuild.
func (w *writer) load() error {
	s := w.store
	dir := s.config.Dir
	c, err := claim(dir)
	if err != nil {
		return err
	}
	if c.reset {
		s.logger.Warn("the disk cache was of another format, or damaged: it begins anew", "dir", dir)
	}
	log, epoch, drops, err := openDrops(dir, maxDrops)
	if err == nil && epoch > math.MaxUint32/2 { // near its end after so many drops or crashes
		err = errors.Join(errDamaged, log.close())
	}
	if errors.Is(err, fs.ErrNotExist) && len(c.serials) == 0 {
		err = log.replace(0, nil)
	} else if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged) {
		s.logger.Warn("the disk cache does not know any more what was dropped: it begins anew", "dir", dir, "err", err)
		if err = c.wipe(dir); err == nil {
			epoch, drops = 0, nil
			err = log.replace(0, nil)
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("disk cache: %w", err), c.mark.Close())
	}
	w.mark, w.drops, w.unsound, w.current = c.mark, log, nil, nil
	slices.Sort(c.serials)
	segments := make([]*segment, 0, len(c.serials))
	for _, serial := range c.serials {
		w.serial = max(w.serial, serial)
		seg, sound, err := openSegment(dir, serial)
		if err != nil {
			s.logger.Debug("disk cache: a segment can't be opened", "err", errors.Join(err, os.Remove(
				filepath.Join(dir, segmentName(serial)))))
			continue
		}
		segments = append(segments, seg)
		if !sound {
			w.unsound = append(w.unsound, seg)
		}
	}
	w.fill(segments, epoch, drops)
	for w.over(0, 0) && w.evict() { // the bounds may be less than they were
	}
	return nil
}

// fill puts what was loaded into the index. What was dropped before the directory was lost is dropped of it too.
func (w *writer) fill(segments []*segment, epoch uint32, drops []drop) {
	s := w.store
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.mu.drops
	n := 0
	for _, seg := range segments {
		n += len(seg.slots)
	}
	s.mu.index = newIndex()
	s.mu.entries = make(map[uint64]place, n)
	s.mu.epoch = epoch
	if len(w.unsound) > 0 {
		s.mu.epoch += maxDrops // past any that a crash kept from the log
	}
	for _, d := range drops {
		s.mu.drops[d.group] = max(s.mu.drops[d.group], d.epoch)
	}
	for _, seg := range segments {
		s.mu.addSegment(seg)
	}
	s.mu.unlogged = nil
	for group := range before {
		s.mu.unlogged = append(s.mu.unlogged, s.mu.drop(group))
	}
	s.mu.scanning = len(w.unsound) > 0
}

// openSegment opens a segment and reads its footer. Sound says that there was a good one.
func openSegment(dir string, serial uint32) (seg *segment, sound bool, err error) {
	seg = &segment{serial: serial, path: filepath.Join(dir, segmentName(serial))}
	f, err := os.OpenFile(seg.path, os.O_RDWR, 0)
	if err != nil {
		return nil, false, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, false, errors.Join(err, f.Close())
	}
	seg.file, seg.bytes = f, info.Size()
	seg.slots, sound = seg.footer()
	return seg, sound, nil
}

// footer reads the segment's footer.
func (g *segment) footer() ([]slot, bool) {
	if g.bytes < trailerSize || g.bytes > maxSegment {
		return nil, false
	}
	b := make([]byte, trailerSize)
	if g.readAt(b, g.bytes-trailerSize) != nil {
		return nil, false
	}
	t, ok := parseTrailer(b, g.serial, g.bytes)
	if !ok {
		return nil, false
	}
	b = make([]byte, t.count*slotSize)
	if g.readAt(b, t.at) != nil {
		return nil, false
	}
	return parseSlots(b, t)
}

// rebuild scans the segments that have no good footer, and gives them one.
func (w *writer) rebuild() {
	s := w.store
	for _, seg := range w.unsound {
		s.mu.Lock()
		there := s.mu.segments[seg.serial] == seg
		s.mu.Unlock()
		if !there {
			continue
		}
		end, whole := w.scan(seg)
		if !whole {
			break // the store closes: the next one scans it
		}
		slots := len(seg.slots) // only this goroutine changes them
		if slots == 0 {
			w.discard(seg)
			continue
		}
		s.logger.Info("disk cache: a segment without a good footer was scanned", "file", seg.path, "entries", slots)
		err := seg.file.Truncate(end)
		s.mu.Lock()
		if err == nil {
			s.mu.resize(seg, end)
		}
		s.mu.Unlock()
		if err == nil && !w.over(footerSize(slots), 0) {
			err = w.finish(seg, end)
		}
		if err != nil {
			s.metrics.errors[actWrite].Inc()
			s.logger.Debug("disk cache: a segment stays without a footer", "err", err)
		}
	}
	w.unsound = nil
	s.mu.Lock()
	s.mu.scanning = false
	s.mu.Unlock()
}

// scan reads the heads of a segment's entries up to the first that is not whole, and gives where that is.
func (w *writer) scan(seg *segment) (end int64, whole bool) {
	s := w.store
	b := make([]byte, 4<<10)
	for {
		select {
		case <-s.closing:
			return end, false
		default:
		}
		l, h, ok := seg.headAt(end, &b)
		if !ok {
			return end, true
		}
		s.mu.Lock()
		s.mu.add(seg, slot{
			hash: hashKey(h.key), offset: uint32(end), size: l.size, head: l.head, group: hashGroup(h.group),
			epoch: h.epoch,
		})
		s.mu.Unlock()
		end += int64(l.size)
	}
}

// headAt reads the head at an offset, whose size is not known. It uses b, which may grow.
func (g *segment) headAt(at int64, b *[]byte) (slot, head, bool) {
	n, err := g.file.ReadAt(*b, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return slot{}, head{}, false
	}
	size, body, ok := headSizes((*b)[:n])
	if !ok || at+size+body > min(g.bytes, maxSegment) {
		return slot{}, head{}, false
	}
	if size > int64(n) {
		*b = make([]byte, size)
		if g.readAt(*b, at) != nil {
			return slot{}, head{}, false
		}
	}
	h, ok := parseHead((*b)[:size])
	return slot{size: uint32(size + body), head: uint32(size)}, h, ok && h.serial == g.serial
}
