package archiver

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// live is a show that grows by a real writer, and its row.
type live struct {
	*world
	writer *reclog.Writer
	take   *reclog.TakeWriter
	number int
	msn    media.MSN
	dts    []int64
	start  time.Time
}

func scales() []int64 { return []int64{90000, 48000} }

// mustGoLive begins a show that is uploaded while it is live.
func (w *world) mustGoLive() *live {
	w.tb.Helper()
	mode := media.ArchiveContinuous
	_, err := w.catalog.ChangeStream(w.tb.Context(), testPath(), media.StreamChange{Settings: media.SettingsPatch{ArchiveMode: &mode}})
	must(w.tb, err)
	l := &live{world: w, msn: 1, dts: []int64{0, 0}, start: time.Now().Add(-time.Hour)}
	settings := media.DefaultSettings()
	settings.ArchiveMode = mode
	l.writer, err = w.root.Create(reclog.Manifest{
		ID: w.id, Publisher: "acme", Stream: "show", State: media.Live, StartedAt: l.start, Settings: settings,
		Constants: media.Constants{TargetDuration: 2 * time.Second, SegmentDuration: 2 * time.Second},
	})
	must(w.tb, err)
	l.save(media.Live)
	return l
}

func (l *live) save(state media.State) {
	l.tb.Helper()
	r := media.Recording{
		ID: l.id, Path: testPath(), State: state, StartedAt: l.start, Continuous: true,
		Duration: media.Duration(l.dts[0], scales()[0]), Bytes: 1,
	}
	if state == media.Ended {
		r.EndedAt = time.Now()
	}
	must(l.tb, l.catalog.SaveRecording(l.tb.Context(), r))
}

// mustTake begins the next take.
func (l *live) mustTake() {
	l.tb.Helper()
	l.number++
	var err error
	l.take, err = l.writer.StartTake(media.Take{
		Number: l.number, Epoch: uint64(l.number), StartedAt: l.start, Anchor: l.start, FirstMSN: l.msn,
		Tracks: []media.Track{
			{Name: "video", Kind: media.Video, Codec: media.H264, Config: []byte{1}, Timescale: 90000, CodecString: "avc1.64001f"},
			{Name: "audio", Kind: media.Audio, Codec: media.AAC, Config: []byte{2}, Timescale: 48000, CodecString: "mp4a.40.2"},
		},
	}, [][]byte{box("ftyp", []byte("init of video")), box("ftyp", []byte("audio's"))})
	must(l.tb, err)
}

// mustGrow appends segments; those of video have the payload, those of audio a tenth of it.
func (l *live) mustGrow(segments, payload int) {
	l.tb.Helper()
	for range segments {
		for track, scale := range scales() {
			seg := media.Segment{
				MSN: l.msn, DTS: l.dts[track], Duration: 2 * scale, Sync: true,
				Date: l.start.Add(media.Duration(l.dts[track], scale)),
			}
			size := payload
			if track == 1 {
				size = payload/10 + 1
			}
			data := part(reclog.SequenceNumber(l.msn, 0), seg.DTS, seg.Duration, objstoretest.Bytes(uint64(l.msn)+uint64(track), size))
			var err error
			seg.Offset, err = l.take.AppendPart(track, data)
			must(l.tb, err)
			seg.Size = int64(len(data))
			must(l.tb, l.take.FinishSegment(track, seg))
			l.dts[track] += 2 * scale
		}
		l.msn++
	}
	l.awaitLines()
	l.save(media.Live)
}

// awaitLines waits for the lines of the appended segments, which are written in the background.
func (l *live) awaitLines() {
	l.tb.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(2 * time.Minute); ; <-tick.C {
		found := 0
		for _, track := range []string{"video", "audio"} {
			text, err := l.root.Files().ReadFile(l.tb.Context(), reclog.IndexName(testPath(), l.id, l.number, track))
			must(l.tb, err)
			found += bytes.Count(text, []byte{'\n'})
		}
		if found == 2*int(l.msn-l.take.Take().FirstMSN) {
			return
		}
		if time.Now().After(deadline) {
			l.tb.Fatalf("%d lines, at MSN %d", found, l.msn)
		}
	}
}

