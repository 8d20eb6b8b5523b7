package loadgen

import (
	"errors"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const steered = `#EXTM3U
#EXT-X-CONTENT-STEERING:SERVER-URI="/steer?x=1",PATHWAY-ID="a"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="other",STABLE-RENDITION-ID="o",URI="id/live/other.m3u8"
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio",DEFAULT=YES,STABLE-RENDITION-ID="audio",URI="id/live/audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=250000,STABLE-VARIANT-ID="low",AUDIO="audio",PATHWAY-ID="a"
id/live/low.m3u8?t=1
#EXT-X-STREAM-INF:BANDWIDTH=900000,STABLE-VARIANT-ID="high",AUDIO="audio",PATHWAY-ID="a"
id/live/high.m3u8?t=1
`

func mustMultivariant(tb testing.TB, text string) multivariant {
	tb.Helper()
	m, err := parseMultivariant(mustURL(tb, "http://a.example:8080/acme/show/index.m3u8"), []byte(text))
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

func mustURL(tb testing.TB, s string) *url.URL {
	tb.Helper()
	u, err := url.Parse(s)
	if err != nil {
		tb.Fatal(err)
	}
	return u
}

func TestMultivariantPlaylist(t *testing.T) {
	m := mustMultivariant(t, steered)
	if m.steering.String() != "http://a.example:8080/steer?x=1" || m.pathway != "a" || len(m.levels) != 2 {
		t.Errorf("%+v", m)
	}
	low := m.levels[0]
	if low.uri.String() != "http://a.example:8080/acme/show/id/live/low.m3u8?t=1" || low.bandwidth != 250000 {
		t.Errorf("%+v", low)
	}
	if audio := m.audioOf(low); audio == nil || audio.Path != "/acme/show/id/live/audio.m3u8" {
		t.Errorf("its audio is %v", audio)
	}
	plain := mustMultivariant(t, lowLatency)
	if len(plain.levels) != 1 || plain.levels[0].uri.Path != "/acme/show/index.m3u8" || plain.steering != nil {
		t.Errorf("a media playlist: %+v", plain)
	}
	for _, bad := range []string{"", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n", "#EXTM3U\n#EXT-X-STREAM-INF:X=1\n:\x7f\n"} {
		if _, err := parseMultivariant(low.uri, []byte(bad)); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestClonesHaveOtherURIs(t *testing.T) {
	for name, c := range map[string]struct {
		replacement uriReplacement
		low, audio  string
	}{
		"host": {
			uriReplacement{Host: "b.example"},
			"http://b.example:8080/acme/show/id/live/low.m3u8?t=1", "http://b.example:8080/acme/show/id/live/audio.m3u8",
		},
		"a host with a port is none to a browser": {
			uriReplacement{Host: "b.example:9000"},
			"http://a.example:8080/acme/show/id/live/low.m3u8?t=1", "http://a.example:8080/acme/show/id/live/audio.m3u8",
		},
		"parameters": {
			uriReplacement{Host: "b.example", Params: map[string]string{"t": "2"}},
			"http://b.example:8080/acme/show/id/live/low.m3u8?t=2", "http://b.example:8080/acme/show/id/live/audio.m3u8?t=2",
		},
		"each its own": {
			uriReplacement{
				Host: "b.example", Variants: map[string]string{"low": "http://c.example/low"},
				Renditions: map[string]string{"audio": "http://c.example/audio"},
			},
			"http://c.example/low", "http://c.example/audio",
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPathways(mustMultivariant(t, steered))
			p.clone(pathwayClone{Base: "a", ID: "b", Replacement: c.replacement})
			p.clone(pathwayClone{Base: "a", ID: "b", Replacement: uriReplacement{Host: "late.example"}}) // is there
			p.clone(pathwayClone{Base: "nobody", ID: "d"})
			levels := p.levelsOf("b")
			if len(levels) != 2 || len(p.levels) != 4 || len(p.audios) != 4 {
				t.Fatalf("%d levels of %d, %d renditions", len(levels), len(p.levels), len(p.audios))
			}
			if got := levels[0].uri.String(); got != c.low {
				t.Errorf("variant %s, want %s", got, c.low)
			}
			if got := p.audioOf(levels[0]).String(); got != c.audio {
				t.Errorf("audio %s, want %s", got, c.audio)
			}
			if own := p.audioOf(p.levelsOf("a")[0]).Host; own != "a.example:8080" {
				t.Errorf("the base's audio is at %s", own)
			}
		})
	}
}

// TestPathwaysAreLeft does to the rules what was seen of hls.js 1.7.4 in Chromium.
func TestPathwaysAreLeft(t *testing.T) {
	start := time.Now()
	fresh := func(ids ...string) *pathways {
		p := newPathways(mustMultivariant(t, steered))
		for _, id := range ids {
			p.clone(pathwayClone{Base: "a", ID: id, Replacement: uriReplacement{Host: id + ".example"}})
		}
		return p
	}
	t.Run("an order is followed", func(t *testing.T) {
		p := fresh("b")
		if p.follow([]string{"a", "b"}, start) || !p.follow([]string{"nobody", "b", "a"}, start) || p.current != "b" {
			t.Errorf("at %s", p.current)
		}
	})
	t.Run("a failure goes to the next of the last order, and is remembered for five minutes", func(t *testing.T) {
		p := fresh("b")
		p.follow([]string{"a", "b"}, start)
		if !p.penalise("a", start) || p.current != "b" {
			t.Fatalf("at %s", p.current)
		}
		if p.follow([]string{"a", "b"}, start.Add(299*time.Second)) {
			t.Error("it went back too early")
		}
		if !p.follow([]string{"a", "b"}, start.Add(301*time.Second)) || p.current != "a" {
			t.Error("it did not go back")
		}
	})
	t.Run("both failed within five minutes", func(t *testing.T) {
		p := fresh("b")
		p.follow([]string{"a", "b"}, start)
		p.penalise("a", start)
		if p.penalise("b", start.Add(time.Minute)) || p.current != "b" {
			t.Errorf("at %s", p.current)
		}
	})
	t.Run("one that came back under another name is free", func(t *testing.T) {
		p := fresh("b")
		p.follow([]string{"a", "b"}, start)
		p.penalise("a", start)
		p.clone(pathwayClone{Base: "a", ID: "a.2"})
		p.follow([]string{"b", "a.2"}, start)
		if !p.penalise("b", start.Add(time.Minute)) || p.current != "a.2" {
			t.Errorf("at %s", p.current)
		}
	})
	t.Run("without a manifest the playlist's own pathways are the order", func(t *testing.T) {
		p := newPathways(mustMultivariant(t, steered+"#EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"b\"\nlow.m3u8\n"))
		if !p.penalise("a", start) || p.current != "b" {
			t.Errorf("at %s", p.current)
		}
		if alone := fresh(); alone.penalise("a", start) {
			t.Error("there is nowhere to go")
		}
	})
}

func TestSteeringManifest(t *testing.T) {
	m, err := parseSteeringManifest([]byte(`{"VERSION":1,"TTL":2.5,"RELOAD-URI":"/s?slot=1","PATHWAY-PRIORITY":["b","a"],` +
		`"PATHWAY-CLONES":[{"BASE-ID":"a","ID":"b","URI-REPLACEMENT":{"HOST":"b.example"}}],"NEW":1}`))
	if err != nil || m.ttl() != 2500*time.Millisecond || !slices.Equal(m.Priority, []string{"b", "a"}) || m.Clones[0].ID != "b" {
		t.Errorf("%+v, %v", m, err)
	}
	for text, want := range map[string]error{
		`{"VERSION":2}`: media.ErrUnsupported, `[]`: media.ErrInvalid, ``: media.ErrInvalid,
		`"` + string(make([]byte, maxSteeringManifest)) + `"`: media.ErrTooLarge,
	} {
		if _, err := parseSteeringManifest([]byte(text)); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", text, err, want)
		}
	}
	for ttl, want := range map[float64]time.Duration{-1: 0, 0: 0, 1e30: maxTTL} {
		if got := (&steeringManifest{TTL: ttl}).ttl(); got != want {
			t.Errorf("TTL %v is %v, want %v", ttl, got, want)
		}
	}
}

func FuzzMultivariant(f *testing.F) {
	f.Add(steered, `{"VERSION":1,"TTL":1,"PATHWAY-CLONES":[{"BASE-ID":"a","ID":"b","URI-REPLACEMENT":{"HOST":"b"}}]}`)
	f.Add(lowLatency, `{"VERSION":1,"PATHWAY-PRIORITY":["."]}`)
	f.Fuzz(func(t *testing.T, playlist, manifest string) {
		m, err := parseMultivariant(&url.URL{Scheme: "http", Host: "a"}, []byte(playlist))
		if err != nil {
			return
		}
		p := newPathways(m)
		if s, err := parseSteeringManifest([]byte(manifest)); err == nil {
			for _, c := range s.Clones {
				p.clone(c)
			}
			p.follow(s.Priority, time.Now())
		}
		if len(p.levelsOf(p.current)) == 0 {
			t.Errorf("at %q, which has no variants", p.current)
		}
	})
}
