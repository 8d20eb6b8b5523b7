package archiver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image/jpeg"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/thumbnail"
)

// mustFFmpeg gives ffmpeg's path; without it the test is skipped, or fails where everything must be there.
func mustFFmpeg(tb testing.TB) string {
	tb.Helper()
	path, err := thumbnail.Find("")
	if err != nil && os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
		tb.Fatal(err)
	}
	if err != nil {
		tb.Skip(err)
	}
	return path
}

// film encodes seconds of a picture that changes, one random access point and one part a second.
func film(tb testing.TB, ffmpeg string, seconds int) (init []byte, parts [][]byte) {
	tb.Helper()
	out, err := exec.CommandContext(tb.Context(), ffmpeg, "-v", "error", "-f", "lavfi", "-i",
		fmt.Sprintf("color=black:s=320x180:r=5:d=1,format=yuv420p[a];testsrc2=s=320x180:r=5:d=%d,format=yuv420p[b];[a][b]concat", seconds-1), //nolint:misspell // ffmpeg's word
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "5", "-movflags", "frag_keyframe+empty_moov+default_base_moof",
		"-f", "mp4", "pipe:1").Output()
	must(tb, err)
	for len(out) > 0 {
		size := binary.BigEndian.Uint32(out)
		switch string(out[4:8]) {
		case "ftyp", "moov":
			init = append(init, out[:size]...)
		case "moof":
			part := bytes.Clone(out[:size])
			parts = append(parts, part)
			// mfhd: the sequence number says which part it is.
			binary.BigEndian.PutUint32(part[20:], reclog.SequenceNumber(media.MSN(len(parts)), 0))
		case "mdat":
			parts[len(parts)-1] = append(parts[len(parts)-1], out[:size]...)
		}
		out = out[size:]
	}
	return init, parts
}

// pictureShow is a growing recording of real video on real storage, with its row.
type pictureShow struct {
	*world
	writer *reclog.Writer
	take   *reclog.TakeWriter
	parts  [][]byte
	next   int
}

func newPictureShow(t *testing.T, w *world, seconds int) *pictureShow {
	t.Helper()
	init, parts := film(t, mustFFmpeg(t), seconds)
	now := time.Now()
	s := &pictureShow{world: w, parts: parts}
	var err error
	s.writer, err = w.root.Create(reclog.Manifest{
		ID: w.id, Publisher: "acme", Stream: "show", State: media.Live, StartedAt: now, Settings: media.DefaultSettings(),
		Constants: media.Constants{TargetDuration: 2 * time.Second, SegmentDuration: time.Second},
	})
	must(t, err)
	s.take, err = s.writer.StartTake(media.Take{
		Number: 1, Epoch: 1, StartedAt: now, Anchor: now, FirstMSN: 1,
		Tracks: []media.Track{{
			Name: "video", Kind: media.Video, Codec: media.H264, Config: []byte{1}, Timescale: 10240, CodecString: "avc1.64001f",
			Width: 320, Height: 180,
		}},
	}, [][]byte{init})
	must(t, err)
	must(t, w.catalog.SaveRecording(t.Context(), media.Recording{
		ID: w.id, Path: testPath(), State: media.Live, StartedAt: now, Local: true,
	}))
	return s
}

// segments writes some more.
func (s *pictureShow) segments(n int) {
	s.tb.Helper()
	for range n {
		data := s.parts[s.next]
		offset, err := s.take.AppendPart(0, data)
		must(s.tb, err)
		size := int64(len(data))
		must(s.tb, s.take.FinishSegment(0, media.Segment{
			MSN: media.MSN(s.next + 1), DTS: int64(s.next) * 10240, Duration: 10240, Offset: offset, Size: size, Sync: true,
			Date: time.Now(), IFrames: []media.IFrame{{Size: uint32(size)}},
		}))
		s.next++
	}
	// The lines are written behind the calls.
	index := reclog.IndexName(testPath(), s.id, 1, "video")
	for begun := time.Now(); ; {
		data, err := s.root.Files().ReadFile(s.tb.Context(), index)
		must(s.tb, err)
		if bytes.Count(data, []byte{'\n'}) == s.next {
			return
		}
		if time.Since(begun) > 3*time.Minute {
			s.tb.Fatalf("the index has not got to %d lines", s.next)
		}
	}
}

func (s *pictureShow) end() {
	s.tb.Helper()
	must(s.tb, s.take.Seal())
	now := time.Now()
	must(s.tb, s.writer.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = media.Ended, now }))
	must(s.tb, s.catalog.SaveRecording(s.tb.Context(), media.Recording{
		ID: s.id, Path: testPath(), State: media.Ended, StartedAt: now.Add(-time.Minute), EndedAt: now, Local: true,
	}))
}

func (w *world) pictures(maker *thumbnail.Maker) *Pictures {
	return NewPictures(PicturesConfig{}, w.catalog, w.root, maker, quiet(), prometheus.NewRegistry())
}

func (w *world) picture(file string) []byte {
	w.tb.Helper()
	data, err := w.root.Files().ReadFile(w.tb.Context(), reclog.PictureName(testPath(), w.id, file))
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		w.tb.Fatal(err)
	}
	return data
}

