package catalog

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/pressly/goose/v3"
	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/migrations"
)

// childFile names the catalog that this process is to write to until it is killed: see TestSQLiteKilled.
const childFile = "OXBOW_TEST_CATALOG_CHILD"

func TestMain(m *testing.M) {
	if file := os.Getenv(childFile); file != "" {
		if err := writeForever(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	goleak.VerifyTestMain(tests{m})
}

func openFile(tb testing.TB, file string) *DB {
	tb.Helper()
	db, err := OpenSQLite(tb.Context(), file, testLogger(tb))
	noError(tb, err)
	tb.Cleanup(func() { noError(tb, db.Close()) })
	return db
}

func newFile(tb testing.TB) string { return filepath.Join(tb.TempDir(), "catalog.db") }

// migratedFile is newFile with the schema.
var migratedFile = catalogtest.Copies(func(file string) error {
	_, err := Migrate(context.Background(), "sqlite:"+file, silentLogger())
	return err
})

func TestSQLite(t *testing.T) {
	conformance(t, func(tb testing.TB) *DB { return openFile(tb, migratedFile(tb)) })
}

// TestSQLiteTornLog cuts the write-ahead log at many lengths, as a crash of the machine may. The catalog opens with the
// first so many of the rows, and with as many as before or more as the log gets longer.
func TestSQLiteTornLog(t *testing.T) {
	file := newFile(t)
	db := openFile(t, file)
	schema, err := os.Stat(file + "-wal")
	noError(t, err)
	const rows = 8
	for n := range rows {
		save(t, db, ended(n))
	}
	main, err := os.ReadFile(file)
	noError(t, err)
	log, err := os.ReadFile(file + "-wal")
	noError(t, err)
	before := 0
	whole := int64(7919)                   // prime, so that it falls everywhere in a frame
	coarse := max(whole, schema.Size()/16) // where every opening migrates what the log lacks
	for cut, step := int64(0), coarse; cut <= int64(len(log)); cut += step {
		if cut >= schema.Size() {
			step = whole
		}
		copied := newFile(t)
		noError(t, os.WriteFile(copied, main, 0o600))
		noError(t, os.WriteFile(copied+"-wal", log[:cut], 0o600))
		got := reopened(t, copied)
		for i, id := range got {
			if id != recordingID(i) {
				t.Fatalf("log cut at %d: row %d is %s, want %s", cut, i, id, recordingID(i))
			}
		}
		if len(got) < before {
			t.Fatalf("log cut at %d: %d rows, and %d with a shorter log", cut, len(got), before)
		}
		before = len(got)
	}
	copied := newFile(t)
	noError(t, os.WriteFile(copied, main, 0o600))
	noError(t, os.WriteFile(copied+"-wal", log, 0o600))
	same(t, "rows with the whole log", rows, len(reopened(t, copied)))
}

// reopened gives the rows of a catalog, oldest first.
func reopened(t *testing.T, file string) []media.RecordingID {
	t.Helper()
	db, err := OpenSQLite(t.Context(), file, testLogger(t))
	noError(t, err)
	defer func() { noError(t, db.Close()) }()
	var ok string
	noError(t, db.reads.QueryRowContext(t.Context(), `PRAGMA integrity_check`).Scan(&ok))
	same(t, "integrity", "ok", ok)
	ids := list(t, db, media.RecordingFilter{Limit: 1000})
	for i, j := 0, len(ids)-1; i < j; i, j = i+1, j-1 {
		ids[i], ids[j] = ids[j], ids[i]
	}
	return ids
}

// TestSQLiteKilled kills a writing process and finds everything that it said it had saved.
func TestSQLiteKilled(t *testing.T) {
	file := newFile(t)
	for round := range 3 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childFile+"="+file)
		child.Stderr = os.Stderr
		out, err := child.StdoutPipe()
		noError(t, err)
		noError(t, child.Start())
		last := ""
		lines := bufio.NewScanner(out)
		for said := 0; said < 50*(round+1) && lines.Scan(); said++ {
			last = lines.Text()
		}
		noError(t, child.Process.Kill())
		for lines.Scan() {
			last = lines.Text()
		}
		_ = child.Wait() // it says that it was killed
		got := reopened(t, file)
		if n := len(got); last == "" || n == 0 || string(got[n-1]) < last {
			t.Fatalf("%d rows, the last said was %q", n, last)
		}
	}
}

