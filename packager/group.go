package packager

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// memberWait is how long a show that begins waits for the rest of its members once one is ready, and returnWait the
	// same where a recording is interrupted: with the same tracks it goes on.
	memberWait = 2 * time.Second
	returnWait = 10 * time.Second
	// settleWait is how long a change of the set of tracks is left to settle, so that three late members make one.
	settleWait = 2 * time.Second
	// leadSilence is how long the member that leads may be silent before another leads.
	leadSilence = 2 * time.Second
)

// group is a show that several streams make together, its members: each brings renditions. It makes one Publication of
// theirs, which knows nothing of members: tracks come and go there as those of one connection would.
//
//   - It begins with the members that are ready, once all are that belong to the group or memberWait is over. The one
//     with the highest picture comes first, and leads.
//   - Who leaves has the reconnect window to return, and gaps meanwhile; sound that another member has too goes on with
//     it. A member that leaves while it leads, or is silent, is followed by the next, from that one's key frame on: in
//     the next take.
//   - Who comes late, and who stays away, changes the set of tracks: the next recording begins, at a key frame.
//
// mu is taken before the stream's lock, never with it held.
type group struct {
	packager *Packager
	path     media.StreamPath
	logger   *slog.Logger
	ticking  atomic.Bool

	mu      turn
	dead    bool // the packager forgot it
	pub     *Publication
	members []string           // who belongs to it, by the catalog
	joined  map[string]*Member // who is connected
	left    map[string]departure
	zero    time.Time // of the group's clock

	tracks  []*groupTrack // by the publication's track; empty until it began
	leading int           // the track that leads
	leadDTS time.Duration // its newest frame, on the group's clock

	readyAt  time.Time // when the first member was ready
	changeAt time.Time // when a change of the set is due; zero if there is none
}

// departure is how a member left whose tracks are still kept.
type departure struct {
	at    time.Time
	clean bool
}

// groupTrack is a track of the show.
type groupTrack struct {
	media.Track        // with its name in the show
	member      string // whose it is
	source      string // its name there
	from        *Member
	heard       time.Time
	absent      bool // the publication knows that nothing of it comes
}

// Membership is who joins a group: a stream, and the group's members by the catalog.
type Membership struct {
	Stream  media.Stream
	Epoch   uint64 // of the stream's lease
	Members []string
}

// Join opens a publication of a member of the show's group. epoch is that of the show's own lease, the same for all
// members until it is acquired anew; with a later one all who joined before are fenced. Errors are those of Publish.
func (p *Packager) Join(ctx context.Context, show media.Stream, epoch uint64, who Membership) (*Member, error) {
	for {
		g, err := p.groupOf(show.Path)
		if err != nil {
			return nil, err
		}
		g.mu.Lock()
		if g.dead {
			g.mu.Unlock()
			continue
		}
		m, err := g.joinLocked(ctx, show, epoch, who)
		if err != nil && len(g.joined) == 0 {
			g.forgetLocked()
		}
		g.mu.Unlock()
		return m, err
	}
}

func (p *Packager) groupOf(path media.StreamPath) (*group, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.stopped {
		return nil, fmt.Errorf("packager is stopping: %w", media.ErrUnavailable)
	}
	g := p.mu.groups[path]
	if g == nil {
		g = &group{
			packager: p, path: path, mu: newTurn(), joined: make(map[string]*Member), left: make(map[string]departure),
			logger: p.logger.With("publisher", path.Publisher, "stream", path.Stream),
		}
		p.mu.groups[path] = g
	}
	return g, nil
}

// forgetLocked ends the group; the next member makes another.
func (g *group) forgetLocked() {
	g.dead = true
	g.packager.mu.Lock()
	defer g.packager.mu.Unlock()
	delete(g.packager.mu.groups, g.path)
}

func (g *group) joinLocked(ctx context.Context, show media.Stream, epoch uint64, who Membership) (*Member, error) {
	name := who.Stream.Path.Stream
	if old := g.joined[name]; old != nil && old.epoch > who.Epoch {
		return nil, fmt.Errorf("join %s with epoch %d, seen %d: %w", name, who.Epoch, old.epoch, media.ErrFenced)
	}
	if g.pub == nil || epoch > g.pub.epoch {
		show.Settings.MaxResolution = "" // each member has its own
		pub, err := g.packager.Publish(ctx, show, epoch)
		if err != nil {
			return nil, err
		}
		pub.member = true
		g.restartLocked(pub)
	}
	if err := g.pub.err(); err != nil {
		return nil, fmt.Errorf("join %s: %w", g.path, err)
	}
	if old := g.joined[name]; old != nil {
		old.gone = media.ErrTakenOver
		g.departLocked(old, false)
	}
	g.members = who.Members
	m := &Member{
		group: g, name: name, epoch: who.Epoch, settings: who.Stream.Settings, repairs: make(repairs),
	}
	g.joined[name] = m
	return m, nil
}

