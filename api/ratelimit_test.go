package api

import (
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneTokenAsksSoOften(t *testing.T) {
	f := newFixture(t, func(c *Config, _ *Deps) { c.Rate = 5 })
	now := time.Now()
	clock := func() time.Time { return now }
	f.limits.tokens.now, f.limits.wrong.now = clock, clock
	for i := range 10 {
		a := f.must(200, "GET", "/v1/publishers", "")
		if left := a.Header().Get("RateLimit-Remaining"); i > 0 && left != strconv.Itoa(9-i) {
			t.Errorf("after %d: %s left", i, left)
		}
	}
	a := f.must(429, "GET", "/v1/publishers", "")
	for header, want := range map[string]string{
		"Retry-After": "1", "RateLimit-Limit": "10", "RateLimit-Remaining": "0", "RateLimit-Reset": "2",
		"Content-Type": "application/problem+json",
	} {
		if got := a.Header().Get(header); got != want {
			t.Errorf("%s is %q, want %q", header, got, want)
		}
	}
	f.must(200, "GET", "/v1/listing", "") // open to everybody
	now = now.Add(200 * time.Millisecond)
	f.must(200, "GET", "/v1/publishers", "")
	f.must(429, "GET", "/v1/publishers", "")
}

func TestOneAddressIsWrongSoOften(t *testing.T) {
	f := newFixture(t, func(c *Config, _ *Deps) { c.Rate = 10 })
	now := time.Now()
	clock := func() time.Time { return now }
	f.limits.tokens.now, f.limits.wrong.now = clock, clock
	f.must(200, "GET", "/v1/publishers", "")
	guess := func(i int) int {
		return f.send(f.Public(), "GET", "/v1/publishers", "", "Authorization", fmt.Sprint("Bearer guess", i)).Code
	}
	for i := range 10 {
		if got := guess(i); got != 401 {
			t.Fatalf("guess %d: %d", i, got)
		}
	}
	if got := guess(10); got != 429 {
		t.Errorf("one more: %d", got)
	}
	if got := f.send(f.Public(), "GET", "/v1/publishers", "").Code; got != 429 {
		t.Errorf("without any: %d", got)
	}
	f.must(200, "GET", "/v1/publishers", "") // a token that was right before is not shut out
	if _, err := f.db.ReplaceToken(t.Context(), "test", token+"-new"); err != nil {
		t.Fatal(err)
	}
	f.known = newKnownTokens()               // as if tokenAge had passed
	f.must(401, "GET", "/v1/publishers", "") // known no more
	f.must(429, "GET", "/v1/publishers", "")
	now = now.Add(time.Second)
	if got := guess(11); got != 401 {
		t.Errorf("a second later: %d", got)
	}
}

func TestLimiterIsBoundedAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(2, 3)
		l.most = 4
		for i := range 100 {
			key := fmt.Sprint(i)
			if a := l.take(key); !a.ok || a.left != 2 {
				t.Fatalf("the first of %s: %+v", key, a)
			}
			if !l.known(key) || len(l.used) > 4 {
				t.Fatalf("%d keys", len(l.used))
			}
		}
		for range 2 {
			l.take("99")
		}
		if a := l.look("99"); a.ok || a.retry != 500*time.Millisecond || a.reset != 1500*time.Millisecond {
			t.Errorf("after the burst: %+v", a)
		}
		time.Sleep(2 * time.Second)
		l.take("new")
		if len(l.used) != 1 {
			t.Errorf("%d keys are kept that may do all again", len(l.used))
		}
	})
}

func TestAddressesAreCountedByNetwork(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:1234": "192.0.2.1", "[2001:db8::1]:99": "2001:db8::/64", "[2001:db8::ffff:1]:98": "2001:db8::/64",
		"[::ffff:192.0.2.1]:1": "192.0.2.1", "pipe": "pipe",
	} {
		if got := addressOf(remote); got != want {
			t.Errorf("%s is counted as %s, want %s", remote, got, want)
		}
	}
}
