package packager

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// vp9Track is a picture of a height at 16:9.
func vp9Track(height int) media.Track {
	return media.Track{
		Name: "video", Kind: media.Video, Codec: media.VP9, Config: []byte{0, 10, 0x82, 2, 2, 2, 0, 0},
		Width: height * 16 / 9, Height: height,
	}
}

func spoken(language string) media.Track {
	t := audioTrack()
	t.Language = language
	return t
}

// encoder is one member's.
type encoder struct {
	name   string
	tracks []media.Track
	gop    int           // frames, of 25 a second
	phase  int           // frames by which its key frames are late
	zero   time.Duration // its clock's at the stage's begin
	delay  time.Duration // of its arrivals
	drift  int64         // of its clock, in millionths
	m      *Member       // nil while it is not connected
	silent bool
	// refresh: but for the first picture it sends recovery points for key frames.
	refresh bool

	video, audio int64 // frames sent or left out
	epoch        uint64
}

// cast is the members of a group on a stage.
type cast struct {
	*stage
	settings media.Settings
	all      []*encoder
	belongs  []string
	at       time.Duration
	epoch    uint64
}

func newCast(s *stage, all ...*encoder) *cast {
	c := &cast{stage: s, settings: media.DefaultSettings(), all: all, epoch: 1}
	for _, e := range all {
		c.belongs = append(c.belongs, e.name)
	}
	return c
}

// pair is the usual two, of one encoder.
func pair() (high, low *encoder) {
	return &encoder{name: "show_1080", tracks: []media.Track{vp9Track(1080), audioTrack()}, gop: 25},
		&encoder{name: "show_720", tracks: []media.Track{vp9Track(720), audioTrack()}, gop: 25}
}

func (c *cast) join(list ...*encoder) {
	c.t.Helper()
	for _, e := range list {
		e.epoch++
		m, err := c.Join(c.t.Context(), media.Stream{Path: testPath, Settings: c.settings}, c.epoch, Membership{
			Stream: media.Stream{
				Path: media.StreamPath{Publisher: testPath.Publisher, Stream: e.name}, Settings: media.DefaultSettings(),
			},
			Epoch: e.epoch, Members: c.belongs,
		})
		if err != nil {
			c.t.Fatal(err)
		}
		if err := m.SetTracks(e.tracks); err != nil {
			c.t.Fatal(err)
		}
		e.m = m
	}
}

func (c *cast) leave(clean bool, list ...*encoder) {
	c.t.Helper()
	for _, e := range list {
		if err := e.m.Close(clean); err != nil {
			c.t.Fatal(err)
		}
		e.m = nil
	}
	c.look()
}

// act lets time pass, in which who is connected sends.
func (c *cast) act(d time.Duration) {
	c.t.Helper()
	for end := c.at + d; c.at < end; {
		c.at += 20 * time.Millisecond
		for _, e := range c.all {
			e.until(c.at-e.delay, func(f *media.Frame) {
				if err := e.m.WriteFrame(f); err != nil {
					c.t.Fatalf("%s: %v", e.name, err)
				}
				c.look()
			})
		}
		c.wait(20 * time.Millisecond)
	}
}

// until calls write with the frames before a time, if the encoder is connected.
func (e *encoder) until(t time.Duration, write func(*media.Frame)) {
	var videos, audios []int
	for i, track := range e.tracks {
		if track.Kind == media.Video {
			videos = append(videos, i)
		} else {
			audios = append(audios, i)
		}
	}
	for {
		v := time.Duration(e.video) * 40 * time.Millisecond
		a := ms(time.Duration(e.audio) * 1024 * time.Second / 48000)
		if min(v, a) >= t {
			return
		}
		var f *media.Frame
		tracks := videos
		if a <= v {
			f, tracks = audioFrame(0, a+e.zero+a/1e6*time.Duration(e.drift)), audios
			e.audio++
		} else {
			key := (int(e.video)-e.phase)%e.gop == 0
			f = videoFrame(v+e.zero+v/1e6*time.Duration(e.drift), key && (!e.refresh || e.video == 0))
			f.Recovery = key && !f.Sync
			e.video++
		}
		for _, track := range tracks {
			if e.m != nil && !e.silent {
				f.Track = track
				write(f)
			}
		}
	}
}

func (c *cast) names(snap *hls.Snapshot) (labels []string) {
	for _, t := range snap.Takes[len(snap.Takes)-1].Tracks {
		label := t.Name
		if t.Kind == media.Video {
			label += "=" + t.Label
		} else if t.Language != "" {
			label += "=" + t.Language
		}
		labels = append(labels, label)
	}
	return labels
}

