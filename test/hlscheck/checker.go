package hlscheck

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Config says what to follow.
type Config struct {
	URL    string       // of the multivariant playlist
	Client *http.Client // nil: one of our own. It must not follow redirects, and not decode gzip
	// Slack is what network, client and a busy machine may add to a time; 0 means 500 ms.
	Slack time.Duration
	// Linger is how long the playlists and the media are looked at behind their end.
	Linger time.Duration
}

// Checker follows one show as a strict low-latency client would, and judges all that it is told.
type Checker struct {
	config Config
	client *http.Client
	wg     sync.WaitGroup
	mu     struct {
		sync.Mutex

		judge   *Judge
		fetched map[string]bool // media that were asked for
		follows map[string]bool // media playlists
		live    int             // of them without ENDLIST
	}
}

// maxBody bounds an answer.
const maxBody = 64 << 20

// New makes a checker; Run starts it.
func New(config Config) *Checker {
	if config.Slack == 0 {
		config.Slack = 500 * time.Millisecond
	}
	c := &Checker{config: config, client: config.Client}
	if c.client == nil {
		c.client = &http.Client{
			Transport:     &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 32},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	c.mu.judge = NewJudge(config.URL, config.Slack)
	c.mu.fetched, c.mu.follows = map[string]bool{}, map[string]bool{}
	return c
}

// Run follows until ctx ends, or until every media playlist has ENDLIST and Linger is over. It waits for the
// multivariant playlist's first 200: a show that has not begun breaks no rule.
func (c *Checker) Run(ctx context.Context) *Report {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begun := false
	ended := time.Time{}
	c.wg.Go(func() { c.probe(ctx) })
	for n := 0; ctx.Err() == nil; n++ {
		x := c.exchange(ctx, http.MethodGet, c.config.URL, nil)
		if begun = begun || x.Status == http.StatusOK; begun {
			c.take(ctx, x)
		}
		c.mu.Lock()
		over := begun && len(c.mu.follows) > 0 && c.mu.live == 0
		for _, uri := range c.mu.judge.order {
			if !c.mu.follows[uri] {
				c.mu.follows[uri] = true
				c.mu.live++
				over = false
				c.wg.Go(func() { c.follow(ctx, uri) })
			}
		}
		c.mu.Unlock()
		if !over {
			ended = time.Time{}
		} else if ended.IsZero() {
			ended = time.Now()
		}
		if over && time.Since(ended) >= c.config.Linger {
			c.afterEnd(ctx)
			break
		}
		pause(ctx, 300*time.Millisecond)
	}
	cancel()
	c.wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.judge.Finish()
}

// Seen gives how often each rule was exercised so far.
func (c *Checker) Seen(rule string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.judge.f.seen[rule]
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// exchange asks for one thing.
func (c *Checker) exchange(ctx context.Context, method, uri string, header http.Header) *Exchange {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	x := &Exchange{Method: method, URL: uri, Header: http.Header{}, Answer: http.Header{}, Asked: time.Now()}
	for k, v := range header {
		x.Header[k] = v
	}
	if isPlaylist(uri) && method == http.MethodGet {
		x.Header.Set("Accept-Encoding", "gzip")
	}
	req, err := http.NewRequestWithContext(ctx, method, uri, nil)
	if err != nil {
		panic(fmt.Sprintf("BUG: %s: %v", uri, err))
	}
	req.Header = x.Header.Clone()
	resp, err := c.client.Do(req)
	if err == nil {
		x.Body, err = io.ReadAll(io.LimitReader(resp.Body, maxBody))
		_ = resp.Body.Close()
		x.Answer = resp.Header
		if err == nil {
			x.Status = resp.StatusCode
		}
	}
	x.Done = time.Now()
	return x
}

// take judges an exchange. One that our own end cut short is nobody's fault.
func (c *Checker) take(ctx context.Context, x *Exchange) {
	if ctx.Err() != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.judge.Take(x)
}

// ask is exchange and take.
func (c *Checker) ask(ctx context.Context, method, uri string, header http.Header) *Exchange {
	x := c.exchange(ctx, method, uri, header)
	c.take(ctx, x)
	return x
}

func (c *Checker) get(ctx context.Context, uri string) *Exchange {
	return c.ask(ctx, http.MethodGet, uri, nil)
}

// latest gives a media playlist's newest version; nil before the first.
func (c *Checker) latest(uri string) *version {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.mu.judge.renditions[uri]; r != nil {
		return r.latest
	}
	return nil
}
