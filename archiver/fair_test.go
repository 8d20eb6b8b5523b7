package archiver

import (
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// turns lets publishers work until nobody has any more, and gives the order of their turns by their initials.
func turns(f *fair, work map[string][]int64, since map[string]int) string {
	var order strings.Builder
	for {
		var due []media.DuePublisher
		for name, left := range work {
			if len(left) > 0 {
				due = append(due, media.DuePublisher{Publisher: name, Due: time.Unix(int64(since[name]), 0)})
			}
		}
		if len(due) == 0 {
			return order.String()
		}
		name := due[f.next(due)].Publisher
		f.begin(name, work[name][0])
		work[name] = work[name][1:]
		order.WriteString(name)
	}
}

func TestPublishersTakeTurnsByBytes(t *testing.T) {
	for name, c := range map[string]struct {
		work  map[string][]int64
		since map[string]int
		want  string
	}{
		"one alone":                      {map[string][]int64{"a": {1, 1, 1}}, nil, "aaa"},
		"equals in turn":                 {map[string][]int64{"a": {1, 1, 1}, "b": {1, 1, 1}}, nil, "ababab"},
		"the oldest due of equals first": {map[string][]int64{"a": {1, 1}, "b": {1, 1}}, map[string]int{"a": 2, "b": 1}, "baba"},
		"as many bytes, not as many turns": {
			map[string][]int64{"a": {4, 4}, "b": {1, 1, 1, 1, 1, 1, 1, 1}}, nil, "abbbbabbbb",
		},
		"a great backlog holds nobody up": {
			map[string][]int64{"a": {1, 1, 1, 1, 1, 1, 1, 1}, "b": {1}, "c": {1}}, map[string]int{"b": 8, "c": 9}, "abcaaaaaaa",
		},
	} {
		if have := turns(&fair{}, c.work, c.since); have != c.want {
			t.Errorf("%s: %s, want %s", name, have, c.want)
		}
	}
}

func TestTurnsAreNotSavedUp(t *testing.T) {
	f := &fair{}
	turns(f, map[string][]int64{"a": {100, 100, 100}}, nil)
	// b had nothing to do meanwhile, and comes back: it goes first, and then in turn.
	if have := turns(f, map[string][]int64{"a": {100, 100}, "b": {100, 100, 100}}, nil); have != "babab" {
		t.Errorf("%s", have)
	}
	if len(f.ahead) > 2 {
		t.Errorf("remembers %v", f.ahead)
	}
}

func TestWorkThatCameToLessIsCorrected(t *testing.T) {
	f := &fair{}
	f.begin("a", 1000)
	f.correct("a", -990) // it had most of it already
	f.begin("b", 100)
	if have := turns(f, map[string][]int64{"a": {10, 10}, "b": {10}}, nil); have != "aab" {
		t.Errorf("%s", have)
	}
}

func TestWhoIsNotAheadIsForgotten(t *testing.T) {
	f := &fair{}
	for i := range 1000 {
		f.begin(string(rune('a'+i)), 1)
		f.begin("z", 10)
	}
	if len(f.ahead) > 20 {
		t.Errorf("%d publishers are remembered", len(f.ahead))
	}
}

func TestWorkThatFailsCountsByItsTime(t *testing.T) {
	storing, _ := newLanes()
	claim := func(publisher string) media.Claim {
		return media.Claim{Action: media.ActArchive, Recording: media.Recording{
			Path: media.StreamPath{Publisher: publisher}, Bytes: 4 << 20,
		}}
	}
	for publisher, c := range map[string]struct {
		sent int64
		took time.Duration
		err  error
		want int64
	}{
		"sends all":    {4 << 20, time.Minute, nil, 4 << 20},
		"had it":       {0, time.Minute, nil, leastCost},
		"fails late":   {1 << 20, time.Minute, errFault, 60 * failedRate},
		"fails fast":   {0, time.Millisecond, errFault, leastCost},
		"fails midway": {2 << 20, 0, errFault, 2 << 20},
	} {
		storing.mu.fair.begin(publisher, storing.cost(claim(publisher)))
		storing.settle(claim(publisher), c.sent, c.took, c.err)
		if have := storing.mu.fair.at(publisher); have != c.want {
			t.Errorf("who %s is counted %d, want %d", publisher, have, c.want)
		}
	}
}
