package ingest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

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

// Streams that are live on other nodes count, each once; while those can't be asked, this node's alone do.
func TestMaxStreamsOfAllNodes(t *testing.T) {
	rec := newRecorder()
	rec.stream.Settings.MaxStreams = 2
	rec.others = map[string]media.StreamPath{"other": {Publisher: "acme", Stream: "other"}}
	elsewhere := []media.StreamPath{rec.path, {Publisher: "acme", Stream: "third"}}
	var away error
	s := MustServe(t, Config{LiveElsewhere: func(_ context.Context, publisher string) ([]media.StreamPath, error) {
		if publisher != "acme" {
			t.Errorf("asked for %q", publisher)
		}
		return elsewhere, away
	}}, rec)
	MustDial(t, s.addr).publish(rec.key) // it is live there: no stream more
	publish := func() (string, string) {
		c := MustDial(t, s.addr)
		c.connect("live", "")
		c.command(1, "publish", 3.0, nil, "other", "live")
		return c.status()
	}
	if code, says := publish(); code != codeDenied || !strings.Contains(says, "2 streams live and may have 2") {
		t.Errorf("told %s: %s", code, says)
	}
	elsewhere, away = nil, errors.New("the registry is away")
	if code, says := publish(); code != "NetStream.Publish.Start" {
		t.Errorf("told %s: %s", code, says)
	}
	s.log.await(t, "max_streams counts this node only", "the registry is away")
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