func writeForever(file string) error {
	db, err := OpenSQLite(context.Background(), file, silentLogger())
	if err != nil {
		return err
	}
	rows, _, err := db.Recordings(context.Background(), media.RecordingFilter{Limit: 1000})
	if err != nil {
		return err
	}
	for n := len(rows); ; n++ {
		if err := db.SaveRecording(context.Background(), ended(n)); err != nil {
			return err
		}
		fmt.Println(recordingID(n))
	}
}

func TestSQLiteRefusesNewerSchema(t *testing.T) {
	file := newFile(t)
	db := openFile(t, file)
	newer := fstest.MapFS{"99999_later.sql": {Data: []byte("-- +goose Up\nCREATE TABLE later (id TEXT);\n")}}
	entries, err := migrations.FS.ReadDir(".")
	noError(t, err)
	for _, e := range entries {
		text, err := migrations.FS.ReadFile(e.Name())
		noError(t, err)
		newer[e.Name()] = &fstest.MapFile{Data: text}
	}
	_, err = db.migrateFrom(t.Context(), goose.DialectSQLite3, newer)
	noError(t, err)
	_, err = OpenSQLite(t.Context(), file, testLogger(t))
	wantError(t, err, media.ErrUnsupported, file, "99999", "start the newer oxbow")
	noError(t, db.CreatePublisher(t.Context(), media.Publisher{Name: "acme"})) // who runs goes on
}

// A catalog of the first version keeps its streams, which have no passphrase.
func TestSQLiteMigratesTheFirstVersion(t *testing.T) {
	const name = "00001_catalog.sql"
	text, err := migrations.FS.ReadFile(name)
	noError(t, err)
	file := newFile(t)
	raw, err := sql.Open("sqlite", "file:"+file)
	noError(t, err)
	old := &DB{writes: raw, reads: raw, logger: silentLogger(), now: time.Now}
	_, err = old.migrateFrom(t.Context(), goose.DialectSQLite3, fstest.MapFS{name: {Data: text}})
	noError(t, err)
	_, err = raw.ExecContext(t.Context(), `
		INSERT INTO publishers (name, settings, created_at, updated_at) VALUES ('acme', '{}', 1, 1)`)
	noError(t, err)
	_, err = raw.ExecContext(t.Context(), `
		INSERT INTO streams (publisher, name, settings, listed, created_at, updated_at)
		VALUES ('acme', 'show', '{"latency":"standard"}', false, 1, 1)`)
	noError(t, err)
	noError(t, raw.Close())

	s, err := openFile(t, file).Stream(t.Context(), show)
	noError(t, err)
	same(t, "passphrase", "", s.SRTPassphrase)
	same(t, "latency", media.LatencyStandard, s.Settings.Latency)
}

// A catalog from before there were groups keeps its streams, which are in none, and can make groups of them.
func TestSQLiteMigratesStreamsThatWereInNoGroup(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{"00001_catalog.sql", "00002_srt_passphrase.sql", "00003_sources.sql"} {
		text, err := migrations.FS.ReadFile(name)
		noError(t, err)
		files[name] = &fstest.MapFile{Data: text}
	}
	file := newFile(t)
	raw, err := sql.Open("sqlite", "file:"+file)
	noError(t, err)
	old := &DB{writes: raw, reads: raw, logger: silentLogger(), now: time.Now}
	_, err = old.migrateFrom(t.Context(), goose.DialectSQLite3, files)
	noError(t, err)
	_, err = raw.ExecContext(t.Context(), `
		INSERT INTO publishers (name, settings, created_at, updated_at) VALUES ('acme', '{}', 1, 1)`)
	noError(t, err)
	_, err = raw.ExecContext(t.Context(), `
		INSERT INTO streams (publisher, name, settings, listed, srt_passphrase, created_at, updated_at)
		VALUES ('acme', 'show', '{"latency":"standard"}', true, 'a passphrase', 1, 1),
		('acme', 'show_1080', '{}', false, '', 1, 1)`)
	noError(t, err)
	noError(t, raw.Close())

	db := openFile(t, file)
	s, err := db.Stream(t.Context(), show)
	noError(t, err)
	same(t, "passphrase", "a passphrase", s.SRTPassphrase)
	same(t, "group", "", s.Settings.Group)
	names, err := db.Members(t.Context(), show)
	noError(t, err)
	same(t, "members", 0, len(names))
	high := media.StreamPath{Publisher: "acme", Stream: "show_1080"}
	s, err = db.UpdateStream(t.Context(), high, media.SettingsPatch{Group: new("show")})
	noError(t, err)
	same(t, "group", "show", s.Settings.Group)
	names, err = db.Members(t.Context(), show)
	noError(t, err)
	same(t, "members", "show_1080", strings.Join(names, " "))
}

