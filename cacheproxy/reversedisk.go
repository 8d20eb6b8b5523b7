package cacheproxy

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/diskcache"
	"github.com/oxbow-video/oxbow/internal/httpcache"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// What the disk has of a URI is one group: its answer under its own name, or a sign that names what its answers vary by
// and leads to those of its variants. Memory has the say: what is put there replaces or drops what the disk has of the
// same name, so that the disk never has a newer or another answer than memory, only an older one of the same.

// storedGeneric is what goes to disk with an answer's body. Values of headers are any bytes, which text would not keep.
type storedGeneric struct {
	Sign       [][]byte            `json:",omitempty"` // the names, of a sign
	Header     map[string][][]byte `json:",omitempty"`
	Received   time.Time
	Age        time.Duration `json:",omitempty"`
	Authorized bool          `json:",omitempty"`
	Passed     []byte        `json:",omitempty"`
}

// webGroup names what is of a URI. It has the origin in it, for the next run may be in front of another.
func (p *Reverse) webGroup(uri string) string { return "web:" + p.origins[0].base + "\n" + uri }

func webName(group, variant string) string { return group + "\n" + variant }

// keepDisk has an answer written that was asked for more than once, if it may be there for a while. False says that it
// is not.
func (p *Reverse) keepDisk(k key, o *object) bool {
	if o.generic.sign || o.status != http.StatusOK || !o.generic.judged.Shared || o.generic.only != nil ||
		o.policy.lifetime-o.ageAt(time.Now()) < diskTTL {
		return false
	}
	group := p.webGroup(uriOf(k))
	name := webName(group, o.generic.variant)
	if len(name) > diskcache.MaxKey {
		return false
	}
	if len(o.generic.names) > 0 {
		meta, err := json.Marshal(storedGeneric{Sign: raw(o.generic.names), Received: o.received})
		if err != nil || !p.config.Disk.Put(webName(group, ""), group, meta, nil, nil) {
			return false
		}
	}
	s := storedGeneric{
		Header: make(map[string][][]byte, len(o.header)), Received: o.received, Age: o.age,
		Authorized: o.generic.authorized, Passed: []byte(o.passed),
	}
	for name, values := range o.header {
		s.Header[name] = raw(values)
	}
	meta, err := json.Marshal(s)
	if err != nil {
		return false
	}
	body := make([][]byte, len(o.chunks))
	for i, c := range o.chunks {
		body[i] = c.Data
	}
	return p.config.Disk.Put(name, group, meta, body, o.chunks)
}

// useDisk has written what is asked for a second time, and what was and leaves memory.
func (p *Reverse) useDisk() {
	if p.config.Disk == nil {
		return
	}
	// With its shard's lock, whoever removes the object from memory drops it from disk later.
	keep := func(k key, o *object) {
		if !o.generic.sign && !p.config.Disk.Has(webName(p.webGroup(uriOf(k)), o.generic.variant)) {
			p.keepDisk(k, o)
		}
	}
	p.cache.tell(keep)
	p.cache.again = func(k key, o *object) {
		if keep(k, o); !o.generic.sign && !p.cache.holds(k, o) {
			p.dropDisk(uriOf(k))
		}
	}
}

// replaceDisk has an answer written in the place of what the disk has, which is dropped if it can't be.
func (p *Reverse) replaceDisk(k key, o *object) {
	if !p.keepDisk(k, o) || !p.cache.holds(k, o) { // it was dropped or replaced meanwhile
		p.dropDisk(uriOf(k))
	}
}

// store puts an answer into memory. What the disk has of the same name is older, and follows.
func (p *Reverse) store(k key, o *object, now time.Time) {
	if p.config.Disk == nil {
		p.cache.put(k, o, now)
		return
	}
	group := p.webGroup(uriOf(k))
	older := p.config.Disk.Has(webName(group, o.generic.variant))
	if !older && len(o.generic.names) == 0 {
		p.config.Disk.Drop(group) // a sign's variants
	}
	p.cache.put(k, o, now)
	if older {
		p.replaceDisk(k, o)
	}
}

// dropDisk drops what the disk has of a URI, for good.
func (p *Reverse) dropDisk(uri string) {
	if p.config.Disk != nil {
		p.config.Disk.Drop(p.webGroup(uri))
	}
}

func uriOf(k key) string {
	uri, _, _ := strings.Cut(k.path, "\n")
	return uri
}