func TestPicturesFollowAShowIntoTheArchive(t *testing.T) {
	w := newDirWorld(t)
	defer w.close()
	s := newPictureShow(t, w, 24)
	p := w.pictures(newMaker(t))
	must(t, p.Step(t.Context()))
	if w.picture(reclog.ThumbnailFile) != nil {
		t.Fatal("a picture of nothing")
	}
	s.segments(1)
	p.shows[w.id].due = time.Time{}
	must(t, p.Step(t.Context()))
	first := w.picture(reclog.ThumbnailFile)
	if first == nil {
		t.Fatal("no picture of the first second")
	}
	s.segments(1)
	p.shows[w.id].due = time.Time{}
	must(t, p.Step(t.Context()))
	if !bytes.Equal(first, w.picture(reclog.ThumbnailFile)) {
		t.Error("another picture before the interval was over")
	}
	file := w.dir + "/" + reclog.PictureName(testPath(), w.id, reclog.ThumbnailFile)
	must(t, os.Chtimes(file, time.Time{}, time.Now().Add(-time.Minute)))
	p.shows[w.id].due = time.Time{}
	must(t, p.Step(t.Context()))
	if bytes.Equal(first, w.picture(reclog.ThumbnailFile)) {
		t.Error("the picture did not follow the show")
	}
	s.segments(22)
	s.end()
	must(t, p.Step(t.Context()))
	track := string(w.picture(reclog.SpritesFile))
	if strings.Count(track, "-->") != 5 || !strings.Contains(track, "00:00:20.000 --> 00:00:24.000\nsprite-1.jpg#xywh=640,0,160,90") {
		t.Errorf("the track is\n%s", track)
	}
	sheet, err := jpeg.Decode(bytes.NewReader(w.picture("sprite-1.jpg")))
	must(t, err)
	if size := sheet.Bounds().Size(); size.X != 800 || size.Y != 90 {
		t.Errorf("the sheet is %v", size)
	}
	mustStep(t, w.archiver(Config{Pictures: p.Finish}))
	for _, name := range []string{reclog.ThumbnailFile, "sprite-1.jpg", reclog.SpritesFile} {
		have, err := w.objects.ReadFile(t.Context(), w.prefix()+name)
		must(t, err)
		if !bytes.Equal(have, w.picture(name)) {
			t.Errorf("%s: the archive has other bytes", name)
		}
	}
	err = w.root.ReplacePicture(t.Context(), testPath(), w.id, reclog.ThumbnailFile, []byte("late"))
	if !errors.Is(err, media.ErrConflict) {
		t.Errorf("a picture of what is archived: %v, want ErrConflict", err)
	}
}

// newMaker gives one that neither its share of the processor nor a slow machine keeps from its work.
func newMaker(tb testing.TB) *thumbnail.Maker {
	tb.Helper()
	return thumbnail.New(thumbnail.Config{Path: mustFFmpeg(tb), Burst: time.Hour, Timeout: 5 * time.Minute})
}

func TestArchivingMakesThePicturesThatNobodyMade(t *testing.T) {
	w := newDirWorld(t)
	defer w.close()
	s := newPictureShow(t, w, 6)
	s.segments(6)
	s.end()
	p := w.pictures(newMaker(t))
	mustStep(t, w.archiver(Config{Pictures: p.Finish}))
	if _, err := w.objects.ReadFile(t.Context(), w.prefix()+reclog.SpritesFile); err != nil {
		t.Error(err)
	}
}

func TestArchivingGoesOnWithoutPictures(t *testing.T) {
	for name, finish := range map[string]func(ctx context.Context, rec *reclog.Recording) error{
		"ffmpeg fails": func(context.Context, *reclog.Recording) error { return thumbnail.ErrNoPicture },
		"nobody asks":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			w := newDirWorld(t)
			defer w.close()
			w.record(100)
			mustStep(t, w.archiver(Config{Pictures: finish}))
			if w.row().State != media.Archived {
				t.Errorf("the recording is %s", w.row().State)
			}
		})
	}
}

func TestNoPicturesWhereTheSettingSaysNone(t *testing.T) {
	w := newDirWorld(t)
	defer w.close()
	none := media.Span(0)
	_, err := w.catalog.ChangeStream(t.Context(), testPath(), media.StreamChange{Settings: media.SettingsPatch{ThumbnailInterval: &none}})
	must(t, err)
	s := newPictureShow(t, w, 3)
	s.segments(3)
	p := w.pictures(newMaker(t))
	must(t, p.Step(t.Context()))
	s.end()
	must(t, p.Step(t.Context()))
	mustStep(t, w.archiver(Config{Pictures: p.Finish}))
	for _, key := range objstoretest.MustKeys(t, w.objects, w.prefix()) {
		if strings.HasSuffix(key, ".jpg") || strings.HasSuffix(key, ".vtt") {
			t.Errorf("the archive has %s", key)
		}
	}
}

func TestTileTimesAreBoundedAndFollowEachOther(t *testing.T) {
	for _, total := range []time.Duration{time.Second, 20 * time.Second, 1000 * time.Second, 24 * time.Hour} {
		var list []moment
		for at := time.Duration(0); at < total; at += 4 * time.Second {
			list = append(list, moment{at: at})
		}
		cues, chosen := tileTimes(list, total)
		if len(cues) > maxTiles || len(cues) != len(chosen) || cues[0].From != 0 || cues[len(cues)-1].To != total {
			t.Errorf("%s: %d cues from %s to %s", total, len(cues), cues[0].From, cues[len(cues)-1].To)
		}
		for i := range cues[1:] {
			if cues[i].To != cues[i+1].From || chosen[i].at >= chosen[i+1].at {
				t.Errorf("%s: cue %d ends at %s, the next begins at %s", total, i, cues[i].To, cues[i+1].From)
			}
		}
	}
}
