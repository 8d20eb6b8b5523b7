package cacheproxy

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// broadcast is a media playlist with times and durations that a real one has, which do not repeat.
func broadcast(segments int) string {
	r := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:10\n#EXT-X-TARGETDURATION:4\n#EXT-X-PART-INF:PART-TARGET=0.5\n" +
		"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5,CAN-SKIP-UNTIL=24.0\n#EXT-X-MEDIA-SEQUENCE:1\n")
	for i := range segments {
		fmt.Fprintf(&b, "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T06:%02d:%02d.%03dZ\n", i/15%60, i*4%60, r.IntN(1000))
		for part := range 8 {
			if i >= segments-3 {
				fmt.Fprintf(&b, "#EXT-X-PART:DURATION=0.49%03d,URI=\"../1/video/%d.%d.m4s\"\n", r.IntN(1000), i+1, part)
			}
		}
		fmt.Fprintf(&b, "#EXTINF:4.00%03d,\n../1/video/%d.m4s\n", r.IntN(1000), i+1)
	}
	return b.String()
}

// wideLadder is a multivariant playlist that is long when it is packed.
func wideLadder() string {
	r := rand.New(rand.NewPCG(3, 4))
	var b strings.Builder
	b.WriteString("#EXTM3U\n#EXT-X-VERSION:6\n")
	for i := range 150 {
		fmt.Fprintf(&b, "#EXT-X-STREAM-INF:BANDWIDTH=%d,STABLE-VARIANT-ID=\"v%d\"\n%s/live/v%d.m3u8\n",
			r.IntN(1e9), i, testRec, i)
	}
	return b.String()
}

func unpackZstd(t testing.TB, packed []byte) string {
	t.Helper()
	// What browsers take: RFC 9659 allows windows of 8 MB.
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	text, err := z.DecodeAll(packed, nil)
	if err != nil {
		t.Fatalf("%v in %.40q", err, packed)
	}
	return string(text)
}

// textOf gives an answer's text and how it was packed.
func textOf(t testing.TB, rec *httptest.ResponseRecorder) (text, coding string) {
	t.Helper()
	if coding = rec.Header().Get("Content-Encoding"); coding == "zstd" {
		return unpackZstd(t, rec.Body.Bytes()), coding
	}
	return unpacked(t, rec), coding
}

func TestLongPlaylistsAreSentInZstd(t *testing.T) {
	const browser = "gzip, deflate, br, zstd"
	for _, c := range []struct {
		name, text, accept, want string
	}{
		{"short, either", broadcast(8), browser, "gzip"},
		{"long, either", broadcast(100), browser, "zstd"},
		{"long, gzip", broadcast(100), "gzip, deflate, br", "gzip"},
		{"long, gzip rather", broadcast(100), "gzip, zstd;q=0.9", "gzip"},
		{"long, plain", broadcast(100), "br", ""},
		{"short, zstd rather", broadcast(8), "gzip;q=0.5, zstd", "zstd"},
		{"long, zstd only", broadcast(100), "zstd", "zstd"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, Config{})
			w.a.set(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Cache-Control", "public, max-age=1000")
				writePlaylist(rw, r, c.text)
			})
			tags := make(map[string]string)
			for range 2 { // on its way, and out of memory
				for _, accept := range []string{c.accept, "gzip", "identity"} {
					rec := w.get(t, livePath, "Accept-Encoding", accept)
					wantStatus(t, rec, http.StatusOK)
					text, coding := textOf(t, rec)
					if text != c.text || accept == c.accept && coding != c.want {
						t.Fatalf("%s: in %q %d bytes", accept, coding, len(text))
					}
					h := rec.Header()
					if h.Get("Vary") != "Accept-Encoding" {
						t.Errorf("Vary: %q", h["Vary"])
					}
					if got := h.Get("Content-Length"); got != fmt.Sprint(rec.Body.Len()) {
						t.Errorf("Content-Length: %s for %d bytes", got, rec.Body.Len())
					}
					tag := h.Get("Etag")
					if other, used := tags[tag]; tag == "" || used && other != coding {
						t.Errorf("ETag %s is of %q and of %q", tag, coding, other)
					}
					tags[tag] = coding
					again := w.get(t, livePath, "Accept-Encoding", accept, "If-None-Match", tag)
					wantStatus(t, again, http.StatusNotModified)
					head := w.do(t.Context(), http.MethodHead, livePath, "Accept-Encoding", accept)
					if head.Header().Get("Content-Length") != h.Get("Content-Length") || head.Body.Len() > 0 {
						t.Errorf("HEAD: %v", head.Header())
					}
					part := w.get(t, livePath, "Accept-Encoding", accept, "Range", "bytes=3-9", "If-Range", tag)
					wantStatus(t, part, http.StatusPartialContent)
					if !bytes.Equal(part.Body.Bytes(), rec.Body.Bytes()[3:10]) {
						t.Errorf("a range of %q: %q", coding, part.Body)
					}
				}
			}
			if n := w.a.of(livePath); n != 1 {
				t.Errorf("%d upstream requests", n)
			}
		})
	}
}

// A version that thousands wait for is packed once, and the next one anew.
func TestZstdIsMadeOncePerVersion(t *testing.T) { synctest.Test(t, timelessZstdIsMadeOncePerVersion) }

