package cacheproxy

import (
	"cmp"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rule is a rule of HTTP caching, and what shows it: answers of the upstream, of which the last one stays, and what
// viewers then ask and get. Ages are told by Age, so that nothing waits.
type rule struct {
	name    string
	answers []http.HandlerFunc
	steps   []step
	// asked is how often the upstream was asked in the end; negative is as often as it wants.
	asked int
	// patience is the edge's FetchTimeout; zero is one that no slow machine meets.
	patience time.Duration
}

type step struct {
	asked

	status int
	body   string // "" is not looked at
	// header values: "" is none, and a * at the end any end.
	header map[string]string
}

func get(uri string, lines ...string) asked { return asked{http.MethodGet, uri, lines} }

func head(uri string, lines ...string) asked { return asked{http.MethodHead, uri, lines} }

func ok(body string) step { return step{asked: get(segPath), status: 200, body: body} }

type fields map[string]string

const (
	ruleDate = "Fri, 20 Nov 2026 12:00:00 GMT"
	ruleBody = "0123456789"
)

func cached(lines ...string) http.HandlerFunc {
	return fixed(ruleBody, "max-age=60", append([]string{
		"Etag", `"e1"`, "Last-Modified", ruleDate, "Content-Type", "video/mp4",
	}, lines...)...)
}

func weak() http.HandlerFunc {
	return fixed(ruleBody, "max-age=60", "Etag", `W/"e1"`, "Content-Type", "video/mp4")
}

// twice asks for the segment, and then for what the rule is about.
func twice(s step) []step { return []step{ok(""), s} }

func answers(all ...http.HandlerFunc) []http.HandlerFunc { return all }

// freshnessRules are those of RFC 9111 section 4.2, RFC 9213 and RFC 8246.
func freshnessRules() []rule {
	kept := func(cacheControl string, lines ...string) rule {
		return rule{answers: answers(fixed("x", cacheControl, lines...)), steps: twice(ok("x")), asked: 1}
	}
	not := func(r rule) rule {
		r.asked = 2
		return r
	}
	named := func(name string, r rule) rule {
		r.name = name
		return r
	}
	return []rule{
		named("max-age", kept("max-age=60")),
		named("max-age is over", not(kept("max-age=60", "Age", "60"))),
		named("s-maxage is longer than max-age", kept("max-age=1, s-maxage=60", "Age", "10")),
		named("s-maxage is shorter than max-age", not(kept("max-age=60, s-maxage=1", "Age", "10"))),
		named("Expires", kept("", "Expires", "Fri, 20 Nov 2026 13:00:00 GMT", "Date", ruleDate)),
		named("max-age over Expires", kept("max-age=60", "Expires", "0")),
		named("no heuristics", not(kept("", "Last-Modified", ruleDate))),
		named("public alone is no lifetime", not(kept("public", "Last-Modified", ruleDate))),
		named("no-store", not(kept("max-age=60, no-store"))),
		named("private", not(kept("max-age=60, private"))),
		named("no-cache", not(kept("max-age=60, no-cache"))),
		named("a directive in a quoted string is none", kept(`max-age=60, ext="no-store, private"`)),
		named("CDN-Cache-Control over Cache-Control", kept("no-store", "Cdn-Cache-Control", "max-age=60")),
		named("CDN-Cache-Control says no-store", not(kept("max-age=60", "Cdn-Cache-Control", "no-store"))),
		named("a malformed CDN-Cache-Control is ignored", kept("max-age=60", "Cdn-Cache-Control", "max-age=;")),
		named("must-understand", kept("max-age=60, no-store, must-understand")),
		named("Vary: *", not(kept("max-age=60", "Vary", "*"))),
		{
			name: "CDN-Cache-Control goes on to the next cache", answers: answers(cached("Cdn-Cache-Control", "max-age=7")),
			steps: twice(step{asked: get(segPath), status: 200, header: fields{"Cdn-Cache-Control": "max-age=7"}}), asked: 1,
		},
		{
			name: "immutable passes through", answers: answers(fixed("x", immutable)),
			steps: twice(step{asked: get(segPath), status: 200, header: fields{"Cache-Control": immutable}}), asked: 1,
		},
		{
			name: "Age goes on from the upstream's", answers: answers(cached("Age", "17, 3")), asked: 1,
			steps: twice(step{asked: get(segPath), status: 200, header: fields{"Age": "17"}}),
		},
		{
			name: "a viewer's Cache-Control sends nobody upstream", answers: answers(cached()), asked: 1,
			steps: twice(step{
				asked: get(segPath, "Cache-Control: no-cache, no-store, max-age=0", "Pragma: no-cache"), status: 200,
				header: fields{"Cache-Status": "oxbow; hit"},
			}),
		},
	}
}

// staleRules are those of RFC 5861 and RFC 9111 section 4.2.4, and the times of refusals.
func staleRules() []rule {
	old := func(cacheControl string) http.HandlerFunc { return fixed("old", cacheControl, "Age", "50") }
	stale := step{asked: get(segPath), status: 200, body: "old", header: fields{"Cache-Status": "oxbow; hit; ttl=-40*"}}
	late := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	refused := func(status int, cacheControl string, asked int) rule {
		return rule{
			name:    fmt.Sprintf("%d with %q", status, cacheControl),
			answers: answers(failing(status, "Cache-Control", cacheControl)), asked: asked,
			steps: []step{{asked: get(segPath), status: status}, {asked: get(segPath), status: status}},
		}
	}
	return []rule{
		{
			name: "stale-while-revalidate", answers: answers(old("max-age=10, stale-while-revalidate=100"), cached()),
			steps: twice(stale), asked: 2,
		},
		{
			name: "stale-if-error, 5xx", answers: answers(old("max-age=10, stale-if-error=100"), failing(500)),
			steps: twice(step{asked: stale.asked, status: 200, body: "old", header: fields{
				"Cache-Status": "oxbow; hit; ttl=-40; detail=no-answer",
			}}), asked: -1,
		},
		{
			name: "stale-if-error, broken connection", asked: -1, steps: twice(stale),
			answers: answers(old("max-age=10, stale-if-error=100"), func(http.ResponseWriter, *http.Request) {
				panic(http.ErrAbortHandler)
			}),
		},
		{
			name: "stale-if-error, timeout", patience: 3 * time.Second, answers: answers(old("max-age=10, stale-if-error=100"), late),
			steps: twice(stale), asked: -1,
		},
		{
			name: "stale-if-error is over", answers: answers(old("max-age=10, stale-if-error=40"), failing(500)),
			steps: twice(step{asked: get(segPath), status: 502}), asked: -1,
		},
		{
			name:    "must-revalidate forbids it",
			answers: answers(old("max-age=10, stale-if-error=100, must-revalidate"), failing(500)),
			steps:   twice(step{asked: get(segPath), status: 502}), asked: -1,
		},
		{
			name:    "s-maxage forbids it",
			answers: answers(old("s-maxage=10, stale-while-revalidate=100"), cached()), steps: twice(ok(ruleBody)), asked: 2,
		},
		refused(http.StatusGone, "max-age=60", 1),
		refused(http.StatusNotFound, "no-store", -1),
		refused(http.StatusForbidden, "", 2),
	}
}

// conditionRules are those of RFC 9110 sections 13 and 14.
func conditionRules() []rule {
	same := func(name string, up http.HandlerFunc, a asked, s step) rule {
		s.asked = a
		if s.status == 200 && a.method == http.MethodGet {
			s.body = ruleBody
		}
		return rule{name: name, answers: answers(up), steps: twice(s), asked: 1}
	}
	is := func(status int) step { return step{status: status} }
	part := func(body, contentRange string) step {
		return step{status: 206, body: body, header: fields{"Content-Range": contentRange, "Content-Type": "video/mp4"}}
	}
	ranged := func(ranges string, s step) rule {
		return same("Range: "+ranges, cached(), get(segPath, "Range: bytes="+ranges), s)
	}
	several := step{status: 206, header: fields{
		"Content-Range": "", "Content-Type": "multipart/byteranges; boundary=*", "Etag": `"e1"`,
	}}
	unsatisfiable := step{status: 416, header: fields{"Content-Range": "bytes */10", "Etag": "", "Cache-Control": "no-store"}}
	return []rule{
		same("If-None-Match", cached(), get(segPath, `If-None-Match: "e1"`), step{status: 304, header: fields{
			"Etag": `"e1"`, "Cache-Control": "max-age=60", "Age": "0", "Last-Modified": ruleDate, "Content-Type": "",
			"Content-Length": "", "Cache-Status": "oxbow; hit", "Access-Control-Allow-Origin": "*",
		}}),
		same("If-None-Match, weakly", cached(), get(segPath, `If-None-Match: W/"e1"`), is(304)),
		same("If-None-Match of a weak ETag", weak(), get(segPath, `If-None-Match: "e1"`), is(304)),
		same("If-None-Match, on two lines", cached(), get(segPath, `If-None-Match: "e0"`, `If-None-Match: "e1"`), is(304)),
		same("If-None-Match: *", cached(), get(segPath, "If-None-Match: *"), is(304)),
		same("If-None-Match of another", cached(), get(segPath, `If-None-Match: "e0"`), is(200)),
		same("If-None-Match over If-Modified-Since", cached(),
			get(segPath, `If-None-Match: "e0"`, "If-Modified-Since: "+ruleDate), is(200)),
		same("If-Modified-Since", cached(), get(segPath, "If-Modified-Since: "+ruleDate), is(304)),
		same("If-Modified-Since, RFC 850", cached(), get(segPath, "If-Modified-Since: Friday, 20-Nov-26 12:00:01 GMT"), is(304)),
		same("If-Modified-Since before", cached(), get(segPath, "If-Modified-Since: Fri, 20 Nov 2026 11:59:59 GMT"), is(200)),
		same("If-Modified-Since of what was never modified", weak(), get(segPath, "If-Modified-Since: "+ruleDate), is(200)),
		same("a condition goes before a Range", cached(), get(segPath, `If-None-Match: "e1"`, "Range: bytes=0-1"), is(304)),
		same("HEAD from a cached GET", cached(), head(segPath),
			step{status: 200, header: fields{"Content-Length": "10", "Etag": `"e1"`, "Cache-Status": "oxbow; hit"}}),
		same("HEAD has no Range", cached(), head(segPath, "Range: bytes=20-"),
			step{status: 200, header: fields{"Content-Length": "10", "Content-Range": ""}}),
		same("HEAD has conditions", cached(), head(segPath, `If-None-Match: "e1"`), is(304)),
		ranged("0-3", part("0123", "bytes 0-3/10")),
		ranged("-3", part("789", "bytes 7-9/10")),
		ranged("8-", part("89", "bytes 8-9/10")),
		ranged("8-99", part("89", "bytes 8-9/10")),
		ranged("10-", unsatisfiable),
		ranged("-0", unsatisfiable),
		ranged("3-2", is(200)),
		ranged("1-4,3-6", part("123456", "bytes 1-6/10")),
		ranged("1-2,5-6", several),
		ranged("11-12,20-", unsatisfiable),
		same("If-Range, several", cached(), get(segPath, "Range: bytes=0-1,4-5", `If-Range: "e1"`), several),
		same("If-Range of another, several", cached(), get(segPath, "Range: bytes=0-1,4-5", `If-Range: "e0"`), is(200)),
		same("If-Range by date", cached(), get(segPath, "Range: bytes=0-1", "If-Range: "+ruleDate), part("01", "bytes 0-1/10")),
		same("If-Range of a weak ETag", weak(), get(segPath, "Range: bytes=0-1", `If-Range: W/"e1"`), is(200)),
	}
}

// keyRules are those of the cache key and of header fields that are nobody else's.
func keyRules() []rule {
	playlist := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		writePlaylist(w, r, newShow(9, 2).text(false))
	}
	bad := func(query string) rule {
		return rule{
			name: query + " is bad", answers: answers(playlist),
			steps: []step{{asked: get(livePath + "?" + query), status: 400, header: fields{"Content-Type": problemType}}},
		}
	}
	oneCopy := func(name string, uris ...string) rule {
		r := rule{name: name, answers: answers(playlist), asked: 1}
		for _, uri := range uris {
			r.steps = append(r.steps, step{asked: get(uri), status: 200})
		}
		return r
	}
	return []rule{
		bad("_HLS_msn=x"), bad("_HLS_msn=-1"), bad("_HLS_msn=1&_HLS_msn=1"), bad("_HLS_part=1"), bad("_HLS_msn=1&_HLS_part=x"),
		bad("_HLS_msn=99999999999"),
		oneCopy("directives have one spelling", livePath+"?_HLS_msn=9&_HLS_part=1", livePath+"?_HLS_part=1&_HLS_msn=9",
			livePath+"?x=1&_HLS_part=1&_HLS_msn=09&_HLS_other=3", livePath+"?_HLS_%6Dsn=9&_HLS_part=1"),
		oneCopy("other parameters are ignored", livePath, livePath+"?a=b", livePath+"?a=c&a=d"),
		oneCopy("media has no query", segPath, segPath+"?_HLS_msn=x", segPath+"?cachebuster=1"),
		{
			name: "an escape that is not needed names nothing", answers: answers(cached()),
			steps: []step{{asked: get(strings.Replace(segPath, "show", "sh%6Fw", 1)), status: 404}},
		},
		{
			name: "an escaped slash names nothing", answers: answers(cached()),
			steps: []step{{asked: get(strings.Replace(segPath, "/video", "%2Fvideo", 1)), status: 404}},
		},
		{
			name: "what is one viewer's or one connection's goes to nobody", asked: 1, answers: answers(cached(
				"Set-Cookie", "a=b", "Connection", "X-Hop", "X-Hop", "1", "Keep-Alive", "timeout=5", "Proxy-Authenticate", "Basic",
				"X-End", "2")),
			steps: twice(step{asked: get(segPath), status: 200, header: fields{
				"Set-Cookie": "", "X-Hop": "", "Keep-Alive": "", "Proxy-Authenticate": "", "Connection": "", "X-End": "2",
			}}),
		},
		{
			name: "fields that an answer withholds", asked: 1,
			answers: answers(fixed("x", `max-age=60, private="X-Own", no-cache=x-mine`, "X-Own", "1", "X-Mine", "1")),
			steps: twice(step{asked: get(segPath), status: 200, header: fields{
				"X-Own": "", "X-Mine": "",
			}}),
		},
		{
			name: "Vary of media is the upstream's", answers: answers(cached("Vary", "X-Other")), asked: 1,
			steps: twice(step{asked: get(segPath, "X-Other: 1"), status: 200, header: fields{"Vary": "X-Other"}}),
		},
		{
			name: "media does not vary by itself", answers: answers(cached()), asked: 1,
			steps: twice(step{asked: get(segPath, "Accept-Encoding: gzip"), status: 200, header: fields{"Vary": ""}}),
		},
		{
			name: "a playlist varies by Accept-Encoding, out of one fetch", answers: answers(playlist), asked: 1,
			steps: []step{
				{asked: get(livePath, "Accept-Encoding: gzip"), status: 200, header: fields{
					"Vary": "Accept-Encoding", "Content-Encoding": "gzip",
				}},
				{asked: get(livePath), status: 200, header: fields{"Vary": "Accept-Encoding", "Content-Encoding": ""}},
			},
		},
	}
}