// A catalog from before clusters had names has all its recordings in the default one, claimed and due as they were.
func TestSQLiteMigratesRecordingsOfNoCluster(t *testing.T) {
	files := fstest.MapFS{}
	for _, name := range []string{
		"00001_catalog.sql", "00002_srt_passphrase.sql", "00003_sources.sql", "00004_groups.sql",
	} {
		text, err := migrations.FS.ReadFile(name)
		noError(t, err)
		files[name] = &fstest.MapFile{Data: text}
	}
	file := newFile(t)
	raw, err := sql.Open("sqlite", "file:"+file)
	noError(t, err)
	old := &DB{writes: raw, reads: raw, logger: silentLogger(), now: time.Now}
	_, err = old.migrateFrom(t.Context(), goose.DialectSQLite3, files)
	noError(t, err)
	_, err = raw.ExecContext(t.Context(), `
		INSERT INTO recordings (id, publisher, stream, state, started_at, ended_at, duration_ms, bytes, continues, keep,
			local, archive_due, attempts, last_error, claim_action, claim_owner, claim_epoch, updated_at)
		VALUES ($1, 'acme', 'show', 'ended', 1, 2, 1, 1, '', FALSE, TRUE, 3, 0, '', '', '', 7, 2)`, string(recordingID(0)))
	noError(t, err)
	noError(t, raw.Close())

	db := openFile(t, file)
	same(t, "cluster", media.DefaultCluster, read(t, db, recordingID(0)).Cluster)
	same(t, "epoch", int64(8), claim(t, db, "a", start).Epoch)
}

func TestSQLiteFiles(t *testing.T) {
	t.Run("only its owner may read it", func(t *testing.T) {
		file := newFile(t)
		save(t, openFile(t, file), ended(0))
		for _, name := range []string{file, file + "-wal", file + "-shm"} {
			info, err := os.Stat(name)
			noError(t, err)
			same(t, "mode of "+filepath.Base(name), os.FileMode(0o600), info.Mode())
		}
	})
	t.Run("any name will do", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "a b?c=d&e%20#f'é.db")
		save(t, openFile(t, file), ended(0))
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
		same(t, "rows", 1, len(reopened(t, file)))
	})
	t.Run("it is closed into one file", func(t *testing.T) {
		file := newFile(t)
		db, err := OpenSQLite(t.Context(), file, testLogger(t))
		noError(t, err)
		save(t, db, ended(0))
		noError(t, db.Close())
		if _, err := os.Stat(file + "-wal"); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the log is still there: %v", err)
		}
	})
	t.Run("no name", func(t *testing.T) {
		_, err := OpenSQLite(t.Context(), "", testLogger(t))
		wantError(t, err, media.ErrInvalid)
	})
	t.Run("no directory", func(t *testing.T) {
		_, err := OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "no", "catalog.db"), testLogger(t))
		wantError(t, err, os.ErrNotExist)
	})
	t.Run("no catalog", func(t *testing.T) {
		file := newFile(t)
		noError(t, os.WriteFile(file, []byte(strings.Repeat("this is a letter\n", 1000)), 0o600))
		_, err := OpenSQLite(t.Context(), file, testLogger(t))
		wantError(t, err, media.ErrCorrupt, file)
	})
}

// TestSQLiteOpenedTwice has many openers race for the first migration.
func TestSQLiteOpenedTwice(t *testing.T) {
	file := newFile(t)
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			db, err := OpenSQLite(t.Context(), file, testLogger(t))
			if err != nil {
				t.Error(err)
				return
			}
			if err := db.SaveRecording(t.Context(), ended(n)); err != nil {
				t.Error(err)
			}
			if err := db.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, "rows", 8, len(reopened(t, file)))
}

