package test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// recoveredRow is what of a recording must be as it was before the catalog was lost.
type recoveredRow struct {
	ID         string    `json:"id"`
	Publisher  string    `json:"publisher"`
	Stream     string    `json:"stream"`
	State      string    `json:"state"`
	StartedAt  time.Time `json:"started_at"`
	EndedAt    time.Time `json:"ended_at"`
	DurationMS int64     `json:"duration_ms"`
	Bytes      int64     `json:"bytes"`
}

func (f *fleet) recoveredRows() map[string]recoveredRow {
	f.tb.Helper()
	var page struct{ Items []recoveredRow }
	if status := f.api.api(http.MethodGet, "/v1/recordings?limit=100", nil, &page); status != http.StatusOK {
		f.tb.Fatalf("list recordings: %d", status)
	}
	rows := map[string]recoveredRow{}
	for _, r := range page.Items {
		rows[r.ID] = r
	}
	return rows
}

// wantRows holds the rows against those of before, but for the ones that are left out.
func (f *fleet) wantRows(before map[string]recoveredRow, but ...string) {
	f.tb.Helper()
	now := f.recoveredRows()
	for id, want := range before {
		if got := now[id]; got != want && !slices.Contains(but, id) {
			f.tb.Errorf("after the recovery: %+v\nbefore it:          %+v", got, want)
		}
	}
	for id, got := range now {
		if _, ok := before[id]; !ok && !slices.Contains(but, id) {
			f.tb.Errorf("a recording that was not: %+v", got)
		}
	}
}

// recorded publishes for some pictures to a stream of its own, and gives the recording's id once that has ended.
func (f *fleet) recorded(publisher string, settings map[string]any) string {
	f.tb.Helper()
	key := f.api.createStream(publisher, "show", faultSettings(settings))
	e := startEncoder(f.tb, faultFilm(f.tb), time.Second, f.targets(key, "a1")...)
	e.awaitPictures(60, 20*time.Second)
	e.finish()
	var id string
	eventually(f.tb, 20*time.Second, publisher+"'s show has ended", func() bool {
		rows := f.api.recordings(publisher, "show")
		if len(rows) == 1 && rows[0].State != "live" {
			id = rows[0].ID
		}
		return id != ""
	})
	return id
}

// reader plays recordings again and again by plain requests, and notes whatever goes wrong.
type reader struct {
	tb   testing.TB
	stop func()

	mu     sync.Mutex
	rounds int
	faults []string
	sizes  map[string]int // of bodies, by URL: they do not change
}

// readAlways plays the recordings at a base URL until the test is over or stop.
func readAlways(tb testing.TB, base string, paths ...string) *reader {
	tb.Helper()
	r := &reader{tb: tb, sizes: map[string]int{}}
	done, ended := make(chan struct{}), make(chan struct{})
	r.stop = sync.OnceFunc(func() { close(done); <-ended })
	tb.Cleanup(r.stop)
	go func() {
		defer close(ended)
		for {
			for _, path := range paths {
				r.play(base, path)
			}
			r.mu.Lock()
			r.rounds++
			r.mu.Unlock()
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	r.more(1)
	return r
}

func (r *reader) play(base, path string) {
	index, ok := r.get(base + path)
	if !ok {
		return
	}
	for _, variant := range variants(path, string(index)) {
		text, ok := r.get(base + variant)
		if !ok {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				r.get(base + variant[:strings.LastIndexByte(variant, '/')+1] + line)
			}
		}
	}
}

func (r *reader) get(url string) ([]byte, bool) {
	status, body, _ := fetch(url, nil)
	r.mu.Lock()
	defer r.mu.Unlock()
	size, known := r.sizes[url]
	switch {
	case status != http.StatusOK:
		r.faults = append(r.faults, fmt.Sprintf("%s: %d %.200s", url, status, body))
	case known && size != len(body):
		r.faults = append(r.faults, fmt.Sprintf("%s: %d bytes, %d before", url, len(body), size))
	}
	r.sizes[url] = len(body)
	return body, status == http.StatusOK
}

// more waits until everything was played so many times more.
func (r *reader) more(rounds int) {
	r.tb.Helper()
	count := func() int {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.rounds
	}
	before := count()
	eventually(r.tb, 30*time.Second, "recordings are played on", func() bool { return count() >= before+rounds+1 })
}

// judge ends it.
func (r *reader) judge() {
	r.tb.Helper()
	r.stop()
	for i, fault := range r.faults {
		if i == 5 {
			r.tb.Errorf("and %d more", len(r.faults)-i)
			break
		}
		r.tb.Error(fault)
	}
	r.tb.Logf("%d objects were read %d times, with %d errors", len(r.sizes), r.rounds, len(r.faults))
}

// dropDatabase loses the catalog, under everybody's hands.
func (f *fleet) dropDatabase() {
	f.tb.Helper()
	if _, err := f.sql.Query(f.tb.Context(), "postgres", "DROP DATABASE "+database+" WITH (FORCE)"); err != nil {
		f.tb.Fatal(err)
	}
}

// freshDatabase makes an empty one, with its schema, and starts the API anew, which makes its admin token.
func (f *fleet) freshDatabase() {
	f.tb.Helper()
	if _, err := f.sql.CreateDatabase(f.tb.Context(), database); err != nil {
		f.tb.Fatal(err)
	}
	run(f.tb, time.Minute, oxbowBinary, "migrate", "--catalog", f.sql.url(f.sql.Addr))
	f.restartAPI()
}

// freshEdge starts another edge, holds its answer for a live show against what is wanted, and gives its address.
func (f *fleet) freshEdge(want int, show string) string {
	f.tb.Helper()
	f.newEdge("fresh", f.member("api"))
	f.member("fresh").start()
	base := "http://" + f.member("fresh").http
	if status, body, _ := fetch(base+show+"/index.m3u8", nil); status != want {
		f.tb.Errorf("an edge that began after the loss answers %d for what is live, want %d: %s", status, want, body)
	}
	return base
}

func (f *fleet) restartAPI() {
	f.tb.Helper()
	f.member("api").drain()
	f.member("api").start()
}

// reindex runs `oxbow reindex` with more flags, and gives what it printed.
func (f *fleet) reindex(flags ...string) string {
	f.tb.Helper()
	cmd := exec.Command(oxbowBinary, append([]string{"reindex", "--cluster", "a", "--recordings", f.recordings("a"),
		"--catalog", f.sql.url(f.sql.Addr), "--archive", "s3://" + bucket + "/live?region=us-east-1&endpoint=" + f.s3.Endpoint},
		flags...)...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+f.s3.AccessKey, "AWS_SECRET_ACCESS_KEY="+f.s3.SecretKey)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		f.tb.Fatalf("reindex: %v\n%s%s", err, out, errs.Bytes())
	}
	return string(out)
}

