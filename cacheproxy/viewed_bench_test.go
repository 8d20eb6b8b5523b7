package cacheproxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/viewing"
)

// counted tells a book of viewers, as cmd/oxbow does.
type counted struct{ book *viewing.Book }

func (c counted) Asked(r *Request) any {
	v := c.book.Asked(&viewing.Request{Path: r.Path, Query: r.Query, Token: r.Token, Head: r.Head, At: r.At, Fields: r})
	if v == nil {
		return nil
	}
	return v
}

func (c counted) Answered(mark any, a Answer) {
	c.book.Answered(mark.(*viewing.Visit), viewing.Answer{Status: a.Status, Body: a.Body, Cut: a.Cut, Took: a.Took})
}

// BenchmarkHitViewed is a hit with its viewer counted, beside one of nobody's.
func BenchmarkHitViewed(b *testing.B) {
	const report = `bl=1400,br=2600,d=200,dl=1400,mtp=48300,ot=v,rtp=13000,sf=h,` +
		`sid="6b7cbb54-8b0c-4d8c-9b8c-000000000001",st=ll,tb=2600`
	for name, row := range map[string]struct {
		viewed bool
		query  string
	}{
		"nobody": {}, "plain": {viewed: true}, "CMCD": {viewed: true, query: "?CMCD=" + url.QueryEscape(report)},
	} {
		b.Run(name, func(b *testing.B) {
			var config Config
			if row.viewed {
				config.Observers = []Observer{counted{viewing.New(viewing.Config{}, prometheus.NewRegistry())}}
			}
			w := newWorld(b, config)
			w.a.set(fixed(string(bodyOf(segPath, 1<<10)), immutable, "Content-Type", "video/mp4", "Etag", `"e1"`))
			wantStatus(b, w.get(b, segPath), http.StatusOK)
			req := httptest.NewRequest(http.MethodGet, segPath+row.query, nil)
			req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36")
			d := &discard{header: make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				clear(d.header)
				w.ServeHTTP(d, req)
			}
			if w.a.total() != 1 {
				b.Fatal(fmt.Sprint(w.a.total(), " fetches"))
			}
		})
	}
}
