package test

import (
	"slices"
	"testing"
)

// appendRace is what hls.js 1.7.4 tells when its queue of buffer operations is ahead of the browser's. By its code: between
// the end of an append and its updateend event, which a busy machine delays, another track's operation steps the queue
// on, and the late event counts for the next append. No bytes of a stream are to blame: appendBuffer throws before it
// looks at them. With sound in a playlist of its own the third in a viewing is fatal, since hls.js never forgets the first
// two; a page recovers from that, as ours does.
const appendRace = "hls.js mediaError bufferAppendError Failed to execute 'appendBuffer' on 'SourceBuffer': " +
	"This SourceBuffer is still processing an 'appendBuffer' or 'remove' operation."

// onlyAppendRace says that a player told a fatal error, and nothing but the race.
func onlyAppendRace(faults []playerFault) bool {
	return slices.ContainsFunc(faults, func(f playerFault) bool { return f.fatal }) &&
		!slices.ContainsFunc(faults, func(f playerFault) bool { return f.text != appendRace })
}

// raced says that hls.js ended by its race.
func (v *viewing) raced() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return onlyAppendRace(v.faults)
}

// withoutAppendRace gives the figures as they are to be judged beside the race, where hls.js ended by that.
func (m figures) withoutAppendRace() (rest figures, raced bool) {
	raced = onlyAppendRace(m.faults)
	m.faults, m.fatal = nil, 0
	return m, raced
}

// viewAgainAfterRace views, and once more where hls.js ended by its race after a flawless picture: no stall, no step,
// nothing unreadable. What the last viewing came to is judged as it is.
func viewAgainAfterRace(t *testing.T, view func() figures) figures {
	t.Helper()
	m := view()
	rest, raced := m.withoutAppendRace()
	if !raced || rest.stalls+rest.skips+rest.back+rest.unreadable > 0 {
		return m
	}
	t.Logf("hls.js met its own race, and is asked again: %s; %+v", m.faultText(), rest)
	return view()
}

// TestOnlyTheAppendRaceIsExcused has every other fault count, and every flaw of the picture beside the race.
func TestOnlyTheAppendRaceIsExcused(t *testing.T) {
	t.Parallel()
	race, fatal := playerFault{text: appendRace}, playerFault{text: appendRace, fatal: true}
	for name, tt := range map[string]struct {
		first figures
		again bool
	}{
		"no fault":              {figures{}, false},
		"not fatal":             {figures{faults: []playerFault{race, race}}, false},
		"fatal":                 {figures{faults: []playerFault{race, race, fatal}, fatal: 1}, true},
		"another error beside":  {figures{faults: []playerFault{race, {text: "hls.js networkError"}, fatal}, fatal: 1}, false},
		"another fatal error":   {figures{faults: []playerFault{race, {text: "hls.js mediaError", fatal: true}}, fatal: 1}, false},
		"a stall":               {figures{faults: []playerFault{fatal}, fatal: 1, stalls: 1}, false},
		"pictures left out":     {figures{faults: []playerFault{fatal}, fatal: 1, skips: 1}, false},
		"a step back":           {figures{faults: []playerFault{fatal}, fatal: 1, back: 1}, false},
		"an unreadable picture": {figures{faults: []playerFault{fatal}, fatal: 1, unreadable: 1}, false},
	} {
		views := 0
		m := viewAgainAfterRace(t, func() figures { views++; return tt.first })
		if again := views == 2; again != tt.again {
			t.Errorf("%s: %d viewings", name, views)
		}
		if m.fatal != tt.first.fatal {
			t.Errorf("%s: %d fatal errors are left, want %d", name, m.fatal, tt.first.fatal)
		}
	}
}