// recreate runs the commands that reindex prints for what the catalog lacks.
func (f *fleet) recreate() {
	f.tb.Helper()
	needTool(f.tb, "curl")
	n := 0
	for line := range strings.Lines(f.reindex("--dry-run")) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "curl ") {
			continue
		}
		n++
		cmd := exec.Command("sh", "-c", line+" --fail-with-body")
		cmd.Env = append(os.Environ(), "OXBOW=http://"+f.api.http, "TOKEN="+adminToken)
		if out, err := cmd.CombinedOutput(); err != nil {
			f.tb.Fatalf("%s: %v\n%s", line, err, out)
		}
	}
	if n == 0 {
		f.tb.Fatal("reindex prints no commands for what the catalog lacks")
	}
}

// TestRecoveryOfLostSQL is the rehearsal of docs/recovery.md: the database is dropped while one show is live, another has
// ended and a third is archived. The live show goes on, the archived one plays all the time, and reindex brings back
// every recording.
func TestRecoveryOfLostSQL(t *testing.T) {
	t.Parallel()
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1})
	var past, waits string
	var shows sync.WaitGroup
	shows.Go(func() { past = f.recorded("past", map[string]any{"playback": "public"}) })
	shows.Go(func() { waits = f.recorded("waits", map[string]any{"archive_delay": "1h"}) })
	shows.Wait()
	if t.Failed() || past == "" || waits == "" {
		t.FailNow()
	}
	live := f.newShow("live", map[string]any{"archive_delay": "0s"})
	live.begin(time.Second, "a1")
	f.api.waitState(past, "archived", archiveLimit)
	edge := "http://" + f.member("edge1").http
	r := readAlways(t, edge, "/past/show/"+past+"/index.m3u8", "/waits/show/"+waits+"/index.m3u8")
	before := f.recoveredRows()
	liveID := live.rows()[0].ID

	lost := time.Now()
	f.dropDatabase()
	r.more(3)
	live.watched(4)
	f.freshDatabase()
	fresh := f.freshEdge(http.StatusServiceUnavailable, live.stream)
	r.more(3)
	f.recreate()
	begun := time.Now()
	f.reindex()
	took := time.Since(begun)
	f.wantRows(before, liveID)
	back := time.Since(lost)
	eventually(t, 20*time.Second, "an edge that began without the publishers shows what is live", func() bool {
		status, _, _ := fetch(fresh+live.stream+"/index.m3u8", nil)
		return status == http.StatusOK
	})
	r.more(3)
	r.judge()
	if out := f.reindex("--json"); !strings.Contains(out, `"added": 0`) && !strings.Contains(out, `"added":0`) {
		t.Errorf("a second run changes something: %s", out)
	}
	live.watched(4)
	if n, ids := len(live.encoder.connected()), live.viewers[0].recordings(); n != 1 || !slices.Equal(ids, []string{liveID}) {
		t.Errorf("the live show is %v with %d connections, want %s with the first", ids, n, liveID)
	}
	figure(t, "SQL lost, with no backup", "reindex of %d recordings %d ms; all back %d ms after the loss; the live show's "+
		"longest wait %d ms", len(before)-1, took.Milliseconds(), back.Milliseconds(),
		live.viewers[0].longestWait().Milliseconds())
	if !full() {
		return
	}
	eventually(t, 20*time.Second, "the live show's row is back", func() bool { return len(live.rows()) == 1 })
	live.encoder.finish()
	for _, w := range live.viewers {
		w.awaitEnd(20 * time.Second)
	}
	v := live.conclude()
	v.oneRecording(t)
	v.lostAtMost(t, 0)
	v.brokeOff(t, 0)
}