func timelessZstdIsMadeOncePerVersion(t *testing.T) {
	w := newWorld(t, Config{})
	s := newShow(400, 2)
	w.net.set("a", s)
	for version, next := range []string{"_HLS_msn=401&_HLS_part=2", "_HLS_msn=401&_HLS_part=3", "_HLS_msn=402&_HLS_part=0"} {
		uri := livePath + "?" + next
		var wg sync.WaitGroup
		texts := make([]string, 50)
		for i := range texts {
			wg.Go(func() {
				rec := w.get(t, uri, "Accept-Encoding", "zstd")
				if rec.Code == http.StatusOK {
					texts[i] = rec.Body.String()
				}
			})
		}
		eventually(t, "all wait", func() bool { return w.waiting.Load() >= int64(len(texts)) })
		s.advance()
		wg.Wait()
		want := s.text(false)
		for _, packed := range texts {
			if packed == "" || unpackZstd(t, []byte(packed)) != want {
				t.Fatalf("version %d: %d bytes that are not its own", version, len(packed))
			}
		}
		if n := testutil.ToFloat64(w.metrics.zstdMade); n != float64(version+1) {
			t.Fatalf("packed %v times after %d versions", n, version+1)
		}
	}
}

func TestSteeredAndPersonalPlaylistsInZstd(t *testing.T) {
	synctest.Test(t, timelessSteeredAndPersonalPlaylistsInZstd)
}

func timelessSteeredAndPersonalPlaylistsInZstd(t *testing.T) {
	text := wideLadder()
	s := newSignedWorld(t, Config{})
	s.a.set(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Cache-Control", "public, max-age=1000")
		writePlaylist(rw, r, text)
	})
	token := s.token(t, playback.Claims{Stream: "show"})
	tags := make(map[string]string)
	for _, offer := range []media.Steering{{}, toEdgeA} {
		s.SetSteering(offer)
		for _, uri := range []string{
			streamBase + "/index.m3u8?token=" + token, "/t/" + token + streamBase + "/index.m3u8",
		} {
			want, coding := textOf(t, s.get(t, uri, "Accept-Encoding", "gzip"))
			if coding != "gzip" || strings.Contains(want, "STEERING") != (offer.URL != "") {
				t.Fatalf("%s: %.200q in %s", uri, want, coding)
			}
			for _, accept := range []string{"gzip, zstd", "zstd"} {
				rec := s.get(t, uri, "Accept-Encoding", accept)
				got, coding := textOf(t, rec)
				tag := rec.Header().Get("Etag")
				if got != want || coding != "zstd" || !strings.Contains(tag, "-zst") {
					t.Errorf("%s: %s in %q, ETag %s", accept, uri, coding, tag)
				}
				if other, used := tags[tag]; used && other != want {
					t.Errorf("ETag %s is of two texts", tag)
				}
				tags[tag] = want
				wantStatus(t, s.get(t, uri, "Accept-Encoding", accept, "If-None-Match", tag), http.StatusNotModified)
			}
		}
	}
	// Nobody is let in to see whose copies there are.
	wantStatus(t, s.get(t, streamBase+"/index.m3u8", "Accept-Encoding", "zstd"), http.StatusForbidden)
}

// What was packed once is unpacked as it was, whatever it was, and not by more memory than the limit.
func FuzzPacker(f *testing.F) {
	f.Add([]byte(broadcast(8)))
	f.Add([]byte(""))
	f.Add(bytes.Repeat([]byte("#EXTINF:4,\n"), 10_000))
	p := newPacker()
	f.Fuzz(func(t *testing.T, text []byte) {
		if got := unpackZstd(t, p.zstd(text)); got != string(text) {
			t.Errorf("zstd: %q", got)
		}
		packed, err := p.gzip(text)
		if err != nil {
			t.Fatal(err)
		}
		o := &object{header: http.Header{"Content-Encoding": {"gzip"}}}
		o.chunks = []slab.Piece{slab.Of(packed)}
		u := unzipper{max: int64(len(text))}
		if got, err := u.text(o); err != nil || string(got) != string(text) {
			t.Errorf("gzip: %q, %v", got, err)
		}
	})
}

func BenchmarkPacker(b *testing.B) {
	p := newPacker()
	for _, segments := range []int{8, 30, 100, 600} {
		text := []byte(broadcast(segments))
		b.Run(fmt.Sprintf("%d/zstd", segments), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n = len(p.zstd(text))
			}
			b.ReportMetric(float64(n), "packed-bytes")
		})
		b.Run(fmt.Sprintf("%d/gzip", segments), func(b *testing.B) {
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				packed, err := p.gzip(text)
				if err != nil {
					b.Fatal(err)
				}
				n = len(packed)
			}
			b.ReportMetric(float64(n), "packed-bytes")
		})
	}
}

func BenchmarkHitZstd(b *testing.B) {
	for _, accept := range []string{"gzip, deflate, br", "gzip, deflate, br, zstd"} {
		b.Run(accept[strings.LastIndexByte(accept, ' ')+1:], func(b *testing.B) {
			w := newWorld(b, Config{})
			text := broadcast(100)
			w.a.set(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Cache-Control", "public, max-age=1000")
				writePlaylist(rw, r, text)
			})
			wantStatus(b, w.get(b, livePath, "Accept-Encoding", "gzip"), http.StatusOK)
			req := httptest.NewRequest(http.MethodGet, livePath, nil)
			req.Header.Set("Accept-Encoding", accept)
			d := &discard{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(d.header)
				w.ServeHTTP(d, req)
			}
			if w.a.total() != 1 {
				b.Fatal("no hits")
			}
		})
	}
}
