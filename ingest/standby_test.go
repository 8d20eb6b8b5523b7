package ingest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/media"
)

const frameTime = 40 * time.Millisecond

// testFeed is a publisher of 25 pictures a second, of which every 25th is a random access point.
type testFeed struct {
	*testClient
	mark byte // in its pictures
	n    int

	mu   sync.Mutex
	told []string // codes and descriptions
	gone bool
}

// dialFeed begins a publish in a bubble, of the backup or the primary feed.
func dialFeed(t *testing.T, s *testServer, feed string) *testFeed {
	t.Helper()
	return dialFeedWith(t, s, feed, s.rec.key)
}

// dialFeedWith is dialFeed with a key of its own.
func dialFeedWith(t *testing.T, s *testServer, feed, key string) *testFeed {
	t.Helper()
	f := &testFeed{testClient: MustShakeHands(t, pipeTo(t, s)), mark: 0x10}
	name := key
	if feed == media.FeedBackup {
		name, f.mark = name+"?backup=1", 0x20
	}
	f.publish(name)
	go func() {
		for {
			values, err := f.tryAnswer("onStatus")
			f.mu.Lock()
			if err != nil {
				f.gone = true
				f.mu.Unlock()
				return
			}
			info := values[3].(amfObject)
			f.told = append(f.told, info.text("code")+" "+info.text("description"))
			f.mu.Unlock()
		}
	}()
	f.send(typeDataAMF0, 1, 0, onlyVideo)
	f.send(typeVideo, 1, 0, videoConfig(testRecord))
	return f
}

// ended says whether the server has closed, and what it told last.
func (f *testFeed) ended() (told string, gone bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.told, "; "), f.gone
}

// picture sends the next one, if the server still listens.
func (f *testFeed) picture() {
	unit := slice(f.mark)
	if f.n%25 == 0 {
		unit = idr(f.mark)
	}
	m := message{kind: typeVideo, stream: 1, timestamp: uint32(f.n * 40), payload: videoUnit(0, unit)}
	f.n++
	_, _ = f.conn.Write(appendMessage(nil, 3+uint32(typeVideo), m, defaultChunkSize))
}

// run has feeds send for a time.
func run(d time.Duration, feeds ...*testFeed) {
	for ; d > 0; d -= frameTime {
		for _, f := range feeds {
			f.picture()
		}
		time.Sleep(frameTime)
	}
	synctest.Wait()
}

// written is when a frame was written to the packager, and by which feed.
type written struct {
	at   time.Time
	mark byte
	dts  time.Duration
	wall time.Time
}

// standbyWorld is a server in a bubble, and what is written to its packager.
type standbyWorld struct {
	*testServer
	mu      sync.Mutex
	written []written
}

func newStandbyWorld(t *testing.T, cfg Config, change func(*recorder)) *standbyWorld {
	rec := newRecorder()
	rec.stream.Settings.BackupAfter = media.Span(2 * time.Second)
	w := &standbyWorld{}
	rec.onFrame = func(f *media.Frame) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.written = append(w.written, written{
			at: time.Now(), mark: f.Payload[len(f.Payload)-1], dts: f.DTS, wall: f.Wall,
		})
		return nil
	}
	if change != nil {
		change(rec)
	}
	w.testServer = newTestServer(t, cfg, rec)
	return w
}

// gap is how long nothing was written before the last feed's first frame, which is given with the number of frames
// that came with it at once.
func (w *standbyWorld) gap(t *testing.T) (gap time.Duration, first written, kept int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	last := w.written[len(w.written)-1].mark
	for i := len(w.written) - 1; i >= 0; i-- {
		if w.written[i].mark != last {
			first = w.written[i+1]
			for kept = 0; i+1+kept < len(w.written) && w.written[i+1+kept].at.Equal(first.at); kept++ {
			}
			return first.at.Sub(w.written[i].at), first, kept
		}
	}
	t.Fatal("there was no switch")
	return 0, first, 0
}

// wantFeed fails unless the feed is live and the others say what they should.
func (w *standbyWorld) wantFeed(t *testing.T, want string, standbys int) {
	t.Helper()
	if feed, _, ok := w.Feed(w.rec.path); feed != want || ok != (want != media.FeedNone) {
		t.Errorf("feed %q (%v) is live, want %q", feed, ok, want)
	}
	if n := testutil.ToFloat64(w.metrics.standbys); n != float64(standbys) {
		t.Errorf("%v standbys, want %d", n, standbys)
	}
}

