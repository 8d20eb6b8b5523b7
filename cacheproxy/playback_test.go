package cacheproxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
)

const multivariant = "#EXTM3U\n#EXT-X-VERSION:9\n# URI=\"of a comment\"\n" +
	"#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"" + testRec + "/live/audio.m3u8\"\n" +
	"#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"" + testRec + "/live/video.iframes.m3u8\",CODECS=\"x\"\n" +
	"#EXT-X-CONTENT-STEERING:SERVER-URI=\"steering\"\n" +
	"#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\n" + testRec + "/live/video.m3u8\n" +
	"#EXT-X-STREAM-INF:BANDWIDTH=2\nhttps://elsewhere.example/video.m3u8\n"

// signedWorld is a world whose publisher acme is signed, but for its stream open, with one key.
type signedWorld struct {
	*world
	signer playback.Signer
	key    media.PlaybackKey
}

func newSignedWorld(t testing.TB, config Config) *signedWorld {
	t.Helper()
	s := &signedWorld{world: newWorld(t, config), key: media.PlaybackKey{
		Publisher: "acme", ID: "k", Algorithm: media.PlaybackHS256, Key: playback.NewSecret(),
	}}
	var err error
	if s.signer, err = playback.NewSigner(s.key); err != nil {
		t.Fatal(err)
	}
	s.sign(2, s.key)
	show := newShow(7, 0)
	show.plainAge = "public, max-age=1000"
	s.a.set(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/index.m3u8") {
			w.Header().Set("Cache-Control", "public, max-age=1000, s-maxage=2000")
			writePlaylist(w, r, multivariant)
			return
		}
		show.ServeHTTP(w, r)
	})
	return s
}

// policiesOf is what the directory says of acme.
func policiesOf(version int64, keys ...media.PlaybackKey) media.PlaybackPolicies {
	of := media.PublisherPlaybackPolicy{
		Playback: media.PlaybackSigned, Streams: map[string]string{"open": media.PlaybackPublic},
	}
	for _, k := range keys {
		of.Keys = append(of.Keys, media.VerifyingKey{ID: k.ID, Algorithm: k.Algorithm, Key: k.Key})
	}
	return media.PlaybackPolicies{Version: version, Publishers: map[string]media.PublisherPlaybackPolicy{"acme": of}}
}

func (s *signedWorld) sign(version int64, keys ...media.PlaybackKey) {
	s.setPolicies(policiesOf(version, keys...))
}

