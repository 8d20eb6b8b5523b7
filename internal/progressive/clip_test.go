package progressive

import (
	"slices"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const testClipID media.RecordingID = "01k00000000000000000000002"

// clipSource gives what Build needs of the clip of some segments of a recording, whose media is the recording's.
func clipSource(tb testing.TB, files reclog.Files, rec *reclog.Recording, first, last int) *Recording {
	tb.Helper()
	lead := rec.Tracks[0].Segments
	clip, err := rec.Cut(testClipID, reclog.Clip{Of: testID, End: time.Second}, lead[first].Date,
		lead[last].Date.Add(10*time.Millisecond), time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	if clip.Tracks[0].Segments[0].MSN != lead[first].MSN || len(clip.Tracks[0].Segments) != last-first+1 {
		tb.Fatalf("cut from %d, %d segments", clip.Tracks[0].Segments[0].MSN, len(clip.Tracks[0].Segments))
	}
	r := &Recording{Path: testPath, ID: testClipID, Media: testID, StartedAt: lead[first].Date, Takes: clip.Takes}
	for _, tr := range clip.Tracks {
		r.Segments = append(r.Segments, tr.Segments)
	}
	for i := range clip.Takes {
		var inits [][]byte
		var tables []*Table
		for j, tr := range clip.Takes[i].Tracks {
			number := clip.Takes[i].Number
			name := clip.TrackName(number, tr.Name)
			inits = append(inits, readRange(tb, files, name, 0, tr.InitSize))
			whole, err := Scan(tb.Context(), files, name, number, rec.Tracks[j].Segments)
			if err != nil {
				tb.Fatal(err)
			}
			own, err := Scan(tb.Context(), files, name, number, r.Segments[j])
			if err != nil {
				tb.Fatal(err)
			}
			if of := whole.Of(number, r.Segments[j]); !slices.Equal(of.Object(), own.Object()) || of.Samples() != own.Samples() {
				tb.Errorf("%s: a table of %d bytes, want %d", name, len(of.Object()), len(own.Object()))
			}
			tables = append(tables, whole)
		}
		r.Inits, r.Tables = append(r.Inits, inits), append(r.Tables, tables)
	}
	return r
}

// A clip's file begins at zero with the clip's first picture, and is the same by its source's tables and by its own.
func TestClipsAreFilesOfTheirOwn(t *testing.T) {
	publisher := mustClip(t, 13, "192x108", 48000)
	root, rec := record(t, nil, publisher)
	all := frames(t, publisher, "v")
	src := clipSource(t, root.Files(), rec, 2, 4)
	f := mustBuild(t, src, Cut{})
	file := mustWrite(t, root.Files(), f)
	checkBoxes(t, file, f)
	got := frames(t, file, "v")
	if !slices.Equal(hashes(got), hashes(all[100:250])) || got[0].at != 0 || f.Duration() < 5900*time.Millisecond ||
		f.Duration() > 6100*time.Millisecond {
		t.Errorf("%d pictures from %d ms, %s", len(got), got[0].at, f.Duration())
	}
	if audio := frames(t, file, "a"); audio[0].at < -50 || audio[0].at > 50 {
		t.Errorf("sound begins at %d ms", audio[0].at)
	}
	// A piece of it, by the numbers that its segments have.
	first := src.Segments[0][0]
	begin := media.Duration(first.DTS, rec.Takes[0].Tracks[0].Timescale)
	cut := Cut{
		From: first.MSN, To: first.MSN + 1, HasStart: true, HasEnd: true,
		Start: begin + 1080*time.Millisecond, End: begin + 3080*time.Millisecond,
	}
	piece := frames(t, mustWrite(t, root.Files(), mustBuild(t, src, cut)), "v")
	if at := slices.Index(hashes(all), piece[0].hash); at < 126 || at > 129 || len(piece) != 50 {
		t.Errorf("%d pictures from the %d. of the show", len(piece), at)
	}
	// As they are once it has its own media.
	own, copies := ownedOf(rec, src)
	if again := mustBuild(t, own, Cut{}); again.ETag() != f.ETag() || again.Size() != f.Size() || len(copies) != 2 {
		t.Errorf("%s, %d bytes, want %s and %d", again.ETag(), again.Size(), f.ETag(), f.Size())
	}
}

// ownedOf gives the clip as it is with media of its own.
func ownedOf(rec *reclog.Recording, src *Recording) (*Recording, []reclog.Copy) {
	clip := *rec
	clip.Takes, clip.Tracks = src.Takes, nil
	for i, segments := range src.Segments {
		clip.Tracks = append(clip.Tracks, reclog.Track{Name: rec.Tracks[i].Name, Segments: segments})
	}
	owned, copies := clip.Owned()
	own := *src
	own.Media, own.Segments = "", nil
	for _, tr := range owned.Tracks {
		own.Segments = append(own.Segments, tr.Segments)
	}
	return &own, copies
}

// A clip over takes with other parameters, and one of the last take alone.
func TestClipsOfSeveralTakes(t *testing.T) {
	root, rec := record(t, nil, mustClip(t, 7, "320x180", 44100), mustClip(t, 5, "192x108", 48000))
	lead := rec.Tracks[0].Segments
	second := slices.IndexFunc(lead, func(s media.Segment) bool { return s.Take == 2 && !s.Gap })
	for name, tt := range map[string]struct{ first, entries int }{"both": {1, 2}, "the last": {second, 1}} {
		t.Run(name, func(t *testing.T) {
			f := mustBuild(t, clipSource(t, root.Files(), rec, tt.first, len(lead)-1), Cut{})
			file := mustWrite(t, root.Files(), f)
			checkBoxes(t, file, f)
			if got := packets(t, file, "v"); len(f.tracks[0].entries) != tt.entries || got[0].at > 100 {
				t.Errorf("%d sample entries, pictures from %d ms", len(f.tracks[0].entries), got[0].at)
			}
		})
	}
}
