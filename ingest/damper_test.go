package ingest

import (
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestDamper(t *testing.T) {
	guesser, other := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	start := time.Unix(1e9, 0)
	var d damper
	for i := range freeGuesses {
		if delay := d.guessed(guesser, start.Add(time.Duration(i)*time.Second)); delay != 0 {
			t.Fatalf("guess %d is delayed by %v", i, delay)
		}
	}
	now := start.Add(freeGuesses * time.Second)
	for _, want := range []time.Duration{
		250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, maxDelay, maxDelay,
	} {
		if got := d.guessed(guesser, now); got != want {
			t.Errorf("delay %v, want %v", got, want)
		}
		if got := d.guessed(other, now); got != 0 {
			t.Errorf("another address is delayed by %v", got)
		}
	}
	// Who goes on slowly is not forgiven; who stops for a minute is.
	for range 10 {
		now = now.Add(damperMemory - time.Second)
		if got := d.guessed(guesser, now); got != maxDelay {
			t.Errorf("delay %v while it goes on", got)
		}
	}
	if got := d.guessed(guesser, now.Add(damperMemory)); got != 0 {
		t.Errorf("delay %v after a minute", got)
	}
	// One wrong key now and then is nobody's attack.
	for i := range 100 {
		if got := d.guessed(other, now.Add(time.Duration(i)*7*time.Second)); got != 0 {
			t.Fatalf("wrong key %d of one each 7 s is delayed by %v", i, got)
		}
	}
}

func TestDamperIsBounded(t *testing.T) {
	var d damper
	now := time.Unix(1e9, 0)
	address := func(i int) netip.Prefix {
		return netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
	}
	for i := range 3 * damperAddresses {
		d.guessed(address(i), now)
		d.line(address(i), now)
	}
	if n := len(d.mu.from); n != damperAddresses || d.mu.order.Len() != n {
		t.Errorf("%d addresses, %d in order", n, d.mu.order.Len())
	}
	d.line(address(0), now.Add(damperMemory))
	if n := len(d.mu.from); n != 1 || d.mu.order.Len() != n {
		t.Errorf("%d addresses after a minute, %d in order", n, d.mu.order.Len())
	}
}

func TestDamperLimitsLines(t *testing.T) {
	var d damper
	from := netip.MustParsePrefix("2001:db8::/64")
	now := time.Unix(1e9, 0)
	lines, told := 0, 0
	const refusals = 600 // ten minutes of one a second
	for range refusals {
		if unlogged, ok := d.line(from, now); ok {
			lines++
			told += unlogged
		}
		now = now.Add(time.Second)
	}
	if lines < freeLines+8 || lines > freeLines+10 || told+lines < refusals-60 {
		t.Errorf("%d lines that tell of %d more", lines, told)
	}
}

// A flood of wrong keys is answered ever later, and a right key of the same address at once.
func TestWrongKeysAreAnsweredLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Config{}, newRecorder())
		guess := func() (delay time.Duration) {
			c := MustShakeHands(t, pipeTo(t, s))
			c.connect("live", "")
			began := time.Now()
			c.command(1, "publish", 3.0, nil, "wrong", "live")
			if code, says := c.status(); code != codeDenied || !strings.Contains(says, "wrong stream key") {
				t.Errorf("told %s: %s", code, says)
			}
			_ = c.conn.Close()
			return time.Since(began)
		}
		for i := range freeGuesses {
			if delay := guess(); delay != 0 {
				t.Errorf("guess %d waited %v", i, delay)
			}
		}
		var flood sync.WaitGroup
		for range 40 {
			flood.Go(func() { guess() })
		}
		flood.Wait()
		if delay := guess(); delay != maxDelay {
			t.Errorf("a guess after the flood waited %v", delay)
		}
		began := time.Now()
		c := MustShakeHands(t, pipeTo(t, s))
		c.publish(s.rec.key)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("the right key waited %v", waited)
		}
		_ = c.conn.Close()
		s.rec.publication(t, 0)
		synctest.Wait()
		if lines := strings.Count(s.log.String(), "publish refused"); lines != freeLines {
			t.Errorf("%d lines", lines)
		}
		time.Sleep(damperMemory)
		guess()
		s.log.await(t, "were not logged", "count=41")
	})
}