// checkAligned says that pictures have the same segments, to the tick or within slack, each with a key frame.
func checkAligned(t *testing.T, snap *hls.Snapshot, slack time.Duration) {
	t.Helper()
	lead := snap.Renditions[0]
	other := snap.Renditions[1]
	n := min(len(lead.Segments), len(other.Segments))
	if n < 2 {
		t.Fatalf("%d segments", n)
	}
	for i := range n {
		a, b := lead.Segments[i], other.Segments[i]
		d := media.Duration(a.DTS-b.DTS, videoTimescale)
		if a.Gap || b.Gap || !a.Sync || !b.Sync || d < -slack || d > slack {
			t.Errorf("CMF-23: segment %d: %+v and %+v", a.MSN, a, b)
		}
		if slack == 0 && (a.Duration != b.Duration || !a.Date.Equal(b.Date)) {
			t.Errorf("CMF-23: segment %d: lasts %d and %d, from %v and %v", a.MSN, a.Duration, b.Duration, a.Date, b.Date)
		}
	}
}

func gapsOf(r hls.Rendition) (count int) {
	for _, seg := range r.Segments {
		if seg.Gap && !seg.Filler {
			count++
		}
	}
	return count
}

func TestMV2MembersOfAGroupAreRenditionsOfOneShow(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(high, low *encoder)
		slack  time.Duration
	}{
		{"one clock from zero", func(_, _ *encoder) {}, 0},
		{"one clock of any time", func(high, low *encoder) { high.zero, low.zero = 26*time.Hour, 26*time.Hour }, 0},
		{"one clock, arrivals apart", func(_, low *encoder) { low.delay = 180 * time.Millisecond }, 0},
		{"clocks of their own", func(high, _ *encoder) { high.zero = 500 * time.Hour }, 40 * time.Millisecond},
		{"another codec", func(_, low *encoder) {
			low.tracks[0] = videoTrack()
		}, 0},
		{"longer GOPs", func(high, _ *encoder) { high.gop = 50 }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				high, low := pair()
				c.change(high, low)
				group := newCast(s, low, high)
				group.join(low, high)
				group.act(10 * time.Second)
				snap := s.newest()
				if got := group.names(snap); !slices.Equal(got, []string{"video=show_1080", "video2=show_720", "audio"}) {
					t.Errorf("tracks %q", got)
				}
				checkAligned(t, snap, c.slack)
				if len(snap.Takes) != 1 || !snap.Independent {
					t.Errorf("%d takes, independent %v", len(snap.Takes), snap.Independent)
				}
				if n := testutil.ToFloat64(s.metrics.unaligned); n != 0 {
					t.Errorf("%v segments are said not to be aligned", n)
				}
				if n := testutil.ToFloat64(s.metrics.soundLeftOut); n != 1 {
					t.Errorf("%v sounds left out", n)
				}
				id := s.show().ID()
				group.leave(true, high, low)
				checkSameEnds(t, s.seen[id])
				if state := s.seen[id].State; state != media.Ended {
					t.Errorf("state %s after everybody's goodbye", state)
				}
			})
		})
	}
}

func TestClocksOfAGroupThatDrift(t *testing.T) {
	onStage(t, func(s *stage) {
		high, low := pair()
		low.zero, low.drift = time.Hour, 4000 // 0.24 s a minute
		group := newCast(s, high, low)
		group.join(high, low)
		group.act(2 * time.Minute)
		snap := s.newest()
		n := testutil.ToFloat64(s.metrics.groupChanges.WithLabelValues("clock"))
		if n < 3 || n > 6 || len(snap.Takes) != 1 || s.ids != 1 || gapsOf(snap.Renditions[1]) > 0 {
			t.Errorf("%v corrections, %d takes of %d recordings, %d gaps", n, len(snap.Takes), s.ids, gapsOf(snap.Renditions[1]))
		}
		last := low.m.clock.offset + low.zero + group.at/1e6*time.Duration(low.drift)
		if last < -driftLimit-50*time.Millisecond || last > driftLimit+50*time.Millisecond {
			t.Errorf("the member is %v off", last)
		}
		group.leave(true, high, low)
	})
}

