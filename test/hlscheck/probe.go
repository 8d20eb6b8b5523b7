package hlscheck

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// probe asks, beside the players' requests, for what a client may ask as well, one odd thing at a time.
func (c *Checker) probe(ctx context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		pause(ctx, 80*time.Millisecond)
		c.mu.Lock()
		order := slices.Clone(c.mu.judge.order)
		c.mu.Unlock()
		if len(order) == 0 {
			continue
		}
		probes := c.probes()
		uri := order[n/len(probes)%len(order)]
		if v := c.latest(uri); v != nil && len(v.segments) > 0 {
			probes[n%len(probes)](ctx, uri, v)
		}
	}
}

type probe func(ctx context.Context, uri string, v *version)

func (c *Checker) probes() []probe {
	query := func(format string, args func(v *version) []any) probe {
		return func(ctx context.Context, uri string, v *version) {
			if v.controls.text("CAN-BLOCK-RELOAD") == "YES" {
				c.get(ctx, uri+fmt.Sprintf(format, args(v)...))
			}
		}
	}
	none := func(*version) []any { return nil }
	last := func(v *version) []any { return []any{v.last()} }
	return []probe{
		query("?_HLS_part=0", none),
		query("?_HLS_msn=x1", none),
		query("?_HLS_msn=-1", none),
		query("?_HLS_msn=99999999999999999999", none),
		query("?_HLS_msn=%d", func(v *version) []any { return []any{v.last() + 50} }),
		query("?_HLS_msn=%d&_HLS_part=99", func(v *version) []any { return []any{v.edge().msn} }),
		query("?_HLS_msn=%d", last),
		query("?_HLS_msn=%d&_HLS_part=0", last),
		query("?_HLS_msn=%d&_HLS_part=40", last),
		query("?_HLS_msn=1", none),
		query("?_HLS_part=0&_HLS_msn=%d", last),
		query("?_HLS_msn=%d&_HLS_odd=1&foreign=2", last),
		query("?_HLS_msn=%d", func(v *version) []any { return []any{v.last() + 1} }),
		query("?_HLS_skip=YES", none),
		func(ctx context.Context, uri string, _ *version) { c.ask(ctx, http.MethodHead, uri, nil) },
		func(ctx context.Context, uri string, _ *version) {
			c.ask(ctx, http.MethodOptions, uri, http.Header{
				"Origin": {"https://player.example"}, "Access-Control-Request-Method": {"GET"},
				"Access-Control-Request-Headers": {"range"},
			})
		},
		func(ctx context.Context, uri string, _ *version) {
			if x := c.get(ctx, uri); x.Answer.Get("Etag") != "" {
				c.ask(ctx, http.MethodGet, uri, http.Header{"If-None-Match": {x.Answer.Get("Etag")}})
			}
		},
		c.probeMedia,
		c.probeUnknown,
	}
}

// probeMedia asks for a segment in other ways.
func (c *Checker) probeMedia(ctx context.Context, _ string, v *version) {
	i := slices.IndexFunc(v.segments, func(s segment) bool { return !s.gap && strings.HasSuffix(path(s.uri), ".m4s") })
	if i < 0 {
		return
	}
	s := v.segments[i]
	whole := c.get(ctx, s.uri)
	c.ask(ctx, http.MethodHead, s.uri, nil)
	for _, r := range []string{"bytes=0-99", "bytes=100-", fmt.Sprintf("bytes=%d-", len(whole.Body)+1)} {
		c.ask(ctx, http.MethodGet, s.uri, http.Header{"Range": {r}})
	}
	if etag := whole.Answer.Get("Etag"); etag != "" {
		c.ask(ctx, http.MethodGet, s.uri, http.Header{"If-None-Match": {etag}})
	}
	for _, s := range v.segments { // parts that are listed no more
		if known := c.parts(v.url, s.msn); len(s.parts) == 0 && len(known) > 0 {
			c.get(ctx, known[0].uri)
			return
		}
	}
}

// parts gives those that were once listed of a segment.
func (c *Checker) parts(uri string, msn int64) []part {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.mu.judge.renditions[uri].segments[msn]; s != nil {
		return s.parts
	}
	return nil
}

// probeUnknown asks for what is not there.
func (c *Checker) probeUnknown(ctx context.Context, uri string, v *version) {
	dir := uri[:strings.LastIndex(uri, "/")+1]
	c.get(ctx, dir+"nothing.m3u8")
	media := v.segments[len(v.segments)-1].uri
	media = media[:strings.LastIndex(media, "/")+1]
	for _, name := range []string{"99999.m4s", "99999.0.m4s", "nothing.mp4", "x"} {
		c.get(ctx, media+name)
	}
}

// afterEnd looks once more at all that had been listed.
func (c *Checker) afterEnd(ctx context.Context) {
	c.mu.Lock()
	order := slices.Clone(c.mu.judge.order)
	c.mu.Unlock()
	for _, uri := range order {
		v := c.latest(uri)
		if v == nil {
			continue
		}
		c.get(ctx, uri)
		c.get(ctx, fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=7", uri, v.last()+9))
		c.get(ctx, uri+"?_HLS_msn=nothing")
		for _, s := range v.segments {
			if !s.gap {
				c.get(ctx, path(s.uri))
			}
		}
	}
}