// TestSQLiteMigrationWaits has a migration find another process's lock: it tries until that one is done, or too late.
func TestSQLiteMigrationWaits(t *testing.T) {
	file := newFile(t)
	hasty, err := sql.Open("sqlite", sqliteDSN(file, time.Millisecond, url.Values{"_txlock": {"immediate"}}))
	noError(t, err)
	defer func() { noError(t, hasty.Close()) }()
	late := &DB{reads: hasty, writes: hasty, logger: silentLogger()}
	const first = "00001_catalog.sql"
	text, err := migrations.FS.ReadFile(first)
	noError(t, err)
	_, err = late.migrateFrom(t.Context(), goose.DialectSQLite3, fstest.MapFS{first: {Data: text}})
	noError(t, err)
	holder, err := sql.Open("sqlite", sqliteDSN(file, sqliteBusy, url.Values{"_txlock": {"immediate"}}))
	noError(t, err)
	defer func() { noError(t, holder.Close()) }()
	tx, err := holder.Begin()
	noError(t, err)
	_, busy := late.migrateOnce(t.Context(), goose.DialectSQLite3, migrations.FS)
	noError(t, tx.Rollback())
	if !isBusy(busy) {
		t.Fatalf("got %v, want what says that the catalog is locked", busy)
	}
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			name  string
			tries int // that find the lock
			then  error
			want  error
		}{
			{"free", 0, nil, nil},
			{"free after a while", 100, nil, nil},
			{"broken after a while", 2, errTest, errTest},
			{"never free", math.MaxInt, nil, busy},
		} {
			tries := 0
			err := patiently(t.Context(), func() error {
				if tries++; tries <= c.tries {
					return busy
				}
				return c.then
			})
			if !errors.Is(err, c.want) {
				t.Errorf("%s: got %v, want %v", c.name, err, c.want)
			}
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		wantError(t, patiently(stopped, func() error { return busy }), context.Canceled)
	})
}

func TestSQLiteBusy(t *testing.T) {
	file := newFile(t)
	db := openFile(t, file)
	save(t, db, ended(0))
	other, err := sql.Open("sqlite", sqliteDSN(file, sqliteBusy, url.Values{"_txlock": {"immediate"}}))
	noError(t, err)
	defer func() { noError(t, other.Close()) }()
	tx, err := other.Begin()
	noError(t, err)

	read(t, db, recordingID(0)) // readers do not wait for a writer

	impatient, err := sql.Open("sqlite", sqliteDSN(file, time.Millisecond, url.Values{"_txlock": {"immediate"}}))
	noError(t, err)
	hasty := &DB{reads: impatient, writes: impatient, sentinel: db.sentinel, logger: db.logger, now: time.Now}
	defer func() { noError(t, hasty.Close()) }()
	wantError(t, hasty.SaveRecording(t.Context(), ended(1)), media.ErrUnavailable)
	_, err = hasty.ClaimDue(t.Context(), "a", media.Due{Cluster: media.DefaultCluster}, start, time.Minute)
	wantError(t, err, media.ErrUnavailable)

	// Writers wait, and then write.
	saved := make(chan error, 1)
	go func() { saved <- db.SaveRecording(context.Background(), ended(2)) }()
	for db.writes.Stats().InUse == 0 { // until it holds the connection, and so waits for the lock
		select {
		case err := <-saved:
			t.Fatalf("saved under another's lock: %v", err)
		default:
		}
	}
	noError(t, tx.Rollback())
	noError(t, <-saved)
	same(t, "row", recordingID(2), read(t, db, recordingID(2)).ID)
}

// Readers get a connection that can not write, whatever they try.
func TestSQLiteReadersCannotWrite(t *testing.T) {
	db := openFile(t, newFile(t))
	if _, err := db.reads.ExecContext(t.Context(), `DELETE FROM recordings`); err == nil {
		t.Error("a reader wrote")
	}
	for _, pragma := range []struct{ name, want string }{
		{"journal_mode", "wal"}, {"synchronous", "1"}, {"foreign_keys", "1"}, {"busy_timeout", "5000"},
	} {
		var got string
		noError(t, db.writes.QueryRowContext(t.Context(), `PRAGMA `+pragma.name).Scan(&got))
		same(t, pragma.name, pragma.want, got)
	}
}
