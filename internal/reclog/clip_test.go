package reclog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const testClipID media.RecordingID = "01kafzq7s8e5gv9mxw2ctr4n6c"

// endedShow plays the script, ends the recording, and gives it.
func endedShow(t *testing.T) (*show, *Recording) {
	t.Helper()
	s := newShow(t, newMemFS(), SyncNever)
	s.script()
	rec, w, err := s.root.Reopen(t.Context(), testPath(), testID)
	if err == nil {
		err = w.Update(func(m *Manifest) { m.State, m.EndedAt = media.Ended, testStart().Add(time.Hour) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, rec
}

// cutShow gives the clip that begins in the second segment and ends in the last.
func cutShow(t *testing.T, rec *Recording) *Recording {
	t.Helper()
	lead := rec.Tracks[0].Segments
	from, to := lead[1].Date.Add(time.Millisecond), lead[len(lead)-1].Date.Add(200*time.Millisecond)
	c := Clip{Of: rec.ID, Start: from.Sub(rec.StartedAt), End: to.Sub(rec.StartedAt)}
	clip, err := rec.Cut(testClipID, c, from, to, testStart().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	clip.SetMetadata(rec.Metadata[1:])
	return clip
}

// mediaOf reads all the media that a recording has, in order.
func mediaOf(t *testing.T, r *Root, id media.RecordingID) (*Recording, string) {
	t.Helper()
	rec, err := Load(t.Context(), r.Files(), testPath(), id)
	if err != nil {
		t.Fatal(err)
	}
	if len(rec.Damage) > 0 {
		t.Fatalf("damage: %v", rec.Damage)
	}
	var text bytes.Buffer
	read := func(name string, offset, size int64) {
		in, err := r.Files().OpenRange(t.Context(), name, offset, size)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(&text, in)
		if err := errors.Join(err, in.Close()); err != nil {
			t.Fatal(err)
		}
	}
	for i, track := range rec.Tracks {
		for _, take := range rec.Takes {
			read(rec.TrackName(take.Number, track.Name), 0, take.Tracks[i].InitSize)
		}
		for k := range track.Segments {
			seg := &track.Segments[k]
			fmt.Fprint(&text, "\n", seg.MSN, seg.Take, seg.DTS, seg.Duration, seg.Date, seg.Sync, seg.Gap, seg.Filler, seg.IFrames, "\n")
			if seg.Size > 0 {
				read(rec.TrackName(seg.Take, track.Name), seg.Offset, seg.Size)
			}
		}
	}
	fmt.Fprint(&text, rec.Metadata)
	return rec, text.String()
}

// A clip is there whole or not at all, wherever its making is cut off, and then has the same bytes wherever the copying
// of its media is; both can be done again.
func TestClipIsCutOffAnywhere(t *testing.T) {
	s, rec := endedShow(t)
	clip := cutShow(t, rec)
	begun := s.now()
	if err := s.root.WriteClip(t.Context(), clip); err != nil {
		t.Fatal(err)
	}
	made := s.now()
	on, want := mediaOf(t, s.root, testClipID)
	if on.Source != testID || len(on.Tracks[0].Segments) != len(rec.Tracks[0].Segments)-1 || len(on.Metadata) != len(rec.Metadata)-1 {
		t.Fatalf("clip %+v", on.Manifest)
	}
	if err := s.root.OwnMedia(t.Context(), testPath(), testClipID); err != nil {
		t.Fatal(err)
	}
	journal := s.fsys.journal
	for at := begun; at <= len(journal); at++ {
		fsys := replay(journal[:at])
		root := testRoot(t, fsys, SyncNever)
		_, err := Load(t.Context(), root.Files(), testPath(), testClipID)
		if at >= made && err != nil || err != nil && !errors.Is(err, media.ErrNotFound) {
			t.Fatalf("after %d: %v", at, err)
		}
		if err == nil {
			if _, got := mediaOf(t, root, testClipID); got != want {
				t.Fatalf("after %d (%v): other bytes", at, journal[at-1])
			}
		}
		if err := root.WriteClip(t.Context(), clip); err != nil {
			t.Fatalf("after %d, made again: %v", at, err)
		}
		if err := root.OwnMedia(t.Context(), testPath(), testClipID); err != nil {
			t.Fatalf("after %d, copied again: %v", at, err)
		}
		if err := root.Remove(t.Context(), testPath(), testID); err != nil {
			t.Fatal(err)
		}
		if on, got := mediaOf(t, root, testClipID); got != want || on.Source != "" || on.Clip == nil {
			t.Fatalf("after %d, without its source: %+v", at, on.Manifest)
		}
		if left := append(fsys.glob("/acme/show/"+string(testClipID)+"/*/*.source.idx"),
			fsys.glob("/acme/show/"+string(testClipID)+"/*/*.tmp")...); len(left) > 0 {
			t.Fatalf("after %d: left %v", at, left)
		}
	}
	// It is a recording like any other now: recovery finds nothing to mend.
	root := testRoot(t, replay(journal), SyncNever)
	if rec, _, err := root.Reopen(t.Context(), testPath(), testClipID); err != nil || len(rec.Damage) > 0 {
		t.Fatalf("reopened: %v, %v", rec, err)
	}
	if _, got := mediaOf(t, root, testClipID); got != want {
		t.Error("reopened, it has other bytes")
	}
}

func TestClipIsReopenedWithoutItsMedia(t *testing.T) {
	s, rec := endedShow(t)
	if err := s.root.WriteClip(t.Context(), cutShow(t, rec)); err != nil {
		t.Fatal(err)
	}
	_, want := mediaOf(t, s.root, testClipID)
	_, w, err := s.root.Reopen(t.Context(), testPath(), testClipID)
	if err == nil {
		err = w.Update(func(m *Manifest) { m.State = media.Archived })
	}
	if err != nil {
		t.Fatal(err)
	}
	if rec, got := mediaOf(t, s.root, testClipID); got != want || rec.State != media.Archived {
		t.Errorf("%+v", rec.Manifest)
	}
}

func TestClipsAreNoStreamsLatest(t *testing.T) {
	s, rec := endedShow(t)
	if err := s.root.WriteClip(t.Context(), cutShow(t, rec)); err != nil {
		t.Fatal(err)
	}
	if id, err := s.root.Latest(t.Context(), testPath()); id != testID || err != nil {
		t.Errorf("latest is %s, %v", id, err)
	}
	// Any number of clips hides no show that goes on.
	_, w, err := s.root.Reopen(t.Context(), testPath(), testID)
	if err == nil {
		err = w.Update(func(m *Manifest) { m.State = media.Interrupted })
	}
	for n := range 2 * maxGrowing {
		clip := cutShow(t, rec)
		clip.ID = media.RecordingID(fmt.Sprintf("%s%02d", testClipID[:24], 80+n))
		err = errors.Join(err, s.root.WriteClip(t.Context(), clip))
	}
	if err != nil {
		t.Fatal(err)
	}
	if ref, _, err := s.root.Growing(t.Context(), testPath()); ref.ID != testID || err != nil {
		t.Errorf("growing is %s, %v", ref, err)
	}
}

func TestCutFindsSegments(t *testing.T) {
	rec := &Recording{Manifest: testManifest()}
	rec.Takes = []media.Take{testTake(1, 1), testTake(2, 5)}
	rec.Tracks = []Track{{Name: "video"}, {Name: "audio"}}
	at := func(seconds float64) time.Time {
		return testStart().Truncate(time.Millisecond).Add(time.Duration(seconds * float64(time.Second)))
	}
	// Two takes of eight seconds, two apart; 4 is lost at the end of the first, 5 at the begin of the second.
	for n := range 8 {
		seg := media.Segment{MSN: media.MSN(n + 1), Take: 1 + n/4, Duration: 2 * 90000, Size: 1, Date: at(float64(2*n + 2*(n/4)))}
		seg.Gap = n == 3 || n == 4
		rec.Tracks[0].Segments = append(rec.Tracks[0].Segments, seg)
		seg.Duration = 2 * 48000
		rec.Tracks[1].Segments = append(rec.Tracks[1].Segments, seg)
	}
	for name, tt := range map[string]struct {
		from, to    float64
		first, last media.MSN
	}{
		"outward":                     {2.5, 4.5, 2, 3},
		"on the boundaries":           {2, 4, 2, 2},
		"a millisecond off":           {1.999, 4.001, 2, 2},
		"all, and more":               {0, 99, 1, 8},
		"ends in what is lost":        {0, 7, 1, 3},
		"begins in what is lost":      {7, 13, 6, 6},
		"begins between the takes":    {8.5, 13, 6, 6},
		"over both":                   {5, 13, 3, 6},
		"of what is lost":             {6.5, 8, 0, 0},
		"behind the end":              {18.5, 20, 0, 0},
		"less than a segment":         {3.1, 3.2, 2, 2},
		"from the last segment's end": {18, 19, 0, 0},
	} {
		clip, err := rec.Cut(testClipID, Clip{Of: testID, End: time.Second}, at(tt.from), at(tt.to), testStart())
		if tt.first == 0 {
			if !errors.Is(err, media.ErrInvalid) {
				t.Errorf("%s: %v, %v", name, clip, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, track := range clip.Tracks {
			if a, b := track.Segments[0].MSN, track.Segments[len(track.Segments)-1].MSN; a != tt.first || b != tt.last {
				t.Errorf("%s: %s is %d to %d, want %d to %d", name, track.Name, a, b, tt.first, tt.last)
			}
		}
		if clip.Takes[0].FirstMSN != tt.first || clip.check() != nil {
			t.Errorf("%s: %+v, %v", name, clip.Manifest, clip.check())
		}
	}
}

func TestClipManifestsAreChecked(t *testing.T) {
	good := func() Manifest {
		m := takenManifest()
		m.Format, m.ID, m.State = ReferringVersion, testClipID, media.Ended
		m.Clip, m.Source = &Clip{Of: testID, End: time.Second}, testID
		return m
	}
	m := good()
	if _, err := m.Encode(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(m *Manifest){
		"a source and no clip":  func(m *Manifest) { m.Clip = nil },
		"another source":        func(m *Manifest) { m.Source = "01kafzq7s8e5gv9mxw2ctr4n6d" },
		"a path for a source":   func(m *Manifest) { m.Clip.Of, m.Source = "../../x", "../../x" },
		"of itself":             func(m *Manifest) { m.Clip.Of, m.Source = m.ID, m.ID },
		"backwards":             func(m *Manifest) { m.Clip.Start = 2 * time.Second },
		"before the begin":      func(m *Manifest) { m.Clip.Start = -1 },
		"one that grows":        func(m *Manifest) { m.State = media.Live },
		"the format of its own": func(m *Manifest) { m.Format = FormatVersion },
		"own media, new format": func(m *Manifest) { m.Source = "" },
	} {
		m := good()
		change(&m)
		if _, err := m.Encode(); !errors.Is(err, media.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