func (s *signedWorld) token(t testing.TB, c playback.Claims) string {
	t.Helper()
	if c.Publisher == "" {
		c.Publisher = "acme"
	}
	if c.ExpiresAt.IsZero() {
		c.ExpiresAt = time.Now().Add(time.Hour)
	}
	token, err := s.signer.Sign(c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// everyKind is a path of each kind of thing there is.
func everyKind() []string {
	return []string{
		streamBase + "/index.m3u8", streamBase + "/thumbnail.jpg", recBase + "/index.m3u8", livePath, eventPath,
		recBase + "/1/video/init.mp4", segPath, recBase + "/1/video/7.0.m4s", recBase + "/1/subtitles/7.vtt",
		recBase + "/thumbnail.jpg", recBase + "/thumbnails.vtt", recBase + "/sprite-1.jpg", recBase + "/recording.mp4",
	}
}

func wantRefusal(t *testing.T, s *signedWorld, rec *httptest.ResponseRecorder, reason string) {
	t.Helper()
	wantStatus(t, rec, http.StatusForbidden)
	if got := rec.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("a refusal has Cache-Control %q", got)
	}
	var told struct{ Detail string }
	if err := json.Unmarshal(rec.Body.Bytes(), &told); err != nil || told.Detail == "" {
		t.Errorf("a refusal without a detail: %s", rec.Body)
	}
	if n := testutil.ToFloat64(s.metrics.refusals[reason]); n < 1 {
		t.Errorf("no refusal is counted as %s: %s", reason, told.Detail)
	}
}

func TestEveryKindOfThingIsGuarded(t *testing.T) { synctest.Test(t, timelessEveryKindOfThingIsGuarded) }

func timelessEveryKindOfThingIsGuarded(t *testing.T) {
	s := newSignedWorld(t, Config{})
	good := s.token(t, playback.Claims{})
	for _, path := range everyKind() {
		wantRefusal(t, s, s.get(t, path), playback.ReasonMissing)
		wantRefusal(t, s, s.get(t, "/t/"+path), playback.ReasonMissing)
		wantRefusal(t, s, s.get(t, "/t/x"+path), playback.ReasonMalformed)
		for _, uri := range []string{"/t/" + good + path, path + "?token=" + good, path + "?a=b&token=" + good + "&token=x"} {
			rec := s.get(t, uri)
			wantStatus(t, rec, http.StatusOK)
			if got := rec.Header().Get("Cache-Control"); !strings.HasPrefix(got, "private") || strings.Contains(got, "public") ||
				strings.Contains(got, "s-maxage") {
				t.Errorf("%s: Cache-Control %q", path, got)
			}
		}
		wantRefusal(t, s, s.get(t, path), playback.ReasonMissing) // now that it is cached
		wantStatus(t, s.do(t.Context(), http.MethodOptions, "/t/"+good+path), http.StatusNoContent)
	}
	// What is not there is not told to who has no token, and is not kept for who has.
	wantRefusal(t, s, s.get(t, "/acme/other/index.m3u8"), playback.ReasonMissing)
	wantRefusal(t, s, s.get(t, "/acme/nothing"), playback.ReasonMissing)
	rec := s.get(t, "/t/"+good+"/acme/nothing")
	wantStatus(t, rec, http.StatusNotFound)
	if got := rec.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("an error on a signed path has Cache-Control %q", got)
	}
	for uri := range s.a.n {
		if strings.Contains(uri, "token") || strings.Contains(uri, "/t/") {
			t.Errorf("an upstream saw %s", uri)
		}
	}
}

func TestPublicStreamsTakeNoNoticeOfTokens(t *testing.T) {
	synctest.Test(t, timelessPublicStreamsTakeNoNoticeOfTokens)
}

func timelessPublicStreamsTakeNoNoticeOfTokens(t *testing.T) {
	s := newSignedWorld(t, Config{})
	s.directory.change(func(d *directory) { d.location.Stream = "open" })
	path := strings.Replace(segPath, "show", "open", 1)
	for _, uri := range []string{path, "/t/bad" + path, "/t/" + strings.Repeat("x", 3000) + path, path + "?token=bad"} {
		rec := s.get(t, uri)
		wantStatus(t, rec, http.StatusOK)
		if got := rec.Header().Get("Cache-Control"); got != immutable {
			t.Errorf("Cache-Control %q", got)
		}
	}
	if s.a.of(path) != 1 || s.a.total() != 1 {
		t.Errorf("upstream requests %v", s.a.n)
	}
	for _, uri := range []string{"/t/", "/t/x", "/t/x/"} {
		wantStatus(t, s.get(t, uri), http.StatusNotFound)
	}
}

