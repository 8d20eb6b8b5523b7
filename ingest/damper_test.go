package ingest

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
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

func TestMaxStreams(t *testing.T) {
	rec := newRecorder()
	rec.stream.Settings.MaxStreams = 2
	rec.others = map[string]media.StreamPath{
		"second": {Publisher: "acme", Stream: "second"}, "third": {Publisher: "acme", Stream: "third"},
		"stranger": {Publisher: "another", Stream: "show"},
	}
	s := MustServe(t, Config{}, rec)
	MustDial(t, s.addr).publish(rec.key)
	second := MustDial(t, s.addr)
	second.publish("second")
	MustDial(t, s.addr).publish("stranger")
	refused := func() (string, string) {
		c := MustDial(t, s.addr)
		c.connect("live", "")
		c.command(1, "publish", 3.0, nil, "third", "live")
		return c.status()
	}
	if code, says := refused(); code != codeDenied || !strings.Contains(says, "2 streams live and may have 2") {
		t.Errorf("told %s: %s", code, says)
	}
	s.log.await(t, "publish refused", "reason=limit", "acme/third")

	MustDial(t, s.addr).publish(rec.key) // a takeover is no more than there was
	_ = second.conn.Close()
	s.log.await(t, "publisher left", "stream=second")
	MustDial(t, s.addr).publish("third")
}

func TestSRTMaxStreams(t *testing.T) {
	rec := newRecorder()
	rec.stream.Settings.MaxStreams = 1
	rec.others = map[string]media.StreamPath{"other": {Publisher: "acme", Stream: "another"}}
	s := MustServeSRT(t, Config{}, rec)
	MustDialSRT(t, s, "publish:acme/show:"+rec.key, "")
	if _, err := dialSRT(s, "publish:acme/another:other", ""); err == nil {
		t.Error("accepted")
	}
	s.log.await(t, "publish refused", "reason=limit", "code=1403", "1 streams live and may have 1")
}

// What is too much ends a publish, and the encoder is told what to change.
func TestMaxBitrate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		rec.stream.Settings.MaxBitrate = 1_000_000
		s := newTestServer(t, Config{}, rec)
		c := MustShakeHands(t, pipeTo(t, s))
		c.publish(rec.key)
		c.send(typeDataAMF0, 1, 0, onlyAudio)
		c.send(typeAudio, 1, 0, audioConfig(testASC))
		over := append(audioUnit(), make([]byte, 1_200_000/8/10)...)
		began := time.Now()
		var told sync.WaitGroup
		told.Go(func() {
			if code, says := c.status(); code != codeDenied || !strings.Contains(says, "1.20 Mbit/s over 10s") ||
				!strings.Contains(says, "to 1000 kbit/s or less") {
				t.Errorf("told %s: %s", code, says)
			}
		})
		for i := uint32(0); i <= 100; i++ {
			c.send(typeAudio, 1, i*100, over)
			time.Sleep(100 * time.Millisecond)
		}
		told.Wait()
		_ = c.conn.Close()
		if p := rec.publication(t, 0); p.clean || len(p.frames) != 100 {
			t.Errorf("clean=%v, %d frames after %v", p.clean, len(p.frames), time.Since(began))
		}
		s.log.await(t, "publish refused", "reason=limit", "publisher=acme")
		s.log.await(t, "publisher left", "how=limit")
	})
}

// Of many that come at once, no more get in than may.
func TestMaxStreamsHoldsAgainstARush(t *testing.T) {
	rec := newRecorder()
	rec.stream.Settings.MaxStreams = 3
	rec.others = map[string]media.StreamPath{}
	for i := range 20 {
		rec.others[fmt.Sprintf("key%d", i)] = media.StreamPath{Publisher: "acme", Stream: fmt.Sprintf("s%d", i)}
	}
	s := MustServe(t, Config{}, rec)
	var rush sync.WaitGroup
	codes := make(chan string, len(rec.others))
	for key := range rec.others {
		rush.Go(func() {
			c := MustDial(t, s.addr)
			c.connect("live", "")
			c.command(1, "publish", 3.0, nil, key, "live")
			code, _ := c.status()
			codes <- code
		})
	}
	rush.Wait()
	close(codes)
	started := 0
	for code := range codes {
		if code == "NetStream.Publish.Start" {
			started++
		}
	}
	if started == 0 || started > 3 {
		t.Errorf("%d got in", started)
	}
	s.seats.mu.Lock()
	defer s.seats.mu.Unlock()
	if len(s.seats.mu.reserved) > 0 {
		t.Errorf("reserved are still %v", s.seats.mu.reserved)
	}
}

func TestBitrate(t *testing.T) {
	start := time.Unix(1e9, 0)
	const limit = 4_000_000
	for _, tt := range []struct {
		name string
		bits func(second int) int
		over time.Duration // when it is found to be too much; zero is never
	}{
		{"at the limit", func(int) int { return limit }, 0},
		{"a tenth over", func(int) int { return limit * 11 / 10 }, 0},
		{"a fifth over", func(int) int { return limit * 12 / 10 }, 10 * time.Second},
		{"a burst at the begin", func(i int) int { return limit*95/100 + max(0, 3-i)*2*limit }, 0},
		{"waves of four seconds", func(i int) int { return limit * (1 + (i / 4 % 2 * 2)) / 2 }, 0},
		{"later", func(i int) int { return limit / 2 * (1 + i/20*2) }, 30 * time.Second},
	} {
		b := bitrate{limit: limit}
		var err error
		var at time.Duration
		const frame = 40 * time.Millisecond
		for at = 0; at < time.Minute && err == nil; at += frame {
			err = b.add(tt.bits(int(at/time.Second))/8/25, start.Add(at))
		}
		switch {
		case tt.over == 0 && err != nil:
			t.Errorf("%s: after %v: %v", tt.name, at, err)
		case tt.over > 0 && (!errors.Is(err, media.ErrLimit) || at != tt.over+frame):
			t.Errorf("%s: after %v: %v", tt.name, at, err)
		}
		if err != nil {
			t.Log(err)
		}
	}
	none := bitrate{}
	for i := range 100 {
		if err := none.add(1<<30, start.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
}
