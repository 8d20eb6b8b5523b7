package cacheproxy

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
)

// part is a stored answer to a request for a range. The parts of a URI, or of its variant, are listed in an object of
// its own beside it; all of a list are of one version, which a strong ETag names (RFC 9110 section 15.3.7.3).
type part struct {
	run httpcache.Range
	key key
}

// parts is a list. It is replaced, never modified.
type parts struct {
	etag string
	size int64 // of the whole
	all  []part
}

// maxParts bounds a list; the oldest go first.
const maxParts = 512

func partsKey(whole key) key { return mediaKey(whole.path + "\nparts") }

// askedRange gives a request's range in one spelling, if it is one by itself. Others are passed on.
func askedRange(r *http.Request) string {
	lines := r.Header["Range"]
	if len(lines) != 1 || len(lines[0]) > 64 || len(r.Header["If-Range"]) > 0 {
		return ""
	}
	text := strings.ToLower(strings.ReplaceAll(lines[0], " ", ""))
	if ranges, ok := httpcache.ParseRanges(text, 1<<62); !ok || len(ranges) != 1 || strings.Contains(text, ",") {
		return ""
	}
	return text
}

// fragment is what a stored part gives to an answer.
type fragment struct {
	object *object
	run    httpcache.Range // of the object's own bytes
}

// cover gives the parts that have the run of the whole, each fresh, or nothing.
func (p *Reverse) cover(list *parts, run httpcache.Range, now time.Time) []fragment {
	var found []fragment
	for at := run.From; at < run.To; {
		var best fragment
		end := at
		for _, one := range list.all {
			if one.run.From > at || one.run.To <= end {
				continue
			}
			if o := p.cache.get(one.key); o != nil && o.freshAt(now) {
				end = min(one.run.To, run.To)
				best = fragment{o, httpcache.Range{From: at - one.run.From, To: end - one.run.From}}
			}
		}
		if best.object == nil {
			return nil
		}
		found = append(found, best)
		at = end
	}
	return found
}

// partsOf gives the list for the place, if there is one.
func (p *Reverse) partsOf(at place) *parts {
	if o := p.cache.get(partsKey(at.key)); o != nil {
		return o.generic.parts
	}
	return nil
}

// answerParts answers out of stored parts, if they have all that is asked for.
func (p *Reverse) answerParts(w http.ResponseWriter, r *http.Request, list *parts, now time.Time) (done bool) {
	run := httpcache.Range{To: list.size}
	ranged := len(r.Header["Range"]) > 0
	if ranged {
		ranges, ok := httpcache.ParseRanges(r.Header.Get("Range"), list.size)
		if !ok || len(ranges) != 1 || len(r.Header["Range"]) > 1 ||
			!httpcache.IfRange(r.Header["If-Range"], httpcache.Validators{ETag: list.etag}) {
			return false
		}
		run = ranges[0]
	}
	found := p.cover(list, run, now)
	if len(found) == 0 {
		return false
	}
	oldest := found[0].object
	for _, f := range found {
		if f.object.ageAt(now)-f.object.policy.lifetime > oldest.ageAt(now)-oldest.policy.lifetime {
			oldest = f.object
		}
	}
	h := w.Header()
	for name, values := range oldest.header {
		h[name] = values
	}
	delete(h, "Content-Range")
	h["Age"] = []string{strconv.FormatInt(int64(oldest.ageAt(now)/time.Second), 10)}
	h["Cache-Status"] = []string{freshStatus(oldest, now).Append(nil)}
	if oldest.currentTo(r.Header) {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	h["Content-Length"] = []string{strconv.FormatInt(run.To-run.From, 10)}
	if ranged {
		h["Content-Range"] = []string{run.ContentRange(list.size)}
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.WriteHeader(http.StatusOK)
	}
	for _, f := range found {
		p.send(r, w, nil, f.object, f.run)
	}
	return true
}

// newPart makes the head of an answer to a request for a range, or nil if it may not be kept: one whose length is not
// its range's is not what it says.
func (p *Reverse) newPart(q *fetch, resp *http.Response, now time.Time) *object {
	run, _, ok := httpcache.ParseContentRange(resp.Header.Get("Content-Range"))
	o := newGeneric(resp, q.header, q.authorized, now)
	if !ok || len(resp.Header["Content-Range"]) > 1 || run.To-run.From != resp.ContentLength ||
		!httpcache.Strong(o.etag) || resp.ContentLength > p.config.MaxObjectBytes {
		return nil
	}
	if o.judge(http.StatusOK); !o.generic.judged.Shared {
		return nil
	}
	return o
}

// keepPart stores a part and puts it on its list, from which those of other versions go.
func (p *Reverse) keepPart(q *fetch, o *object) {
	run, size, _ := httpcache.ParseContentRange(o.header.Get("Content-Range"))
	now := time.Now()
	whole := p.shelve(q.at.uri, o, now)
	k := mediaKey(partsKey(whole).path + "\n" + run.ContentRange(size) + "\n" + o.etag)
	p.partsMu.Lock()
	defer p.partsMu.Unlock()
	if q.change.came.Load() {
		return
	}
	p.cache.put(k, o, now)
	list := parts{etag: o.etag, size: size}
	if old := p.partsOf(place{key: whole}); old != nil && old.etag == o.etag && old.size == size {
		list.all = slices.DeleteFunc(slices.Clone(old.all), func(one part) bool { return one.key == k })
		list.all = list.all[max(0, len(list.all)-maxParts+1):]
	}
	list.all = append(list.all, part{run, k})
	p.cache.put(partsKey(whole), newSign(&generic{parts: &list}, now), now)
}
