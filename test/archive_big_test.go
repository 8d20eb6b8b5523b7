package test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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

// bigRow is what the API tells of a recording that is being archived.
type bigRow struct {
	recording
	Progress *struct {
		Done  int64  `json:"done_bytes"`
		Total int64  `json:"total_bytes"`
		Rate  int64  `json:"rate_bps"`
		ETA   *int64 `json:"eta_s"`
	}
}

// row is what the API tells of the recording.
func (s *bigShow) row() (r bigRow) {
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

// rising wants the row's progress to rise until so much of the recording is sent, with a rate and a time to go that are
// near the truth at last.
func (s *bigShow) rising(m *member, share float64) {
	tb := s.f.tb
	tb.Helper()
	var told []int64
	var last bigRow
	eventually(tb, 3*time.Minute, "progress is told", func() bool {
		if row := s.row(); row.Progress != nil {
			last = row
			if n := len(told); n == 0 || told[n-1] != row.Progress.Done {
				told = append(told, row.Progress.Done)
			}
		}
		return float64(m.toS3.sent.Load()) > share*float64(s.bytes)
	})
	if len(told) < 4 || !slices.IsSorted(told) || last.Progress == nil || last.Progress.ETA == nil {
		tb.Fatalf("progress: %v, at last %+v", told, last.Progress)
	}
	at := last.Progress
	left := float64(at.Total-at.Done) / float64(at.Rate)
	if at.Total < s.bytes || at.Total > s.bytes+s.bytes/20 || at.Rate <= 0 || math.Abs(left-float64(*at.ETA)) > 2 {
		tb.Errorf("progress of %d bytes: %+v, ETA %d s", s.bytes, *at, *at.ETA)
	}
	figure(tb, "progress in the API", "%d figures; at last %d of %d MiB, %d MiB/s, %d s to go", len(told), at.Done>>20,
		at.Total>>20, at.Rate>>20, *at.ETA)
}

// inParts is how many bytes the store has in parts of uploads that are not complete.
func (f *fleet) inParts() (bytes int64) {
	f.tb.Helper()
	_ = filepath.WalkDir(f.s3.Dir, func(name string, entry os.DirEntry, err error) error {
		_, number := strconv.Atoi(filepath.Base(name))
		if err == nil && number == nil && !entry.IsDir() && strings.Contains(name, "multipart") {
			if info, gone := entry.Info(); gone == nil {
				bytes += info.Size()
			}
		}
		return nil // they come and go
	})
	return bytes
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

// bigSize is what a big recording has.
const bigSize = 1 << 30

// slowly is the rate of one of four connections with which the recording takes a quarter of a minute.
func (s *bigShow) slowly() proxyLine { return proxyLine{rate: s.bytes / 60} }

// TestArchiversKilledInMidUpload kills the archiver at 30 % of a big recording, and the next one at 70 %: each is followed
// by another within the lease's half minute, what the store has is not sent again, and the last one leaves one complete
// copy and no upload. In make test it is TestS3ArchiverStoppedInTheMiddleOfAnUpload that holds this, of the archiver.
func TestArchiversKilledInMidUpload(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1, noArchiver: true})
	show := newBigShow(t, f, "big", bigSize)
	var sent, had int64
	var killed time.Time
	began := time.Now()
	shares := []float64{0.30, 0.40, 1}
	for n, share := range shares {
		m := f.newArchiver("a", fmt.Sprintf("archiver%d", n+1))
		m.toS3.set(show.slowly())
		m.start()
		if n > 0 {
			eventually(t, time.Minute, "another archiver has found what the store has", func() bool {
				row := show.row()
				return m.metric("oxbow_archiver_upload_done_bytes") >= float64(max(1, had)) && row.Progress != nil &&
					row.Progress.Done >= had
			})
			waited, again := time.Since(killed), m.toS3.sent.Load()
			if waited > 50*time.Second || had > 0 && again > show.bytes/3 {
				t.Errorf("archiver %d: %v after the one before was killed, %d bytes sent", n+1, waited, again)
			}
			figure(t, fmt.Sprintf("archiver killed with %d MiB in parts", had>>20),
				"another one has counted them %d ms later, %d MiB sent", waited.Milliseconds(), again>>20)
		}
		if share < 1 {
			show.sent(m, 0, share)
			m.kill()
			killed, had = time.Now(), f.inParts()
			sent += m.toS3.sent.Load()
			continue
		}
		m.toS3.pass()
		show.whole(5 * time.Minute)
		sent += m.toS3.sent.Load()
	}
	// Parts that were under way are sent again: four of 16 MiB at each kill.
	if most := show.bytes + int64(len(shares)-1)*4*(16<<20) + (8 << 20); sent > most {
		t.Errorf("%d bytes sent for a recording of %d, want at most %d", sent, show.bytes, most)
	}
	figure(t, fmt.Sprintf("%d archivers killed in mid-upload", len(shares)-1), "%d MiB, %d MiB sent, archived after %d ms", show.bytes>>20, sent>>20,
		time.Since(began).Milliseconds())
}

// TestArchiveStoreStopped stops the store in the middle of an upload: the row and GET /v1/archives say so, nothing is
// lost or removed, and it is finished when the store returns.
func TestArchiveStoreStopped(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1, noArchiver: true})
	show := newBigShow(t, f, "stopped", bigSize)
	m := f.member("a-archiver")
	m.toS3.set(show.slowly())
	m.start()
	show.rising(m, 0.4)
	f.s3.Kill(t)
	stopped := time.Now()
	eventually(t, 90*time.Second, "the store's absence is in the row", func() bool { return show.row().LastError != "" })
	told := time.Since(stopped)
	said := show.row()
	if said.State != "ended" && said.State != "archiving" ||
		!strings.HasPrefix(said.LastError, "unreachable: the store does not answer: check endpoint") {
		t.Errorf("while the store is away: %s, %q", said.State, said.LastError)
	}
	eventually(t, 40*time.Second, "the archive is unreachable", func() bool {
		return f.archive("default").State == "unreachable"
	})
	<-time.NewTimer(time.Until(stopped.Add(time.Minute))).C
	local := map[string]string{}
	sumTree(t, filepath.Join(f.recordings("a"), "acme", "stopped", show.id), local)
	for name, sum := range show.files { // there may be pictures beside them
		if local[name] != sum {
			t.Errorf("%s is not on local storage as it was", name)
		}
	}
	f.s3.MustStart(t)
	m.toS3.pass()
	away, back := time.Since(stopped), time.Now()
	show.whole(5 * time.Minute)
	took := time.Since(back)
	eventually(t, time.Minute, "the archive works again", func() bool { return f.archive("default").State == "ok" })
	figure(t, fmt.Sprintf("store stopped for %d ms in mid-upload", away.Milliseconds()),
		"in the row after %d ms; %d MiB archived %d ms after it is back; meanwhile the row says %q",
		told.Milliseconds(), show.bytes>>20, took.Milliseconds(), said.LastError)
}