func (w *standbyWorld) switches(cause string) float64 {
	return testutil.ToFloat64(w.metrics.switches.WithLabelValues(cause))
}

var feedOrders = [][2]string{{media.FeedPrimary, media.FeedBackup}, {media.FeedBackup, media.FeedPrimary}}

// A live feed that is connected and silent is replaced after backup_after, by what the standby kept since its last
// random access point, and sent away.
func TestStandbyTakesOverFromSilence(t *testing.T) {
	for _, order := range feedOrders {
		t.Run(order[0]+" is live", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStandbyWorld(t, Config{}, nil)
				live := dialFeed(t, w.testServer, order[0])
				run(time.Second, live)
				standby := dialFeed(t, w.testServer, order[1])
				run(2600*time.Millisecond, live, standby)
				w.wantFeed(t, order[0], 1)
				if feed, silent, _ := w.Feed(w.rec.path); silent > frameTime {
					t.Errorf("%s is silent for %v", feed, silent)
				}
				run(2600*time.Millisecond, standby)
				w.wantFeed(t, order[1], 0)
				gap, first, kept := w.gap(t)
				t.Logf("nothing was written for %v; %d frames were kept", gap, kept)
				// Its last random access point was its 101st picture, 600 ms before the switch at the earliest.
				if gap < 2*time.Second || gap > 2*time.Second+2*frameTime {
					t.Errorf("nothing was written for %v", gap)
				}
				if first.dts%time.Second != 0 || kept < 10 || kept > 25 {
					t.Errorf("it began at %v with %d frames", first.dts, kept)
				}
				if told, gone := live.ended(); !gone || !strings.Contains(told, "taken over") {
					t.Errorf("the silent one was told %q, gone %v", told, gone)
				}
				if n := w.switches(causeSilence); n != 1 {
					t.Errorf("%v switches", n)
				}
				w.log.await(t, "standby is ready", "feed="+order[1])
				w.log.await(t, "standby takes over", "cause=silence", "silent=2", "epoch=2")
				if p := w.rec.publs[0]; !p.closed || p.clean || len(w.rec.publs) != 2 {
					t.Errorf("closed %v, clean %v, %d publications", p.closed, p.clean, len(w.rec.publs))
				}
				if p := w.rec.publs[1]; !p.frames[0].Sync || p.epoch != 2 || len(p.tracks) != 1 {
					t.Errorf("epoch %d, tracks %v", p.epoch, p.tracks)
				}
				wantContiguous(t, w.rec.publs[1].frames)
				w.wantMonotonic(t)
			})
		})
	}
}

// wantContiguous fails if a frame lacks, or comes twice.
func wantContiguous(t *testing.T, frames []media.Frame) {
	t.Helper()
	for i := 1; i < len(frames); i++ {
		if step := frames[i].DTS - frames[i-1].DTS; step != frameTime {
			t.Errorf("frame %d comes %v after the one before", i, step)
		}
	}
}

// wantMonotonic fails if a feed begins before the one before it ended: no time of a recording may go back.
func (w *standbyWorld) wantMonotonic(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := 1; i < len(w.written); i++ {
		if a, b := w.written[i-1], w.written[i]; a.mark != b.mark && b.wall.Before(a.wall) {
			t.Errorf("%x begins %v before the end of %x", b.mark, a.wall.Sub(b.wall), a.mark)
		}
	}
}

// A live feed whose connection is gone is replaced with the standby's next frame, and nothing switches back.
func TestStandbyTakesOverFromWhoIsGone(t *testing.T) {
	for _, order := range feedOrders {
		t.Run(order[0]+" is live", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStandbyWorld(t, Config{}, nil)
				live, standby := dialFeed(t, w.testServer, order[0]), dialFeed(t, w.testServer, order[1])
				run(1600*time.Millisecond, live, standby)
				_ = live.conn.Close()
				run(time.Second, standby)
				gap, first, kept := w.gap(t)
				t.Logf("nothing was written for %v; %d frames were kept", gap, kept)
				if gap > 2*frameTime || first.dts != time.Second || kept < 15 {
					t.Errorf("nothing was written for %v; it began at %v with %d frames", gap, first.dts, kept)
				}
				w.wantFeed(t, order[1], 0)
				w.log.await(t, "standby takes over", "cause=gone")
				w.wantMonotonic(t)

				again := dialFeed(t, w.testServer, order[0])
				run(3*time.Second, standby, again)
				w.wantFeed(t, order[1], 1)
				if len(w.rec.publs) != 2 {
					t.Errorf("%d publications: it switched back", len(w.rec.publs))
				}
				run(3*time.Second, again) // the other one is silent
				w.wantFeed(t, order[0], 0)
				if w.switches(causeGone) != 1 || w.switches(causeSilence) != 1 {
					t.Errorf("switches %v, %v", w.switches(causeGone), w.switches(causeSilence))
				}
			})
		})
	}
}

