package cacheproxy

import (
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// A catalog that was lost takes what was signed with it: it does not become public by that.
func TestPoliciesOutliveTheCatalog(t *testing.T) {
	signed := media.PublisherPlaybackPolicy{Playback: media.PlaybackSigned}
	first := time.Now().Add(-time.Hour)
	told := func(version int64, born time.Time, publishers ...string) media.PlaybackPolicies {
		p := media.PlaybackPolicies{Version: version, Born: born, Publishers: map[string]media.PublisherPlaybackPolicy{}}
		for _, name := range publishers {
			p.Publishers[name] = signed
		}
		return p
	}
	public := func(p media.PlaybackPolicies, names ...string) media.PlaybackPolicies { p.Public = names; return p }
	for name, row := range map[string]struct {
		told []media.PlaybackPolicies
		want bool // that the publisher is guarded
	}{
		"made public": {told: []media.PlaybackPolicies{told(5, first, "acme"), told(6, first)}},
		"a younger catalog": {
			told: []media.PlaybackPolicies{told(5, first, "acme"), told(1, first.Add(time.Minute))}, want: true,
		},
		"and it goes on": {
			told: []media.PlaybackPolicies{
				told(5, first, "acme"), told(1, first.Add(time.Minute)), told(9, first.Add(time.Minute), "other"),
			},
			want: true,
		},
		"until the publisher is back, and public": {told: []media.PlaybackPolicies{
			told(5, first, "acme"), told(1, first.Add(time.Minute)), public(told(2, first.Add(time.Minute)), "acme"),
		}},
		"an older state of the catalog": {
			told: []media.PlaybackPolicies{told(5, first, "acme"), told(4, first)}, want: true,
		},
		"a directory that can not say": {
			told: []media.PlaybackPolicies{told(5, time.Time{}, "acme"), told(6, first)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var p *policies
			for _, next := range row.told {
				p = newPolicies(next, p)
			}
			if got := p.guarding("/acme/show/index.m3u8") != nil; got != row.want {
				t.Errorf("guarded: %v, want %v", got, row.want)
			}
		})
	}
}