// restartLocked begins anew with a publication; members of the one before are fenced, and waited for as at the begin.
func (g *group) restartLocked(pub *Publication) {
	for _, m := range g.joined {
		m.gone = media.ErrTakenOver
	}
	clear(g.joined)
	clear(g.left)
	g.pub, g.tracks, g.leading, g.leadDTS = pub, nil, 0, 0
	g.readyAt, g.changeAt = time.Time{}, time.Time{}
}

// departLocked takes a member out; its tracks stay.
func (g *group) departLocked(m *Member, clean bool) {
	delete(g.joined, m.name)
	if slices.ContainsFunc(g.tracks, func(t *groupTrack) bool { return t.member == m.name }) {
		g.left[m.name] = departure{at: time.Now(), clean: clean}
		g.logger.Info("member left the group", "member", m.name, "clean", clean)
	}
	g.routeLocked()
	g.reviewLocked(time.Now())
	if len(g.tracks) == 0 && len(g.inOrderLocked()) == 0 {
		g.readyAt = time.Time{} // the next that is ready waits for the rest anew
	}
}

// leaveLocked ends a member's publication, and with the last the show's.
func (g *group) leaveLocked(m *Member, clean bool) error {
	if len(g.joined) > 1 {
		g.departLocked(m, clean)
		return nil
	}
	var err error
	if len(g.tracks) == 0 && len(m.held) > 0 { // a short show is a show too
		err = g.beginLocked(time.Now())
	}
	for _, d := range g.left {
		clean = clean && d.clean
	}
	g.forgetLocked()
	delete(g.joined, m.name)
	if closed := g.pub.Close(clean); err == nil {
		err = closed
	}
	return err
}

// tick does what is due by the clock alone.
func (g *group) tick(now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dead || g.pub == nil || g.pub.err() != nil {
		return
	}
	var err error
	if len(g.tracks) == 0 {
		err = g.tryLocked(now)
		g.report(err)
		return
	}
	g.absenceLocked(now)
	if g.reviewLocked(now); g.changeDue(now) {
		if next := g.composeLocked(); len(next) > 0 && next[0].Kind != media.Video {
			err = g.changeLocked(next) // no key frame to wait for
		}
	}
	g.report(err)
}

// report logs an error of a tick. It reaches a member with its next frame, which tries again.
func (g *group) report(err error) {
	if err != nil {
		g.logger.Error("change group", "err", err)
	}
}

// tryLocked begins the show if its members are there, or were waited for.
func (g *group) tryLocked(now time.Time) error {
	if g.readyAt.IsZero() {
		return nil
	}
	next := g.composeLocked()
	if len(next) == 0 {
		return nil
	}
	wait := memberWait
	interrupted, same := g.pub.interrupted(next)
	if interrupted {
		wait = returnWait
	}
	all := !slices.ContainsFunc(g.members, func(name string) bool {
		m := g.joined[name]
		return m == nil || !m.ready
	})
	if !all && !same && now.Sub(g.readyAt) < wait {
		return nil
	}
	return g.beginLocked(now)
}

// beginLocked begins the show with the members that are ready.
func (g *group) beginLocked(now time.Time) error {
	next := g.composeLocked()
	if len(next) == 0 {
		return nil
	}
	lead := g.joined[next[0].member]
	g.zero = lead.clock.zero
	for _, m := range g.inOrderLocked() {
		g.placeLocked(m)
	}
	if err := g.setLocked(next); err != nil {
		return err
	}
	g.logger.Info("group begins", "members", g.namesLocked(), "waited", now.Sub(g.readyAt).Round(time.Millisecond))
	frames := g.heldLocked(nil, 0)
	for _, m := range g.inOrderLocked() {
		if err := m.releaseMetadataLocked(); err != nil {
			return err
		}
	}
	return g.playLocked(frames)
}

// inOrderLocked gives the members that are ready, the one with the highest picture first, and by name.
func (g *group) inOrderLocked() []*Member {
	var list []*Member
	for _, m := range g.joined {
		if m.ready {
			list = append(list, m)
		}
	}
	slices.SortFunc(list, func(a, b *Member) int {
		return cmp.Or(cmp.Compare(b.height(), a.height()), cmp.Compare(a.name, b.name))
	})
	return list
}

func (g *group) namesLocked() string {
	var names []string
	for _, m := range g.inOrderLocked() {
		names = append(names, m.name)
	}
	return strings.Join(names, " ")
}

// err is why the publication may write no more.
func (p *Publication) err() error {
	p.stream.mu.Lock()
	defer p.stream.mu.Unlock()
	return p.gone
}

// interrupted says that the stream has a recording which waits for its publisher, and whether tracks would continue it.
func (p *Publication) interrupted(tracks []*groupTrack) (waits, same bool) {
	s := p.stream
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.show == nil || len(s.show.takes) == 0 {
		return false, false
	}
	last := s.show.takes[len(s.show.takes)-1].Tracks
	return true, slices.EqualFunc(last, tracks, func(a media.Track, b *groupTrack) bool {
		return a.Name == b.Name && a.Kind == b.Kind && a.Codec == b.Codec
	})
}
