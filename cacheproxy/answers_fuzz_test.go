package cacheproxy

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// oneAnswer answers every request with the same.
type oneAnswer struct {
	status int
	header http.Header
	body   string
}

func (s oneAnswer) RoundTrip(*http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	for name, values := range s.header {
		w.Header()[name] = values
	}
	w.WriteHeader(s.status)
	_, _ = w.WriteString(s.body)
	return w.Result(), nil
}

// FuzzLocation: where a directory says that a show is, only its own nodes are asked, by base URLs, few of them.
func FuzzLocation(f *testing.F) {
	const id = "01arz3ndektsv4rrffq69g5fav"
	for _, body := range []string{
		`{"recording":"` + id + `","nodes":["http://n:1"]}`, `{"nodes":["http://n:1"]}`, `{"recording":"../x"}`,
		`{"recording":"` + id + `","publisher":"other"}`, `{"recording":"` + id + `","nodes":["file:///etc","http://u:p@h"]}`,
		`{"recording":"` + id + `","state":"deleted"}`, `{"guess":true}`, `[]`, `{"nodes":[` + strings.Repeat(`"http://n:1",`, 99) + `"http://n:1"]}`,
	} {
		f.Add(200, body, true)
		f.Add(200, body, false)
	}
	f.Add(404, "", true)
	f.Add(410, "", true)
	f.Fuzz(func(t *testing.T, status int, body string, old bool) {
		if status < 200 || status > 599 {
			return
		}
		k := locationKey{path: media.StreamPath{Publisher: "acme", Stream: "show"}}
		if old {
			k.recording = id
		}
		defer fuzztest.Bound(t, 1<<20+64*len(body))()
		l := &locator{transport: oneAnswer{status: status, body: body}}
		loc, err := l.request(context.Background(), "http://directory/")
		if err == nil {
			err = checkLocation(k, loc)
		}
		if err != nil {
			return
		}
		if len(loc.Nodes) > maxNodes || len(body) > maxLocation && status == 200 {
			t.Errorf("%d nodes of %d bytes", len(loc.Nodes), len(body))
		}
		if _, err := media.ParseRecordingID(string(loc.Recording)); err != nil && (old || loc.Recording != "" || len(loc.Nodes) == 0) {
			t.Errorf("recording %q", loc.Recording)
		}
		for _, node := range loc.Nodes {
			if media.CheckBaseURL(node) != nil {
				t.Errorf("node %q", node)
			}
		}
	})
}

// FuzzLoaded: an object of the disk is believed only as what it was asked for, and is of an age.
func FuzzLoaded(f *testing.F) {
	for _, meta := range []string{
		"", "{}", `{"Kind":0,"Header":{"Content-Type":["a"]},"Etag":"\"x\"","Age":5}`, `{"Kind":1,"Header":{}}`,
		`{"Kind":0,"Header":{"Last-Modified":["Sun, 22 Nov 2026 13:00:00 GMT"]},"Received":"9999-12-31T23:59:59Z","Age":-9223372036854775808}`,
	} {
		f.Add([]byte(meta), int64(3))
	}
	f.Fuzz(func(t *testing.T, meta []byte, size int64) {
		if size < 0 || size > 1<<40 {
			return
		}
		defer fuzztest.Bound(t, 1<<20+64*len(meta))()
		for what := range kind(8) {
			o := loaded(what, meta, size)
			if o == nil {
				continue
			}
			var s stored
			if err := json.Unmarshal(meta, &s); err != nil || s.Kind != what || o.kind != what || o.length != size || o.header == nil {
				t.Errorf("%s is %+v: %v", meta, o, err)
			}
		}
	})
}

