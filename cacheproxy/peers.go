package cacheproxy

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// asks are the kinds of other edges that a request may still ask, and those that a fetch is still to ask. Who waits for
// a fetch may ask all that it asks: each asks fewer than who asked it, so that no two edges wait for each other.
type asks uint8

const (
	askSiblings asks = 1 << iota
	askKept          // a sibling, for what it has already
	askShields
	askAll = askSiblings | askKept | askShields
)

// relation is how one edge asks another.
type relation uint8

const (
	asViewer relation = iota // it is no edge
	asSibling
	asShield
	relations
)

func (r relation) String() string { return [...]string{"viewer", "sibling", "shield"}[r] }

const (
	// maxPeers bounds the siblings, and the shields, that are asked.
	maxPeers = 64
	// maxAhead bounds the siblings that one request asks.
	maxAhead = 3
	// changeTime is how long after a change of its site an edge asks the sibling behind it for what it is to have itself:
	// whose it was before has it.
	changeTime = time.Minute
	// groupBits of a segment's number do not count: neighbours are one edge's, so that it sees a viewer go through an
	// archived recording, and so that few of its blocks are read by two edges, as those at a group's ends are, and those
	// read ahead. With 3 bits three edges read a recording of 0.5 Mb/s twice between them, with 6 hardly more than once.
	groupBits = 6
)

// peer is another edge that this one may ask.
type peer struct {
	as   relation
	id   string
	up   upstream
	seed uint64
	// usable is what was seen last of it, so that a change is noticed.
	usable atomic.Bool
	// cut says that it could not be reached, so that it is well again as soon as it can be.
	cut atomic.Bool
	pulse
}

// site is who may be asked. It is replaced, never modified.
type site struct {
	siblings, shields []*peer
}

// peers are the other edges, as this one knows them.
type peers struct {
	proxy *Proxy
	self  uint64
	site  atomic.Pointer[site]
	// changed is when the site changed last, or what is known of it: nanoseconds, 0 for never.
	changed atomic.Int64

	mu     sync.Mutex // of SetPeers and Close
	closed bool
}

// SetPeers says which other edges this one may ask. It takes effect with the next request. Those that can't be asked,
// and this edge itself, are left out.
func (p *Proxy) SetPeers(told media.EdgePeers) {
	p.peers.mu.Lock()
	defer p.peers.mu.Unlock()
	if p.peers.closed {
		return
	}
	if err := checkPeerID(p.config.ID); err != nil && len(told.Siblings)+len(told.Shields) > 0 {
		p.logger.Warn("no other edge is asked: this one has no name among them", "err", err)
		return
	}
	old := p.peers.site.Load()
	next := &site{
		siblings: p.peers.take(old.siblings, told.Siblings, asSibling, nil),
	}
	next.shields = p.peers.take(old.shields, told.Shields, asShield, next.siblings)
	same := slices.Equal(old.siblings, next.siblings)
	if same && slices.Equal(old.shields, next.shields) {
		return
	}
	p.peers.site.Store(next)
	for _, known := range [][]*peer{old.siblings, old.shields} {
		for _, of := range known {
			if !slices.Contains(next.siblings, of) && !slices.Contains(next.shields, of) {
				of.stop()
			}
		}
	}
	if !same {
		p.peers.change()
	}
	p.logger.Info("edges to ask changed", "siblings", peerIDs(next.siblings), "shields", peerIDs(next.shields))
}

// take gives the peers of a list, those that are known as they are. Others have been taken already.
func (ps *peers) take(known []*peer, told []media.EdgePeer, as relation, others []*peer) []*peer {
	var taken []*peer
	for _, t := range told {
		has := func(of *peer) bool { return of.id == t.ID }
		switch err := media.CheckBaseURL(t.URL); {
		case t.ID == ps.proxy.config.ID, slices.ContainsFunc(taken, has), slices.ContainsFunc(others, has):
			continue
		case err != nil, checkPeerID(t.ID) != nil, len(taken) == maxPeers:
			ps.proxy.logger.Warn("an edge is not asked", "as", as.String(), "id", t.ID, "url", t.URL, "err", err)
			continue
		}
		base := nodeUpstream(t.URL).base
		at := slices.IndexFunc(known, func(of *peer) bool { return of.id == t.ID && of.up.base == base })
		if at >= 0 {
			taken = append(taken, known[at])
			continue
		}
		of := &peer{as: as, id: t.ID, up: nodeUpstream(t.URL), seed: hashOf(t.ID)}
		of.up.peer = of
		of.usable.Store(true)
		of.begin(ps, of)
		taken = append(taken, of)
	}
	slices.SortFunc(taken, func(a, b *peer) int { return strings.Compare(a.id, b.id) })
	return taken
}

// checkPeerID refuses an id that can't be told in a header.
func checkPeerID(id string) error {
	if id == "" || len(id) > maxPeerID {
		return fmt.Errorf("%w: an edge's id has 1 to %d bytes", media.ErrInvalid, maxPeerID)
	}
	for _, c := range []byte(id) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == ',' || c == ';' {
			return fmt.Errorf("%w: an edge's id %.80q has characters that no header can have", media.ErrInvalid, id)
		}
	}
	return nil
}

// maxPeerID bounds an edge's id, in bytes.
const maxPeerID = 256

// FixedPeers gives the peers of lists of URLs, and the id that an edge at the URL self has among them. All edges of a
// site may be given the same lists.
func FixedPeers(self string, siblings, shields []string) (id string, of media.EdgePeers) {
	list := func(bases []string) (to []media.EdgePeer) {
		for _, base := range bases {
			to = append(to, media.EdgePeer{ID: fixedID(base), URL: base})
		}
		return to
	}
	return fixedID(self), media.EdgePeers{Siblings: list(siblings), Shields: list(shields)}
}

func fixedID(base string) string {
	u, err := url.Parse(base)
	switch {
	case err != nil || u.Host == "":
		return base
	case u.Port() != "":
		return strings.ToLower(u.Host)
	case u.Scheme == "https":
		return strings.ToLower(u.Host) + ":443"
	}
	return strings.ToLower(u.Host) + ":80"
}

func (ps *peers) change() { ps.changed.Store(time.Now().UnixNano()) }

func (ps *peers) changedLately(now time.Time) bool {
	at := ps.changed.Load()
	return at != 0 && now.Sub(time.Unix(0, at)) < changeTime
}

// close ends what looks after the peers.
func (ps *peers) close() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	ps.closed = true
	s := ps.site.Swap(&site{})
	for _, of := range slices.Concat(s.siblings, s.shields) {
		of.stop()
	}
}

// well says whether a peer is to be asked.
func (ps *peers) well(of *peer) bool {
	well := of.alive.Load() && ps.proxy.upstreams.Well(of.up.id())
	if of.usable.Swap(well) != well && of.as == asSibling {
		ps.change()
	}
	return well
}

// heard looks at a sibling at once that was away, for it has just asked: the sooner all think alike of the site, the
// less is fetched twice.
func (ps *peers) heard(id string) {
	for _, of := range ps.site.Load().siblings {
		if of.id == id && !of.usable.Load() {
			select {
			case of.knock <- struct{}{}:
			default:
			}
		}
	}
}
