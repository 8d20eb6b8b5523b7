package hlscheck

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// follow reloads one media playlist until its end and has all that it names fetched.
func (c *Checker) follow(ctx context.Context, uri string) {
	media := make(chan string, 4096)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m := range media {
			c.get(ctx, m)
		}
	}()
	defer func() {
		close(media)
		<-done
		c.mu.Lock()
		defer c.mu.Unlock()
		c.mu.live--
	}()
	c.get(ctx, uri)
	for n := 0; ctx.Err() == nil; n++ {
		v := c.latest(uri)
		if v == nil {
			pause(ctx, 200*time.Millisecond)
			c.get(ctx, uri)
			continue
		}
		c.fetch(ctx, v, media)
		if v.ended {
			return
		}
		next := uri + v.next()
		if v.next() == "" {
			pause(ctx, v.target/2)
		}
		skip := next
		if v.controls.has("CAN-SKIP-UNTIL") && n%2 == 1 && v.next() != "" {
			skip += "&_HLS_skip=YES"
			if v.controls.has("CAN-SKIP-DATERANGES") && n%4 == 1 {
				skip = next + "&_HLS_skip=v2"
			}
		}
		x := c.get(ctx, skip)
		switch {
		case x.Status != http.StatusOK:
			pause(ctx, 200*time.Millisecond)
			c.get(ctx, uri)
		case skip != next && n%8 == 1:
			c.get(ctx, next) // whole, to hold the delta against
		case n%16 == 2:
			c.get(ctx, uri)
		}
	}
}

// next gives the query of a blocking reload for what follows the version; "" if it can't block.
func (v *version) next() string {
	switch {
	case v.controls.text("CAN-BLOCK-RELOAD") != "YES":
		return ""
	case v.low():
		return fmt.Sprintf("?_HLS_msn=%d&_HLS_part=%d", v.edge().msn, v.edge().part)
	}
	return fmt.Sprintf("?_HLS_msn=%d", v.edge().msn)
}

// fetch asks once for all that is new in a version, and for the hinted part at once.
func (c *Checker) fetch(ctx context.Context, v *version, media chan<- string) {
	for _, h := range v.hints {
		if uri := h.text("URI"); c.first(uri) {
			c.wg.Go(func() {
				if x := c.exchange(ctx, http.MethodGet, uri, nil); x.Status == http.StatusOK {
					c.take(ctx, x)
				}
			})
		}
	}
	add := func(uri string) {
		if uri != "" && c.first(uri) {
			select {
			case media <- uri:
			default:
			}
		}
	}
	for _, s := range v.whole() {
		add(path(initURL(s.init)))
		if s.gap {
			continue
		}
		for _, p := range s.parts {
			if !p.gap {
				add(p.uri)
			}
		}
		add(path(s.uri))
	}
}

// first says whether the media was not yet asked for.
func (c *Checker) first(uri string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.mu.fetched[uri]
	c.mu.fetched[uri] = true
	return !was
}
