package loadgen

import (
	"fmt"
	"math"
	"net/url"
	"strings"
	"time"
)

// mark adds to a URL's query; empty is nothing.
func (p *player) mark(u *url.URL, query string) {
	switch {
	case query == "":
	case u.RawQuery == "":
		u.RawQuery = query
	default:
		u.RawQuery += "&" + query
	}
}

// tell gives the CMCD of a request for an object of a type and length, as a query; empty where none is sent.
func (p *player) tell(t *track, object string, length time.Duration) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tellLocked(t, object, length)
}

// tellLocked writes what hls.js 1.7.4 sends: keys in order, buffer and throughput rounded to hundreds, bs once after a
// stall. The object requested next is left out.
func (p *player) tellLocked(t *track, object string, length time.Duration) string {
	if !p.cmcd {
		return ""
	}
	media := object == "v" || object == "a" || object == "av"
	var keys []string
	add := func(format string, values ...any) { keys = append(keys, fmt.Sprintf(format, values...)) }
	ahead, kbps := 0.0, int64(0)
	if p.level != nil {
		kbps = p.level.bandwidth / 1000
	}
	if t != nil && t.joined {
		ahead = hundreds(ms(p.ahead(t, time.Now())))
	}
	if media {
		add("bl=%.0f", ahead)
	}
	if kbps > 0 {
		add("br=%d", kbps)
	}
	starved := p.head.starved && object != "m" && object != "a"
	if starved {
		add("bs")
		p.head.starved = false
	}
	if media {
		add("d=%d", length.Milliseconds())
		add("dl=%.0f", ahead)
	}
	add("mtp=%.0f", hundreds(p.estimate/1000))
	add("ot=%s", object)
	if p.measured {
		stalled := p.head.stalled.Milliseconds()
		add(stallKeys, p.head.count, stalled)
		add("oxbow-bsdn=%d,oxbow-bsn=%d", stalled-p.heard.stalled, p.head.count-p.heard.stalls)
		if p.head.begun() && !p.startTold { // once: the next edge does not know that another one was told
			add("oxbow-msd=%.0f", ms(p.head.started))
			p.startTold = true
		}
	}
	if media && kbps > 0 {
		add("rtp=%.0f", hundreds(float64(5*kbps)))
	}
	add(`sf=h,sid="%s"`, p.session)
	if t != nil && t.listed > 0 {
		add("st=%s", t.list.streamType())
	}
	if starved || !p.head.playing && (object != "m" || !p.head.begun()) {
		add("su")
	}
	return "CMCD=" + url.QueryEscape(strings.Join(keys, ","))
}

// stallKeys are those of what a session has counted of stalls.
const stallKeys = "oxbow-bsa=%d,oxbow-bsda=%d"

// heard is what of its stalls a viewer has told with requests that were answered.
type heard struct {
	stalls  int
	stalled int64 // ms
}

// take takes over what a request told that was answered.
func (h *heard) take(query string) {
	at := strings.Index(query, "oxbow-bsa")
	if at < 0 {
		return
	}
	var told heard
	text := strings.NewReplacer("%3D", "=", "%2C", ",").Replace(query[at:])
	if _, err := fmt.Sscanf(text, stallKeys, &told.stalls, &told.stalled); err == nil {
		h.stalls, h.stalled = max(h.stalls, told.stalls), max(h.stalled, told.stalled)
	}
}

func hundreds(f float64) float64 { return math.Round(f/100) * 100 }

// streamType is CMCD's st.
func (e *edge) streamType() string {
	switch {
	case e.ended:
		return "v"
	case e.blocks && e.partTarget > 0:
		return "ll"
	}
	return "l"
}