func TestKeyFramesOfAGroupThatAreNotAlignedAreTold(t *testing.T) {
	onStage(t, func(s *stage) {
		high, low := pair()
		low.phase = 10 // 400 ms
		group := newCast(s, high, low)
		group.join(high, low)
		group.act(10 * time.Second)
		snap := s.newest()
		if snap.Independent {
			t.Error("MV-9: segments are said to be independent")
		}
		if n := testutil.ToFloat64(s.metrics.unaligned); n < 2 {
			t.Errorf("%v segments are said not to be aligned", n)
		}
		group.leave(true, high, low)
	})
}

func TestAMemberThatIsLostHasGapsAndComesBack(t *testing.T) {
	onStage(t, func(s *stage) {
		high, low := pair()
		group := newCast(s, high, low)
		group.join(high, low)
		group.act(6 * time.Second)
		group.leave(false, low)
		group.act(7 * time.Second)
		if snap := s.newest(); gapsOf(snap.Renditions[1]) < 2 || snap.State != media.Live {
			t.Errorf("%d gaps, state %s", gapsOf(snap.Renditions[1]), snap.State)
		}
		low.zero = -13 * time.Second // its clock begins anew
		group.join(low)
		group.act(8 * time.Second)
		snap := s.newest()
		last := snap.Renditions[1].Segments[len(snap.Renditions[1].Segments)-1]
		if len(snap.Takes) != 1 || last.Gap || !last.Sync || s.ids != 1 {
			t.Errorf("%d takes of %d recordings, last segment %+v", len(snap.Takes), s.ids, last)
		}
		s.checkSEQ6()
		group.leave(true, high, low)
	})
}

func TestAnotherMemberLeads(t *testing.T) {
	for _, c := range []struct {
		name string
		lose func(*cast, *encoder)
		back func(*cast, *encoder)
	}{
		{
			"when the leader is lost",
			func(group *cast, e *encoder) { group.leave(false, e) }, func(group *cast, e *encoder) { group.join(e) },
		},
		{
			"when the leader says goodbye",
			func(group *cast, e *encoder) { group.leave(true, e) }, func(group *cast, e *encoder) { group.join(e) },
		},
		{
			"when the leader is silent",
			func(_ *cast, e *encoder) { e.silent = true }, func(_ *cast, e *encoder) { e.silent = false },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			onStage(t, func(s *stage) {
				high, low := pair()
				group := newCast(s, high, low)
				group.join(high, low)
				group.act(6 * time.Second)
				c.lose(group, high)
				group.act(8 * time.Second)
				snap := s.newest()
				if len(snap.Takes) != 2 || gapsOf(snap.Renditions[0]) < 2 || gapsOf(snap.Renditions[1]) > 1 {
					t.Errorf("%d takes, %d and %d gaps", len(snap.Takes), gapsOf(snap.Renditions[0]), gapsOf(snap.Renditions[1]))
				}
				if n := high.repairs(low)["audio"]["silence"]; n > 100 {
					t.Errorf("%d units of silence: the other member's sound did not stand in", n)
				}
				c.back(group, high)
				group.act(6 * time.Second)
				snap = s.newest()
				last := snap.Renditions[0].Segments[len(snap.Renditions[0].Segments)-1]
				if len(snap.Takes) != 2 || last.Gap || !last.Sync {
					t.Errorf("%d takes, last segment of who is back: %+v", len(snap.Takes), last)
				}
				c.lose(group, low)
				group.act(8 * time.Second)
				snap = s.newest()
				last = snap.Renditions[0].Segments[len(snap.Renditions[0].Segments)-1]
				if len(snap.Takes) != 3 || last.Gap || !last.Sync || s.ids != 1 {
					t.Errorf("%d takes of %d recordings, last segment %+v", len(snap.Takes), s.ids, last)
				}
				s.checkSEQ6()
				c.back(group, low)
				group.act(time.Second)
				group.leave(true, high, low)
			})
		})
	}
}

// Members of intra refresh have a key frame at their begin only. Recovery points do then, late.
func TestMembersWithoutKeyFramesLeadAndComeBack(t *testing.T) {
	onStage(t, func(s *stage) {
		high, low := pair()
		high.refresh, low.refresh = true, true
		group := newCast(s, high, low)
		group.join(high, low)
		group.act(6 * time.Second)
		group.leave(false, high)
		group.act(10 * time.Second)
		snap := s.newest()
		if last := snap.Renditions[1].Segments[len(snap.Renditions[1].Segments)-1]; len(snap.Takes) != 2 || last.Gap {
			t.Errorf("%d takes, last segment of who is there %+v", len(snap.Takes), last)
		}
		group.join(high) // in the middle of its pictures
		group.act(8 * time.Second)
		snap = s.newest()
		if last := snap.Renditions[0].Segments[len(snap.Renditions[0].Segments)-1]; s.ids != 1 || last.Gap {
			t.Errorf("%d recordings, last segment of who is back %+v", s.ids, last)
		}
		group.leave(true, high, low)
	})
}

