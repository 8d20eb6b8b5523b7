package packager

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// cluster is two nodes on one directory, in a bubble.
type cluster struct {
	t    *testing.T
	a, b *stage
	// awake and owned are what node a is told.
	awake atomic.Bool
	owned atomic.Pointer[error]
	asked atomic.Int64
}

func onCluster(t *testing.T, test func(*cluster)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := &cluster{t: t}
		c.awake.Store(true)
		storage := reclog.Config{Dir: dir, Sync: reclog.SyncNever, Shared: true}
		c.a = running(t, mustStudioOf(t, storage, Config{
			Awake: c.awake.Load,
			Confirm: func(context.Context, media.StreamPath) error {
				c.asked.Add(1)
				if err := c.owned.Load(); err != nil {
					return *err
				}
				return nil
			},
		}))
		c.b = running(t, mustStudioOf(t, storage, Config{}))
		c.b.ids = 500
		defer c.b.end()
		defer c.a.end()
		test(c)
	})
}

// takeOver has node b go on with the stream.
func (c *cluster) takeOver(epoch uint64) {
	c.t.Helper()
	ref, floor, err := c.b.root.Growing(context.Background(), testPath)
	if err != nil || floor >= epoch {
		c.t.Fatalf("growing: %v, floor %d: %v", ref, floor, err)
	}
	rec, w, err := c.b.root.ReopenAs(context.Background(), testPath, ref.ID, epoch)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.b.Resume(context.Background(), rec, w); err != nil {
		c.t.Fatal(err)
	}
}

// announced keeps every part that a snapshot names, as its bytes were served.
type announced map[string][]byte

func (a announced) look(show *Show) {
	snap, _ := show.Snapshot()
	for i := range snap.Renditions {
		r := &snap.Renditions[i]
		note := func(take int, msn media.MSN, parts []media.Part) {
			for _, p := range parts {
				if data, ok := show.Part(take, r.Name, msn, p.Index); ok && p.Offset >= 0 {
					a[fmt.Sprintf("%d/%s/%d", take, r.Name, p.Offset)] = data
				}
			}
		}
		for j, parts := range r.Parts {
			seg := &r.Segments[len(r.Segments)-len(r.Parts)+j]
			note(seg.Take, seg.MSN, parts)
		}
		if r.Open != nil {
			note(r.Open.Take, r.Open.MSN, r.Open.Parts)
		}
	}
}

// check finds all that was announced in the recording's segments, byte for byte.
func (a announced) check(t *testing.T, st *studio, show *Show, snap *hls.Snapshot) {
	t.Helper()
	if len(a) < 20 {
		t.Errorf("only %d parts were announced", len(a))
	}
	for key, want := range a {
		var take int
		var name string
		var offset int64
		if _, err := fmt.Sscanf(replaceSlashes(key), "%d %s %d", &take, &name, &offset); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(snap.Renditions, func(r hls.Rendition) bool { return r.Name == name })
		in := slices.ContainsFunc(snap.Renditions[i].Segments, func(s media.Segment) bool {
			return !s.Gap && s.Take == take && s.Offset <= offset && offset+int64(len(want)) <= s.Offset+s.Size
		})
		data, err := os.ReadFile(st.file(show, take, name))
		if err != nil || !in || !bytes.Equal(data[offset:offset+int64(len(want))], want) {
			t.Errorf("part %s is not in the recording as it was announced (in a segment: %t): %v", key, in, err)
		}
	}
}

func replaceSlashes(s string) string {
	return string(bytes.ReplaceAll([]byte(s), []byte("/"), []byte(" ")))
}

// checkContinued holds the rules of a recording that another node went on with.
func checkContinued(t *testing.T, before, after *hls.Snapshot, takes int) {
	t.Helper()
	checkSnapshot(t, after)
	if len(after.Takes) != takes {
		t.Fatalf("%d takes, want %d", len(after.Takes), takes)
	}
	for i := range after.Renditions {
		a, b := before.Renditions[i].Segments, after.Renditions[i].Segments
		for j := range b {
			if b[j].MSN != media.MSN(j+1) {
				t.Fatalf("MSN %d at %d", b[j].MSN, j)
			}
			if j < len(a) && !sameSegment(a[j], b[j]) {
				t.Errorf("segment %d changed: %+v, %+v", j+1, a[j], b[j])
			}
			if b[j].Filler {
				t.Errorf("filler %d between the takes", b[j].MSN)
			}
		}
	}
}