// FuzzViewer: who is no trusted proxy is the viewer, whatever the request says; and a viewer behind proxies is not one of
// them, unless all are.
func FuzzViewer(f *testing.F) {
	f.Add("10.0.0.1", "203.0.113.9, 10.0.0.2")
	f.Add("10.0.0.1", "unknown, 10.0.0.2\n10.0.0.3")
	f.Add("198.51.100.1", "10.0.0.1")
	f.Add("::ffff:10.0.0.1", "[2001:db8::1%eth0]:443,, ,")
	f.Add("10.0.0.1", "203.0.113.9:80,[::ffff:10.1.1.1]")
	trusted := proxies{netip.MustParsePrefix("10.0.0.0/8")}
	f.Fuzz(func(t *testing.T, remote, lines string) {
		addr, err := netip.ParseAddr(remote)
		if err != nil {
			return
		}
		plain := addr.Unmap().WithZone("")
		a := hops{addr, strings.Split(lines, "\n")}
		if got := proxies(nil).viewer(a); got != plain {
			t.Errorf("without proxies %s is %s", remote, got)
		}
		got := trusted.viewer(a)
		if !trusted.trust(plain) && got != plain {
			t.Errorf("%s says that it is %s", remote, got)
		}
		if got.Zone() != "" || got.Is4In6() {
			t.Errorf("%s is not plain", got)
		}
		// What a viewer wrote in front of what the proxies did changes nothing.
		if got.IsValid() && !trusted.trust(got) {
			a.lines = append([]string{"192.0.2.1, nonsense"}, a.lines...)
			if again := trusted.viewer(a); again != got {
				t.Errorf("%q: %s, and with a line before it %s", lines, got, again)
			}
		}
	})
}

// hops is a request with its other end and its X-Forwarded-For.
type hops struct {
	addr  netip.Addr
	lines []string
}

func (h hops) context() context.Context { return context.Background() }
func (h hops) values(string) []string   { return h.lines }
func (h hops) remote() netip.Addr       { return h.addr }
func (h hops) keep()                    {}

// FuzzFeeds: what a directory tells of purges and policies is taken whole or refused, within its bounds, and a purge
// names what there may be.
func FuzzFeeds(f *testing.F) {
	for _, body := range []string{
		`{"purges":[{"publisher":"acme","stream":"show","age_ms":5}]}`, `{"purges":[{"publisher":"..","age_ms":-1}]}`, `{"purges":null}`,
		`{"version":3,"publishers":{"acme":{"playback":"signed","streams":{"show":"public"},"keys":[{"kid":"k","alg":"HS256","key":"AAAA"}]}}}`,
		`{"version":3,"publishers":{"acme":{"playback":"?","keys":[{"kid":"k","alg":"none","key":"AAAA"},{"alg":"EdDSA"},{"alg":"ES256","key":"!"}]}}}`,
		`{"version":-1,"publishers":{}}`, `{"version":1,"remembered":true,"publishers":{"":{}}}`, `{}`,
	} {
		f.Add(body, "60")
	}
	p := New(Config{Directories: []string{"http://directory"}}, map[string]http.Handler{"": http.NotFoundHandler()},
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	f.Cleanup(func() { _ = p.Close() })
	f.Fuzz(func(t *testing.T, body, age string) {
		p.locator.transport = oneAnswer{status: 200, body: body, header: http.Header{"Age": {age}, "Etag": {`"x"`}}}
		p.policies.Store(nil)
		defer fuzztest.Bound(t, 2<<20+128*len(body))()
		if p.askPurgesOf(context.Background(), "http://directory") == nil {
			var told media.KnownPurges
			if err := json.Unmarshal([]byte(body), &told); err != nil {
				t.Fatal(err)
			}
			for _, purge := range told.Purges {
				if media.CheckPurge(purge.Publisher, purge.Stream, purge.Recording) != nil {
					t.Errorf("%+v is purged", purge)
				}
			}
		}
		if p.askPoliciesOf(context.Background(), "http://directory") != nil {
			return
		}
		var told media.PlaybackPolicies
		if err := json.Unmarshal([]byte(body), &told); err != nil {
			t.Fatal(err)
		}
		// Nobody gets in by a policy that nobody knows, or by a key that is none.
		for publisher, of := range told.Publishers {
			if strings.Contains(publisher, "/") || of.Streams["show"] == media.PlaybackPublic ||
				of.Streams["show"] == "" && of.Playback == media.PlaybackPublic {
				continue
			}
			v := visit{path: "/" + publisher + "/show/index.m3u8"}
			if err := p.admit(hops{addr: netip.MustParseAddr("192.0.2.1")}, &v); err == nil && publisher != "t" {
				t.Errorf("%q lets everybody in to %q", body, v.path)
			}
		}
	})
}