// repairs are those that one of two members knows.
func (e *encoder) repairs(other *encoder) map[string]map[string]int64 {
	if e.m == nil {
		return other.m.Repairs()
	}
	return e.m.Repairs()
}

func TestMembersThatComeLateMakeOneNextRecording(t *testing.T) {
	onStage(t, func(s *stage) {
		high, low := pair()
		lower := &encoder{name: "show_480", tracks: []media.Track{vp9Track(480)}, gop: 25}
		lowest := &encoder{name: "show_360", tracks: []media.Track{vp9Track(360)}, gop: 25}
		group := newCast(s, low, high, lower, lowest)
		group.join(low)
		group.act(9 * time.Second)
		first := s.show()
		if got := group.names(s.newest()); !slices.Equal(got, []string{"video=show_720", "audio"}) {
			t.Errorf("tracks %q", got)
		}
		group.join(high)
		group.act(400 * time.Millisecond)
		group.join(lower)
		group.act(400 * time.Millisecond)
		group.join(lowest)
		group.act(12 * time.Second)
		snap := s.newest()
		if s.ids != 2 || s.show().continues != first.id || len(snap.Takes) != 1 {
			t.Errorf("%d recordings, this one continues %q, %d takes", s.ids, s.show().continues, len(snap.Takes))
		}
		want := []string{"video=show_1080", "video2=show_720", "video3=show_480", "video4=show_360", "audio"}
		if got := group.names(snap); !slices.Equal(got, want) {
			t.Errorf("tracks %q", got)
		}
		for i := range snap.Renditions {
			if gapsOf(snap.Renditions[i]) > 0 {
				t.Errorf("%s has gaps", snap.Renditions[i].Name)
			}
		}
		checkAligned(t, snap, 0)
		s.checkSEQ6()
		group.leave(true, high, low, lower, lowest)
	})
}

func TestAMemberThatStaysAwayIsNotInTheNextRecording(t *testing.T) {
	onStage(t, func(s *stage) {
		high, low := pair()
		group := newCast(s, high, low)
		group.settings.ReconnectWindow = media.Span(5 * time.Second)
		group.join(high, low)
		group.act(6 * time.Second)
		first := s.show().ID()
		group.leave(true, low)
		group.act(4 * time.Second)
		if s.ids != 1 {
			t.Errorf("%d recordings within the window", s.ids)
		}
		group.act(12 * time.Second)
		if got := group.names(s.newest()); !slices.Equal(got, []string{"video=show_1080", "audio"}) || s.show().continues != first {
			t.Errorf("tracks %q, continues %q", got, s.show().continues)
		}
		s.checkSEQ6()
		group.leave(true, high)
	})
}

func TestAGroupWhoseMembersAreAllLostIsInterrupted(t *testing.T) {
	onStage(t, func(s *stage) {
		high, low := pair()
		group := newCast(s, high, low)
		group.join(high, low)
		group.act(6 * time.Second)
		group.leave(false, high)
		group.leave(true, low) // one of them was lost
		if snap := s.newest(); snap.State != media.Interrupted {
			t.Errorf("state %s", snap.State)
		}
		group.act(2 * time.Second)
		group.epoch++
		group.join(high)
		group.act(4 * time.Second) // longer than a show that begins would wait
		group.join(low)
		group.act(6 * time.Second)
		snap := s.newest()
		if s.ids != 1 || len(snap.Takes) != 2 || snap.State != media.Live || snap.Renditions[1].Segments[len(snap.Renditions[1].Segments)-1].Gap {
			t.Errorf("%d recordings, %d takes, state %s", s.ids, len(snap.Takes), snap.State)
		}
		s.checkSEQ6()
		group.leave(true, high, low)
	})
}