func TestSharedCacheRules(t *testing.T) {
	for group, rules := range map[string][]rule{
		"freshness": freshnessRules(), "stale": staleRules(), "conditions": conditionRules(), "key": keyRules(),
	} {
		for _, way := range []string{"net/http", "lane"} {
			t.Run(group+"/"+way, func(t *testing.T) {
				t.Parallel()
				for _, r := range rules {
					t.Run(r.name, func(t *testing.T) { r.hold(t, way) })
				}
			})
		}
	}
}

func (r *rule) hold(t *testing.T, way string) {
	up := &node{}
	answer := func(i int) { up.set(r.answers[min(i, len(r.answers)-1)]) }
	e := newRealEdge(t, Config{FetchTimeout: cmp.Or(r.patience, 30*time.Second)}, http.NotFoundHandler(), up)
	landed := func() bool { return len(e.flights.all()) == 0 }
	url := e.url
	if way == "lane" {
		_, url = inLane(t, e.Proxy)
	}
	for i, s := range r.steps {
		eventually(t, "what was asked before is stored", landed)
		answer(i)
		got := ask1(t, e.client, url, s.asked)
		if got.failed || got.status != s.status || s.body != "" && string(got.body) != s.body {
			t.Fatalf("%s: %d %.80q (failed: %t), want %d %q", s.asked, got.status, got.body, got.failed, s.status, s.body)
		}
		if s.method == http.MethodHead && len(got.body) > 0 {
			t.Errorf("%s: a body of %q", s.asked, got.body)
		}
		for name, want := range s.header {
			value := got.field(name)
			if start, open := strings.CutSuffix(want, "*"); !passed(name, want, value) && (!open || start == "" || !strings.HasPrefix(value, start)) {
				t.Errorf("%s: %s is %q, want %q", s.asked, name, value, want)
			}
		}
		for _, status := range got.header["Cache-Status"] {
			checkCacheStatus(t, status)
		}
	}
	eventually(t, "nothing is under way", landed)
	if n := up.total(); r.asked >= 0 && n != r.asked {
		t.Errorf("the upstream was asked %d times, want %d", n, r.asked)
	}
}