// dump makes a backup of the database, and gives how to restore it.
func (f *fleet) dump() (restore func()) {
	f.tb.Helper()
	file := filepath.Join(f.tb.TempDir(), "oxbow.dump")
	run(f.tb, time.Minute, "pg_dump", "--format", "custom", "--file", file, f.sql.url(f.sql.Addr))
	return func() {
		f.tb.Helper()
		if _, err := f.sql.CreateDatabase(f.tb.Context(), database); err != nil {
			f.tb.Fatal(err)
		}
		run(f.tb, time.Minute, "pg_restore", "--no-owner", "--exit-on-error", "--dbname", f.sql.url(f.sql.Addr), file)
	}
}

// TestRecoveryFromAnOldBackup restores a backup that lacks the newest recordings and a publisher, and has a recording that
// was deleted since. Reindex brings back the ones, and names the other.
func TestRecoveryFromAnOldBackup(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1})
	old, doomed := f.recorded("old", nil), f.recorded("doomed", nil)
	for _, id := range []string{old, doomed} {
		f.api.waitState(id, "archived", archiveLimit)
	}
	if status := f.api.api(http.MethodPatch, "/v1/recordings/"+old, map[string]any{"keep": true, "name": "Final"}, nil); status != 200 {
		t.Fatalf("hold: %d", status)
	}
	restore := f.dump()
	later, waits := f.recorded("later", nil), f.recorded("waits", map[string]any{"archive_delay": "1h"})
	f.api.waitState(later, "archived", archiveLimit)
	if status := f.api.api(http.MethodDelete, "/v1/recordings/"+doomed, nil, nil); status >= 300 {
		t.Fatalf("delete: %d", status)
	}
	f.api.waitGone(doomed, 30*time.Second)
	r := readAlways(t, "http://"+f.member("edge1").http,
		"/old/show/"+old+"/index.m3u8", "/later/show/"+later+"/index.m3u8", "/waits/show/"+waits+"/index.m3u8")
	before := f.recoveredRows()
	delete(before, doomed)

	f.dropDatabase()
	r.more(2)
	restore()
	f.restartAPI()
	f.recreate()
	out := f.reindex()
	if !strings.Contains(out, "doomed/show/"+doomed) || strings.Contains(out, later+": ") {
		t.Errorf("the report does not name what was deleted since the backup alone:\n%s", out)
	}
	f.wantRows(before, doomed)
	var kept struct {
		Keep bool
		Name string
	}
	if f.api.api(http.MethodGet, "/v1/recordings/"+old, nil, &kept); !kept.Keep || kept.Name != "Final" {
		t.Errorf("of the backup: %+v", kept)
	}
	if status := f.api.api(http.MethodDelete, "/v1/recordings/"+doomed, nil, nil); status >= 300 {
		t.Errorf("what is nowhere is not taken from the catalog: %d", status)
	}
	f.api.waitGone(doomed, 30*time.Second)
	r.more(2)
	r.judge()
}

// TestRecoveryFromTheBucketAlone loses everything but the bucket: SQL, Redis, the cluster's storage and every process.
func TestRecoveryFromTheBucketAlone(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1})
	one, two := f.recorded("one", nil), f.recorded("two", map[string]any{"playback": "signed"})
	for _, id := range []string{one, two} {
		f.api.waitState(id, "archived", archiveLimit)
	}
	before := f.recoveredRows()
	names := slices.Sorted(maps.Keys(f.members))
	for _, name := range names {
		f.member(name).kill()
	}
	f.dropDatabase()
	f.redis.kill()
	if err := os.RemoveAll(f.recordings("a")); err != nil {
		t.Fatal(err)
	}

	lost := time.Now()
	f.redis.startEmpty()
	if err := os.MkdirAll(f.recordings("a"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := f.sql.CreateDatabase(t.Context(), database); err != nil {
		t.Fatal(err)
	}
	run(t, time.Minute, oxbowBinary, "migrate", "--catalog", f.sql.url(f.sql.Addr))
	for _, name := range names {
		f.member(name).start()
	}
	f.recreate()
	f.reindex()
	f.wantRows(before)
	edge := "http://" + f.member("edge1").http
	r := readAlways(t, edge, "/one/show/"+one+"/index.m3u8")
	r.more(1)
	r.judge()
	figure(t, "all lost but the bucket", "%d recordings play again %d ms after new processes were begun",
		len(before), time.Since(lost).Milliseconds())
	if status, _, _ := fetch(edge+"/two/show/"+two+"/index.m3u8", nil); status != http.StatusForbidden {
		t.Errorf("what needed a token answers %d without one, want 403", status)
	}
	f.api.waitState(f.recorded("three", nil), "archived", archiveLimit)
}
