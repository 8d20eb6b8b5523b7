package cacheproxy

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// A page's browser asks before it sends a range or CMCD, and without a token. Both servers answer it.
func TestPreflightsAreAnsweredBeforeAnybodyIsAskedForAToken(t *testing.T) {
	e := newRealEdge(t, Config{}, nil, &node{})
	e.setPolicies(media.PlaybackPolicies{Version: 2, Publishers: map[string]media.PublisherPlaybackPolicy{"acme": {Playback: "signed"}}})
	_, lane := inLane(t, e.Proxy)
	for name, url := range map[string]string{"net/http": e.url, "lane": lane} {
		refused := ask1(t, e.client, url, asked{http.MethodGet, segPath, []string{"Origin: https://page.example"}})
		if h := http.Header(refused.header); refused.status != http.StatusForbidden ||
			h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Timing-Allow-Origin") != "*" {
			t.Errorf("%s: without a token: %d %v", name, refused.status, h)
		}
		for _, private := range []bool{false, true} {
			lines := []string{
				"Origin: https://page.example", "Access-Control-Request-Method: GET",
				"Access-Control-Request-Headers: cmcd-object,cmcd-request,cmcd-session,cmcd-status,range",
			}
			if private {
				lines = append(lines, "Access-Control-Request-Private-Network: true")
			}
			got := ask1(t, e.client, url, asked{http.MethodOptions, segPath, lines})
			h := http.Header(got.header)
			allowed := strings.Split(strings.ToLower(h.Get("Access-Control-Allow-Headers")), ", ")
			for want := range strings.SplitSeq("cmcd-object,cmcd-request,cmcd-session,cmcd-status,range", ",") {
				if !slices.Contains(allowed, want) {
					t.Errorf("%s: %s is not allowed: %q", name, want, allowed)
				}
			}
			if got.status != http.StatusNoContent || h.Get("Access-Control-Allow-Origin") != "*" ||
				h.Get("Access-Control-Max-Age") == "" || h.Get("Access-Control-Allow-Methods") != "GET, HEAD, OPTIONS" ||
				(h.Get("Access-Control-Allow-Private-Network") == "true") != private {
				t.Errorf("%s: %d %v", name, got.status, h)
			}
		}
	}
}
