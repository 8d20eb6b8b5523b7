package ingest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// An encoder that connects again at once, and sends too much again, is kept out for a while, and told for how long.
func TestOverrunKeepsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		rec.stream.Settings.MaxBitrate = 1_000_000
		s := newTestServer(t, Config{}, rec)
		over := append(audioUnit(), make([]byte, 1_200_000/8/10)...)
		overrun := func() {
			c := MustShakeHands(t, pipeTo(t, s))
			c.publish(rec.key)
			c.send(typeDataAMF0, 1, 0, onlyAudio)
			c.send(typeAudio, 1, 0, audioConfig(testASC))
			var told sync.WaitGroup
			told.Go(func() { c.status() })
			for i := uint32(0); i <= 100; i++ {
				c.send(typeAudio, 1, i*100, over)
				time.Sleep(100 * time.Millisecond)
			}
			told.Wait()
			_ = c.conn.Close()
			synctest.Wait()
		}
		refused := func() string {
			c := MustShakeHands(t, pipeTo(t, s))
			c.connect("live", "")
			c.command(1, "publish", 3.0, nil, rec.key, "live")
			_, says := c.status()
			_ = c.conn.Close()
			return says
		}
		overrun()
		overrun()
		if says := refused(); !strings.Contains(says, "to 1000 kbit/s or less, and connect again in 30 s") {
			t.Errorf("told %q", says)
		}
		s.log.await(t, "publish refused", "reason=limit", "twice within a minute")
		time.Sleep(overrunBan - time.Second)
		if says := refused(); !strings.Contains(says, "connect again in 1 s") {
			t.Errorf("told %q", says)
		}
		time.Sleep(2 * time.Second)
		overrun() // within a minute of the second
		if says := refused(); !strings.Contains(says, "connect again in 30 s") {
			t.Errorf("told %q", says)
		}
		rec.mu.Lock()
		rec.stream.Settings.MaxBitrate = 2_000_000
		rec.mu.Unlock()
		c := MustShakeHands(t, pipeTo(t, s))
		c.publish(rec.key)
		_ = c.conn.Close()
	})
}

func TestOverruns(t *testing.T) {
	start := time.Unix(1e9, 0)
	stream := func(i int) media.Stream {
		return media.Stream{
			Path:     media.StreamPath{Publisher: "acme", Stream: fmt.Sprint(i)},
			Settings: media.Settings{MaxBitrate: 1_000_000},
		}
	}
	var o overruns
	for i := range maxOverruns + 20 {
		at := start.Add(time.Duration(i) * time.Millisecond)
		o.add(stream(i).Path, 1_000_000, at)
		o.add(stream(i).Path, 1_000_000, at)
		if err := o.check(stream(i), at); !errors.Is(err, media.ErrLimit) {
			t.Fatalf("%d: %v", i, err)
		}
	}
	if len(o.mu.of) != maxOverruns {
		t.Errorf("%d streams are remembered", len(o.mu.of))
	}
	later := start.Add(time.Hour)
	o.add(stream(0).Path, 1_000_000, later)
	if len(o.mu.of) != 1 {
		t.Errorf("%d streams are remembered", len(o.mu.of))
	}
	o.add(stream(0).Path, 1_000_000, later.Add(overrunWithin+time.Second))
	if err := o.check(stream(0), later.Add(overrunWithin+time.Second)); err != nil {
		t.Errorf("two ends more than a minute apart: %v", err)
	}
}