func TestTokensAreHeldAgainstTheRequest(t *testing.T) {
	s := newSignedWorld(t, Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	later := time.Now().Add(10 * time.Minute)
	for name, c := range map[string]struct {
		claims playback.Claims
		path   string
		remote string
		head   []string
		want   string
	}{
		"other stream":      {claims: playback.Claims{Stream: "other"}, path: segPath, want: playback.ReasonStream},
		"recording":         {claims: playback.Claims{Recording: testRec}, path: segPath},
		"of the stream URL": {claims: playback.Claims{Recording: testRec}, path: streamBase + "/index.m3u8", want: playback.ReasonRecording},
		"of its picture":    {claims: playback.Claims{Recording: testRec}, path: streamBase + "/thumbnail.jpg", want: playback.ReasonRecording},
		"other recording": {
			claims: playback.Claims{Recording: "01kabcdefghjkmnpqrstvwxyz1"}, path: segPath, want: playback.ReasonRecording,
		},
		"other publisher": {claims: playback.Claims{Publisher: "beta"}, path: segPath, want: playback.ReasonPublisher},
		"expired":         {claims: playback.Claims{ExpiresAt: time.Now().Add(-time.Minute)}, path: segPath, want: playback.ReasonExpired},
		"not yet":         {claims: playback.Claims{NotBefore: later}, path: segPath, want: playback.ReasonNotYet},
		"address":         {claims: playback.Claims{IP: "192.0.2.1"}, path: segPath},
		"other address":   {claims: playback.Claims{IP: "192.0.2.2"}, path: segPath, want: playback.ReasonIP},
		"a header that nobody may set": {
			claims: playback.Claims{IP: "192.0.2.2"}, path: segPath, head: []string{"X-Forwarded-For", "192.0.2.2"}, want: playback.ReasonIP,
		},
		"by a proxy": {
			claims: playback.Claims{IP: "192.0.2.2"}, path: segPath, remote: "10.1.1.1:5",
			head: []string{"X-Forwarded-For", "203.0.113.9, 192.0.2.2, 10.2.2.2"},
		},
		"what a viewer tells the proxy": {
			claims: playback.Claims{IP: "203.0.113.9"}, path: segPath, remote: "[::ffff:10.1.1.1]:5",
			head: []string{"X-Forwarded-For", "203.0.113.9, 192.0.2.2"}, want: playback.ReasonIP,
		},
		"a proxy that tells nonsense": {
			claims: playback.Claims{IP: "10.0.0.0/8"}, path: segPath, remote: "10.1.1.1:5",
			head: []string{"X-Forwarded-For", "unknown"}, want: playback.ReasonIP,
		},
		"origin": {
			claims: playback.Claims{Origin: "https://www.example.com"}, path: segPath, head: []string{"Origin", "https://www.example.com"},
		},
		"referer": {
			claims: playback.Claims{Origin: "https://www.example.com"}, path: segPath,
			head: []string{"Referer", "https://www.example.com/page?x"},
		},
		"other origin": {
			claims: playback.Claims{Origin: "https://www.example.com"}, path: segPath,
			head: []string{"Origin", "null", "Referer", "https://www.example.com/"}, want: playback.ReasonOrigin,
		},
		"no origin": {claims: playback.Claims{Origin: "https://www.example.com"}, path: segPath, want: playback.ReasonOrigin},
	} {
		t.Run(name, func(t *testing.T) {
			token := s.token(t, c.claims)
			for range 2 { // also when it is remembered
				req := httptest.NewRequest(http.MethodGet, "/t/"+token+c.path, nil)
				for i := 0; i < len(c.head); i += 2 {
					req.Header.Set(c.head[i], c.head[i+1])
				}
				if c.remote != "" {
					req.RemoteAddr = c.remote
				}
				rec := httptest.NewRecorder()
				s.ServeHTTP(rec, req)
				if c.want != "" {
					wantRefusal(t, s, rec, c.want)
					continue
				}
				wantStatus(t, rec, http.StatusOK)
				if vary := strings.Join(rec.Header()["Vary"], ","); strings.Contains(vary, "Origin") != (c.claims.Origin != "") {
					t.Errorf("Vary %q", vary)
				}
			}
		})
	}
}

// TestTokensExpireWhileTheyAreRemembered has time pass, to both sides of the skew.
func TestTokensExpireWhileTheyAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSignedWorld(t, Config{})
		uri := "/t/" + s.token(t, playback.Claims{
			NotBefore: time.Now().Add(playback.Skew + time.Minute), ExpiresAt: time.Now().Add(10 * time.Minute),
		}) + segPath
		wantRefusal(t, s, s.get(t, uri), playback.ReasonNotYet)
		time.Sleep(time.Minute)
		wantStatus(t, s.get(t, uri), http.StatusOK)
		time.Sleep(9*time.Minute + playback.Skew - time.Second)
		wantStatus(t, s.get(t, uri), http.StatusOK)
		time.Sleep(time.Second)
		wantRefusal(t, s, s.get(t, uri), playback.ReasonExpired)
		if n := testutil.ToFloat64(s.metrics.verifications); n != 1 {
			t.Errorf("verified %v times", n)
		}
	})
}

