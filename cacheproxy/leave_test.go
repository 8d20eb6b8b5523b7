package cacheproxy

import (
	"net/http"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"
)

func TestWhoWaitsIsSentAwayAtTheEnd(t *testing.T) {
	for _, inTheLane := range []bool{true, false} {
		asked, ended := make(chan struct{}, 2), make(chan struct{})
		up := &node{}
		up.set(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/8.m4s") {
				asked <- struct{}{}
				select {
				case <-r.Context().Done():
				case <-ended:
				}
				return
			}
			fixed("kept", immutable)(w, r)
		})
		e := newRealEdge(t, Config{}, nil, up)
		url := e.url
		if inTheLane {
			_, url = inLane(t, e.Proxy)
		}
		if got := ask1(t, e.client, url, asked1(segPath)); got.status != http.StatusOK {
			t.Fatalf("%d", got.status)
		}
		var viewers errgroup.Group
		for range 3 {
			viewers.Go(func() error {
				got := ask1(t, e.client, url, asked1(recBase+"/1/video/8.m4s"))
				if got.status != http.StatusServiceUnavailable || http.Header(got.header).Get("Retry-After") != "1" {
					t.Errorf("who waits: %d %v", got.status, got.header)
				}
				return nil
			})
		}
		<-asked
		eventually(t, "all wait", func() bool { return e.waiting.Load() == 3 })
		e.EndWaits()
		_ = viewers.Wait()
		if got := ask1(t, e.client, url, asked1(recBase+"/1/video/9.m4s")); got.status != http.StatusServiceUnavailable {
			t.Errorf("who would have to wait: %d", got.status)
		}
		if got := ask1(t, e.client, url, asked1(segPath)); got.status != http.StatusOK || string(got.body) != "kept" {
			t.Errorf("what is cached: %d", got.status)
		}
		close(ended)
	}
}

func asked1(uri string) asked { return asked{http.MethodGet, uri, nil} }

func TestWhoWaitsForAnOriginIsSentAwayAtTheEnd(t *testing.T) {
	asked := make(chan struct{}, 1)
	w := newReverseWorld(t, ReverseConfig{}, func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
	})
	go func() {
		<-asked
		w.cache.EndWaits()
	}()
	if got := w.get("/a"); got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") != "1" {
		t.Errorf("%d %v", got.status, got.header)
	}
}
