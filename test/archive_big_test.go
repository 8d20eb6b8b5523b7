package test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// bigShow is a long recording that is on a fleet's storage and is to be archived at once, as it was there.
type bigShow struct {
	f     *fleet
	id    string
	bytes int64
	files map[string]string // sum by name below the recording
}

// newBigShow writes a recording of at least so many bytes. Nobody archives it before an archiver is started.
func newBigShow(tb testing.TB, f *fleet, stream string, least int64) *bigShow {
	tb.Helper()
	f.api.createStream("acme", stream, map[string]any{"archive_delay": "0s"})
	film := shootFilm(tb, "1280x720", "8M")
	path := media.StreamPath{Publisher: "acme", Stream: stream}
	root := openRecordings(tb, f.recordings("a"))
	id := film.show(tb, root, path, int((least+film.size()-1)/film.size()))
	s := &bigShow{f: f, id: string(id), files: map[string]string{}}
	dir := filepath.Join(f.recordings("a"), path.String(), s.id)
	for name, size := range sumTree(tb, dir, s.files) {
		if !strings.HasSuffix(name, ".json") { // it says archived in the archive
			s.bytes += size
		}
	}
	f.list("a")
	return s
}

// sumTree sums the files of a directory, and gives their sizes.
func sumTree(tb testing.TB, dir string, sums map[string]string) map[string]int64 {
	tb.Helper()
	sizes := map[string]int64{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := os.Open(name)
		if err != nil {
			return err
		}
		defer file.Close()
		sum := sha256.New()
		rel, _ := filepath.Rel(dir, name)
		sizes[rel], err = io.Copy(sum, file)
		sums[rel] = fmt.Sprintf("%x", sum.Sum(nil))
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return sizes
}

// row is what the API tells of the recording.
func (s *bigShow) row() (r recording) {
	s.f.tb.Helper()
	s.f.api.api(http.MethodGet, "/v1/recordings/"+s.id, nil, &r)
	return r
}

// sent waits until an archiver has sent more than so much of the recording.
func (s *bigShow) sent(m *member, from int64, share float64) {
	s.f.tb.Helper()
	eventually(s.f.tb, 3*time.Minute, fmt.Sprintf("%.0f %% are sent", 100*share), func() bool {
		return float64(m.toS3.sent.Load()-from) > share*float64(s.bytes)
	})
}

// whole waits until the recording is archived, and wants every file of it in the bucket, and no upload left.
func (s *bigShow) whole(limit time.Duration) {
	tb := s.f.tb
	tb.Helper()
	s.f.api.waitState(s.id, "archived", limit)
	stored := map[string]string{}
	sumTree(tb, filepath.Join(s.f.bucketFolder(), "acme", s.stream(), s.id), stored)
	for name, sum := range s.files {
		if name != "recording.json" && stored[name] != sum {
			tb.Errorf("%s: the bucket has %.8q, local storage %.8q", name, stored[name], sum)
		}
	}
	s.f.noUploads()
}

func (s *bigShow) stream() string {
	var row struct{ Stream string }
	s.f.api.api(http.MethodGet, "/v1/recordings/"+s.id, nil, &row)
	return row.Stream
}

// noUploads wants no multipart upload in the store, nor a note of one in the catalog.
func (f *fleet) noUploads() {
	f.tb.Helper()
	var left []string
	_ = filepath.WalkDir(f.s3.Dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(name, "multipart") {
			left = append(left, name)
		}
		return nil
	})
	if len(left) > 0 {
		f.tb.Errorf("uploads that nobody will finish: %v", left)
	}
	if rows, err := f.sql.Query(f.tb.Context(), database, "SELECT * FROM uploads"); err != nil || strings.TrimSpace(rows) != "" {
		f.tb.Errorf("uploads that the catalog knows: %v %s", err, rows)
	}
}

// bigSize is what a big recording has: enough for many parts, and in make e2e a GiB.
func bigSize() int64 {
	if full() {
		return 1 << 30
	}
	return 192 << 20
}

// TestArchiversKilledInMidUpload kills the archiver at 30 %, and the next one at 70 %, of a big recording: a third one
// finishes it, what was sent is not sent again, one complete copy is there and no upload is left.
func TestArchiversKilledInMidUpload(t *testing.T) {
	t.Parallel()
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1, noArchiver: true})
	show := newBigShow(t, f, "big", bigSize())
	rate := show.bytes / 12 // so that there is time to meet it in the middle
	var sent int64
	began := time.Now()
	for n, share := range []float64{0.30, 0.40, 1} {
		m := f.newArchiver("a", fmt.Sprintf("archiver%d", n+1))
		m.toS3.set(proxyLine{rate: rate})
		m.start()
		if share < 1 {
			show.sent(m, 0, share)
			m.kill()
			sent += m.toS3.sent.Load()
			continue
		}
		m.toS3.pass()
		show.whole(5 * time.Minute)
		sent += m.toS3.sent.Load()
	}
	// Parts that were under way are sent again: four of 16 MiB at each kill.
	if most := show.bytes + 2*4*(16<<20) + (8 << 20); sent > most {
		t.Errorf("%d bytes sent for a recording of %d, want at most %d", sent, show.bytes, most)
	}
	figure(t, "archivers killed at 30 % and 70 %", "%d MiB, %d MiB sent, archived after %d ms", show.bytes>>20, sent>>20,
		time.Since(began).Milliseconds())
}

// TestArchiveStoreStopped stops the store in the middle of an upload: the row says so, nothing is lost or removed, and
// it is finished when the store returns.
func TestArchiveStoreStopped(t *testing.T) {
	t.Parallel()
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1, noArchiver: true})
	show := newBigShow(t, f, "stopped", bigSize())
	m := f.member("a-archiver")
	m.toS3.set(proxyLine{rate: show.bytes / 12})
	m.start()
	show.sent(m, 0, 0.4)
	f.s3.Kill(t)
	stopped := time.Now()
	eventually(t, 90*time.Second, "the store's absence is in the row", func() bool { return show.row().LastError != "" })
	if said := show.row(); said.State != "ended" && said.State != "archiving" || !strings.Contains(said.LastError, "unavailable") {
		t.Errorf("while the store is away: %s, %q", said.State, said.LastError)
	}
	away := 5 * time.Second
	if full() {
		away = time.Minute
	}
	<-time.NewTimer(time.Until(stopped.Add(away))).C
	said := show.row().LastError
	f.s3.MustStart(t)
	m.toS3.pass()
	back := time.Now()
	show.whole(5 * time.Minute)
	figure(t, fmt.Sprintf("store stopped for %v in mid-upload", away), "%d MiB archived %d ms after it is back; meanwhile the row says %q",
		show.bytes>>20, time.Since(back).Milliseconds(), said)
}