func TestRevokedKeysAreGoodForNothing(t *testing.T) {
	synctest.Test(t, timelessRevokedKeysAreGoodForNothing)
}

func timelessRevokedKeysAreGoodForNothing(t *testing.T) {
	s := newSignedWorld(t, Config{})
	uri := "/t/" + s.token(t, playback.Claims{}) + segPath
	wantStatus(t, s.get(t, uri), http.StatusOK)
	s.sign(3)
	wantRefusal(t, s, s.get(t, uri), playback.ReasonKey)
	other := s.key
	other.Key = playback.NewSecret()
	s.sign(4, other) // the refusal was not remembered either
	wantRefusal(t, s, s.get(t, uri), playback.ReasonSignature)
	s.sign(5, s.key)
	wantStatus(t, s.get(t, uri), http.StatusOK)
}

func TestNobodyIsLetInBeforePoliciesAreKnown(t *testing.T) {
	synctest.Test(t, timelessNobodyIsLetInBeforePoliciesAreKnown)
}

func timelessNobodyIsLetInBeforePoliciesAreKnown(t *testing.T) {
	s := newSignedWorld(t, Config{})
	s.policies.Store(nil)
	rec := s.get(t, segPath)
	wantStatus(t, rec, http.StatusServiceUnavailable)
	if rec.Header().Get("Retry-After") == "" || rec.Header().Get("Cache-Control") != "no-store" || s.a.total() != 0 {
		t.Errorf("%v", rec.Header())
	}
}

// TestTokensCostNoHits holds what a thousand viewers with tokens of their own cost against a thousand without.
func TestTokensCostNoHits(t *testing.T) { synctest.Test(t, timelessTokensCostNoHits) }

func timelessTokensCostNoHits(t *testing.T) {
	const viewers = 400
	paths := []string{streamBase + "/index.m3u8", livePath, segPath}
	run := func(signed bool, uri func(token, path string) string) (upstream int64, results [6]float64) {
		var asked atomic.Int64
		s := newSignedWorld(t, Config{OnUpstream: func(string, string) { asked.Add(1) }})
		if !signed {
			s.setPolicies(media.PlaybackPolicies{Version: 3})
		}
		for viewer := range viewers {
			token := s.token(t, playback.Claims{Stream: "show", IssuedAt: time.Unix(int64(viewer), 0)})
			for _, path := range paths {
				rec := s.get(t, uri(token, path), "Accept-Encoding", "gzip")
				wantStatus(t, rec, http.StatusOK)
			}
		}
		for r := range results {
			results[r] = testutil.ToFloat64(s.metrics.requests[r])
		}
		return asked.Load(), results
	}
	without, plain := run(false, func(_, path string) string { return path })
	inPath, byPath := run(true, func(token, path string) string { return "/t/" + token + path })
	inQuery, byQuery := run(true, func(token, path string) string { return path + "?token=" + token })
	if inPath != without || inQuery != without || without == 0 {
		t.Errorf("upstream requests: %d without tokens, %d with them in paths, %d in queries", without, inPath, inQuery)
	}
	if byPath != plain || byQuery != plain || plain[resultHit] < 3*viewers-10 {
		t.Errorf("answers: %v without tokens, %v with them in paths, %v in queries", plain, byPath, byQuery)
	}
}

func TestQueryTokensGoOnInMultivariantPlaylists(t *testing.T) {
	synctest.Test(t, timelessQueryTokensGoOnInMultivariantPlaylists)
}

