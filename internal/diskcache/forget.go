package diskcache

// wipe removes all segments, if who dropped what is not known any more.
func (w *writer) wipe() {
	s := w.store
	s.mu.Lock()
	wipe := s.mu.wipe
	if wipe {
		for len(s.mu.queue) > 0 {
			s.shiftLocked()
		}
		s.mu.drops = make(map[uint32]uint32)
		s.mu.unlogged = nil
	}
	s.mu.Unlock()
	for wipe && w.evict() {
	}
	s.mu.Lock()
	s.mu.wipe = false
	s.mu.Unlock()
}

// logDrops brings to the log what was dropped, and makes the log anew when it is full.
func (w *writer) logDrops() error {
	s := w.store
	s.mu.Lock()
	drops := s.mu.unlogged
	full := w.drops.records+len(drops) > s.layout.drops
	s.mu.Unlock()
	if len(drops) == 0 {
		return nil
	}
	if full {
		return w.replaceDrops(len(drops))
	}
	if err := w.drops.append(drops); err != nil {
		return err
	}
	s.logged(len(drops))
	return nil
}

// logged forgets drops that the log has.
func (s *Store) logged(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.unlogged = s.mu.unlogged[n:]
	if len(s.mu.unlogged) == 0 {
		s.mu.unlogged = nil
	}
}

// replaceDrops writes a log of the drops that still matter. If they are too many, the oldest segments go.
func (w *writer) replaceDrops(unlogged int) error {
	s := w.store
	for {
		s.mu.Lock()
		floor := s.mu.epoch
		if s.mu.scanning { // who knows what is there
			floor = 0
		}
		for i := range s.mu.queue {
			floor = min(floor, s.mu.queue[i].epoch)
		}
		drops, epoch, left := s.mu.forget(floor), s.mu.epoch, len(s.mu.order)
		s.mu.Unlock()
		if len(drops) <= s.layout.drops/2 || left == 0 {
			drops = drops[:min(len(drops), s.layout.drops)] // without segments they are for the queue alone
			if err := w.drops.replace(epoch, drops); err != nil {
				return err
			}
			s.logged(unlogged)
			return nil
		}
		w.evict()
	}
}