// The owner dies in mid-part; another node goes on after a second; the first wakes and changes nothing.
func TestAnotherNodeGoesOnInMidPart(t *testing.T) {
	onCluster(t, func(c *cluster) {
		p, src := c.a.open()
		told := announced{}
		for range 60 {
			c.a.play(p, src, 87*time.Millisecond)
			if snap, _ := firstShow(c.a); snap != nil {
				told.look(c.a.show())
			}
		}
		before, zombie := c.a.newest(), c.a.show()
		if before.Renditions[0].Open == nil || len(before.Renditions[0].Open.Parts) == 0 {
			t.Fatal("not in mid-segment")
		}
		c.takeOver(2)
		q := c.b.publish(2, nil)
		c.b.tracks(q, videoTrack(), audioTrack())
		next := &source{fps: 30, gop: 30, start: time.Hour}
		c.b.play(q, next, 3*time.Second)

		// The zombie goes on meanwhile, as if nothing were.
		for range 100 {
			if err := p.WriteFrame(videoFrame(src.start+6*time.Second, false)); err != nil {
				break
			}
			src.until(ms(time.Duration(src.video+3)*time.Second/30), func(f *media.Frame) { _ = p.WriteFrame(f) })
		}
		_ = p.Close(false)
		c.b.play(q, next, 3*time.Second)
		c.a.wait(time.Second)

		after := c.b.newest()
		checkContinued(t, before, after, 2)
		told.check(t, c.b.studio, c.b.show(), after)
		if after.Takes[1].Epoch != 2 || after.State != media.Live || c.b.show().ID() != zombie.ID() {
			t.Errorf("take %+v, state %s, recording %s", after.Takes[1], after.State, c.b.show().ID())
		}
		c.b.close(q, true)
		c.b.wait(200 * time.Millisecond)
		rec, err := reclog.Load(context.Background(), c.b.root.Files(), testPath, zombie.ID())
		if err != nil || len(rec.Takes) != 2 || rec.State != media.Ended {
			t.Fatalf("stored: %+v, %v", rec, err)
		}
		for i, r := range c.b.seen[zombie.ID()].Renditions {
			if !slices.EqualFunc(rec.Tracks[i].Segments, r.Segments, sameSegment) {
				t.Errorf("%s: storage has other segments than were served", r.Name)
			}
		}
		if _, ok := c.a.Current(testPath); ok {
			t.Error("the first node still has the show, though storage told it")
		}
		if slices.Contains(c.a.sink.eventTypes(), media.EventEnded) {
			t.Error("the first node told of an end")
		}
	})
}

func firstShow(s *stage) (*hls.Snapshot, bool) {
	id, ok := s.Current(testPath)
	if !ok {
		return nil, false
	}
	show, _ := s.Show(testPath, id)
	snap, _ := show.Snapshot()
	return snap, true
}

func TestForgetGivesTheShowUpAtOnce(t *testing.T) {
	onCluster(t, func(c *cluster) {
		p, src := c.a.open()
		c.a.play(p, src, 5*time.Second)
		show := c.a.show()
		if list := c.a.Growing(); len(list) != 1 || list[0] != (GrowingShow{testPath, show.ID(), 1, media.Live}) {
			t.Errorf("growing: %+v", list)
		}
		_, changed := show.Snapshot()
		c.a.sink.mu.Lock()
		c.a.sink.fail = errors.New("away")
		c.a.sink.mu.Unlock()
		s, _ := c.a.lookup(testPath, false)
		s.mu.Lock()
		s.saveLocked()
		s.mu.Unlock()
		c.takeOver(2)
		c.a.Forget(testPath)
		c.a.Forget(testPath)
		select {
		case <-changed:
		default:
			t.Error("readers are not released")
		}
		if _, again := show.Snapshot(); again != nil {
			select {
			case <-again:
			default:
				t.Error("a reader that comes late is not released")
			}
		}
		if _, ok := c.a.Show(testPath, show.ID()); ok || len(c.a.Growing()) != 0 {
			t.Error("the show is still there")
		}
		if err := p.WriteFrame(videoFrame(time.Minute, true)); !errors.Is(err, media.ErrFenced) {
			t.Errorf("write: %v", err)
		}
		if err := p.SetTracks([]media.Track{videoTrack()}); !errors.Is(err, media.ErrFenced) {
			t.Errorf("tracks: %v", err)
		}
		if err := p.Close(true); err != nil {
			t.Errorf("close: %v", err)
		}
		c.a.sink.mu.Lock()
		c.a.sink.fail = nil
		events := len(c.a.sink.events)
		row := c.a.sink.rows[show.ID()]
		c.a.sink.mu.Unlock()
		c.a.wait(time.Minute + backoffHigh)
		c.a.sink.mu.Lock()
		defer c.a.sink.mu.Unlock()
		if len(c.a.sink.events) != events || !reflect.DeepEqual(c.a.sink.rows[show.ID()], row) {
			t.Errorf("told behind the loss: %+v, row %+v", c.a.sink.events[events:], c.a.sink.rows[show.ID()])
		}
		select {
		case <-show.recorder.exited:
		default:
			t.Error("the recorder's goroutine is still there")
		}
	})
}

