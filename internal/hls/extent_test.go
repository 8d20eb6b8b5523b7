package hls

import (
	"errors"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// jumps is a life whose clock is set ahead by an hour between two takes, with held pictures, lost media, and short ones.
func jumps() []*Snapshot {
	s := newSim(lowConstants(), videoTrack(), audioTrack())
	s.run(5, false)
	s.gap(false)
	s.run(3, true)
	s.hold(3)
	s.gap(true)
	s.anchor = s.anchor.Add(time.Hour)
	s.resume()
	s.run(4, false)
	s.open(false)
	s.interrupt()
	s.resume()
	s.gap(false)
	s.run(3, false)
	s.hold(2)
	s.gap(true)
	live := s.publish()
	s.end()
	ended := s.publish()
	archived := *ended
	archived.State = media.Archived
	return []*Snapshot{live, ended, &archived}
}

func FuzzResolve(f *testing.F) {
	for query := range clipQueries() {
		f.Add(query)
	}
	for _, query := range []string{
		"start=9&end=11", "start=16.2", "start=20&end=1h", "start=1h", "start=-1h&end=-1", "end=10", "start=17&end=23",
		"start=2026-11-20T10:38:02.823Z&end=2026-11-20T10:38:02.824Z", "start=2026-11-20T10:38:02.822Z", "start=-0",
	} {
		f.Add(query)
	}
	versions := jumps()
	f.Fuzz(func(t *testing.T, query string) {
		c, err := ParseClip(query)
		if err != nil {
			return
		}
		for _, v := range versions {
			e, d, err := v.Resolve(c)
			if err != nil || d != Serve {
				if e != (Extent{}) || d == Refuse || err != nil && !errors.Is(err, media.ErrInvalid) {
					t.Fatalf("%s of %s: %+v, %s, %v", query, v.State, e, d, err)
				}
				continue
			}
			if again, _, err := v.Resolve(e.Clip); err != nil || again != e {
				t.Fatalf("%s of %s: %+v, again %+v, %v", query, v.State, e, again, err)
			}
			if e.Offset < 0 || e.To > 0 && e.To < e.From || e.Clip.Relative() || (e.To > 0) != c.Ends() {
				t.Fatalf("%s of %s: %+v", query, v.State, e)
			}
			for r := range v.Renditions {
				p := parse(t, AppendMedia(nil, v, e.Playlist(r, Whole, Media), SkipNone, nil))
				if len(p.segments) == 0 || p.segments[0].gap || p.segments[len(p.segments)-1].gap && c.Ends() {
					t.Fatalf("%s of %s: lists %d", query, v.State, len(p.segments))
				}
			}
		}
	})
}