// passed says whether a field has the value, or what that came to while the machine stood still.
func passed(name, want, value string) bool {
	if name == "Age" {
		a, err := strconv.Atoi(want)
		b, failed := strconv.Atoi(value)
		return err == nil && failed == nil && b >= a && b < a+30 || want == value
	}
	a, b := ttlField.FindStringSubmatch(want), ttlField.FindStringSubmatch(value)
	if a == nil || b == nil {
		return want == value
	}
	from, _ := strconv.Atoi(a[1])
	to, _ := strconv.Atoi(b[1])
	value = strings.Replace(value, b[0], a[0], 1)
	if start, open := strings.CutSuffix(want, "*"); open && strings.HasPrefix(value, start) {
		want = value
	}
	return want == value && to <= from && to > from-30
}

// field gives a field's value, of those that answered keeps elsewhere too.
func (a answered) field(name string) string {
	switch {
	case name == "Age" && a.age >= 0:
		return fmt.Sprint(a.age)
	case len(a.header[name]) == 0:
		return ""
	}
	return strings.Join(a.header[name], ", ")
}

// A list of tokens with parameters (RFC 8941 sections 3.1 and 3.3), and the types that RFC 9211 section 2 gives those.
var (
	ttlField   = regexp.MustCompile(`ttl=(-?\d+)`)
	listMember = regexp.MustCompile(`^([A-Za-z*][!#$%&'*+.^_|~0-9A-Za-z:/\x60-]*)((?:; *[a-z*][a-z0-9_.*-]*(?:=[^;,]+)?)*)(?:[ \t]*,[ \t]*|$)`)
	paramType  = map[string]*regexp.Regexp{
		"hit": regexp.MustCompile(`^$`), "stored": regexp.MustCompile(`^$`), "collapsed": regexp.MustCompile(`^$`),
		"ttl": regexp.MustCompile(`^-?\d{1,15}$`), "fwd-status": regexp.MustCompile(`^\d{3}$`),
		"fwd":    regexp.MustCompile(`^(bypass|method|uri-miss|vary-miss|miss|request|stale|partial)$`),
		"detail": regexp.MustCompile(`^[A-Za-z*][A-Za-z0-9.-]*$`),
	}
)

func checkCacheStatus(t *testing.T, text string) {
	t.Helper()
	for rest := text; rest != ""; {
		m := listMember.FindStringSubmatch(rest)
		if m == nil {
			t.Errorf("Cache-Status %q is no list of tokens", text)
			return
		}
		seen := make(map[string]bool)
		for param := range strings.SplitSeq(strings.TrimPrefix(m[2], ";"), ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(param), "=")
			if kind := paramType[name]; kind == nil || !kind.MatchString(value) || seen[name] {
				t.Errorf("Cache-Status %q: parameter %q", text, param)
			}
			seen[name] = true
		}
		if seen["hit"] == seen["fwd"] || seen["ttl"] && !seen["hit"] || seen["fwd-status"] && !seen["fwd"] {
			t.Errorf("Cache-Status %q is both a hit and none, or neither", text)
		}
		rest = rest[len(m[0]):]
	}
}
