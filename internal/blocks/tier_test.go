package blocks

import (
	"bytes"
	"testing"

	"github.com/oxbow-video/oxbow/internal/slab"
)

func TestHeadIsReadAsItWasWritten(t *testing.T) {
	for _, version := range []string{`"d41d8cd98f00b204e9800998ecf8427e-12"`, "a b", "0"} {
		got, total, ok := parseHead(headText(&object{version: version, total: 1 << 40}))
		if !ok || got != version || total != 1<<40 {
			t.Errorf("%q: %q %d %t", version, got, total, ok)
		}
	}
}

func FuzzParseHead(f *testing.F) {
	for _, text := range []string{"", " ", "1z \"tag\"", "-1 x", "zzzzzzzzzzzzzzzzz x", "0 x", "10"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		version, total, ok := parseHead(text)
		if !ok {
			return
		}
		again, same, ok := parseHead(headText(&object{version: version, total: total}))
		if !ok || again != version || same != total || total <= 0 {
			t.Errorf("%q: %q %d, then %q %d", text, version, total, again, same)
		}
	})
}

// A tier's pieces may lie behind something else in their buffer, or in none.
func TestTierPiecesAreTakenAsTheyLie(t *testing.T) {
	arena := slab.New()
	buffer := arena.Get(100 + testBlock)
	data := bytes.Repeat([]byte("block"), testBlock)[:testBlock]
	copy(buffer.Bytes()[37:], data)
	for name, p := range map[string]slab.Piece{
		"in a buffer": {Buffer: buffer, Data: buffer.Bytes()[37 : 37+testBlock]}, "in none": slab.Of(data),
	} {
		d := &tier{entries: make(map[string]slab.Piece), groups: make(map[string]string)}
		w := newWorld(t, Config{Tier: d})
		w.replace(trackFile, data)
		w.want(trackFile, 0, 10)
		w.mu.Lock()
		o := w.mu.objects[objectKey{"default", trackFile}]
		w.forgetLocked(o)
		w.mu.Unlock()
		d.entries[tierKey(o, 0)], d.entries[headKey(o.key)] = p, slab.Of([]byte(headText(o)))
		before := len(w.store.requests())
		w.want(trackFile, 0, testBlock)
		w.want(trackFile, 5, 10)
		if n := len(w.store.requests()); n != before || count(w.metrics.tier) != 1 {
			t.Errorf("%s: %d requests, %d hits", name, n-before, count(w.metrics.tier))
		}
	}
	if _, ok := baseOf(slab.Piece{Buffer: buffer, Data: data}); ok {
		t.Error("bytes that are not in their buffer")
	}
}
