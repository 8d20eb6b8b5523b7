package test

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// film is a piece of a recording that a server made of a real publisher's stream, to be written again and again: long
// recordings come from it without their time having to pass. Its length is a whole number of frames of each track, so
// that it joins itself without a seam.
type film struct {
	constants media.Constants
	settings  media.Settings
	take      media.Take
	inits     [][]byte
	segments  [][]filmSegment // by track
}

type filmSegment struct {
	media.Segment
	parts []filmPart
}

type filmPart struct {
	data []byte
	tfdt int   // where its decode time stands
	dts  int64 // as it was recorded
}

// filmSegments is how many segments a film has: 8 s, of 30 pictures a second and of AAC frames at 48 kHz.
const filmSegments = 2

// filmLength is a film's duration.
const filmLength = 8 * time.Second

// shootFilm has a server record a publisher of about so many bits a second, with segments of 4 s.
func shootFilm(tb testing.TB, size, bitrate string) *film {
	tb.Helper()
	source := filepath.Join(tb.TempDir(), "film.mp4")
	run(tb, 3*time.Minute, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size="+size+":rate=30:duration=18",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=18",
		"-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "120", "-keyint_min", "120", "-sc_threshold", "0",
		"-pix_fmt", "yuv420p", "-b:v", bitrate, "-minrate", bitrate, "-maxrate", bitrate, "-bufsize", bitrate,
		"-x264-params", "nal-hrd=cbr:force-cfr=1", "-c:a", "aac", "-b:a", "48k", "-ac", "2", source)
	server := newOxbow(tb)
	server.start("serve")
	key := server.createStream("acme", "film", map[string]any{"segment_duration": "4s", "archive_delay": "1h"})
	p := publish(tb, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	if err := p.wait(time.Minute); err != nil {
		tb.Fatal(err)
	}
	id := media.RecordingID(server.recordings("acme", "film")[0].ID)
	server.waitState(string(id), "ended", 20*time.Second)
	server.stop(os.Interrupt)
	return cutFilm(tb, filepath.Join(server.data, "recordings"), media.StreamPath{Publisher: "acme", Stream: "film"}, id)
}

// cutFilm reads the second and third segments of a recording: those before and behind may be no whole ones.
func cutFilm(tb testing.TB, dir string, path media.StreamPath, id media.RecordingID) *film {
	tb.Helper()
	root := openRecordings(tb, dir)
	rec, err := reclog.Load(tb.Context(), root.Files(), path, id)
	if err != nil {
		tb.Fatal(err)
	}
	f := &film{constants: rec.Constants, settings: rec.Settings, take: rec.Takes[0]}
	for i, track := range rec.Tracks {
		data, err := os.ReadFile(filepath.Join(dir, reclog.TrackName(path, id, 1, track.Name)))
		if err != nil {
			tb.Fatal(err)
		}
		f.inits = append(f.inits, data[:rec.Takes[0].Tracks[i].InitSize])
		var segments []filmSegment
		var length int64
		for _, seg := range track.Segments[1 : 1+filmSegments] {
			cut := filmSegment{Segment: seg}
			for rest := data[seg.Offset : seg.Offset+seg.Size]; len(rest) > 0; {
				moof := binary.BigEndian.Uint32(rest)
				size := moof + binary.BigEndian.Uint32(rest[moof:])
				cut.parts, rest = append(cut.parts, newFilmPart(tb, rest[:size])), rest[size:]
			}
			length += seg.Duration
			segments = append(segments, cut)
		}
		if want := int64(filmLength/time.Second) * rec.Takes[0].Tracks[i].Timescale; length != want {
			tb.Fatalf("track %s of the film has %d ticks, want %d", track.Name, length, want)
		}
		f.segments = append(f.segments, segments)
	}
	return f
}

func newFilmPart(tb testing.TB, data []byte) filmPart {
	tb.Helper()
	p := filmPart{data: bytes.Clone(data), tfdt: bytes.Index(data, []byte("tfdt")) + 8}
	if p.tfdt < 8 || data[p.tfdt-4] != 1 {
		tb.Fatal("a part of the film has no tfdt of 64 bits")
	}
	p.dts = int64(binary.BigEndian.Uint64(data[p.tfdt:]))
	return p
}

// openRecordings opens a directory of recordings as a cluster's node does.
func openRecordings(tb testing.TB, dir string) *reclog.Root {
	tb.Helper()
	root, err := reclog.OpenRoot(reclog.Config{Dir: dir, Sync: reclog.SyncNever, Shared: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = root.Close() })
	return root
}

// size is about how many bytes the film takes.
func (f *film) size() (n int64) {
	for _, track := range f.segments {
		for _, seg := range track {
			n += seg.Size
		}
	}
	return n
}

// show writes a recording of the film shown so many times, which ended just now.
func (f *film) show(tb testing.TB, root *reclog.Root, path media.StreamPath, times int) media.RecordingID {
	tb.Helper()
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	ended := time.Now().UTC().Truncate(time.Millisecond)
	began := ended.Add(-time.Duration(times) * filmLength)
	id := media.RecordingID(strings.ToLower(ulid.MustNew(ulid.Timestamp(began), ulid.DefaultEntropy()).String()))
	writer, err := root.Create(reclog.Manifest{
		ID: id, Publisher: path.Publisher, Stream: path.Stream, StartedAt: began, Settings: f.settings, Constants: f.constants,
	})
	must(err)
	take := media.Take{Number: 1, Epoch: 1, StartedAt: began, Anchor: began, FirstMSN: 1}
	for _, tr := range f.take.Tracks {
		tr.InitSize = 0
		take.Tracks = append(take.Tracks, tr)
	}
	w, err := writer.StartTake(take, f.inits)
	must(err)
	for n := range times {
		for i := range filmSegments {
			for track := range f.segments {
				must(f.append(w, track, n, i))
			}
		}
	}
	must(w.Seal())
	must(writer.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = media.Ended, ended }))
	return id
}

// append writes a segment of a track as that of the nth showing.
func (f *film) append(w *reclog.TakeWriter, track, n, i int) error {
	seg := f.segments[track][i]
	shift := int64(n)*int64(filmLength/time.Second)*f.take.Tracks[track].Timescale - f.segments[track][0].DTS
	seg.MSN, seg.Take, seg.Date = media.MSN(n*filmSegments+i+1), 1, time.Time{}
	for at, part := range seg.parts {
		binary.BigEndian.PutUint32(part.data[20:], reclog.SequenceNumber(seg.MSN, at))
		binary.BigEndian.PutUint64(part.data[part.tfdt:], uint64(part.dts+shift))
		offset, err := w.AppendPart(track, part.data)
		if err != nil {
			return err
		}
		if at == 0 {
			seg.Offset = offset
		}
	}
	seg.DTS += shift
	return w.FinishSegment(track, seg.Segment)
}
