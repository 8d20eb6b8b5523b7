package viewing

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/cmcd"
	"github.com/oxbow-video/oxbow/internal/media"
)

// Fields is what a request's header says, and whose it is.
type Fields interface {
	// Value gives a field's first line by its canonical name, or nothing.
	Value(name string) string
	// Viewer is the address that asks; not valid: nobody can know.
	Viewer() netip.Addr
}

// Request is what a viewer asks. Its texts are not kept.
type Request struct {
	// Path and Query have no playback token in them: that is Token.
	Path, Query, Token string
	Head               bool
	// At is when it asks. Zero: the book looks at its clock, then and when it was answered.
	At     time.Time
	Fields Fields
}

// Answer is what a request came to.
type Answer struct {
	Status int   // 0: nothing was answered
	Body   int64 // bytes of it that were sent
	Cut    bool  // it was broken off
	Took   time.Duration
}

// Book knows who watches. It is safe for concurrent use.
//
// Its minutes are locked before a shard, and that before the channels.
type Book struct {
	config  Config
	metrics *metrics
	seed    maphash.Seed
	epoch   time.Time
	shards  [shards]shard
	known   atomic.Int64 // viewers
	// present is how many viewers were there at the last sweep.
	present atomic.Int64
	visits  sync.Pool
	reports sync.Pool // *cmcd.Data

	channels struct {
		sync.RWMutex
		byName map[string]*channel
	}
	minutes minutes
}

// shards is how many parts the viewers, and each channel's figures, are in.
const shards = 32

type shard struct {
	mu struct {
		sync.Mutex
		viewers map[uint64]*viewer
	}
	_ [64]byte
}

// New makes an empty book.
func New(config Config, registerer prometheus.Registerer) *Book {
	b := &Book{config: config.withDefaults(), seed: maphash.MakeSeed()}
	b.epoch = b.config.Now()
	b.visits.New = func() any { return new(Visit) }
	b.reports.New = func() any { return new(cmcd.Data) }
	for i := range b.shards {
		b.shards[i].mu.viewers = make(map[uint64]*viewer)
	}
	b.channels.byName = make(map[string]*channel)
	b.minutes.minute = b.epoch.Unix() / 60 * 60
	b.metrics = newMetrics(registerer, b)
	return b
}

// Viewers is how many were there at the last sweep.
func (b *Book) Viewers() int64 { return b.present.Load() }

func (b *Book) now() int64 { return b.since(b.config.Now()) }

// since is the time since the book was made, and a forgetting, so that zero is never.
func (b *Book) since(t time.Time) int64 { return int64(t.Sub(b.epoch)) + int64(time.Hour) }

// Visit is a request under way.
type Visit struct {
	viewer *viewer
	// channel is of what was asked for, if it is what the viewer watches. Else there is its name.
	channel *channel
	at      int64
	shard   uint8
	kind    kind
	timed   bool // by who asks, not by the book
	length  int
	name    [192]byte
}

// Asked is called before a request is answered. It gives what Answered is to be called with, or nil: then it is not.
func (b *Book) Asked(r *Request) *Visit {
	t, ok := parse(r.Path)
	if !ok || r.Head || len(t.name) > len(Visit{}.name) {
		return nil
	}
	d := b.report(t.kind, r)
	if d != nil {
		defer b.reports.Put(d)
	}
	at, timed := r.At, !r.At.IsZero()
	if !timed {
		at = b.config.Now()
	}
	key := maphash.String(b.seed, t.stream())
	if id := d.Session(); id != nil {
		key ^= maphash.Bytes(b.seed, id) * 31
	} else if d = nil; t.kind != kindOther {
		key ^= b.anonymous(r) * 37
	}
	v := b.visits.Get().(*Visit)
	v.viewer, v.channel, v.length = nil, nil, 0
	v.at, v.kind, v.timed, v.shard = b.since(at), t.kind, timed, uint8(key%shards)
	s := &b.shards[v.shard].mu
	s.Lock()
	defer s.Unlock()
	who := s.viewers[key]
	// Of what it watches it has the name, which was checked.
	if who == nil || who.channel == nil || who.channel.name != t.name {
		if !t.good() {
			b.visits.Put(v)
			return nil
		}
		v.length = copy(v.name[:], t.name)
	}
	if t.kind == kindOther {
		return v
	}
	if who == nil {
		if who = b.meet(v.at, d != nil); who == nil {
			return v
		}
		s.viewers[key] = who
	}
	v.viewer = who
	b.asked(who, v, t, d)
	return v
}

// report reads the CMCD of a request; nil is none.
func (b *Book) report(k kind, r *Request) *cmcd.Data {
	if k == kindOther {
		return nil
	}
	var values [4]string
	byQuery, byHeader := cmcd.InQuery(r.Query), false
	if !byQuery {
		for i, name := range cmcd.Headers() {
			values[i] = r.Fields.Value(name)
			byHeader = byHeader || values[i] != ""
		}
	}
	if !byQuery && !byHeader {
		return nil
	}
	d := b.reports.Get().(*cmcd.Data)
	var err error
	if byQuery {
		err = d.ReadQuery(r.Query)
	} else {
		err = d.ReadHeaders(values)
	}
	if err != nil {
		b.metrics.malformed.Inc()
	}
	return d
}