// A goodbye of who is live is not the show's while another stands by; the last one's is.
func TestStandbyOutlivesAGoodbye(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStandbyWorld(t, Config{}, nil)
		live, standby := dialFeed(t, w.testServer, media.FeedPrimary), dialFeed(t, w.testServer, media.FeedBackup)
		run(1600*time.Millisecond, live, standby)
		live.command(0, "deleteStream", 5.0, nil, 1.0)
		run(time.Second, standby)
		w.wantFeed(t, media.FeedBackup, 0)
		standby.command(0, "deleteStream", 5.0, nil, 1.0)
		synctest.Wait()
		if a, b := w.rec.publs[0], w.rec.publs[1]; a.clean || !b.clean {
			t.Errorf("the first ended clean=%v, the second %v", a.clean, b.clean)
		}
		w.wantFeed(t, media.FeedNone, 0)
	})
}

// The newer connection of a feed replaces the older: live or standing by.
func TestNewerOfTheSameFeedReplaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStandbyWorld(t, Config{}, nil)
		live, standby := dialFeed(t, w.testServer, media.FeedPrimary), dialFeed(t, w.testServer, media.FeedBackup)
		run(time.Second, live, standby)
		newer := dialFeed(t, w.testServer, media.FeedBackup)
		run(time.Second, live, newer)
		if told, gone := standby.ended(); !gone || !strings.Contains(told, "taken over") {
			t.Errorf("the older standby was told %q, gone %v", told, gone)
		}
		w.wantFeed(t, media.FeedPrimary, 1)
		w.log.await(t, "publisher left", "standby=true", `how="taken over"`)
		second := dialFeed(t, w.testServer, media.FeedPrimary)
		run(time.Second, second, newer)
		if _, gone := live.ended(); !gone {
			t.Error("the older live one is still there")
		}
		w.wantFeed(t, media.FeedPrimary, 1)
		if len(w.rec.publs) != 2 {
			t.Errorf("%d publications", len(w.rec.publs))
		}
		// A backup that comes while nobody is live, and the standby has nothing to begin with, is it.
		_ = second.conn.Close()
		_ = newer.conn.Close()
		synctest.Wait()
		first := dialFeed(t, w.testServer, media.FeedBackup)
		run(time.Second, first)
		w.wantFeed(t, media.FeedBackup, 0)
	})
}

func TestSwitchFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStandbyWorld(t, Config{}, nil)
		fails := func(feed string, want error, says string) {
			t.Helper()
			if err := w.SwitchFeed(w.rec.path, feed); !errors.Is(err, want) || !strings.Contains(err.Error(), says) {
				t.Errorf("switch to %q: %v, want %v", feed, err, want)
			}
		}
		fails("other", media.ErrInvalid, "use primary or backup")
		fails(media.FeedBackup, media.ErrNotFound, "nobody publishes")
		live := dialFeed(t, w.testServer, media.FeedPrimary)
		run(time.Second, live)
		fails(media.FeedPrimary, media.ErrConflict, "live already")
		fails(media.FeedBackup, media.ErrConflict, "not connected")
		standby := dialFeed(t, w.testServer, media.FeedBackup)
		synctest.Wait()
		fails(media.FeedBackup, media.ErrConflict, "no key frame yet")
		run(1600*time.Millisecond, live, standby)
		if err := w.SwitchFeed(w.rec.path, media.FeedBackup); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		run(200*time.Millisecond, live, standby)
		w.wantFeed(t, media.FeedBackup, 0)
		w.log.await(t, "standby takes over", "cause=request")
		gap, _, _ := w.gap(t)
		if gap > 2*frameTime {
			t.Errorf("nothing was written for %v", gap)
		}
		w.wantMonotonic(t)
		again := dialFeed(t, w.testServer, media.FeedPrimary)
		run(time.Second, standby, again)
		run(2200*time.Millisecond, standby)
		fails(media.FeedPrimary, media.ErrConflict, "silent")
		run(time.Second, standby, again)
		if err := w.SwitchFeed(w.rec.path, media.FeedPrimary); err != nil {
			t.Fatal(err)
		}
		run(200*time.Millisecond, standby, again)
		w.wantFeed(t, media.FeedPrimary, 0)
		if n := w.switches(causeRequest); n != 2 {
			t.Errorf("%v switches", n)
		}
	})
}

