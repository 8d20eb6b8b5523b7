package cacheproxy

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
)

// respond answers with an object, or with the head of one and what its flight brings. An error but errCut means that
// nothing was sent; a body that can't be finished cuts the connection, so that no viewer takes a part for the whole.
func (p *Proxy) respond(x exchange, v visit, f found, now time.Time) error {
	o := f.object
	ranges := x.values("Range")
	ranged := len(ranges) == 1 && !v.head && o.status == http.StatusOK &&
		httpcache.IfRange(x.values("If-Range"), o.validators())
	if ranged && o.length < 0 {
		whole, err := f.flight.complete(x.context())
		if err != nil {
			return err
		}
		o = whole
	}
	r := reply{object: o, access: v.access, status: o.status, head: v.head, to: o.length}
	r.age, r.cacheStatus = p.describe(o, f.result, now)
	if v.peer != nil {
		r.told = told{age: o.ageAt(now), hops: o.hopsTo(f.result)}.String()
	}
	if o.status == http.StatusOK && notModified(x, o) {
		r.form, r.status = formNotModified, http.StatusNotModified
	} else if ranged {
		r.cut(ranges[0])
	}
	err := x.begin(r)
	switch {
	case err != nil:
	case r.bodyless():
		err = x.end()
	default:
		err = p.sendBody(x, f.flight, &r)
	}
	if err != nil { // the viewer left or was too slow, or the upstream broke off
		return fmt.Errorf("%w: %w", errCut, err)
	}
	return nil
}

// cut makes it a part of the body, or several, if the range is one that is understood.
func (r *reply) cut(ranged string) {
	if !strings.Contains(ranged, ",") {
		if run, ok := httpcache.ParseRange(ranged, r.object.length); ok {
			r.cutTo(run)
		}
		return
	}
	runs, ok := httpcache.ParseRanges(ranged, r.object.length)
	switch {
	case !ok:
	case len(runs) == 0:
		r.cutTo(httpcache.Range{})
	case len(runs) == 1:
		r.cutTo(runs[0])
	default:
		r.several = newSeveral(runs, r.object)
		r.form, r.status, r.from, r.to = formSeveral, http.StatusPartialContent, 0, r.several.length
	}
}

func (r *reply) cutTo(run httpcache.Range) {
	if run.From >= run.To {
		r.form, r.status = formUnsatisfiable, http.StatusRequestedRangeNotSatisfiable
		return
	}
	r.status, r.from, r.to = http.StatusPartialContent, run.From, run.To
}

// hitStatus is the Cache-Status of a hit.
const hitStatus = "oxbow; hit"

// describe gives what the answer says of itself: Age (HTTP-21), negative if it says nothing, and Cache-Status (RFC
// 9211).
func (p *Proxy) describe(o *object, res result, now time.Time) (age int64, status string) {
	age = -1
	if past := o.ageAt(now); res != resultMiss || past >= time.Second {
		age = seconds(past)
	}
	switch res {
	case resultHit:
		if o.hit != "" {
			return age, o.hit
		}
		return age, o.cacheStatus(p.hitStatus[0])
	case resultDisk:
		status = "oxbow; hit; detail=disk"
	case resultStale:
		status = "oxbow; hit; ttl=" + strconv.FormatInt(seconds(o.policy.lifetime-o.ageAt(now)), 10)
		if o.standIn {
			status += "; detail=no-answer"
		}
	case resultCollapsed:
		status = "oxbow; fwd=miss; collapsed"
	default:
		status = "oxbow; fwd=miss"
	}
	if (res == resultMiss || res == resultCollapsed) && o.status != http.StatusOK {
		status += "; fwd-status=" + strconv.Itoa(o.status)
	}
	if res == resultMiss && o.policy.lifetime > 0 {
		status += "; stored"
	}
	return age, o.cacheStatus(tagged(status, p.config.ID))
}

// tagged names the edge in what it says.
func tagged(status, id string) string {
	if id == "" {
		return status
	}
	return status + `; edge="` + id + `"`
}

// cacheStatus puts what the edge says behind what caches nearer to the origin have said.
func (o *object) cacheStatus(own string) string {
	if o.passed == "" {
		return own
	}
	return o.passed + ", " + own
}
