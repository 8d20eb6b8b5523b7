package cacheproxy

import (
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// object is one answer of an upstream, complete and never modified, or the head of one whose body is under way.
type object struct {
	kind   kind
	status int
	// header is what is sent as it is. Age, Cache-Status and Content-Length are added per response.
	header http.Header
	// chunks are the body; length is its size, or -1 in a head whose upstream did not say.
	chunks []slab.Piece
	length int64
	// shared is where others keep all of chunks, if they do; the cache then keeps no chunks (shared.go).
	shared []slab.Weak
	// contentLength is length as a header value.
	contentLength []string
	etag          string
	modified      time.Time
	// received is when the header came, age what it then said of itself.
	received time.Time
	age      time.Duration
	policy   policy
	// version orders the versions of a playlist; its zero value is unknown.
	version version
	// passed is the upstream's own Cache-Status.
	passed string
	// forms are header as it is sent. Nil makes them anew each time.
	forms *forms
	// disk says that it was loaded from disk, standIn that it is stale and no upstream answered.
	disk, standIn bool
	// way is how it came here; hit, of one that came through other caches, the Cache-Status of a hit.
	way way
	hit string
	// steered keeps a multivariant playlist with what steers viewers in it; nil keeps none.
	steered *steeredBox
	// zstd keeps a playlist in zstd; nil keeps none.
	zstd *zstdCopy
	// generic is what Reverse has beside that; nil in a Proxy.
	generic *generic
}

func newObject(what kind, status int, h http.Header, length int64, received time.Time) *object {
	p, withheld := judge(status, h, received)
	o := &object{
		kind:     what,
		status:   status,
		header:   storedHeader(h, what, received),
		length:   length,
		etag:     h.Get("Etag"),
		received: received,
		age:      httpcache.ToldAge(h),
		policy:   p,
		passed:   strings.Join(h["Cache-Status"], ", "),
		forms:    new(forms),
	}
	for _, name := range withheld {
		delete(o.header, name)
	}
	o.modified, _ = httpcache.LastModified(h, received)
	if status == http.StatusOK && what == kindMultivariant {
		o.steered = new(steeredBox)
	}
	if status == http.StatusOK && what.text() {
		o.zstd = new(zstdCopy)
	}
	if status == http.StatusOK {
		o.header["Accept-Ranges"] = []string{"bytes"}
	}
	o.setLength(length)
	return o
}

func (o *object) setLength(n int64) {
	o.length, o.contentLength = n, nil
	if n >= 0 {
		o.contentLength = []string{strconv.FormatInt(n, 10)}
	}
}

// storedHeader is what of an upstream's header viewers get: all but what belongs to one connection, to one viewer, or
// to the proxy's own say (CORS, Age, Cache-Status, Content-Length).
func storedHeader(h http.Header, what kind, received time.Time) http.Header {
	own := httpcache.Forwarded(h)
	for name := range own {
		if droppedHeader(name) {
			delete(own, name)
		}
	}
	if own["Date"] == nil {
		own["Date"] = []string{received.UTC().Format(http.TimeFormat)}
	}
	if own["Content-Type"] == nil {
		own["Content-Type"] = nil // or the server would guess
	}
	if what.text() {
		addVary(own)
	}
	setCORS(own)
	return own
}

func droppedHeader(name string) bool {
	switch name {
	case "Set-Cookie", "Age", "Cache-Status", "Content-Length", "Content-Range", "Accept-Ranges", "Alt-Svc", "Server",
		"Timing-Allow-Origin", toldField:
		return true
	}
	return strings.HasPrefix(name, "Access-Control-")
}

func addVary(h http.Header) {
	for _, line := range h["Vary"] {
		for field := range strings.SplitSeq(line, ",") {
			if f := strings.TrimSpace(field); f == "*" || strings.EqualFold(f, "Accept-Encoding") {
				return
			}
		}
	}
	h["Vary"] = append(slices.Clone(h["Vary"]), "Accept-Encoding")
}

// ageAt is the answer's age at that time.
func (o *object) ageAt(now time.Time) time.Duration {
	return min(o.age+max(0, now.Sub(o.received)), httpcache.MaxAge)
}

func (o *object) freshAt(now time.Time) bool { return o.ageAt(now) < o.policy.lifetime }

// usableAt says whether it is fresh or stale by no more than extra.
func (o *object) usableAt(now time.Time, extra time.Duration) bool {
	return o.policy.lifetime > 0 && o.ageAt(now) < o.policy.lifetime+extra
}

// liveTTL is the lifetime up to which a playlist or a refusal counts as live.
const liveTTL = time.Minute

// live says that the object is hot at once and dead in seconds, so that the cache keeps it apart from what lasts.
func (o *object) live() bool {
	return o.kind == kindPart || (o.policy.lifetime <= liveTTL && (o.kind.text() || o.status != http.StatusOK))
}

// deadAt is when a live object may be dropped.
func (o *object) deadAt(partTTL time.Duration) time.Time {
	if o.kind == kindPart {
		return o.received.Add(partTTL)
	}
	extra := max(o.policy.whileRevalidate, o.policy.ifError)
	if o.kind == kindPlaylist {
		extra = max(extra, frontHold) // it may have to stand for an upstream that falls behind
	}
	return o.received.Add(o.policy.lifetime + extra - o.age)
}

// weight is the memory that the object takes: allocated chunks, header, and the cache's own records.
func (o *object) weight() int64 {
	const fixed = 832 + 256 // object, entry, maps', lists' and groups' shares; forms
	n := int64(fixed + len(o.passed) + len(o.hit))
	for _, c := range o.chunks {
		n += c.Weight() + 64
	}
	n += int64(len(o.shared)) * 64
	n += o.generic.weight()
	if o.steered != nil {
		n += o.length + 2048 // the copy: a playlist's text and header again, and what steers
	}
	if o.zstd != nil && o.length >= zstdLeast {
		n += 2*o.length + 2048 // the copy and its header, and that of what steers
	}
	for name, values := range o.header {
		n += 2*int64(len(name)) + 52
		for _, v := range values {
			n += 2*int64(len(v)) + 16 // the second is of the form that is asked for most
		}
	}
	return n
}

// bytes gives the whole body as one slice; of one chunk it is that chunk.
func (o *object) bytes() []byte { return slab.Concat(o.chunks) }

// with gives a copy whose policy, and what tells others of it, come from another answer for the same playlist.
func (o *object) with(from *object) *object {
	c := *o
	c.policy, c.forms = from.policy, new(forms)
	if o.steered != nil {
		c.steered = new(steeredBox)
	}
	if o.zstd != nil {
		c.zstd = new(zstdCopy)
	}
	c.header = make(http.Header, len(o.header))
	for name, values := range o.header {
		c.header[name] = values
	}
	for _, name := range freshnessFields {
		if values, ok := from.header[name]; ok {
			c.header[name] = values
		} else {
			delete(c.header, name)
		}
	}
	return &c
}

// unstored gives a copy that is not kept.
func (o *object) unstored() *object {
	c := *o
	c.policy = policy{}
	return &c
}

// plain gives the object with its body unpacked. Another representation has another strong ETag (RFC 9110 section
// 8.8.3).
func (o *object) plain(text []byte) *object {
	c := o.with(o)
	delete(c.header, "Content-Encoding")
	if tag, ok := strings.CutSuffix(o.etag, `-gz"`); ok {
		c.etag = tag + `"` // the name that an origin of ours has for it
		c.header["Etag"] = []string{c.etag}
	} else if tag, ok := strings.CutSuffix(o.etag, `"`); ok {
		c.etag = tag + `-plain"`
		c.header["Etag"] = []string{c.etag}
	}
	c.chunks = []slab.Piece{slab.Of(text)}
	c.setLength(int64(len(text)))
	return c
}

// compact puts a body of several chunks into one, if that is no longer than a chunk may be, and frees what the last
// chunk has too much, if either is worth a copy.
func (o *object) compact(arena *slab.Arena) {
	n := len(o.chunks)
	if n == 0 {
		return
	}
	copied, size := o.chunks, o.length
	if size > maxChunk {
		copied = o.chunks[n-1:]
		size = int64(len(copied[0].Data))
	}
	spare := -size
	for _, c := range copied {
		spare += c.Weight()
	}
	if len(copied) == 1 && (spare <= 1024 || spare <= size/8) {
		return
	}
	b := slab.Heap
	if copied[0].Buffer.Mapped() || !o.kind.text() && o.status == http.StatusOK {
		b = arena.Get
	}
	one := slab.Piece{Buffer: b(int(size))}
	if spare -= one.Weight() - size; len(copied) == 1 && spare <= size/8 {
		return // classes are what it has too much
	}
	one.Data = one.Buffer.Bytes()[:0]
	for _, c := range copied {
		one.Data = append(one.Data, c.Data...)
	}
	runtime.KeepAlive(copied)
	o.chunks = append(slices.Clone(o.chunks[:n-len(copied)]), one)
}