// mustEnd ends the show as the packager does.
func (l *live) mustEnd() {
	l.tb.Helper()
	must(l.tb, l.take.Seal())
	must(l.tb, l.writer.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = media.Ended, time.Now() }))
	l.save(media.Ended)
}

// mustLose takes the cluster's copy away, as a disk that is replaced by an empty one, and has the row closed.
func (l *live) mustLose() {
	l.tb.Helper()
	must(l.tb, os.RemoveAll(filepath.Join(l.dir, filepath.FromSlash(l.prefix()))))
	_, err := l.catalog.CloseLost(l.tb.Context(), l.id, "not on the cluster's storage")
	must(l.tb, err)
}

func (w *world) continuous(a *Archiver) *Continuous {
	return NewContinuous(ContinuousConfig{Interval: time.Nanosecond, Bound: time.Nanosecond}, a, w.catalog, prometheus.NewRegistry())
}

// checkSaved fails unless the archive has the recording's first segments, those of the local files, as it should.
func (l *live) checkSaved(original map[string][]byte, atLeast int) *reclog.Recording {
	l.tb.Helper()
	rec, err := reclog.Load(l.tb.Context(), l.objects, testPath(), l.id)
	must(l.tb, err)
	if rec.State != media.Archived || len(rec.Tracks) != 2 {
		l.tb.Fatalf("archived recording is %+v", rec)
	}
	objects := map[string][]byte{}
	for _, track := range rec.Tracks {
		count := 0
		for _, seg := range track.Segments {
			if seg.Gap {
				continue
			}
			count++
			name := reclog.TrackName(testPath(), l.id, seg.Take, track.Name)
			if objects[name] == nil {
				objects[name], err = l.objects.ReadFile(l.tb.Context(), name)
				must(l.tb, err)
			}
			if object := objects[name]; !bytes.HasPrefix(original[name], object) || seg.Offset+seg.Size > int64(len(object)) {
				l.tb.Fatalf("%s: %d bytes in the archive, not the head of the local file or too few", name, len(object))
			}
		}
		if count < atLeast {
			l.tb.Fatalf("%s has %d segments in the archive, want %d", track.Name, count, atLeast)
		}
	}
	for _, name := range []string{"index.m3u8", "video.m3u8", "audio.m3u8"} {
		text, err := l.objects.ReadFile(l.tb.Context(), l.prefix()+name)
		must(l.tb, err)
		if name != "index.m3u8" && strings.Count(string(text), "#EXTINF") < atLeast {
			l.tb.Fatalf("%s:\n%s", name, text)
		}
	}
	objstoretest.MustLack(l.tb, l.objects, l.prefix()+growingName)
	if left := l.uploads(); len(left) > 0 {
		l.tb.Fatalf("noted uploads are left: %v", left)
	}
	return rec
}

// checkWhole fails unless the archive has the local files byte for byte.
func (l *live) checkWhole(original map[string][]byte) {
	l.tb.Helper()
	l.checkSaved(original, 1)
	for name, want := range original {
		if strings.HasSuffix(name, "/recording.json") {
			continue
		}
		have, err := l.objects.ReadFile(l.tb.Context(), name)
		must(l.tb, err)
		if !bytes.Equal(have, want) {
			l.tb.Fatalf("%s: the archive has %d other bytes of %d", name, len(have), len(want))
		}
	}
}

// ignoreStop is for archivers that are stopped in the middle.
func ignoreStop(tb testing.TB, err error) {
	tb.Helper()
	if err != nil && !errors.Is(err, context.Canceled) {
		tb.Fatal(err)
	}
}

func (o *faultyObjects) FindUpload(
	ctx context.Context, key, id string, partSize int64,
) (u *media.OpenUpload, err error) {
	return u, o.f.do("find upload of "+key, func() error { u, err = o.Store.FindUpload(ctx, key, id, partSize); return err })
}

func (o *faultyObjects) CompleteUpload(
	ctx context.Context, u *media.OpenUpload, exclusive bool,
) (object media.Object, err error) {
	return object, o.f.do("complete "+u.Key, func() error { object, err = o.Store.CompleteUpload(ctx, u, exclusive); return err })
}