func timelessQueryTokensGoOnInMultivariantPlaylists(t *testing.T) {
	s := newSignedWorld(t, Config{})
	first, second := s.token(t, playback.Claims{Stream: "show"}), s.token(t, playback.Claims{})
	tags := make(map[string]string)
	for _, coding := range []string{"gzip", "identity"} {
		for _, token := range []string{first, second} {
			uri := streamBase + "/index.m3u8?token=" + token
			rec := s.get(t, uri, "Accept-Encoding", coding)
			wantStatus(t, rec, http.StatusOK)
			to := "../../t/" + token + streamBase + "/"
			want := strings.NewReplacer(
				`URI="`+testRec, `URI="`+to+testRec, "\n"+testRec+"/", "\n"+to+testRec+"/").Replace(multivariant)
			if got := unpacked(t, rec); got != want {
				t.Errorf("%s:\n%s", coding, got)
			}
			tag := rec.Header().Get("Etag")
			if other, used := tags[tag]; used || tag == "" {
				t.Errorf("ETag %s is also that of %s", tag, other)
			}
			tags[tag] = uri
			wantStatus(t, s.get(t, uri, "Accept-Encoding", coding, "If-None-Match", tag), http.StatusNotModified)
			head := s.do(t.Context(), http.MethodHead, uri, "Accept-Encoding", coding)
			wantStatus(t, head, http.StatusOK)
			if head.Header().Get("Content-Length") != fmt.Sprint(rec.Body.Len()) || head.Body.Len() != 0 {
				t.Errorf("HEAD: %v and %d bytes", head.Header(), head.Body.Len())
			}
			// A player that follows it is let in.
			wantStatus(t, s.get(t, "/t/"+token+streamBase+"/"+testRec+"/live/video.m3u8"), http.StatusOK)
		}
		path := s.get(t, "/t/"+first+streamBase+"/index.m3u8", "Accept-Encoding", coding)
		if got := unpacked(t, path); got != multivariant {
			t.Errorf("with the token in the path:\n%s", got)
		}
	}
	if n := s.a.of(streamBase + "/index.m3u8"); n != 1 {
		t.Errorf("%d upstream requests", n)
	}
	// Directives are read without it.
	rec := s.get(t, livePath+"?token="+first+"&_HLS_msn=7")
	wantStatus(t, rec, http.StatusOK)
	if s.a.of(livePath+"?_HLS_msn=7") != 1 {
		t.Errorf("upstream requests %v", s.a.n)
	}
}

func TestVerdictsAreBounded(t *testing.T) {
	v := newVerdicts()
	now := time.Now()
	for i := range 3 * verdictShards * maxGrants {
		v.put(verdictKey("acme", fmt.Sprint("good", i)), &playback.Grant{}, nil, now)
		v.put(verdictKey("acme", fmt.Sprint("bad", i)), nil, errBusy, now)
	}
	if n := v.len(); n > verdictShards*(2*maxGrants+maxRefused) {
		t.Errorf("%d are remembered", n)
	}
	last := verdictKey("acme", fmt.Sprint("good", 3*verdictShards*maxGrants-1))
	if grant, err := v.get(last, now); grant == nil || err != nil {
		t.Error("the newest is forgotten")
	}
	if grant, err := v.get(verdictKey("beta", "good0"), now); grant != nil || err != nil {
		t.Error("another publisher's is known")
	}
	bad := verdictKey("acme", fmt.Sprint("bad", 3*verdictShards*maxGrants-1))
	if _, err := v.get(bad, now); err == nil {
		t.Error("the newest bad one is forgotten")
	}
	if _, err := v.get(bad, now.Add(refusedTTL)); err != nil {
		t.Error("a bad one is remembered too long")
	}
}

