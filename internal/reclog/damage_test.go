package reclog

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// finished writes a recording of one take with four segments of two parts, sealed.
func finished(t *testing.T) *show {
	t.Helper()
	s := newShow(t, newMemFS(), SyncSegment)
	if !s.begin() || !s.startTake() {
		t.Fatal(s.failed)
	}
	for range 4 {
		s.segment(2)
	}
	s.seal()
	if err := errors.Join(s.failed...); err != nil {
		t.Fatal(err)
	}
	return s
}

// open is finished, but not sealed.
func unsealed(t *testing.T) *show {
	t.Helper()
	s := newShow(t, newMemFS(), SyncSegment)
	if !s.begin() || !s.startTake() {
		t.Fatal(s.failed)
	}
	for range 4 {
		s.segment(2)
	}
	return s
}

func onDisk(name string) string { return "/acme/show/" + string(testID) + "/" + name }

// partAt gives where what was told of a part lies.
func (s *show) partAt(track int, msn media.MSN, part int) told {
	for _, what := range s.told {
		if what.track == track && what.msn == msn && what.part == part && !what.gap {
			return what
		}
	}
	s.tb.Fatalf("no part %d.%d", msn, part)
	return told{}
}

// without drops what was told of a segment of a track.
func (s *show) without(track int, from, to media.MSN) []told {
	var left []told
	for _, what := range s.told {
		if what.track != track || what.msn < from || what.msn > to {
			left = append(left, what)
		}
	}
	return left
}

func gaps(track Track) []media.MSN {
	var all []media.MSN
	for _, seg := range track.Segments {
		if seg.Gap {
			all = append(all, seg.MSN)
		}
	}
	return all
}