// What another node's lease says decides where nobody is live here.
func TestStandbyOfAnotherNode(t *testing.T) {
	away := errors.New("the registry is away")
	for _, tt := range []struct {
		name  string
		lease media.Lease
		owned bool
		err   error
		goes  bool // over to this node
		cause string
	}{
		{"its feed is live", media.Lease{Feed: media.FeedPrimary}, true, nil, false, ""},
		{"its feed is silent for a moment", media.Lease{Feed: media.FeedPrimary, Silent: media.Span(time.Second)}, true, nil,
			false, ""},
		{"its feed is silent", media.Lease{Feed: media.FeedPrimary, Silent: media.Span(2 * time.Second)}, true, nil, true,
			causeSilence},
		{"its show waits", media.Lease{Feed: media.FeedNone}, true, nil, true, causeGone},
		{"nobody owns it", media.Lease{}, false, nil, true, causeGone},
		{"nobody can tell", media.Lease{}, false, away, false, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				owner := func() (media.Lease, bool, error) { return media.Lease{Feed: media.FeedPrimary}, true, nil }
				w := newStandbyWorld(t, Config{}, func(r *recorder) {
					r.owner = func() (media.Lease, bool, error) { return owner() }
				})
				standby := dialFeed(t, w.testServer, media.FeedBackup)
				run(3*time.Second, standby)
				w.wantFeed(t, media.FeedNone, 1)
				if events := eventsOf(w.rec); events != "[]" {
					t.Errorf("while the other is live: %s", events)
				}
				w.rec.mu.Lock()
				owner = func() (media.Lease, bool, error) { return tt.lease, tt.owned, tt.err }
				w.rec.mu.Unlock()
				run(600*time.Millisecond, standby) // it asks twice a second
				if !tt.goes {
					w.wantFeed(t, media.FeedNone, 1)
					return
				}
				w.wantFeed(t, media.FeedBackup, 0)
				w.log.await(t, "standby takes over", "cause="+tt.cause)
				if events := eventsOf(w.rec); !strings.Contains(events, `"acquire 1 for backup"`) {
					t.Error(events)
				}
			})
		})
	}
}

// A publish takes over from its own feed on another node at once, and goes live while nobody can tell.
func TestFeedOfAnotherNodeIsTakenOver(t *testing.T) {
	for name, owner := range map[string]func() (media.Lease, bool, error){
		"the same feed": func() (media.Lease, bool, error) { return media.Lease{Feed: media.FeedBackup}, true, nil },
		"no feed":       func() (media.Lease, bool, error) { return media.Lease{}, true, nil },
		"an error":      func() (media.Lease, bool, error) { return media.Lease{}, false, errors.New("away") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStandbyWorld(t, Config{}, func(r *recorder) { r.owner = owner })
				dialFeed(t, w.testServer, media.FeedBackup)
				synctest.Wait()
				w.wantFeed(t, media.FeedBackup, 0)
			})
		})
	}
}

// While the registry is away a node still switches between its own feeds, unless it has lost the stream.
func TestStandbyWhileTheRegistryIsAway(t *testing.T) {
	for _, lost := range []bool{false, true} {
		t.Run(fmt.Sprintf("lost=%v", lost), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var err error
				w := newStandbyWorld(t, Config{}, func(r *recorder) {
					r.owner = func() (media.Lease, bool, error) { return media.Lease{}, false, err }
				})
				live, standby := dialFeed(t, w.testServer, media.FeedPrimary), dialFeed(t, w.testServer, media.FeedBackup)
				run(time.Second, live, standby)
				w.rec.mu.Lock()
				err = errors.New("the registry is away")
				w.rec.mu.Unlock()
				if lost {
					if !w.Lose(w.rec.path) {
						t.Error("nobody lost it")
					}
				} else {
					_ = live.conn.Close()
				}
				run(2*time.Second, standby)
				if lost {
					w.wantFeed(t, media.FeedNone, 1)
					w.log.await(t, "publisher left", `how="lease lost"`)
					if told, gone := live.ended(); !gone || !strings.Contains(told, "another server owns the stream") {
						t.Errorf("it was told %q, gone %v", told, gone)
					}
					return
				}
				w.wantFeed(t, media.FeedBackup, 0)
			})
		})
	}
}