// After a hand-over another process finds the recording whole, and this one can have it back.
func TestHandOverLeavesAWholeRecording(t *testing.T) {
	onCluster(t, func(c *cluster) {
		p, src := c.a.open()
		c.a.play(p, src, 5300*time.Millisecond)
		show := c.a.show()
		if err := c.a.HandOver(context.Background(), testPath); err != nil {
			t.Fatal(err)
		}
		if err := c.a.HandOver(context.Background(), testPath); err != nil {
			t.Errorf("again: %v", err)
		}
		if err := p.WriteFrame(videoFrame(6*time.Second, true)); !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("write: %v", err)
		}
		before, _ := show.Snapshot()
		rec, err := reclog.Load(context.Background(), c.b.root.Files(), testPath, show.ID())
		if err != nil || !rec.Recovered() || rec.State != media.Interrupted {
			t.Fatalf("recovered %t, state %s: %v", rec.Recovered(), rec.State, err)
		}
		if row := c.a.sink.rows[show.ID()]; row.State != media.Interrupted || row.Duration < 5*time.Second {
			t.Errorf("row %+v", row)
		}
		if _, ok := c.a.Current(testPath); ok {
			t.Error("the show is still there")
		}
		c.takeOver(2)
		q := c.b.publish(2, nil)
		c.b.tracks(q, videoTrack(), audioTrack())
		c.b.play(q, &source{fps: 30, gop: 30}, 4*time.Second)
		checkContinued(t, before, c.b.newest(), 2)

		if err := c.b.HandOver(context.Background(), testPath); err != nil {
			t.Fatal(err)
		}
		c.a, c.b = c.b, c.a
		c.takeOver(3)
		q = c.b.publish(3, nil)
		c.b.tracks(q, videoTrack(), audioTrack())
		c.b.play(q, &source{fps: 30, gop: 30}, 4*time.Second)
		checkContinued(t, before, c.b.newest(), 3)
		c.a, c.b = c.b, c.a
	})
}

// While the catalog is away a show leaves without its row, which the next owner saves, and no old one comes later.
func TestHandOverDoesNotWaitForTheCatalog(t *testing.T) {
	onCluster(t, func(c *cluster) {
		p, src := c.a.open()
		c.a.play(p, src, 5300*time.Millisecond)
		id := c.a.show().ID()
		c.a.sink.setFail(media.ErrUnavailable)
		begun := time.Now()
		if err := c.a.HandOver(context.Background(), testPath); err != nil || time.Since(begun) > 2*rowPatience {
			t.Fatalf("after %s: %v", time.Since(begun), err)
		}
		c.a.sink.setFail(nil)
		before := c.a.sink.rows[id]
		c.takeOver(2)
		c.b.wait(20 * time.Second)
		if row := c.b.sink.rows[id]; row.State != media.Interrupted || row.Duration < 5*time.Second {
			t.Errorf("the next owner's row %+v", row)
		}
		if row := c.a.sink.rows[id]; !reflect.DeepEqual(row, before) {
			t.Errorf("a late row %+v", row)
		}
	})
}