func TestADamagedRecordingKeepsAllThatIsWhole(t *testing.T) {
	for _, tc := range []struct {
		name   string
		sealed bool
		harm   func(s *show)
		gaps   []media.MSN // of video
		files  []string    // of damage
		aside  string
	}{
		{"moof overwritten", false, func(s *show) {
			data := s.fsys.contents(onDisk("1/video.mp4"))
			copy(data[s.partAt(0, 3, 1).offset:], "XXXXXXXXXXXX")
			s.fsys.set(onDisk("1/video.mp4"), data)
		}, []media.MSN{3}, []string{"1/video.mp4"}, ""},
		{"moof overwritten, index lost", false, func(s *show) {
			data := s.fsys.contents(onDisk("1/video.mp4"))
			copy(data[s.partAt(0, 3, 1).offset:], "XXXXXXXXXXXX")
			s.fsys.set(onDisk("1/video.mp4"), data)
			s.fsys.set(onDisk("1/video.idx"), nil)
		}, []media.MSN{3}, []string{"1/video.mp4"}, ""},
		{"tail is other bytes", false, func(s *show) {
			data := s.fsys.contents(onDisk("1/video.mp4"))
			s.fsys.set(onDisk("1/video.mp4"), append(data, strings.Repeat("junk", 100)...))
		}, nil, []string{"1/video.mp4"}, "1/video.mp4.*.corrupt"},
		{"tail is zeros", false, func(s *show) {
			data := s.fsys.contents(onDisk("1/video.mp4"))
			s.fsys.set(onDisk("1/video.mp4"), append(data, make([]byte, 100_000)...))
		}, nil, nil, ""},
		{"index line broken", true, func(s *show) {
			text := s.fsys.contents(onDisk("1/video.idx"))
			s.fsys.set(onDisk("1/video.idx"), bytes.Replace(text, []byte(`{"msn":2,`), []byte(`{"msn";2,`), 1))
		}, nil, []string{"1/video.idx"}, "1/video.idx.corrupt"},
		{"index line wrong", false, func(s *show) {
			text := s.fsys.contents(onDisk("1/video.idx"))
			s.fsys.set(onDisk("1/video.idx"), bytes.Replace(text, []byte(`"offset":`), []byte(`"offset":9999999`), 1))
		}, []media.MSN{1}, []string{"1/video.mp4"}, ""},
		{"index lost", true, func(s *show) {
			s.fsys.set(onDisk("1/video.idx"), nil)
		}, nil, nil, ""},
		{"index missing", true, func(s *show) {
			s.fsys.mustRemove(onDisk("1/video.idx"))
		}, nil, []string{"1/video.idx"}, ""},
		{"file cut", true, func(s *show) {
			data := s.fsys.contents(onDisk("1/video.mp4"))
			s.fsys.set(onDisk("1/video.mp4"), data[:s.partAt(0, 3, 1).offset+5])
		}, []media.MSN{3, 4}, []string{"1/video.mp4", "1/video.mp4"}, ""},
		{"file empty", false, func(s *show) {
			s.fsys.set(onDisk("1/video.mp4"), nil)
		}, []media.MSN{1, 2, 3, 4}, []string{"1/video.mp4", "1/video.mp4", "1/video.mp4", "1/video.mp4", "1/video.mp4"}, ""},
		{"file missing", true, func(s *show) {
			s.fsys.mustRemove(onDisk("1/video.mp4"))
		}, []media.MSN{1, 2, 3, 4}, []string{"1/video.mp4", "1/video.mp4", "1/video.mp4", "1/video.mp4", "1/video.mp4"}, ""},
		{"part cut out", false, func(s *show) {
			data, hole := s.fsys.contents(onDisk("1/video.mp4")), s.partAt(0, 4, 0)
			s.fsys.set(onDisk("1/video.mp4"), append(data[:hole.offset:hole.offset], data[hole.offset+int64(len(hole.data)):]...))
			text := s.fsys.contents(onDisk("1/video.idx"))
			s.fsys.set(onDisk("1/video.idx"), text[:bytes.Index(text, []byte(`{"msn":4`))])
		}, []media.MSN{4}, nil, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := unsealed(t)
			if tc.sealed {
				s.seal()
			}
			tc.harm(s)
			root, rec, w := mustReopen(t, s.fsys)
			if diff := cmp.Diff(tc.gaps, gaps(rec.Tracks[0])); diff != "" {
				t.Errorf("gaps: %s", diff)
			}
			if diff := cmp.Diff([]media.MSN(nil), gaps(rec.Tracks[1])); diff != "" {
				t.Errorf("gaps in audio: %s", diff)
			}
			var files []string
			for _, d := range rec.Damage {
				files = append(files, d.File)
				if !errors.Is(d, media.ErrCorrupt) || !strings.Contains(d.Error(), d.File) {
					t.Errorf("damage %v", d)
				}
			}
			if diff := cmp.Diff(tc.files, files); diff != "" {
				t.Errorf("damage: %s", diff)
			}
			left := s.told
			for _, msn := range tc.gaps {
				left = dropTold(left, msn)
			}
			if tc.name == "moof overwritten" || tc.name == "moof overwritten, index lost" {
				left = append(left, s.partAt(0, 3, 0)) // the good part of a damaged segment is still there
			}
			checkRecording(t, root.Files(), rec, left, s.now())
			if tc.aside != "" && len(s.fsys.glob(onDisk(tc.aside))) != 1 {
				t.Errorf("%s is not there: %v", tc.aside, s.fsys.glob(onDisk("*/*")))
			}
			checkContinues(t, root, rec, w)
			_, again, _ := mustReopen(t, s.fsys)
			if len(again.Damage) != len(rec.Damage) {
				t.Errorf("met again: %v", again.Damage)
			}
		})
	}
}

func dropTold(all []told, msn media.MSN) []told {
	var left []told
	for _, what := range all {
		if what.msn != msn || what.track != 0 {
			left = append(left, what)
		}
	}
	return left
}

func TestLoadServesADamagedIndex(t *testing.T) {
	s := finished(t)
	text := s.fsys.contents(onDisk("1/video.idx"))
	s.fsys.set(onDisk("1/video.idx"), bytes.Replace(text, []byte(`{"msn":2,`), []byte(`{"msn";2,`), 1))
	rec, err := Load(context.Background(), testFiles(t, s.fsys), testPath(), testID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]media.MSN{2}, gaps(rec.Tracks[0])); diff != "" || len(rec.Damage) != 1 {
		t.Errorf("%s %v", diff, rec.Damage)
	}
	checkRecording(t, testFiles(t, s.fsys), rec, s.without(0, 2, 2), s.now())
}

