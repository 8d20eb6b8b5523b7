package cacheproxy

import (
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/fastlane"
)

// All that Reverse does it does in the lane too; newReverseWorld looks at the name.
func TestReverseInTheLane(t *testing.T) {
	for name, test := range map[string]func(*testing.T){
		"ReusesWhatIsFresh":                   TestReverseReusesWhatIsFresh,
		"DoesNotReuse":                        TestReverseDoesNotReuse,
		"ValidatesWhatIsStale":                TestReverseValidatesWhatIsStale,
		"KeepsWhatIsStaleOverAFailure":        TestReverseKeepsWhatIsStaleOverAFailure,
		"DistrustsA304OfAnotherVersion":       TestReverseDistrustsA304OfAnotherVersion,
		"StandsIn":                            TestReverseStandsIn,
		"ServesStaleWhileItAsks":              TestReverseServesStaleWhileItAsks,
		"Variants":                            TestReverseVariants,
		"Invalidates":                         TestReverseInvalidates,
		"ForgetsWhatWasOnItsWayDuringAChange": TestReverseForgetsWhatWasOnItsWayDuringAChange,
		"HEADFreshensOrDrops":                 TestReverseHEADFreshensOrDrops,
		"Ranges":                              TestReverseRanges,
		"AsksOnceForAll":                      TestReverseAsksOnceForAll,
		"DoesNotShareWhatIsForOne":            TestReverseDoesNotShareWhatIsForOne,
		"PassesRequestsOn":                    TestReversePassesRequestsOn,
		"ForwardsInterimAnswers":              TestReverseForwardsInterimAnswers,
		"AsksAnotherUpstream":                 TestReverseAsksAnotherUpstream,
		"Refuses":                             TestReverseRefuses,
		"StreamsWhatIsTooLarge":               TestReverseStreamsWhatIsTooLarge,
		"WaitsForLongBodies":                  TestReverseWaitsForLongBodies,
		"ClientLeaves":                        TestReverseClientLeaves,
		"CombinesStoredRanges":                TestReverseCombinesStoredRanges,
		"DoesNotCombineVersions":              TestReverseDoesNotCombineVersions,
		"DoesNotKeepRanges":                   TestReverseDoesNotKeepRanges,
		"CutsRangesFromTheWhole":              TestReverseCutsRangesFromTheWhole,
		"AsksOnceForARange":                   TestReverseAsksOnceForARange,
		"ForgetsOldRanges":                    TestReverseForgetsOldRanges,
	} {
		t.Run(name, test)
	}
}