// onDisk says whether the disk may have what memory has not.
func (p *Reverse) onDisk(at place) bool {
	return p.config.Disk != nil && at.object == nil && !at.single &&
		p.config.Disk.Has(webName(p.webGroup(at.uri), at.variant))
}

// load brings to memory what the disk has for a request, fresh or not, if nothing changed it meanwhile.
func (p *Reverse) load(ctx context.Context, q *fetch) *object {
	group := p.webGroup(q.at.uri)
	o, names := p.read(ctx, group, q.at.variant)
	if names != nil && q.at.variant == "" {
		p.sign(q.at.uri, names, time.Now())
		variant := httpcache.Variant(names, q.header)
		if o, _ = p.read(ctx, group, variant); o != nil {
			o.generic.variant = variant
		}
	} else if o != nil {
		o.generic.variant = q.at.variant
	}
	if o == nil || (o.generic.variant == "") != (len(o.generic.names) == 0) || q.change.came.Load() {
		return nil
	}
	now, k := time.Now(), mediaKey(q.at.uri)
	if len(o.generic.names) > 0 {
		sign, _ := p.sign(q.at.uri, o.generic.names, now)
		k = variantKey(q.at.uri, sign.generic, o.generic.variant)
	}
	if newer := p.cache.get(k); newer != nil { // it came meanwhile
		if newer.generic.sign {
			return nil
		}
		return newer
	}
	p.cache.put(k, o, now)
	if q.change.came.Load() {
		p.cache.remove(mediaKey(q.at.uri))
		return nil
	}
	return o
}

// read gives an answer, or the names of a sign.
func (p *Reverse) read(ctx context.Context, group, variant string) (o *object, names []string) {
	v, chunks, ok := readDisk(ctx, p.config.Disk, webName(group, variant), p.flights.arena)
	if !ok {
		return nil, nil
	}
	return loadedGeneric(v.Meta, v.Size, chunks, time.Now())
}

// loadedGeneric makes of what came from disk an object, whose age goes on from now by a clock that is not set; or the
// names of a sign. What was received in the future, by a clock that was set back, has an age that nobody knows: it is
// nothing.
func loadedGeneric(meta []byte, size int64, chunks []slab.Piece, now time.Time) (o *object, names []string) {
	var s storedGeneric
	if json.Unmarshal(meta, &s) != nil || s.Age < 0 || s.Received.After(now.Add(diskSkew)) {
		return nil, nil
	}
	if s.Sign != nil {
		return nil, texts(s.Sign)
	}
	if s.Header == nil {
		return nil, nil
	}
	o = &object{
		kind: kindSegment, status: http.StatusOK, header: make(http.Header, len(s.Header)), chunks: chunks,
		received: s.Received, disk: true, forms: new(forms), generic: &generic{authorized: s.Authorized},
	}
	for name, values := range s.Header {
		o.header[name] = texts(values)
	}
	o.generic.names, _ = httpcache.VaryOf(o.header)
	o.clean()
	o.judge(http.StatusOK)
	o.passed = string(s.Passed)
	const most = httpcache.MaxAge
	o.age, o.received = min(s.Age, most)+min(max(0, now.Sub(s.Received)), most), now
	o.setLength(size)
	return o, nil
}

// readDisk gives what the disk has under a name, in memory of the arena.
func readDisk(ctx context.Context, disk *diskcache.Store, name string, arena *slab.Arena) (
	v diskcache.Value, chunks []slab.Piece, ok bool,
) {
	v, ok = disk.Get(ctx, name, func(n int) []byte {
		b := arena.Get(n)
		chunks = append(chunks, slab.Piece{Buffer: b, Data: b.Bytes()[:n:n]})
		return b.Bytes()[:n:n]
	})
	if !ok {
		return v, nil, false // chunks may be a late read's
	}
	return v, chunks, true
}

// holds says whether the object is what the cache has under the key.
func (c *cache) holds(k key, o *object) bool {
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.items[k]
	return e != nil && e.object == o
}

func raw(values []string) [][]byte {
	b := make([][]byte, len(values))
	for i, v := range values {
		b[i] = []byte(v)
	}
	return b
}

func texts(values [][]byte) []string {
	s := make([]string, len(values))
	for i, v := range values {
		s[i] = string(v)
	}
	return s
}
