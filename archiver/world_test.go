package archiver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testPath() media.StreamPath { return media.StreamPath{Publisher: "acme", Stream: "show"} }

const testID media.RecordingID = "01kafzq7s8e5gv9mxw2ctr4n6b"

// world is a cluster's storage, a catalog and an archive, all real.
type world struct {
	tb      testing.TB
	dir     string // of the cluster's storage
	root    *reclog.Root
	catalog *catalog.DB
	file    string // the catalog's
	objects objstoretest.Store
	more    map[string]objstoretest.Store // beside the default one
	events  events
	path    media.StreamPath  // of the recording that the test is about
	id      media.RecordingID // of it
	takes   int               // of it
}

// events collects what was published.
type events struct {
	mu    sync.Mutex
	types []string
}

func (e *events) Publish(_ context.Context, event media.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.types = append(e.types, event.Type)
	return nil
}

func (e *events) has(kind string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Contains(e.types, kind)
}

// newCatalog gives copies of a migrated catalog.
var newCatalog = catalogtest.Copies(func(file string) error {
	_, err := catalog.Migrate(context.Background(), "sqlite:"+file, slog.New(slog.DiscardHandler))
	return err
})

// newWorld has a publisher whose recordings are archived at once and kept for a day.
func newWorld(tb testing.TB, objects objstoretest.Store) *world {
	tb.Helper()
	return newWorldIn(tb, tb.TempDir(), objects)
}

// newWorldIn has its cluster's storage in the directory.
func newWorldIn(tb testing.TB, dir string, objects objstoretest.Store) *world {
	tb.Helper()
	w := &world{tb: tb, dir: dir, objects: objects, path: testPath(), id: testID, takes: 2, file: newCatalog(tb)}
	var err error
	if w.root, err = reclog.OpenRoot(reclog.Config{Dir: w.dir, Sync: reclog.SyncNever, Shared: true}, quiet()); err != nil {
		tb.Fatal(err)
	}
	if w.catalog, err = catalog.OpenSQLite(tb.Context(), w.file, quiet()); err != nil {
		tb.Fatal(err)
	}
	delay, retention := media.Span(0), media.Span(24*time.Hour)
	must(tb, w.catalog.CreatePublisher(tb.Context(), media.Publisher{
		Name: "acme", Settings: media.SettingsPatch{ArchiveDelay: &delay, Retention: &retention},
	}))
	_, err = w.catalog.CreateStream(tb.Context(), testPath(), media.SettingsPatch{})
	must(tb, err)
	return w
}

// close ends what newWorld began; not by Cleanup, which runs outside a synctest bubble.
func (w *world) close() {
	must(w.tb, errors.Join(w.catalog.Close(), w.root.Close()))
}

func newDirWorld(tb testing.TB) *world {
	tb.Helper()
	d, err := objstore.OpenDir(tb.TempDir())
	must(tb, err)
	return newWorld(tb, d)
}

// archiver makes one over the world, or over the given things instead.
func (w *world) archiver(c Config, over ...any) *Archiver {
	var (
		rows    Catalog     = w.catalog
		uploads UploadNotes = w.catalog
		local   Local       = w.root
		stores              = w.stores()
	)
	if c.Owner == "" {
		c.Owner = "test"
	}
	for _, v := range over {
		fits := false
		if c, ok := v.(Catalog); ok {
			rows, fits = c, true
		}
		if u, ok := v.(UploadNotes); ok {
			uploads, fits = u, true
		}
		if o, ok := v.(Objects); ok {
			stores[media.DefaultArchive], fits = Store{Objects: o}, true
		}
		if l, ok := v.(Local); ok {
			local, fits = l, true
		}
		if !fits {
			w.tb.Fatalf("%T fits nothing", v)
		}
	}
	return New(c, rows, uploads, stores, local, &w.events, quiet(), prometheus.NewRegistry())
}

