package cacheproxy

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func chainRows() map[string]struct {
	lines []string
	err   error
	id    string
	may   asks
} {
	type row = struct {
		lines []string
		err   error
		id    string
		may   asks
	}
	return map[string]row{
		"a sibling":            {[]string{`oxbow;edge="a";as=sibling`}, nil, "a", askKept | askShields},
		"a lower edge":         {[]string{`oxbow;edge="a";as=shield`}, nil, "a", askSiblings | askKept},
		"a shield's sibling":   {[]string{`oxbow;edge="a";as=shield, oxbow;edge="s";as=sibling`}, nil, "s", askKept},
		"by its sibling":       {[]string{`oxbow;edge="a";as=sibling, oxbow;edge="b";as=shield`}, nil, "b", askSiblings | askKept},
		"two lines":            {[]string{`oxbow;edge="a";as=shield`, `oxbow;edge="s";as=sibling`}, nil, "s", askKept},
		"spaces and cases":     {[]string{"  Oxbow ; Edge=\"a:1\" ;  as=sibling "}, nil, "a:1", askKept | askShields},
		"behind others":        {[]string{`cdn.example, oxbow;edge="a";as=sibling, x;y="a,b;c"`}, nil, "a", askKept | askShields},
		"nothing":              {nil, media.ErrInvalid, "", 0},
		"others only":          {[]string{`akamai;v=1`}, media.ErrInvalid, "", 0},
		"no edge":              {[]string{`oxbow;as=sibling`}, media.ErrInvalid, "", 0},
		"no relation":          {[]string{`oxbow;edge="a"`}, media.ErrInvalid, "", 0},
		"relation of its own":  {[]string{`oxbow;edge="a";as=cousin`}, media.ErrInvalid, "", 0},
		"a bad id":             {[]string{`oxbow;edge="a b";as=sibling`}, media.ErrInvalid, "", 0},
		"itself":               {[]string{`oxbow;edge="self";as=sibling`}, errCircle, "", 0},
		"itself further away":  {[]string{`oxbow;edge="self";as=sibling, oxbow;edge="a";as=shield`}, errCircle, "", 0},
		"too far":              {[]string{strings.Repeat(`oxbow;edge="a";as=sibling,`, maxHops+1)}, errCircle, "", 0},
		"too long":             {[]string{strings.Repeat("x,", maxChain)}, media.ErrInvalid, "", 0},
		"a quote that is open": {[]string{`oxbow;edge="a;as=sibling`}, media.ErrInvalid, "", 0},
		"an edge of a long name": {[]string{`oxbow;edge="` + strings.Repeat("a", maxPeerID+1) + `";as=sibling`}, media.ErrInvalid,
			"", 0},
	}
}

func TestChainSaysWhoAsksAndWhomThatMayAsk(t *testing.T) {
	for name, row := range chainRows() {
		t.Run(name, func(t *testing.T) {
			c, err := parseChain(row.lines, "self")
			if !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
				t.Fatalf("error %v, want %v", err, row.err)
			}
			if err != nil {
				return
			}
			if c.id != row.id || c.may() != row.may {
				t.Errorf("%q may ask %b, want %q and %b", c.id, c.may(), row.id, row.may)
			}
			c.keptOnly = true
			if c.may()&^askShields != 0 {
				t.Errorf("who wants only what is there may ask %b", c.may())
			}
		})
	}
}

// Whatever comes, what is sent on for it is read by the next edge, or refused as a loop, and nobody asks as many edges as
// who asked it.
func FuzzChain(f *testing.F) {
	for _, row := range chainRows() {
		f.Add(strings.Join(row.lines, ", "))
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseChain([]string{text}, "self")
		if err != nil {
			return
		}
		if c.may() == askAll || len(c.chain) > maxChain+maxHops*16 {
			t.Fatalf("%q: may %b, chain %q", text, c.may(), c.chain)
		}
		next, err := parseChain([]string{extended(c.chain, "self", asSibling)}, "other")
		if errors.Is(err, errCircle) || errors.Is(err, media.ErrInvalid) && len(c.chain) > maxChain-64 {
			return
		}
		if err != nil || next.id != "self" || next.may()&^(c.may()|askKept) != 0 && c.as != asShield && !c.shielded {
			t.Fatalf("%q: next %+v: %v", text, next, err)
		}
		if next.shielded != c.shielded || next.may()&askSiblings != 0 {
			t.Fatalf("%q: next %+v", text, next)
		}
	})
}

func TestToldIsReadAsItWasWritten(t *testing.T) {
	for _, want := range []told{
		{}, {age: 1234 * time.Millisecond, hops: 2}, {age: 3 * time.Hour}, {err: toldAbsent}, {err: toldBusy},
	} {
		got, ok := parseTold(http.Header{toldField: {want.String()}})
		if !ok || got != want {
			t.Errorf("%v became %v, %v", want, got, ok)
		}
	}
	for _, text := range []string{
		"", "hello", "age=", "age=-1", "age=1;hops=9", "age=99999999999999", "error=", strings.Repeat("age=1;", 20),
	} {
		if got, ok := parseTold(http.Header{toldField: {text}}); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

func FuzzTold(f *testing.F) {
	f.Add("age=12;hops=1")
	f.Add("error=busy")
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := parseTold(http.Header{toldField: {text}})
		if ok && (got.age < 0 || got.hops < 0 || got.hops > maxHops) {
			t.Fatalf("%q is %+v", text, got)
		}
	})
}

// All edges of a site agree, in every version: these scores are for ever.
func TestShareOfAPathIsAsItEverWas(t *testing.T) {
	for path, want := range map[string]uint64{
		segPath:                       hashOf(shareOf(recBase + "/1/video/63.3.m4s")), // one group of 64
		recBase + "/1/video/7.11.m4s": hashOf(shareOf(segPath)),
		recBase + "/1/video/64.m4s":   0xec98f62f449eb796,
	} {
		if got := hashOf(shareOf(path)); got != want {
			t.Errorf("%s has %#x, want %#x", path, got, want)
		}
	}
	if hashOf(shareOf(recBase+"/1/audio/8.m4s")) == hashOf(shareOf(recBase+"/1/video/8.m4s")) {
		t.Error("two tracks have one share")
	}
	if dir, group := shareOf(recBase + "/1/video/64.m4s"); dir != recBase+"/1/video" || group != 2 {
		t.Errorf("share %q, %d", dir, group)
	}
}

func TestFixedPeersAreTheSameForAllEdgesOfASite(t *testing.T) {
	urls := []string{"http://Edge1:8081", "http://edge2", "https://edge3/"}
	id, of := FixedPeers("http://edge1:8081", urls, urls[2:])
	if id != "edge1:8081" || of.Siblings[0].ID != id || of.Siblings[1].ID != "edge2:80" || of.Shields[0].ID != "edge3:443" {
		t.Errorf("id %q, %+v", id, of)
	}
}