// While the lease can't be had a standby stays one, and tries again each second.
func TestStandbyWithoutALeaseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var acquires int
		var err error
		w := newStandbyWorld(t, Config{}, func(r *recorder) {
			r.onAcquire = func() error {
				acquires++
				return err
			}
		})
		live, standby := dialFeed(t, w.testServer, media.FeedPrimary), dialFeed(t, w.testServer, media.FeedBackup)
		run(time.Second, live, standby)
		w.rec.mu.Lock()
		err = media.ErrUnavailable
		w.rec.mu.Unlock()
		_ = live.conn.Close()
		run(3*time.Second, standby)
		w.wantFeed(t, media.FeedNone, 1)
		w.log.await(t, "standby can't take over")
		w.rec.mu.Lock()
		if acquires < 3 || acquires > 5 {
			t.Errorf("%d tries", acquires)
		}
		err = nil
		w.rec.mu.Unlock()
		run(1200*time.Millisecond, standby)
		w.wantFeed(t, media.FeedBackup, 0)
		if testutil.ToFloat64(w.metrics.publishers) != 1 {
			t.Error("no publisher is counted")
		}
	})
}

// A packager that holds frames up is no silence of their publisher.
func TestSlowPackagerIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStandbyWorld(t, Config{}, nil)
		live, standby := dialFeed(t, w.testServer, media.FeedPrimary), dialFeed(t, w.testServer, media.FeedBackup)
		run(time.Second, live, standby)
		note := w.rec.onFrame
		w.rec.onFrame = func(f *media.Frame) error {
			time.Sleep(5 * time.Second)
			return note(f)
		}
		live.picture()
		run(4*time.Second, standby)
		w.wantFeed(t, media.FeedPrimary, 1)
		time.Sleep(1500 * time.Millisecond)
		w.rec.onFrame = note
		run(time.Second, live, standby)
		w.wantFeed(t, media.FeedPrimary, 1)
	})
}

// Without a standby silence is what it was: nothing, until the idle timeout.
func TestSilenceWithoutAStandby(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStandbyWorld(t, Config{}, nil)
		live := dialFeed(t, w.testServer, media.FeedPrimary)
		run(time.Second, live)
		time.Sleep(14 * time.Second)
		w.wantFeed(t, media.FeedPrimary, 0)
		time.Sleep(2 * time.Second)
		w.wantFeed(t, media.FeedNone, 0)
	})
}

// A standby that is silent itself is no help.
func TestSilentStandbyStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStandbyWorld(t, Config{}, nil)
		live, standby := dialFeed(t, w.testServer, media.FeedPrimary), dialFeed(t, w.testServer, media.FeedBackup)
		run(time.Second, live, standby)
		time.Sleep(5 * time.Second)
		w.wantFeed(t, media.FeedPrimary, 1)
		run(frameTime, live)
		run(3*time.Second, live, standby)
		w.wantFeed(t, media.FeedPrimary, 1)
		if len(w.rec.publs) != 1 {
			t.Errorf("%d publications", len(w.rec.publs))
		}
	})
}

