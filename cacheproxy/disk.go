package cacheproxy

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
)

// diskTTL is the lifetime from which on an object is worth a place on disk.
const diskTTL = time.Minute

// diskSkew is how far in the future an object may have been received, by this machine's clock.
const diskSkew = time.Minute

// stored is what goes to disk with an object's body.
type stored struct {
	Kind            kind
	Header          http.Header
	Etag            string
	Received        time.Time
	Age             time.Duration
	Lifetime        time.Duration
	WhileRevalidate time.Duration
	IfError         time.Duration
	Passed          string `json:",omitempty"`
}

// diskName and diskGroup keep the edge's keys apart from those that others put into the same store.
func diskName(path string) string { return "media:" + path }

func diskGroup(name string) string { return "media:" + name }

// onDisk says whether objects of that kind are kept on disk: media of a recording, whose URL names bytes.
func (k kind) onDisk() bool {
	switch k {
	case kindInit, kindSegment, kindSubtitle, kindImage:
		return true
	case kindMultivariant, kindPlaylist, kindPart, kindDownload:
	}
	return false
}

// keep has an object written to disk that was asked for more than once, but for one whose bytes others keep, or a
// sibling. It never waits.
func (p *Proxy) keep(k key, o *object) {
	disk := p.config.Disk
	if disk == nil || !o.kind.onDisk() || o.shared != nil || o.status != http.StatusOK || o.policy.lifetime < diskTTL ||
		o.way.source == fromSibling {
		return
	}
	name, group := diskName(k.path), groupOf(k.path)
	if p.spoilt(k.path, o.made()) {
		return
	}
	if strings.Count(group, "/") != 3 || disk.Has(name) { // of no recording: nobody tells when that goes
		return
	}
	meta, err := json.Marshal(stored{
		Kind: o.kind, Header: o.header, Etag: o.etag, Received: o.received, Age: o.age, Lifetime: o.policy.lifetime,
		WhileRevalidate: o.policy.whileRevalidate, IfError: o.policy.ifError, Passed: o.passed,
	})
	if err != nil {
		return
	}
	body := make([][]byte, len(o.chunks))
	for i, c := range o.chunks {
		body[i] = c.Data
	}
	disk.Put(name, diskGroup(group), meta, body, o.chunks)
	if p.gone.names(k.path, time.Now()) { // meanwhile
		disk.Drop(diskGroup(group))
	}
}

// fromDisk gives what the disk has under a key, if that may be served: it may be of a time when this edge did not run,
// so the directory must have told this process of the recording. While nobody tells, upstreams are asked, who know. It
// gives too when the directory told last.
func (p *Proxy) fromDisk(ctx context.Context, rt route, k key) (o *object, said time.Time) {
	disk := p.config.Disk
	if disk == nil || rt.recording == "" || !rt.kind.onDisk() || p.pending.Load() {
		return nil, said
	}
	v, chunks, ok := readDisk(ctx, disk, diskName(k.path), p.flights.arena)
	if !ok {
		return nil, said
	}
	o = loaded(rt.kind, v.Meta, v.Size)
	if now := time.Now(); o == nil || !o.freshAt(now) || o.received.After(now.Add(diskSkew)) {
		return nil, said
	}
	if p.spoilt(k.path, o.received) {
		disk.Drop(diskGroup(groupOf(k.path))) // with whatever came since, once
		return nil, said
	}
	o.chunks = chunks
	where := locationKey{path: rt.path, recording: rt.recording}
	location, current, err := p.locator.locate(ctx, where, 0)
	if err != nil || location.Guess {
		return nil, said
	}
	if current {
		said = p.locator.said(where)
	}
	return o, said
}

// loaded makes an object of what came from disk, without its body.
func loaded(what kind, meta []byte, size int64) *object {
	var s stored
	if json.Unmarshal(meta, &s) != nil || s.Kind != what || s.Header == nil {
		return nil
	}
	o := &object{
		kind: what, status: http.StatusOK, header: s.Header, etag: s.Etag, received: s.Received, age: s.Age,
		policy: policy{lifetime: s.Lifetime, whileRevalidate: s.WhileRevalidate, ifError: s.IfError},
		passed: s.Passed, disk: true, forms: new(forms), way: way{source: fromOwnDisk},
	}
	o.modified, _ = httpcache.LastModified(o.header, s.Received)
	o.setLength(size)
	return o
}

// dropDisk drops a deleted recording's objects, for good.
func (p *Proxy) dropDisk(group string) {
	if p.config.Disk != nil {
		p.config.Disk.Drop(diskGroup(group))
	}
}
