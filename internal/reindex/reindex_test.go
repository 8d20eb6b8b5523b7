package reindex

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/internal/inspect"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// world is a cluster's directory, an archive and a catalog, all real.
type world struct {
	t       *testing.T
	dir     string
	root    *reclog.Root
	archive objstoretest.Store // the default one
	more    map[string]Storage // the others, by name
	catalog *catalog.DB
}

// newCatalog gives copies of a migrated catalog.
var newCatalog = catalogtest.Copies(func(file string) error {
	_, err := catalog.Migrate(context.Background(), "sqlite:"+file, slog.New(slog.DiscardHandler))
	return err
})

func newWorld(t *testing.T, archive objstoretest.Store) *world {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	w := &world{t: t, dir: t.TempDir(), archive: archive}
	var err error
	w.root, err = reclog.OpenRoot(reclog.Config{Dir: w.dir, Sync: reclog.SyncNever}, quiet)
	must(t, err)
	w.catalog, err = catalog.OpenSQLite(t.Context(), newCatalog(t), quiet)
	must(t, err)
	t.Cleanup(func() { must(t, errors.Join(w.root.Close(), w.catalog.Close())) })
	must(t, w.catalog.CreatePublisher(t.Context(), media.Publisher{Name: "acme"}))
	_, err = w.catalog.CreateStream(t.Context(), media.StreamPath{Publisher: "acme", Stream: "show"}, media.SettingsPatch{})
	must(t, err)
	return w
}

func newDir(t *testing.T) objstoretest.Store {
	t.Helper()
	d, err := objstore.OpenDir(t.TempDir())
	must(t, err)
	t.Cleanup(func() { must(t, d.Close()) })
	return d
}

func id(n int) media.RecordingID {
	return media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2ctr4n%02d", n))
}

func show() media.StreamPath { return media.StreamPath{Publisher: "acme", Stream: "show"} }

func start() time.Time { return time.Date(2026, 11, 20, 10, 38, 0, 0, time.UTC) }

func box(kind string, payload ...[]byte) []byte {
	data := bytes.Join(payload, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(len(data)+8)), kind...), data...)
}

