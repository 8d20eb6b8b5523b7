package packager

import "maps"

// repairs counts what was repaired of a publication, by track and by kind of repair. The stream's lock guards it.
type repairs map[string]map[string]int64

func (r repairs) add(track, repair string, count int) {
	if r[track] == nil {
		r[track] = make(map[string]int64)
	}
	r[track][repair] += int64(count)
}

// Repairs gives how many samples of each track were repaired since the publication began, by kind of repair: "clamp"
// (DTS that did not rise), "silence" and "repeat" (sound that did not come), "overlap", "shift", "stray", "overflow",
// "leading" (pictures that can't be decoded where the take began), "gap" (segments without media). The maps are the
// caller's.
func (p *Publication) Repairs() map[string]map[string]int64 {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	out := make(map[string]map[string]int64, len(p.repairs))
	for track, counts := range p.repairs {
		out[track] = maps.Clone(counts)
	}
	return out
}

// repaired counts samples of a rendition that were repaired.
func (s *Show) repaired(index int, repair string, count int) {
	r := s.renditions[index]
	s.metrics.repairs.WithLabelValues(string(r.kind), repair).Add(float64(count))
	if s.repairs != nil {
		s.repairs.add(r.name, repair, count)
	}
}