func TestSoundsOfAGroup(t *testing.T) {
	t.Run("each language is a rendition", func(t *testing.T) {
		onStage(t, func(s *stage) {
			high, low := pair()
			high.tracks[1], low.tracks = spoken("en"), []media.Track{vp9Track(720), spoken("en"), opusTrack("audio2", 960)}
			low.tracks[2].Language = "de"
			group := newCast(s, high, low)
			group.join(high, low)
			group.act(8 * time.Second)
			want := []string{"video=show_1080", "video2=show_720", "audio=en", "audio2=de"}
			if got := group.names(s.newest()); !slices.Equal(got, want) {
				t.Errorf("tracks %q", got)
			}
			group.leave(true, high, low)
		})
	})
	t.Run("what one member sends twice is two", func(t *testing.T) {
		onStage(t, func(s *stage) {
			high, low := pair()
			second := audioTrack()
			second.Name, second.Label = "audio2", "Commentary"
			high.tracks = append(high.tracks, second)
			group := newCast(s, high, low)
			group.join(high, low)
			group.act(6 * time.Second)
			snap := s.newest()
			if got := group.names(snap); !slices.Equal(got, []string{"video=show_1080", "video2=show_720", "audio", "audio2"}) {
				t.Fatalf("tracks %q", got)
			}
			group.leave(false, high) // the other member's sound stands in for the first
			group.act(6 * time.Second)
			routes := low.m.routes
			if len(s.newest().Takes) > 2 || s.ids != 1 || routes[1].to != 2 {
				t.Errorf("%d recordings, %d takes, routes %+v", s.ids, len(s.newest().Takes), routes)
			}
			group.join(high)
			group.act(6 * time.Second)
			if routes := high.m.routes; s.ids != 1 || routes[1].to >= 0 || routes[2].to != 3 {
				t.Errorf("%d recordings, routes %+v: the stand-in goes on, and the second sound is its member's", s.ids, routes)
			}
			group.leave(true, high, low)
		})
	})
	t.Run("alone", func(t *testing.T) {
		onStage(t, func(s *stage) {
			english := &encoder{name: "en", tracks: []media.Track{spoken("en")}, gop: 25}
			german := &encoder{name: "de", tracks: []media.Track{spoken("de")}, gop: 25}
			group := newCast(s, english, german)
			group.settings.ReconnectWindow = media.Span(3 * time.Second)
			group.join(english, german)
			group.act(8 * time.Second)
			if got := group.names(s.newest()); !slices.Equal(got, []string{"audio=de", "audio2=en"}) {
				t.Errorf("tracks %q", got)
			}
			group.leave(false, german)
			group.act(12 * time.Second)
			if got := group.names(s.newest()); !slices.Equal(got, []string{"audio=en"}) {
				t.Errorf("tracks %q", got)
			}
			group.leave(true, english)
		})
	})
}

func TestMembersAreFenced(t *testing.T) {
	onStage(t, func(s *stage) {
		high, low := pair()
		group := newCast(s, high, low)
		group.join(high, low)
		group.act(4 * time.Second)
		old := low.m
		group.join(low)
		if err := old.WriteFrame(videoFrame(0, true)); !errors.Is(err, media.ErrTakenOver) {
			t.Errorf("the connection that was taken over: %v", err)
		}
		if err := old.Close(false); err != nil {
			t.Error(err)
		}
		group.act(4 * time.Second)
		if snap := s.newest(); len(snap.Takes) != 1 || len(snap.Renditions) != 3 {
			t.Errorf("%d takes, %d renditions", len(snap.Takes), len(snap.Renditions))
		}
		// Somebody else publishes the show: another node that acquired it.
		p := s.publish(2, nil)
		if err := low.m.WriteFrame(videoFrame(group.at, true)); !errors.Is(err, media.ErrTakenOver) {
			t.Errorf("a member of a show that was taken over: %v", err)
		}
		if err := high.m.Close(false); err != nil {
			t.Error(err)
		}
		if err := low.m.Close(false); err != nil {
			t.Error(err)
		}
		if len(s.mu.groups) != 0 {
			t.Errorf("%d groups are left of one that was taken over", len(s.mu.groups))
		}
		s.close(p, true)
	})
}

// A show's lease that was lost and acquired anew fences all members at once. They come back one by one, and the
// recording goes on as it was.
func TestMembersOfALeaseThatWasLostAreWaitedFor(t *testing.T) {
	onStage(t, func(s *stage) {
		high, low := pair()
		group := newCast(s, high, low)
		group.join(high, low)
		group.act(6 * time.Second)
		old := []*Member{high.m, low.m}
		low.m = nil
		group.epoch++
		group.join(high)
		for _, m := range old {
			if err := m.WriteFrame(videoFrame(0, true)); !errors.Is(err, media.ErrTakenOver) {
				t.Errorf("a member on the lease that was lost: %v", err)
			}
			if err := m.Close(false); err != nil {
				t.Error(err)
			}
		}
		group.act(4 * time.Second)
		group.join(low)
		group.act(6 * time.Second)
		snap := s.newest()
		if s.ids != 1 || len(snap.Takes) != 2 || len(snap.Renditions) != 3 || snap.State != media.Live {
			t.Errorf("%d recordings, %d takes, %d renditions, state %s", s.ids, len(snap.Takes), len(snap.Renditions), snap.State)
		}
		group.leave(true, high, low)
		if len(s.mu.groups) != 0 {
			t.Errorf("%d groups are left of one whose members left", len(s.mu.groups))
		}
	})
}