func TestReopenPutsAwayWhatIsInNoManifest(t *testing.T) {
	s := finished(t)
	other := newMemTree(t, s.fsys)
	other.mkdir(onDisk("2"))
	other.write(onDisk("2/video.mp4"), "just an init")
	other.write(onDisk("2/video.idx"), "")
	other.mkdir(onDisk("7"))
	other.write(onDisk("7/video.mp4"), "init and moof of a fenced writer")
	other.write(onDisk("recording.json.tmp"), "{")
	other.write(onDisk("1/video.idx.tmp"), "{")
	other.write(onDisk("thumbnail.jpg"), "kept")
	root, rec, w := mustReopen(t, s.fsys)
	if len(rec.Takes) != 1 || s.fsys.contents(onDisk("7.orphan/video.mp4")) == nil || s.fsys.contents(onDisk("thumbnail.jpg")) == nil {
		t.Errorf("%+v", s.fsys.glob(onDisk("*")))
	}
	for _, gone := range []string{"2/video.mp4", "7/video.mp4", "recording.json.tmp", "1/video.idx.tmp"} {
		if s.fsys.contents(onDisk(gone)) != nil {
			t.Errorf("%s is still there", gone)
		}
	}
	checkContinues(t, root, rec, w)
}

func TestManifestThatNamesAMissingTake(t *testing.T) {
	s := newShow(t, newMemFS(), SyncSegment)
	if !s.begin() || !s.startTake() {
		t.Fatal(s.failed)
	}
	s.segment(2)
	s.segment(2)
	s.seal()
	if !s.startTake() {
		t.Fatal(s.failed)
	}
	s.segment(2)
	for _, name := range s.fsys.glob(onDisk("1/*")) {
		s.fsys.mustRemove(name)
	}
	s.fsys.mustRemove(onDisk("1"))
	newMemTree(t, s.fsys).mkdir(onDisk("1")) // an empty one is as bad
	root, rec, w := mustReopen(t, s.fsys)
	if diff := cmp.Diff([]media.MSN{1, 2}, gaps(rec.Tracks[0])); diff != "" || len(rec.Damage) == 0 {
		t.Errorf("%s %v", diff, rec.Damage)
	}
	left := s.without(0, 1, 2)
	s.told = left
	checkRecording(t, root.Files(), rec, s.without(1, 1, 2), s.now())
	checkContinues(t, root, rec, w)
}

func TestUnreadableManifestIsCorrupt(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "cut": `{"format":1`, "other": `{"format":1,"id":"x"}`} {
		s := finished(t)
		s.fsys.set(onDisk(manifestFile), []byte(text))
		root := testRoot(t, s.fsys, SyncSegment)
		if _, _, err := root.Reopen(context.Background(), testPath(), testID); !errors.Is(err, media.ErrCorrupt) {
			t.Errorf("%s: reopen: %v", name, err)
		}
		if _, err := Load(context.Background(), root.Files(), testPath(), testID); !errors.Is(err, media.ErrCorrupt) {
			t.Errorf("%s: load: %v", name, err)
		}
		if refs, err := root.Unfinished(context.Background()); err != nil || len(refs) != 0 {
			t.Errorf("%s: unfinished: %v %v", name, refs, err)
		}
		if s.fsys.contents(onDisk("1/video.mp4")) == nil {
			t.Errorf("%s: media is gone", name)
		}
	}
}

// A writer that was paused, lost its recording, and goes on, spoils nothing.
func TestAFencedWriterSpoilsNothing(t *testing.T) {
	s := unsealed(t)
	at := s.now()
	before := len(s.told)
	root, rec, w := mustReopen(t, s.fsys)
	if err := s.writer.Update(func(m *Manifest) { m.State = media.Ended }); !errors.Is(err, media.ErrFenced) {
		t.Errorf("update: %v", err)
	}
	s.segment(2) // it goes to files without a name, or behind the end
	if err := s.take.Seal(); !errors.Is(err, media.ErrFenced) {
		t.Errorf("seal: %v", err)
	}
	err := s.writer.AppendGap(0, media.Segment{MSN: s.next, DTS: s.dts[0], Duration: 1})
	if !errors.Is(err, media.ErrFenced) {
		t.Errorf("gap: %v", err)
	}
	if _, err := s.writer.StartTake(testTake(2, s.next), testInits()); !errors.Is(err, media.ErrFenced) {
		t.Errorf("take: %v", err)
	}
	again, err := Load(context.Background(), root.Files(), testPath(), testID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rec, again); diff != "" {
		t.Error(diff)
	}
	if end := again.MediaEnd(1, "video"); end >= int64(len(s.fsys.contents(onDisk("1/video.mp4")))) {
		t.Errorf("media ends at %d, the file too", end)
	}
	checkRecording(t, root.Files(), again, s.told[:before], at)
	checkContinues(t, root, again, w)
	root, rec, _ = mustReopen(t, s.fsys)
	if len(rec.Damage) != 0 {
		t.Errorf("damage: %v", rec.Damage)
	}
	checkRecording(t, root.Files(), rec, s.told[:before], at)
}