func TestLeaveEndsAtABoundary(t *testing.T) {
	for name, tracks := range map[string][]media.Track{
		"video and audio": {videoTrack(), audioTrack()}, "audio": {audioTrack()},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				p := s.publish(1, nil)
				s.tracks(p, tracks...)
				var written, refused int
				src := &source{fps: 30, gop: 30}
				write := func(f *media.Frame) {
					if len(tracks) == 1 {
						if f.Track == 0 {
							return
						}
						f.Track = 0
					}
					err := p.WriteFrame(f)
					switch {
					case err == nil && refused > 0:
						t.Error("a frame behind the end was taken")
					case err == nil:
						written++
					case !errors.Is(err, media.ErrUnavailable):
						t.Fatal(err)
					default:
						refused++
					}
				}
				feed := func(d time.Duration) {
					for end := time.Now().Add(d); time.Now().Before(end); {
						src.until(ms(time.Duration(src.video+3)*time.Second/30), write)
						s.wait(100 * time.Millisecond)
					}
				}
				feed(5300 * time.Millisecond)
				if refused > 0 {
					t.Fatal("refused before")
				}
				p.Leave()
				feed(1500 * time.Millisecond)
				if refused == 0 {
					t.Fatal("never ended")
				}
				snap := s.newest()
				if snap.State != media.Interrupted {
					t.Errorf("state %s", snap.State)
				}
				last := snap.Renditions[0].Segments[len(snap.Renditions[0].Segments)-1]
				end := media.Duration(last.DTS+last.Duration, timescaleOf(snap, 1, snap.Renditions[0].Name))
				if len(tracks) == 2 && end != 6*time.Second {
					t.Errorf("media ends at %v, want the key frame's time", end)
				}
				if err := p.Close(true); err != nil {
					t.Error(err)
				}
				if s.newest().State != media.Interrupted {
					t.Error("the close behind it ended the show")
				}
			})
		})
	}
}