// A standby is held to the publisher's limits, and is no other stream for max_streams.
func TestStandbyWithinLimits(t *testing.T) {
	t.Run("streams", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newStandbyWorld(t, Config{}, func(r *recorder) {
				r.stream.Settings.MaxStreams = 1
				r.others = map[string]media.StreamPath{"other": {Publisher: "acme", Stream: "other"}}
			})
			live, standby := dialFeed(t, w.testServer, media.FeedPrimary), dialFeed(t, w.testServer, media.FeedBackup)
			run(time.Second, live, standby)
			_ = live.conn.Close()
			synctest.Wait()
			other := MustShakeHands(t, pipeTo(t, w.testServer)) // the standby keeps the place
			other.connect("live", "")
			other.command(1, "publish", 3.0, nil, "other", "live")
			if _, says := other.status(); !strings.Contains(says, "1 streams live and may have 1") {
				t.Errorf("another stream was told %q", says)
			}
			run(time.Second, standby)
			w.wantFeed(t, media.FeedBackup, 0)
			_ = standby.conn.Close()
			synctest.Wait()
			w.seats.mu.Lock()
			defer w.seats.mu.Unlock()
			mu := &w.seats.mu
			if left := len(mu.reserved) + len(mu.coming) + len(mu.standbys) + len(mu.taken); left > 0 {
				t.Errorf("%d entries are left", left)
			}
		})
	})
	for name, change := range map[string]func(*media.Settings){
		"tracks":  func(s *media.Settings) { s.MaxResolution = "32x32" },
		"bitrate": func(s *media.Settings) { s.MaxBitrate = 1000 },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStandbyWorld(t, Config{CheckTracks: func(s media.Settings, tracks []media.Track) error {
					if s.MaxResolution != "" && len(tracks) == 1 {
						return fmt.Errorf("%w: set the encoder's output to %s", media.ErrLimit, s.MaxResolution)
					}
					return nil
				}}, nil)
				live := dialFeed(t, w.testServer, media.FeedPrimary)
				change(&w.rec.stream.Settings)
				standby := dialFeed(t, w.testServer, media.FeedBackup)
				run(12*time.Second, live, standby)
				if told, gone := standby.ended(); !gone || !strings.Contains(told, "set the encoder's") {
					t.Errorf("it was told %q, gone %v", told, gone)
				}
				w.wantFeed(t, media.FeedPrimary, 0)
				w.log.await(t, "publish refused", "reason=limit")
			})
		})
	}
}

// Sessions tells of both feeds, and Kick sends both away.
func TestStandbyIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStandbyWorld(t, Config{}, nil)
		live, standby := dialFeed(t, w.testServer, media.FeedBackup), dialFeed(t, w.testServer, media.FeedPrimary)
		run(2*time.Second, live, standby)
		reports := w.Sessions()
		if len(reports) != 2 || reports[0].Standby || reports[0].Feed != media.FeedBackup || reports[0].Epoch != 1 ||
			!reports[1].Standby || reports[1].Feed != media.FeedPrimary || reports[1].Epoch != 0 || reports[1].Frames == 0 {
			t.Errorf("%+v", reports)
		}
		if r, ok := w.Session(w.rec.path); !ok || r.Standby {
			t.Errorf("%+v", r)
		}
		_ = live.conn.Close()
		run(time.Second, standby)
		if reports = w.Sessions(); len(reports) != 1 || reports[0].Standby || reports[0].Epoch != 2 {
			t.Errorf("%+v", reports)
		}
		other := dialFeed(t, w.testServer, media.FeedBackup)
		run(time.Second, standby, other)
		if !w.KickFor(w.rec.path, "over") {
			t.Error("nobody was kicked")
		}
		run(time.Second, standby, other)
		for _, f := range []*testFeed{standby, other} {
			if told, gone := f.ended(); !gone || !strings.Contains(told, "closed this connection: over") {
				t.Errorf("told %q, gone %v", told, gone)
			}
		}
		w.wantFeed(t, media.FeedNone, 0)
		if w.Lose(w.rec.path) {
			t.Error("nobody lost it")
		}
	})
}

func TestStandbyFollowsItsSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStandbyWorld(t, Config{}, nil)
		live := dialFeed(t, w.testServer, media.FeedPrimary)
		run(time.Second, live)
		standby := dialFeed(t, w.testServer, media.FeedBackup)
		run(time.Second, live, standby)
		if got := w.Standbys(); len(got) != 1 || got[0] != w.rec.path {
			t.Errorf("standbys of %v", got)
		}
		w.Settings(w.rec.path, media.Settings{BackupAfter: media.Span(5 * time.Second)})
		w.Settings(media.StreamPath{Publisher: "no", Stream: "body"}, media.Settings{})
		run(4*time.Second, standby)
		w.wantFeed(t, media.FeedPrimary, 1) // two seconds were enough before
		w.Settings(w.rec.path, media.Settings{BackupAfter: media.Span(3 * time.Second)})
		run(500*time.Millisecond, standby)
		w.wantFeed(t, media.FeedBackup, 0)
	})
}