// stores are the world's, by name.
func (w *world) stores() map[string]Store {
	stores := map[string]Store{media.DefaultArchive: {Objects: w.objects, Place: "here"}}
	for name, objects := range w.more {
		stores[name] = Store{Objects: objects, Place: "there"}
	}
	return stores
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// mustStep does one due action.
func mustStep(tb testing.TB, a *Archiver) {
	tb.Helper()
	did, err := a.Step(tb.Context())
	must(tb, err)
	if !did {
		tb.Fatal("nothing was due")
	}
}

func (w *world) prefix() string { return w.path.String() + "/" + string(w.id) + "/" }

func (w *world) row() media.Recording {
	w.tb.Helper()
	r, err := w.catalog.Recording(w.tb.Context(), w.id)
	must(w.tb, err)
	return r
}

func (w *world) uploads() []media.Upload {
	w.tb.Helper()
	u, err := w.catalog.Uploads(w.tb.Context(), w.id)
	must(w.tb, err)
	return u
}

// record writes a recording of a few takes, each of a few segments with payload bytes per part, with fillers between, and
// saves its row as the packager does.
func (w *world) record(payload int) {
	w.tb.Helper()
	must(w.tb, w.write(payload, media.Ended))
	now := time.Now()
	must(w.tb, w.catalog.SaveRecording(w.tb.Context(), media.Recording{
		ID: w.id, Path: w.path, State: media.Ended, StartedAt: now.Add(-time.Minute), EndedAt: now,
		Duration: 20 * time.Second, Bytes: 1, Local: true,
	}))
}

func (w *world) write(payload int, state media.State) error {
	now := time.Now()
	writer, err := w.root.Create(reclog.Manifest{
		ID: w.id, Publisher: w.path.Publisher, Stream: w.path.Stream, State: media.Live, StartedAt: now.Add(-time.Minute),
		Settings:  media.DefaultSettings(),
		Constants: media.Constants{TargetDuration: 2 * time.Second, SegmentDuration: 2 * time.Second},
	})
	if err != nil {
		return err
	}
	scales := []int64{90000, 48000}
	msn, dts := media.MSN(1), []int64{0, 0}
	for number := 1; number <= w.takes; number++ {
		take, err := writer.StartTake(media.Take{
			Number: number, Epoch: uint64(number), StartedAt: now, Anchor: now, FirstMSN: msn,
			Tracks: []media.Track{
				{Name: "video", Kind: media.Video, Codec: media.H264, Config: []byte{1}, Timescale: scales[0], CodecString: "avc1.64001f"},
				{Name: "audio", Kind: media.Audio, Codec: media.AAC, Config: []byte{2}, Timescale: scales[1], CodecString: "mp4a.40.2"},
			},
		}, [][]byte{box("ftyp", []byte("init of video")), box("ftyp", []byte("audio's"))})
		if err != nil {
			return err
		}
		for n := range 4 {
			for track, scale := range scales {
				seg := media.Segment{MSN: msn, DTS: dts[track], Duration: 2 * scale, Sync: true}
				if number < w.takes && n == 3 {
					seg.Filler = true
					err = take.AppendGap(track, seg)
				} else {
					data := part(reclog.SequenceNumber(msn, 0), seg.DTS, seg.Duration, objstoretest.Bytes(uint64(msn)+uint64(track), payload))
					if seg.Offset, err = take.AppendPart(track, data); err == nil {
						seg.Size = int64(len(data))
						err = take.FinishSegment(track, seg)
					}
				}
				if err != nil {
					return err
				}
				dts[track] += 2 * scale
			}
			msn++
		}
		var errs []error
		if number == 1 {
			errs = append(errs, writer.AppendMetadata(testPiece(1, "told")), take.Seal(), writer.AppendMetadata(testPiece(2, "{}")))
		} else {
			errs = append(errs, take.Seal())
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return writer.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = state, now })
}

// testPiece is timed metadata that playlists tell of.
func testPiece(number int64, payload string) media.Metadata {
	return media.Metadata{
		Number: number, Kind: media.CuePoint, Time: time.Duration(number) * time.Second, Date: time.Unix(number, 0).UTC(),
		Payload: []byte(payload),
	}
}

func box(kind string, payload ...[]byte) []byte {
	data := bytes.Join(payload, nil)
	head := binary.BigEndian.AppendUint32(nil, uint32(len(data)+8))
	return append(append(head, kind...), data...)
}

func words(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// part makes a part of one sample.
func part(seq uint32, dts, duration int64, payload []byte) []byte {
	moof := box("moof",
		box("mfhd", words(0, seq)),
		box("traf",
			box("tfhd", words(0x020000|0x20, 1, 0)),
			box("tfdt", words(1<<24, uint32(dts>>32), uint32(dts))),
			box("trun", words(0x1|0x100|0x200, 1, 108, uint32(duration), uint32(len(payload))))))
	return append(moof, box("mdat", payload)...)
}

// localFiles reads what the cluster's storage has of the recording, by its name in Files.
func (w *world) localFiles() map[string][]byte {
	w.tb.Helper()
	files := make(map[string][]byte)
	prefix := w.prefix()
	err := fs.WalkDir(os.DirFS(w.dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasPrefix(name, prefix) {
			return err
		}
		files[name], err = os.ReadFile(filepath.Join(w.dir, name))
		return err
	})
	must(w.tb, err)
	return files
}

// checkOrder fails if the archive, the catalog or the storage is ahead of what comes before it: the first invariant, and
// the second. It may be asked at any time.
func (w *world) checkOrder(original map[string][]byte) {
	w.tb.Helper()
	row := w.row()
	dir := w.prefix()
	manifest, err := w.objects.ReadFile(w.tb.Context(), dir+"recording.json")
	if err != nil && !errors.Is(err, media.ErrNotFound) {
		w.tb.Fatal(err)
	}
	if manifest != nil {
		w.checkArchive(original)
	}
	local := w.localFiles()
	switch row.State {
	case media.Archived:
		if manifest == nil {
			w.tb.Fatal("the catalog says archived before the archive has a manifest")
		}
	case media.Deleted:
		if len(local) > 0 || len(objstoretest.MustKeys(w.tb, w.objects, w.prefix())) > 0 {
			w.tb.Fatal("the catalog says deleted before everything is")
		}
	case media.Ended, media.Archiving:
		if len(local) < len(original) {
			w.tb.Fatalf("local files are gone while the catalog says %s", row.State)
		}
	}
	if manifest == nil && len(local) < len(original) && row.State != media.Deleting && row.State != media.Deleted {
		w.tb.Fatalf("local files are gone, the archive has no manifest, and the catalog says %s", row.State)
	}
}

// checkArchive fails unless the archive has the recording whole, byte for byte, and playlists that tell of it.
func (w *world) checkArchive(original map[string][]byte) {
	w.tb.Helper()
	rec, err := reclog.Load(w.tb.Context(), w.objects, testPath(), w.id)
	must(w.tb, err)
	if rec.State != media.Archived || len(rec.Damage) > 0 || len(rec.Tracks) != 2 || len(rec.Tracks[0].Segments) != 4*w.takes {
		w.tb.Fatalf("archived recording is %+v", rec)
	}
	if len(rec.Metadata) != 2 || string(rec.Metadata[0].Payload) != "told" || string(rec.Metadata[1].Payload) != "{}" {
		w.tb.Fatalf("archived metadata is %+v", rec.Metadata)
	}
	for name, want := range original {
		if strings.HasSuffix(name, "/recording.json") {
			continue
		}
		have, err := w.objects.ReadFile(w.tb.Context(), name)
		must(w.tb, err)
		if !bytes.Equal(have, want) {
			w.tb.Fatalf("%s: the archive has other bytes", name)
		}
	}
	dir := w.prefix()
	for name, want := range map[string]string{
		"index.m3u8": "audio.m3u8", "video.m3u8": fmt.Sprint(w.takes, "/video.mp4"), "audio.m3u8": "#EXT-X-BYTERANGE",
	} {
		text, err := w.objects.ReadFile(w.tb.Context(), dir+name)
		must(w.tb, err)
		if !strings.Contains(string(text), want) {
			w.tb.Fatalf("%s lacks %s:\n%s", name, want, text)
		}
	}
	w.checkRanges(dir, "video.m3u8")
	w.checkRanges(dir, "audio.m3u8")
}

// checkRanges reads every range that a static playlist names: an init or a part must begin there.
func (w *world) checkRanges(dir, name string) {
	w.tb.Helper()
	text, err := w.objects.ReadFile(w.tb.Context(), dir+name)
	must(w.tb, err)
	count := 0
	var size, offset int64
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		want := "moof"
		if rest, ok := strings.CutPrefix(line, "#EXT-X-MAP:"); ok {
			var uri string
			_, err := fmt.Sscanf(strings.NewReplacer(`"`, " ", ",", " ").Replace(rest), "URI= %s BYTERANGE= %d@%d", &uri, &size, &offset)
			must(w.tb, err)
			line, want = uri, "ftyp"
		} else if _, err := fmt.Sscanf(line, "#EXT-X-BYTERANGE:%d@%d", &size, &offset); err == nil || strings.HasPrefix(line, "#") {
			continue
		}
		body, err := w.objects.OpenRange(w.tb.Context(), dir+line, offset, size)
		must(w.tb, err)
		data, err := io.ReadAll(body)
		must(w.tb, errors.Join(err, body.Close()))
		if string(data[4:8]) != want {
			w.tb.Fatalf("%s: %s %d@%d begins with %q", name, line, size, offset, data[:8])
		}
		count++
	}
	if count != w.takes+(3*w.takes+1) { // inits and segments
		w.tb.Fatalf("%s names %d ranges:\n%s", name, count, text)
	}
}