// laneOrigin has an answer of each kind.
func laneOrigin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "max-age=1000")
	h.Set("Etag", `"e1"`)
	h.Set("Last-Modified", ruleDate)
	h.Set("Cache-Status", "inner; hit")
	h["X-Uri"] = []string{r.RequestURI}
	status, body := http.StatusOK, strings.Repeat("0123456789", 1000)
	switch r.URL.Path {
	case "/vary":
		h.Set("Vary", "Accept-Encoding, X-Other")
		body = r.Header.Get("Accept-Encoding") + r.Header.Get("X-Other")
	case "/private":
		h.Set("Cache-Control", "private")
	case "/withheld":
		h.Set("Cache-Control", `max-age=1000, private="X-Uri"`)
	case "/stale":
		h.Set("Age", "2000")
	case "/moved":
		h.Set("Location", "/a")
		status = http.StatusMovedPermanently
	case "/none":
		status = http.StatusNotFound
	case "/empty":
		body = ""
	case "/nothing":
		status, body = http.StatusNoContent, ""
	case "/early":
		w.WriteHeader(http.StatusEarlyHints)
	case "/untyped":
		h["Content-Type"] = nil
	case "/chunked":
		_ = http.NewResponseController(w).Flush()
		_, _ = io.WriteString(w, body)
		return
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

func TestReverseInTheLaneAnswersAsOnNetHTTP(t *testing.T) {
	first, second := newReverseWorld(t, ReverseConfig{}, laneOrigin), newReverseWorld(t, ReverseConfig{}, laneOrigin)
	lane, fast := handlerInLane(t, first.cache, nil)
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	uris := []string{
		"/a", "/a", "/a?", "/a?q=1", "/a?q=%41%2f&x=a+b;c", "/a?q=A%2F&x=a+b;c", "/a?q=%zz", "/a?/..//?", "/a/../a", "/a//b",
		"/vary", "/private", "/withheld", "/stale", "/moved", "/none", "/empty", "/nothing", "/early", "/untyped", "/chunked",
	}
	headers := [][]string{
		nil, nil,
		{"Range: bytes=10-19"}, {"Range: bytes=-5,1-2"}, {"Range: bytes=100000-"},
		{`If-None-Match: "e1"`}, {"If-Modified-Since: " + ruleDate}, {`If-Match: "e1"`},
		{"Authorization: Basic eA=="}, {"Cookie: a=b", "Pragma: no-cache"}, {"Accept-Encoding: gzip", "X-Other: 1"},
		{"Via: 1.1 other"}, {"Via: 1.1 " + first.cache.pseudonym, "Via: 1.1 " + second.cache.pseudonym},
		{"Connection: close"}, {"X-Forwarded-For: 192.0.2.1"},
	}
	ttl := regexp.MustCompile(`ttl=-?\d+`)
	asks := 0
	for _, uri := range uris {
		for _, lines := range headers {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				a := asked{method, uri, lines}
				got, want := ask1(t, client, fast, a), ask1(t, client, second.url, a)
				eventually(t, "what was asked is stored", func() bool {
					return len(first.cache.flights.all())+len(second.cache.flights.all()) == 0
				})
				for _, one := range []*answered{&got, &want} {
					for i, status := range one.header["Cache-Status"] {
						if strings.Contains(status, "; fwd=") { // its length is told if all of it came before it was sent
							one.length, one.coding = -1, nil
							delete(one.header, "Content-Length")
						}
						one.header["Cache-Status"][i] = ttl.ReplaceAllString(status, "ttl")
					}
				}
				if d := got.diff(want); d != "" {
					t.Errorf("%s: %s", a, d)
				}
				asks++
			}
		}
	}
	if n, m := first.asked.Load(), second.asked.Load(); n != m {
		t.Errorf("the origin was asked %d times by way of the lane, %d by way of net/http", n, m)
	}
	wantAllInLane(t, lane, asks)
}

func wantAllInLane(t *testing.T, lane *fastlane.Server, asks int) {
	t.Helper()
	st := lane.Stats()
	for reason, n := range st.HandedOver {
		if n > 0 {
			t.Errorf("%d connections were handed over for their %s", n, reason)
		}
	}
	if st.Requests < uint64(asks) {
		t.Errorf("%d requests in the lane, want %d", st.Requests, asks)
	}
}

// What is cached under an URI is that URI's, whatever the connection's buffer has held since.
func TestReverseKeysDoNotChangeWithTheBuffer(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "max-age=60")
		rw.Header().Set("Vary", "X-Other")
		_, _ = io.WriteString(rw, r.RequestURI+" "+r.Header.Get("X-Other"))
	})
	_, url := handlerInLane(t, w.cache, nil)
	for _, uri := range slices.Repeat([]string{"/one", "/longer/than/one?x=1", "/two"}, 3) {
		for _, other := range []string{"a", "bbbbbbbbbbbb"} {
			got := ask1(t, http.DefaultClient, url, asked{http.MethodGet, uri, []string{"X-Other: " + other}})
			if string(got.body) != uri+" "+other {
				t.Errorf("%s with %s: %q", uri, other, got.body)
			}
		}
	}
	w.wantAsked(6)
}

func TestReverseTrailersInTheLane(t *testing.T) {
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Trailer", "Sum")
		_, _ = io.WriteString(rw, "body")
		rw.Header().Set("Sum", "7")
	})
	lane, url := handlerInLane(t, w.cache, nil)
	for range 2 { // on one connection
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/a", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || string(text) != "body" || resp.Trailer.Get("Sum") != "7" {
			t.Errorf("%q, trailer %v, %v", text, resp.Trailer, err)
		}
	}
	wantAllInLane(t, lane, 2)
}