func BenchmarkHitSigned(b *testing.B) {
	s := newSignedWorld(b, Config{})
	for name, uri := range map[string]string{
		"path":                         "/t/" + s.token(b, playback.Claims{Stream: "show"}) + segPath,
		"query":                        segPath + "?token=" + s.token(b, playback.Claims{Stream: "show"}),
		"playlist":                     streamBase + "/index.m3u8?token=" + s.token(b, playback.Claims{Stream: "show"}),
		"public of a signed publisher": strings.Replace(segPath, "show", "open", 1),
	} {
		b.Run(name, func(b *testing.B) {
			s.directory.change(func(d *directory) {
				d.location.Stream = map[bool]string{true: "open", false: "show"}[strings.Contains(uri, "/open/")]
			})
			wantStatus(b, s.get(b, uri), http.StatusOK)
			req := httptest.NewRequest(http.MethodGet, uri, nil)
			d := &discard{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(d.header)
				s.ServeHTTP(d, req)
			}
		})
	}
}

// BenchmarkAdmit is what playback policies cost each request, beside a hit.
func BenchmarkAdmit(b *testing.B) {
	s := newSignedWorld(b, Config{})
	signed := s.policies.Load()
	for _, c := range []struct {
		name, uri string
		known     *policies
	}{
		{"nothing is signed", segPath, newPolicies(media.PlaybackPolicies{}, nil)},
		{"public", strings.Replace(segPath, "acme", "other", 1), signed},
		{"token", "/t/" + s.token(b, playback.Claims{Stream: "show"}) + segPath, signed},
	} {
		b.Run(c.name, func(b *testing.B) {
			s.policies.Store(c.known)
			req := httptest.NewRequest(http.MethodGet, c.uri, nil)
			d := &discard{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				v := visit{path: req.URL.Path, query: req.URL.RawQuery}
				if err := s.admit(s.newWeb(d, req), &v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// FuzzAdmit has no path, query and header let anybody see what is signed, and no token go on.
func FuzzAdmit(f *testing.F) {
	f.Add("/t/x/acme/show/index.m3u8", "token=x&_HLS_msn=1&token=y", "192.0.2.1, 10.0.0.1")
	f.Add("/t//acme/show/a", "&&token=&a=token=b", "[::1]:80,,::ffff:1.2.3.4")
	f.Add("//acme/show", "token", "fe80::1%eth0")
	s := newSignedWorld(f, Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	f.Fuzz(func(t *testing.T, path, query, forwarded string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path, r.URL.RawQuery = path, query
		r.RemoteAddr, r.Header["X-Forwarded-For"] = "192.0.2.1:1", []string{forwarded}
		x, v := s.newWeb(httptest.NewRecorder(), r), visit{path: path, query: query}
		err := s.admit(x, &v)
		if rt, none := parseRoute(v.path); none == nil && rt.path.Publisher == "acme" && rt.path.Stream != "open" && err == nil {
			t.Errorf("%q is let in", path)
		}
		for pair := range strings.SplitSeq(v.query, "&") {
			if strings.HasPrefix(pair, tokenField) {
				t.Errorf("query %q has a token", v.query)
			}
		}
		if addr := s.config.viewer(x)(); addr.Is4In6() || addr.Zone() != "" {
			t.Errorf("viewer %s", addr)
		}
	})
}

// FuzzWithToken has every line stay a line, and nothing be lost of a playlist.
func FuzzWithToken(f *testing.F) {
	f.Add(multivariant)
	f.Add("#EXT-X-MEDIA:URI=\"a\",X-URI=\"b\",URI=\"\nURI=\"x")
	f.Fuzz(func(t *testing.T, text string) {
		const prefix, dir = "../../t/TOKEN/", "acme/show/"
		got := string(withToken([]byte(text), prefix, dir))
		if strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Fatalf("%q became %q", text, got)
		}
		if strings.Contains(text, "TOKEN") || strings.Contains(text, prefix[:4]) {
			return
		}
		back := strings.NewReplacer(prefix+dir, "", strings.TrimSuffix(prefix, "/"), "").Replace(got)
		if back != text {
			t.Fatalf("%q became %q", text, got)
		}
	})
}