func words(values ...uint32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// record writes a recording of one take of two segments of 2 s, with a filler behind them.
func (w *world) record(path media.StreamPath, id media.RecordingID, state media.State) {
	w.t.Helper()
	writer, err := w.root.Create(reclog.Manifest{
		ID: id, Publisher: path.Publisher, Stream: path.Stream, StartedAt: start(), Settings: media.DefaultSettings(),
		Constants: media.Constants{TargetDuration: 2 * time.Second, SegmentDuration: 2 * time.Second},
	})
	must(w.t, err)
	take, err := writer.StartTake(media.Take{
		Number: 1, Epoch: 1, StartedAt: start(), Anchor: start(), FirstMSN: 1,
		Tracks: []media.Track{{Name: "video", Kind: media.Video, Codec: media.H264, Config: []byte{1}, Timescale: 1000}},
	}, [][]byte{box("ftyp", make([]byte, 92))})
	must(w.t, err)
	for msn := media.MSN(1); msn <= 2; msn++ {
		dts := int64(msn-1) * 2000
		data := append(box("moof",
			box("mfhd", words(0, reclog.SequenceNumber(msn, 0))),
			box("traf", box("tfhd", words(0x020000, 1)), box("tfdt", words(0, uint32(dts))), box("trun", words(0x100, 1, 2000)))),
			box("mdat", make([]byte, 300))...)
		at, err := take.AppendPart(0, data)
		must(w.t, err)
		must(w.t, take.FinishSegment(0, media.Segment{
			MSN: msn, DTS: dts, Duration: 2000, Offset: at, Size: int64(len(data)), Sync: true,
		}))
	}
	must(w.t, take.AppendGap(0, media.Segment{MSN: 3, DTS: 4000, Duration: 2000, Filler: true}))
	must(w.t, take.Seal())
	must(w.t, writer.Update(func(m *reclog.Manifest) {
		if m.State = state; !state.Growing() {
			m.EndedAt = start().Add(time.Minute)
		}
	}))
}

// store copies a recording to the archive as the archiver does.
func (w *world) store(path media.StreamPath, id media.RecordingID) {
	w.t.Helper()
	rec, err := reclog.Load(w.t.Context(), w.root.Files(), path, id)
	must(w.t, err)
	for _, name := range rec.FileNames() {
		data, err := os.ReadFile(filepath.Join(w.dir, name))
		must(w.t, err)
		if strings.HasSuffix(name, "recording.json") {
			data = bytes.Replace(data, []byte(`"state": "ended"`), []byte(`"state": "archived"`), 1)
		}
		objstoretest.MustPut(w.t, w.archive, name, data, media.PutOptions{})
	}
}

func (w *world) drop(path media.StreamPath, id media.RecordingID) {
	w.t.Helper()
	must(w.t, w.root.Remove(w.t.Context(), path, id))
}

func (w *world) config() Config {
	w.t.Helper()
	local, err := inspect.OpenDir(w.dir)
	must(w.t, err)
	w.t.Cleanup(func() { must(w.t, local.Close()) })
	db := w.catalog
	archives := map[string]Storage{media.DefaultArchive: w.archive}
	maps.Copy(archives, w.more)
	return Config{Cluster: "main", Local: local, Archives: archives, Catalog: Catalog{
		Recording: db.Recording, Recordings: db.Recordings,
		Publisher: func(ctx context.Context, name string) error { _, err := db.Publisher(ctx, name); return err },
		Stream:    func(ctx context.Context, path media.StreamPath) error { _, err := db.Stream(ctx, path); return err },
		Restore: func(ctx context.Context, r media.Recording) (Outcome, error) {
			done, err := db.Restore(ctx, r)
			return Outcome(done), err
		},
	}}
}

func (w *world) run(dry bool) *Report {
	w.t.Helper()
	cfg := w.config()
	cfg.DryRun = dry
	r, err := Run(w.t.Context(), cfg)
	must(w.t, err)
	return r
}

func (w *world) row(id media.RecordingID) media.Recording {
	w.t.Helper()
	r, err := w.catalog.Recording(w.t.Context(), id)
	must(w.t, err)
	return r
}

// A catalog that lost everything has it again; a second run changes nothing.
func TestLostCatalogIsRebuilt(t *testing.T) {
	w := newWorld(t, newDir(t))
	lost := media.StreamPath{Publisher: "umbrella", Stream: "news"}
	w.record(show(), id(1), media.Ended)
	w.record(show(), id(2), media.Ended)
	w.store(show(), id(2))
	w.record(lost, id(3), media.Ended)
	w.store(lost, id(3))
	w.drop(lost, id(3))
	w.record(show(), id(4), media.Interrupted)
	w.record(show(), id(5), media.Ended)
	must(t, os.WriteFile(filepath.Join(w.dir, "acme", "show", string(id(5)), "recording.json"), []byte("{"), 0o600))

	dry := w.run(true)
	if _, err := w.catalog.Recording(t.Context(), id(1)); !errors.Is(err, media.ErrNotFound) {
		t.Fatalf("the dry run wrote: %v", err)
	}
	r := w.run(false)
	dry.DryRun = false
	if fmt.Sprint(dry) != fmt.Sprint(r) {
		t.Errorf("the dry run says %+v, the run %+v", dry, r)
	}
	if r.Local != 4 || r.Archived != 2 || r.Added != 3 || len(r.Growing) != 1 || len(r.Damaged) != 1 || len(r.Others) != 0 {
		t.Errorf("%+v", r)
	}
	one := w.row(id(1))
	if one.State != media.Ended || !one.Local || one.Duration != 4*time.Second || one.Cluster != "main" ||
		!one.StartedAt.Equal(start()) || !one.EndedAt.Equal(start().Add(time.Minute)) || one.Bytes < 700 || one.ArchiveDue.IsZero() {
		t.Errorf("ended row %+v", one)
	}
	if two := w.row(id(2)); two.State != media.Archived || !two.Local || two.ArchivedAt.IsZero() || two.Bytes != one.Bytes {
		t.Errorf("archived row %+v", two)
	}
	if three := w.row(id(3)); three.State != media.Archived || three.Local || three.Path != lost {
		t.Errorf("row of what is in the archive alone %+v", three)
	}
	var text bytes.Buffer
	must(t, r.Print(&text))
	for _, part := range []string{
		"3 added", `/v1/publishers" `, `{"name":"umbrella"}`, "/v1/publishers/umbrella/streams", string(id(4)), string(id(5)),
	} {
		if !strings.Contains(text.String(), part) {
			t.Errorf("the report lacks %q:\n%s", part, &text)
		}
	}
	if again := w.run(false); again.Added != 0 || again.Changed != 0 || again.Left != 3 {
		t.Errorf("a second run: %+v", again)
	}
}

// What rows say is corrected where storage knows better, and only there.
func TestRowsAreCompared(t *testing.T) {
	w := newWorld(t, newDir(t))
	ctx := t.Context()
	save := func(n int, state media.State) {
		t.Helper()
		must(t, w.catalog.SaveRecording(ctx, media.Recording{
			ID: id(n), Path: show(), State: state, StartedAt: start(), EndedAt: start().Add(time.Second), Cluster: "main",
		}))
	}
	for n := 1; n <= 5; n++ {
		w.record(show(), id(n), media.Ended)
	}
	save(1, media.Live) // its owner ended it and died before it saved the row
	save(2, media.Ended)
	save(3, media.Ended) // archived, but the row does not know
	w.store(show(), id(3))
	save(4, media.Ended) // deleted on purpose
	_, err := w.catalog.RequestDelete(ctx, id(4))
	must(t, err)
	must(t, w.catalog.SaveRecording(ctx, media.Recording{
		ID: id(5), Path: show(), State: media.Ended, StartedAt: start(), EndedAt: start().Add(time.Second), Cluster: "south",
	}))
	w.store(show(), id(5))

	r := w.run(false)
	if r.Added != 0 || r.Changed != 2 || r.Left != 1 || len(r.Others) != 2 {
		t.Errorf("%+v", r)
	}
	if got := w.row(id(1)); got.State != media.Ended || got.Duration != 4*time.Second {
		t.Errorf("row that grew: %+v", got)
	}
	if got := w.row(id(3)); got.State != media.Archived {
		t.Errorf("row of what is archived: %+v", got)
	}
	if got := w.row(id(4)); got.State != media.Deleting {
		t.Errorf("a deleted recording came back: %+v", got)
	}
	if got := w.row(id(5)); got.State != media.Ended || got.Cluster != "south" {
		t.Errorf("another cluster's row was changed: %+v", got)
	}
}

// Of several archives the row names those that have all of a recording: the one of its settings first.
func TestRowNamesItsArchives(t *testing.T) {
	first, eu := newDir(t), newDir(t)
	w := newWorld(t, first)
	w.more = map[string]Storage{"eu": eu}
	for n := 1; n <= 3; n++ {
		w.record(show(), id(n), media.Ended)
	}
	w.store(show(), id(1))
	w.store(show(), id(2))
	w.archive = eu
	w.store(show(), id(2))
	w.store(show(), id(3))
	w.archive = first
	w.run(false)
	for n, want := range map[int][2]string{1: {"default", ""}, 2: {"default", "eu"}, 3: {"eu", ""}} {
		if row := w.row(id(n)); row.Archive != want[0] || row.Mirror != want[1] || row.State != media.Archived {
			t.Errorf("row %d: %s, in %q and %q, want %q", n, row.State, row.Archive, row.Mirror, want)
		}
	}
}

// An archive that lacks something is not taken for the recording.
func TestIncompleteArchiveIsNotTrusted(t *testing.T) {
	for name, spoil := range map[string]func(w *world, n int){
		"no media": func(w *world, n int) {
			must(w.t, w.archive.Delete(w.t.Context(), reclog.TrackName(show(), id(n), 1, "video")))
		},
		"media cut short": func(w *world, n int) {
			objstoretest.MustPut(w.t, w.archive, reclog.TrackName(show(), id(n), 1, "video"), make([]byte, 300), media.PutOptions{})
		},
		"no index": func(w *world, n int) {
			must(w.t, w.archive.Delete(w.t.Context(), reclog.IndexName(show(), id(n), 1, "video")))
		},
		"bad manifest": func(w *world, n int) {
			objstoretest.MustPut(w.t, w.archive, reclog.ManifestName(show(), id(n)), []byte("{"), media.PutOptions{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, newDir(t))
			for n := 1; n <= 2; n++ {
				w.record(show(), id(n), media.Ended)
				w.store(show(), id(n))
				spoil(w, n)
			}
			w.drop(show(), id(2))
			r := w.run(false)
			if r.Added != 1 || len(r.Damaged) != 2 {
				t.Errorf("%+v", r)
			}
			if got := w.row(id(1)); got.State != media.Ended || !got.Local {
				t.Errorf("row %+v", got)
			}
			if _, err := w.catalog.Recording(t.Context(), id(2)); !errors.Is(err, media.ErrNotFound) {
				t.Errorf("a row of what nobody has: %v", err)
			}
		})
	}
}

// Through a real S3 server.
func TestBucket(t *testing.T) {
	gateway := objstoretest.MustStartGateway(t)
	gateway.MustMakeBucket(t, "reindex")
	s3, err := objstore.OpenS3(t.Context(), objstore.S3Config{
		Endpoint: gateway.Endpoint, Region: "us-east-1", Bucket: "reindex", Prefix: "some/prefix",
		AccessKey: gateway.AccessKey, SecretKey: gateway.SecretKey,
	})
	must(t, err)
	defer s3.Close()
	w := newWorld(t, s3)
	for n := 1; n <= 20; n++ {
		w.record(show(), id(n), media.Ended)
		w.store(show(), id(n))
		w.drop(show(), id(n))
	}
	if r := w.run(false); r.Archived != 20 || r.Added != 20 {
		t.Errorf("%+v", r)
	}
	gateway.Kill(t)
	if _, err := Run(t.Context(), w.config()); !errors.Is(err, media.ErrUnavailable) {
		t.Errorf("without the archive: %v", err)
	}
}

// What archives have beside is no damage. What is left of a show that was lost while it was live is told of.
func TestObjectsBesideTheRecordings(t *testing.T) {
	w := newWorld(t, newDir(t))
	w.record(show(), id(1), media.Ended)
	w.store(show(), id(1))
	dir := show().String() + "/"
	for _, name := range []string{
		string(id(1)) + "/1/video.samples", string(id(1)) + "/thumbnail.jpg", string(id(1)) + "/sprite-1.jpg",
		string(id(1)) + "/thumbnails.vtt", string(id(1)) + "/recording.growing.json", string(id(1)) + "/1/video.source.idx",
		string(id(2)) + "/recording.growing.json", string(id(2)) + "/1/video.idx", string(id(3)) + "/thumbnail.jpg",
	} {
		objstoretest.MustPut(t, w.archive, dir+name, []byte("x"), media.PutOptions{})
	}
	r := w.run(false)
	if r.Added != 1 || len(r.Damaged) > 0 || len(r.Others) != 1 || !strings.Contains(r.Others[0].Recording, string(id(2))) {
		t.Errorf("%+v", r)
	}
	if got := w.row(id(1)); got.State != media.Archived || !got.Local {
		t.Errorf("row %+v", got)
	}
}
