package cacheproxy

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// chainField is CDN-Loop (RFC 8586): each edge that asks another adds itself, as in
//
//	CDN-Loop: oxbow;edge="sydney-1";as=sibling, oxbow;edge="sydney-2";as=shield
//
// which came from sydney-1, by its sibling, as to a shield. What other networks have put into it is let alone.
const chainField = "Cdn-Loop"

const (
	// maxHops is how many edges may have asked before: a viewer's, its sibling, a shield.
	maxHops = 3
	// maxChain bounds the field's bytes.
	maxChain = 2048
)

// errCircle: an edge was asked for what it asks for.
var errCircle = errors.New("edges ask each other in a circle")

// caller is an edge that asks, and what it says of those before it. Nil is a viewer.
type caller struct {
	as       relation
	id       string // its own
	chain    string
	shielded bool // a shield has been asked on the way
	keptOnly bool // only what is there already
}

// may gives whom a request may ask: who is asked by a sibling asks no sibling, and nobody behind a shield asks a
// shield.
func (c *caller) may() asks {
	switch {
	case c == nil:
		return askAll
	case c.keptOnly:
		return askShields &^ c.behind()
	case c.as == asShield:
		return askSiblings | askKept
	}
	return (askKept | askShields) &^ c.behind()
}

func (c *caller) behind() asks {
	if c.shielded {
		return askShields
	}
	return 0
}

// inChain says that an edge has asked on the way.
func inChain(chain, id string) bool { return strings.Contains(chain, `;edge="`+id+`";`) }

// extended gives the chain with this edge at its end, which asks as that.
func extended(chain, self string, as relation) string {
	own := `oxbow;edge="` + self + `";as=` + as.String()
	if chain == "" {
		return own
	}
	return chain + ", " + own
}

// parseChain reads CDN-Loop. The error is errCircle if the edge self is in it, or if there are more hops than any order
// of asking has.
func parseChain(lines []string, self string) (*caller, error) {
	text := strings.Join(lines, ", ")
	if len(text) > maxChain {
		return nil, fmt.Errorf("%w: CDN-Loop has more than %d bytes", media.ErrInvalid, maxChain)
	}
	c := &caller{}
	var own []string
	for text != "" {
		var member string
		member, text = cutOutside(text, ',')
		name, params := cutOutside(member, ';')
		if !strings.EqualFold(strings.TrimSpace(name), "oxbow") {
			continue
		}
		id, as := "", asViewer
		for params != "" {
			var param string
			param, params = cutOutside(params, ';')
			field, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			switch value = strings.Trim(value, `"`); {
			case strings.EqualFold(field, "edge"):
				id = value
			case field != "as":
			case value == asSibling.String():
				as = asSibling
			case value == asShield.String():
				as = asShield
			}
		}
		if checkPeerID(id) != nil || as == asViewer {
			return nil, fmt.Errorf("%w: CDN-Loop has no edge and as in %.100q", media.ErrInvalid, member)
		}
		if id == self {
			return nil, errCircle
		}
		c.as, c.id = as, strings.Clone(id)
		c.shielded = c.shielded || as == asShield
		own = append(own, `oxbow;edge="`+id+`";as=`+as.String())
	}
	switch {
	case len(own) == 0:
		return nil, fmt.Errorf("%w: CDN-Loop names no edge: this port is for edges", media.ErrInvalid)
	case len(own) > maxHops:
		return nil, fmt.Errorf("%d hops: %w", len(own), errCircle)
	}
	c.chain = strings.Join(own, ", ")
	return c, nil
}

// cutOutside cuts at the first separator that is in no quotes.
func cutOutside(text string, at byte) (before, after string) {
	quoted := false
	for i := range len(text) {
		switch {
		case text[i] == '"':
			quoted = !quoted
		case text[i] == at && !quoted:
			return text[:i], text[i+1:]
		}
	}
	return text, ""
}

// toldField is what an edge tells of its answer to another edge: how old its object is, to the millisecond, for seconds
// would add up; by how many more edges it came; or instead why there is none.
const toldField = "Oxbow-Peer"

// told is the field's value.
type told struct {
	age  time.Duration
	hops int
	err  string
}

// What an edge has against a request, in told.err.
const (
	toldAbsent   = "absent"   // it is not there, and nobody was to be asked
	toldBusy     = "busy"     // the edge has too much to do
	toldUpstream = "upstream" // the edge got it from nobody
	toldLoop     = "loop"
	toldDenied   = "denied"
	toldRefused  = "refused" // whoever asks
)

func (t told) String() string {
	if t.err != "" {
		return "error=" + t.err
	}
	return "age=" + strconv.FormatInt(t.age.Milliseconds(), 10) + ";hops=" + strconv.Itoa(t.hops)
}

// parseTold is false for what no edge has sent.
func parseTold(h http.Header) (t told, ok bool) {
	lines := h[toldField]
	if len(lines) != 1 || len(lines[0]) > 64 {
		return t, false
	}
	for param := range strings.SplitSeq(lines[0], ";") {
		field, value, _ := strings.Cut(param, "=")
		switch field {
		case "error":
			t.err, ok = value, value != ""
		case "age":
			ms, err := strconv.ParseInt(value, 10, 64)
			if err != nil || ms < 0 || ms > maxToldAge {
				return told{}, false
			}
			t.age, ok = time.Duration(ms)*time.Millisecond, true
		case "hops":
			n, err := strconv.Atoi(value)
			if err != nil || n < 0 || n > maxHops {
				return told{}, false
			}
			t.hops = n
		}
	}
	return t, ok
}

// maxToldAge is in milliseconds: RFC 9111's most, of Age.
const maxToldAge = 1000 << 31

// tellError gives what another edge is told of an error.
func tellError(err error, status int) told {
	switch {
	case errors.Is(err, errAbsent):
		return told{err: toldAbsent}
	case errors.Is(err, errCircle):
		return told{err: toldLoop}
	case errors.Is(err, errUninvited):
		return told{err: toldDenied}
	case errors.Is(err, errBusy):
		return told{err: toldBusy}
	case status >= http.StatusInternalServerError:
		return told{err: toldUpstream}
	}
	return told{err: toldRefused}
}
