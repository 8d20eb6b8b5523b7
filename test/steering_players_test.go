package test

import (
	"crypto/tls"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
)

// sign has the edges that are added from now on want a token, and gives one.
func (s *steeredSite) sign() (token string) {
	s.tb.Helper()
	key := media.PlaybackKey{Publisher: "demo", ID: "k", Algorithm: media.PlaybackHS256, Key: playback.NewSecret()}
	signer, err := playback.NewSigner(key)
	if err != nil {
		s.tb.Fatal(err)
	}
	token, err = signer.Sign(playback.Claims{Publisher: "demo", Stream: "live", ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil {
		s.tb.Fatal(err)
	}
	s.policies.Publishers["demo"] = media.PublisherPlaybackPolicy{
		Playback: media.PlaybackSigned,
		Keys:     []media.VerifyingKey{{ID: key.ID, Algorithm: key.Algorithm, Key: key.Key}},
	}
	return token
}

// TestHlsJsKeepsItsTokenWhenSteered has a viewer of a signed stream go from one https edge to another and back: by
// host, with the token in its paths, of which the API is told nothing.
func TestHlsJsKeepsItsTokenWhenSteered(t *testing.T) {
	onlyFull(t)
	server := newOxbow(t)
	server.start("demo")
	s := newSteeredSite(t, server, awaitDemo(t, server))
	files := newCertificateFiles(t, "one.example")
	pair, err := tls.LoadX509KeyPair(files.cert, files.key)
	if err != nil {
		t.Fatal(err)
	}
	s.secure = &tls.Config{Certificates: []tls.Certificate{pair}}
	token := s.sign()
	a := s.add("a", "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(a.url, "https://"))
	b := s.add("b", "127.0.0.2:"+port)
	c := s.add("c", "127.0.0.1:0") // another port: it can't be told of without a token

	v := watchInBrowser(t, "hls.js", a.url+"/demo/live/index.m3u8?token="+token, "", "--trust", keyHash(t, files))
	eventually(t, time.Minute, "a picture", func() bool { _, n := v.newest(); return n > 10 })
	s.only("b")
	eventually(t, 20*time.Second, "it plays from b", func() bool { return b.media.Load() > 3 })
	s.only("c")
	eventually(t, 10*time.Second, "it stays where it is", s.manifests(2))
	s.only("a")
	before := a.media.Load()
	eventually(t, 20*time.Second, "it is back", func() bool { return a.media.Load() > before+3 })
	_, shown := v.newest()
	eventually(t, 20*time.Second, "it goes on", func() bool { _, n := v.newest(); return n > shown+30 })
	if n := a.index.Load() + b.index.Load(); n != 1 || c.media.Load() > 0 {
		t.Errorf("%d multivariant playlists, want one; %d requests at the edge with another port", n, c.media.Load())
	}
	s.mu.Lock()
	for _, q := range s.asked {
		if text, _ := url.QueryUnescape(q.Encode()); strings.Contains(text, token[:20]) || q.Get("dir") != "" {
			t.Errorf("the API was asked with %v", q)
		}
	}
	s.mu.Unlock()
	noneFatal(t, v)
}

// manifests says when so many more steering manifests have been asked for.
func (s *steeredSite) manifests(more int) func() bool {
	count := func() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.asked) }
	before := count()
	return func() bool { return count() >= before+more }
}

// TestHlsJsIsSteeredInARecording has a viewer of what is over go to an edge at another port: its tracks are named with
// the query of the clip.
func TestHlsJsIsSteeredInARecording(t *testing.T) {
	onlyFull(t)
	server := newOxbow(t)
	server.start("demo")
	s := newSteeredSite(t, server, awaitDemo(t, server))
	a, b := s.add("a", "127.0.0.1:0"), s.add("b", "127.0.0.1:0")
	clip := "/demo/live/" + s.show.ID + "/index.m3u8?start=0s&end=20s"
	eventually(t, time.Minute, "a clip of 20 s", func() bool {
		status, text, _ := fetch(a.url+clip, nil)
		if status != 200 || !strings.Contains(string(text), "#EXT-X-STREAM-INF") {
			return false
		}
		_, text, _ = fetch(a.url+variants(clip, string(text))[0], nil)
		return strings.Contains(string(text), "#EXT-X-ENDLIST") && strings.Count(string(text), "#EXTINF") >= 9
	})
	v := watchInBrowser(t, "hls.js", a.url+clip, `{"maxBufferLength": 3, "maxMaxBufferLength": 3}`)
	eventually(t, time.Minute, "a picture", func() bool { _, n := v.newest(); return n > 10 })
	from := b.media.Load()
	s.only("b")
	eventually(t, 20*time.Second, "it plays from b", func() bool { return b.media.Load() > from+2 && b.audio.Load() > 2 })
	at := a.media.Load()
	_, shown := v.newest()
	eventually(t, 20*time.Second, "it goes on", func() bool { _, n := v.newest(); return n > shown+50 })
	if n := a.media.Load() - at; n > 2 {
		t.Errorf("%d requests at the old edge after the move", n)
	}
	s.mu.Lock()
	if q := s.asked[0]; !strings.Contains(q.Get("q"), "start=") {
		t.Errorf("the clip's query is not told: %v", q)
	}
	s.mu.Unlock()
	noneFatal(t, v)
}