func TestMembersThatCanNotBeTaken(t *testing.T) {
	onStage(t, func(s *stage) {
		high, _ := pair()
		group := newCast(s, high)
		group.join(high)
		many := make([]media.Track, maxTracks)
		for i := range many {
			many[i] = vp9Track(100 + i)
			many[i].Name = trackName("video", i)
		}
		other := &encoder{name: "other", tracks: []media.Track{vp9Track(360)}}
		group.join(other)
		for _, c := range []struct {
			name   string
			tracks []media.Track
			want   error
		}{
			{"none", nil, media.ErrInvalid},
			{"too many beside the other member's", many, media.ErrUnsupported},
			{"two of a name", []media.Track{vp9Track(100), vp9Track(200)}, media.ErrInvalid},
			{"no such codec", []media.Track{{Name: "video", Kind: media.Video, Codec: "h261"}}, media.ErrUnsupported},
		} {
			if err := other.m.SetTracks(c.tracks); !errors.Is(err, c.want) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		if err := other.m.WriteFrame(&media.Frame{Track: 7, Payload: []byte{1}}); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("frame of no track: %v", err)
		}
		group.leave(true, high, other)
	})
}

// TestRulesHoldForAnyGroup lets members come, go, fall silent and jump at random.
func TestRulesHoldForAnyGroup(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		heights := []int{1080, 720, 480}
		var all []*encoder
		for _, height := range heights[:rapid.IntRange(1, 3).Draw(rt, "members")] {
			e := &encoder{
				name: fmt.Sprintf("show_%d", height), tracks: []media.Track{vp9Track(height), audioTrack()},
				gop:   rapid.SampledFrom([]int{12, 25, 50, 80}).Draw(rt, "gop"),
				phase: rapid.SampledFrom([]int{0, 0, 7}).Draw(rt, "phase"),
				delay: time.Duration(rapid.IntRange(0, 300).Draw(rt, "delay")) * time.Millisecond,
				zero:  time.Duration(rapid.SampledFrom([]int{0, 0, 3600}).Draw(rt, "zero")) * time.Second,
			}
			if rapid.IntRange(0, 3).Draw(rt, "mute") == 0 {
				e.tracks = e.tracks[:1]
			}
			all = append(all, e)
		}
		type deed struct{ who, what, pause int }
		var deeds []deed
		for range rapid.IntRange(1, 10).Draw(rt, "deeds") {
			deeds = append(deeds, deed{
				rapid.IntRange(0, len(all)-1).Draw(rt, "who"), rapid.IntRange(0, 3).Draw(rt, "what"),
				rapid.IntRange(1, 300).Draw(rt, "pause"),
			})
		}
		synctest.Test(t, func(t *testing.T) {
			s := mustStage(t, dir)
			defer s.end()
			group := newCast(s, all...)
			group.settings.ReconnectWindow = media.Span(6 * time.Second)
			group.join(all[0])
			for _, d := range deeds {
				group.act(time.Duration(d.pause) * 20 * time.Millisecond)
				e := all[d.who]
				switch {
				case e.m == nil:
					if !slices.ContainsFunc(all, func(e *encoder) bool { return e.m != nil }) {
						group.epoch++
					}
					group.join(e)
				case d.what == 0:
					e.silent = !e.silent
				case d.what == 1:
					e.zero += time.Duration(d.pause-150) * time.Second
				default:
					group.leave(d.what == 2, e)
				}
			}
			group.act(time.Second)
			for _, e := range all {
				if e.m != nil {
					group.leave(true, e)
				}
			}
			for _, snap := range s.seen {
				checkSameEnds(t, snap)
			}
			if n := testutil.ToFloat64(s.metrics.storageErrors) + testutil.ToFloat64(s.metrics.lost); n != 0 {
				t.Errorf("%v errors of storage or segments that it lacks", n)
			}
		})
	})
}