// A process that was stopped asks before it tells anything, once, and takes an answer that it can't get for a yes.
func TestAStoppedProcessAsksBeforeItTellsAnything(t *testing.T) {
	away := errors.New("registry is away")
	for name, answer := range map[string]error{"another's": media.ErrFenced, "still its own": nil, "away": away} {
		t.Run(name, func(t *testing.T) {
			onCluster(t, func(c *cluster) {
				p, src := c.a.open()
				c.a.play(p, src, 5*time.Second)
				show := c.a.show()
				before, _ := show.Snapshot()
				if c.asked.Load() != 0 {
					t.Error("asked while awake")
				}
				c.owned.Store(&answer)
				c.awake.Store(false)
				err := p.WriteFrame(videoFrame(5*time.Second, true))
				if errors.Is(answer, media.ErrFenced) {
					if !errors.Is(err, media.ErrFenced) {
						t.Fatalf("write: %v", err)
					}
					c.a.wait(time.Minute)
					if after, _ := show.Snapshot(); after != before {
						t.Error("something was told of a show that is another's")
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				src.video++
				c.a.play(p, src, 3*time.Second)
				if n := c.asked.Load(); n != 1 {
					t.Errorf("asked %d times", n)
				}
				c.awake.Store(true)
				c.a.play(p, src, time.Second)
				c.awake.Store(false)
				c.a.play(p, src, time.Second)
				if n := c.asked.Load(); n != 2 {
					t.Errorf("asked %d times after the second stop", n)
				}
				c.a.close(p, false)
			})
		})
	}
}

func TestAGroupsShowIsHandedOver(t *testing.T) {
	onCluster(t, func(c *cluster) {
		high, low := pair()
		cast := newCast(c.a, high, low)
		cast.join(high, low)
		cast.act(5300 * time.Millisecond)
		show := c.a.show()
		high.m.Leave()
		refused := 0
		for range 100 {
			for _, e := range []*encoder{high, low} {
				e.until(cast.at, func(f *media.Frame) {
					if err := e.m.WriteFrame(f); errors.Is(err, media.ErrUnavailable) {
						refused++
					}
				})
			}
			cast.at += 20 * time.Millisecond
			c.a.wait(20 * time.Millisecond)
		}
		if refused == 0 || c.a.newest().State != media.Interrupted {
			t.Fatalf("%d frames refused, state %s", refused, c.a.newest().State)
		}
		cast.leave(false, high, low)
		if err := c.a.HandOver(context.Background(), testPath); err != nil {
			t.Fatal(err)
		}
		before, _ := show.Snapshot()
		c.takeOver(cast.epoch + 10)
		again := newCast(c.b, pairOf()...)
		again.epoch = cast.epoch + 10
		again.join(again.all...)
		again.act(6 * time.Second)
		checkContinued(t, before, c.b.newest(), 2)
		c.b.Forget(testPath)
		for _, e := range again.all {
			if err := e.m.WriteFrame(videoFrame(time.Hour, true)); !errors.Is(err, media.ErrFenced) {
				t.Errorf("member %s behind the loss: %v", e.name, err)
			}
		}
		again.leave(false, again.all...)
	})
}

func pairOf() []*encoder {
	high, low := pair()
	return []*encoder{high, low}
}

// A take-over of a day's recording must not keep its publisher waiting.
func BenchmarkTakeOverOfADay(b *testing.B) {
	dir := b.TempDir()
	root, err := reclog.OpenRoot(reclog.Config{Dir: dir, Sync: reclog.SyncNever, Shared: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = root.Close() })
	id := writeDay(b, root)
	st := mustStudioOf(b, reclog.Config{Dir: dir, Sync: reclog.SyncNever, Shared: true}, Config{})
	b.ReportAllocs()
	for b.Loop() {
		rec, w, err := st.root.Reopen(b.Context(), testPath, id)
		if err != nil {
			b.Fatal(err)
		}
		if err := st.Resume(b.Context(), rec, w); err != nil {
			b.Fatal(err)
		}
		if n := len(st.show().renditions[0].segments); n != 43_200 {
			b.Fatalf("%d segments", n)
		}
		st.Forget(testPath)
	}
}

// writeDay writes 43,200 segments of two tracks of two seconds each, and leaves the take open.
func writeDay(b *testing.B, root *reclog.Root) media.RecordingID {
	b.Helper()
	const id = media.RecordingID("01k00000000000000000000001")
	settings := media.DefaultSettings()
	w, err := root.Create(reclog.Manifest{
		ID: id, Publisher: testPath.Publisher, Stream: testPath.Stream, StartedAt: time.Now().UTC(), Settings: settings,
		Constants: media.Constants{TargetDuration: 2 * time.Second, SegmentDuration: 2 * time.Second, PartTarget: 500 * time.Millisecond},
	})
	if err != nil {
		b.Fatal(err)
	}
	video, err := newFormat(videoTrack())
	if err != nil {
		b.Fatal(err)
	}
	audio, err := newFormat(audioTrack())
	if err != nil {
		b.Fatal(err)
	}
	formats := []*format{video, audio}
	take := media.Take{Number: 1, Epoch: 1, StartedAt: time.Now().UTC(), Anchor: time.Now().UTC(), FirstMSN: 1}
	var inits [][]byte
	for _, f := range formats {
		take.Tracks = append(take.Tracks, f.track)
		inits = append(inits, appendInit(nil, f))
	}
	tw, err := w.StartTake(take, inits)
	if err != nil {
		b.Fatal(err)
	}
	for n := range 43_200 {
		for i, f := range formats {
			each := 2 * f.track.Timescale
			frag := fragment{video: f.video(), unit: each}
			frag.add(append(frag.next(), 1, 2, 3, 4), sample{dts: int64(n) * each, duration: each, sync: true})
			data := frag.cut(reclog.SequenceNumber(media.MSN(n+1), 0), 1)
			size := int64(len(data))
			offset, err := tw.AppendPart(i, data)
			if err != nil {
				b.Fatal(err)
			}
			seg := media.Segment{MSN: media.MSN(n + 1), DTS: int64(n) * each, Duration: each, Offset: offset, Size: size, Sync: true}
			for {
				err := tw.FinishSegment(i, seg)
				if err == nil {
					break
				}
				if !errors.Is(err, reclog.ErrBroken) { // the lines wait for the volume
					b.Fatal(err)
				}
			}
		}
	}
	return id
}

// What another process took over is announced no more, from the moment at which it did: not when a lease runs out.
func TestAFencedOwnerAnnouncesNothing(t *testing.T) {
	for name, leave := range map[string]bool{"its publisher sends on": false, "its show waits for the publisher": true} {
		t.Run(name, func(t *testing.T) {
			onCluster(t, func(c *cluster) {
				p, src := c.a.open()
				c.a.play(p, src, 5*time.Second)
				show := c.a.show()
				if leave {
					if err := p.Close(false); err != nil {
						t.Fatal(err)
					}
					c.a.wait(5 * time.Second) // long enough for a filler
				}
				c.takeOver(2)
				before, _ := show.Snapshot()
				if leave {
					c.a.wait(10 * time.Second)
				} else {
					src.until(src.start+10*time.Second, func(f *media.Frame) { _ = p.WriteFrame(f) })
				}
				after, _ := show.Snapshot()
				for i, r := range after.Renditions {
					was := before.Renditions[i]
					if r.Last() != was.Last() {
						t.Errorf("%s: segments up to %d were announced, %d after the take-over", r.Name, was.Last(), r.Last())
					}
					if r.Open != nil && was.Open != nil && len(r.Open.Parts) > len(was.Open.Parts) {
						t.Errorf("%s: parts were announced after the take-over", r.Name)
					}
				}
				if _, ok := c.a.Current(testPath); ok {
					t.Error("the show is still there")
				}
			})
		})
	}
}