// meet makes a viewer; nil: there are too many.
func (b *Book) meet(now int64, tells bool) *viewer {
	if b.known.Add(1) > int64(b.config.MaxViewers) {
		b.known.Add(-1)
		b.metrics.leftOut.Inc()
		return nil
	}
	who := &viewer{begun: now, seen: now, from: now, pause: int64(firstPause) / 2, size: 1}
	if tells {
		who.early = new(figures)
	} else {
		who.crowd = new(crowd)
	}
	return who
}

// asked takes a request over to its viewer, whose shard is locked.
func (b *Book) asked(who *viewer, v *Visit, t target, d *cmcd.Data) {
	if v.length > 0 && who.channel != nil && t.recording {
		// Another recording of the stream: the next show, or an older one. What was told of the first stays there.
		if c := b.channel(t.name); c != nil {
			who.channel.used.Store(v.at)
			who.channel, v.length = c, 0
		}
	}
	f := who.early
	if who.channel != nil {
		f = who.channel.part(v.shard)
	}
	if v.length == 0 {
		v.channel = who.channel
	}
	away := !who.near(v.at)
	who.touch(v.at, f)
	who.open++
	if f != nil && d != nil && (t.object == "" || !who.again(d, maphash.String(b.seed, t.object))) {
		who.report(d, v.kind, b.config.Steered, away, v.at, f)
	}
	if who.crowd != nil && t.object != "" && who.crowd.ask(maphash.String(b.seed, t.object)) {
		who.grow(who.crowd.size(), f)
	}
}

// anonymous tells viewers without CMCD apart as well as it goes.
func (b *Book) anonymous(r *Request) uint64 {
	address := r.Fields.Viewer().As16()
	key := maphash.Bytes(b.seed, address[:]) ^ maphash.String(b.seed, r.Fields.Value("User-Agent"))*41
	if r.Token != "" {
		key ^= maphash.String(b.seed, r.Token) * 43
	}
	return key
}

// Answered is called when an answer has ended.
func (b *Book) Answered(v *Visit, a Answer) {
	defer b.visits.Put(v)
	now := v.at + int64(a.Took)
	if !v.timed {
		now = b.now()
	}
	good := a.Status >= 200 && a.Status < 400
	s := &b.shards[v.shard].mu
	s.Lock()
	defer s.Unlock()
	c := b.watched(v, good)
	who := v.viewer
	if who != nil && c == nil {
		who.seen = max(who.seen, now)
		who.open--
	}
	if c == nil {
		return
	}
	f := c.part(v.shard)
	if who != nil {
		who.touch(now, f)
		who.open--
		if good && v.kind == kindFirst {
			who.opened = c
		}
		if good && v.kind.watched() && !who.watching {
			who.watching = true
			if who.early != nil {
				f.add(who.early)
				who.early = nil
			} else {
				f.Starts += who.size
			}
		}
	}
	f.Requests++
	f.Bytes += a.Body
	switch {
	case a.Status >= 500:
		f.Failed++
	case a.Status >= 400:
		f.Refused++
	}
	if a.Cut {
		f.Cut++
	}
}

// watched gives the channel of an answer, which is nil if there is none and none is to be made; the shard is locked.
func (b *Book) watched(v *Visit, good bool) *channel {
	if v.channel != nil {
		return v.channel
	}
	name, who := v.name[:v.length], v.viewer
	if who == nil || v.kind == kindFirst { // what is sent of a stream's own playlist is no recording's
		return b.find(name, good)
	}
	if who.channel == nil && good && v.kind.watched() {
		who.channel = b.find(name, true)
	}
	if who.channel != nil {
		return who.channel
	}
	return b.find(name, good)
}

// channel gives the one of a name, and makes it; nil: there are too many.
func (b *Book) channel(name string) *channel { return b.find([]byte(name), true) }

// find gives the channel of a name, which is nil if there is none and none is to be made.
func (b *Book) find(name []byte, anew bool) *channel {
	b.channels.RLock()
	c := b.channels.byName[string(name)]
	b.channels.RUnlock()
	if c == nil && anew {
		c = b.add(string(name))
	}
	if c != nil {
		c.used.Store(b.now())
	}
	return c
}

func (b *Book) add(name string) *channel {
	b.channels.Lock()
	defer b.channels.Unlock()
	if c := b.channels.byName[name]; c != nil {
		return c
	}
	if len(b.channels.byName) >= b.config.MaxStreams {
		b.metrics.leftOut.Inc()
		return nil
	}
	c := &channel{name: name}
	c.used.Store(b.now())
	b.channels.byName[name] = c
	return c
}

// counts are how many watch what now.
func (b *Book) counts() []media.ViewingCount {
	b.channels.RLock()
	defer b.channels.RUnlock()
	var counts []media.ViewingCount
	for name, c := range b.channels.byName {
		if c.viewers > 0 {
			stream, recording := split(name)
			counts = append(counts, media.ViewingCount{Stream: stream, Recording: recording, Viewers: c.viewers})
		}
	}
	return counts
}
