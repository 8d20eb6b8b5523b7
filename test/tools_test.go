package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// tool runs one of oxbow's tools with the environment of a member, and gives what it said and its exit code.
func (m *member) tool(args ...string) (stdout, stderr string, code int) {
	m.fleet.tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient(30*time.Second))
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, oxbowBinary, args...)
	cmd.Env = append(os.Environ(), m.env...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		m.fleet.tb.Fatalf("oxbow %s: %v", args[0], err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// finding is one of a report of inspect.
type finding struct{ Severity, Name, Where, Text string }

// inspected is what `oxbow inspect --json` says.
type inspected struct {
	Recording string
	State     string
	MediaRead bool `json:"media_read"`
	Takes     []struct{ Sealed bool }
	Findings  []finding
	Errors    int
}

// inspect inspects a recording and holds the exit code against what was found.
func (m *member) inspect(target string) (report inspected) {
	m.fleet.tb.Helper()
	stdout, stderr, code := m.tool("inspect", "--json", target)
	if err := json.Unmarshal([]byte(stdout), &report); err != nil {
		m.fleet.tb.Fatalf("inspect %s: %v, code %d: %s%s", target, err, code, stdout, stderr)
	}
	if (code == 0) != (report.Errors == 0) || code > 1 {
		m.fleet.tb.Errorf("inspect %s: code %d with %d errors", target, code, report.Errors)
	}
	return report
}

// wantClean inspects a recording of two takes in which there is nothing to find but what is only told, and the gap that
// a killed owner may leave where one track had more on storage than the other.
func (m *member) wantClean(target string) {
	m.fleet.tb.Helper()
	report := m.inspect(target)
	bad := slices.ContainsFunc(report.Findings, func(f finding) bool {
		return f.Severity != "info" && f.Name != "gap"
	})
	// Playlists do not tell their takes apart.
	if bad || report.Errors > 0 || !report.MediaRead || len(report.Takes) != 2 && !strings.HasPrefix(target, "http") {
		m.fleet.tb.Errorf("inspect %s: %+v", target, report)
	}
}

// reindex runs `oxbow reindex` for the cluster and gives how many rows it added and changed.
func (m *member) reindex(more ...string) (added, changed int) {
	m.fleet.tb.Helper()
	args := slices.Concat([]string{"reindex", "--json"}, m.flags("--cluster", "--recordings", "--catalog", "--archive"), more)
	stdout, stderr, code := m.tool(args...)
	var report struct{ Added, Changed int }
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || code != 0 {
		m.fleet.tb.Fatalf("reindex: %v, code %d: %s%s", err, code, stdout, stderr)
	}
	return report.Added, report.Changed
}

// flags gives those of the member's flags, with their values.
func (m *member) flags(names ...string) (found []string) {
	for i, arg := range m.args[:len(m.args)-1] {
		if slices.Contains(names, arg) {
			found = append(found, arg, m.args[i+1])
		}
	}
	return found
}

// keptRows is what must be the same in a catalog that was made anew.
func (f *fleet) keptRows() string {
	f.tb.Helper()
	rows, err := f.sql.Query(f.tb.Context(), database, `SELECT id, publisher, stream, state, started_at, ended_at, duration_ms,
		bytes, cluster, local, archived_at IS NOT NULL, deleted_at, last_error FROM recordings ORDER BY id`)
	if err != nil {
		f.tb.Fatal(err)
	}
	return rows
}

// loseCatalog puts an empty database in the place of the catalog, beside the servers that use it.
func (f *fleet) loseCatalog() {
	f.tb.Helper()
	if _, err := f.sql.Query(f.tb.Context(), "postgres", "DROP DATABASE "+database+" WITH (FORCE)"); err != nil {
		f.tb.Fatal(err)
	}
	if _, err := f.sql.CreateDatabase(f.tb.Context(), database); err != nil {
		f.tb.Fatal(err)
	}
	run(f.tb, time.Minute, oxbowBinary, "migrate", "--catalog", f.sql.url(f.sql.Addr))
}

// TestToolsOnACluster has inspect, reindex and doctor look at what a cluster left after a take-over: clean where it is
// whole, a planted fault found, a lost catalog made anew, and the services judged as they are.
func TestToolsOnACluster(t *testing.T) {
	onlyFull(t)
	f := startFleet(t, clusterConfig{noArchiver: true, edges: 1, archiverFlags: []string{"--archive-grace", "1h"}})
	archiver, a2 := f.member("a-archiver"), f.member("a2")
	s, kept := f.newShow("tools", nil), f.newShow("kept", map[string]any{"archive_delay": "1h"})
	s.begin(time.Second, "a1", "a2")
	kept.begin(time.Second, "a2")
	s.encoder.awaitPictures(7, 5*time.Second)
	f.member("a1").kill()
	s.encoder.await(1, 10*time.Second)
	s.watched(10)
	id := s.viewers[0].recordings()[0]
	dir := filepath.Join(f.recordings("a"), "tools", "live", id)
	a2.wantClean(dir) // it grows
	// What a paused owner would write once it goes on.
	late, err := os.OpenFile(filepath.Join(dir, "1", "video.mp4"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := late.Write(bytes.Repeat([]byte("late"), 1000)); errors.Join(err, late.Close()) != nil {
		t.Fatal(err)
	}
	for _, show := range []*clusterShow{s, kept} {
		show.encoder.finish()
		show.viewers[0].awaitEnd(40 * time.Second)
		show.viewers[0].stop()
	}
	a2.wantClean(dir)

	archiver.start()
	eventually(t, 30*time.Second, "one is archived, one is not", func() bool {
		return s.rows()[0].State == "archived" && kept.rows()[0].State == "ended"
	})
	archive := strings.Replace(archiver.flags("--archive")[1], "?", s.stream+"/"+id+"?", 1)
	archiver.wantClean(dir)
	archiver.wantClean(archive)
	archiver.wantClean(s.url(0, id))
	s.plant(t, archiver, dir)

	before, pictures := f.keptRows(), decodeStamps(t, s.url(0, id))
	f.loseCatalog()
	api := f.member("api")
	api.kill() // the admin token was in the catalog, and is made again at the API's start
	api.start()
	for _, show := range []string{"tools", "kept"} {
		f.api.createStream(show, "live", faultSettings(nil))
	}
	if added, changed := archiver.reindex("--dry-run"); added != 2 || changed != 0 {
		t.Errorf("a dry run says that it would add %d and change %d rows, want 2 and 0", added, changed)
	}
	begun := time.Now()
	added, changed := archiver.reindex()
	took := time.Since(begun)
	if after := f.keptRows(); added != 2 || changed != 0 || after != before {
		t.Errorf("%d rows added, %d changed:\n%swant\n%s", added, changed, after, before)
	}
	if added, changed := archiver.reindex(); added != 0 || changed != 0 {
		t.Errorf("a second run adds %d and changes %d rows", added, changed)
	}
	edge := f.member("edge1")
	edge.kill() // with what it knows
	edge.start()
	if again := decodeStamps(t, s.url(0, id)); !slices.Equal(again, pictures) || len(pictures) == 0 {
		t.Errorf("from the new catalog %d pictures play, of %d", len(again), len(pictures))
	}
	keptID := kept.viewers[0].recordings()[0]
	if again := decodeStamps(t, kept.url(0, keptID)); len(again) == 0 {
		t.Error("what is not archived does not play from the new catalog")
	}
	figure(t, "catalog lost", "2 recordings are back after %d ms, %d pictures play", took.Milliseconds(), len(pictures))
	f.consultDoctor(t, archiver, a2)
}

// plant breaks a part in the middle of a take, and looks that it is found.
func (s *clusterShow) plant(t *testing.T, m *member, dir string) {
	t.Helper()
	name := filepath.Join(dir, "2", "video.mp4")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	broken := bytes.Clone(whole)
	at := len(broken)/2 + bytes.Index(broken[len(broken)/2:], []byte("moof"))
	copy(broken[at:], "fault")
	if err := os.WriteFile(name, broken, 0); err != nil {
		t.Fatal(err)
	}
	report := m.inspect(dir)
	found := slices.ContainsFunc(report.Findings, func(f finding) bool {
		return f.Severity == "error" && strings.HasPrefix(f.Where, "2/video.mp4 at ")
	})
	if report.Errors == 0 || !found {
		t.Errorf("a part that was broken is not found: %+v", report)
	}
	if err := os.WriteFile(name, whole, 0); err != nil {
		t.Fatal(err)
	}
}

// consultDoctor runs doctor with a running node's flags and the archive, then without Redis.
func (f *fleet) consultDoctor(t *testing.T, archiver, node *member) {
	t.Helper()
	args := slices.Concat([]string{"doctor"}, node.args[1:], archiver.flags("--archive"))
	checks := func(text string) string { // with one blank between the columns
		var lines []string
		for line := range strings.Lines(text) {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		return strings.Join(lines, "\n")
	}
	begun := time.Now()
	stdout, stderr, code := archiver.tool(args...)
	took := time.Since(begun)
	for _, want := range []string{
		"ok registry rights enough", "ok clock registry", "ok catalog schema", "ok catalog rights enough", "ok clock catalog",
		"ok directory holder nobody", "ok directory lock", "ok node url", "answered by node a2 of cluster a",
		"ok archive delete", "port --internal tcp",
	} {
		if !strings.Contains(checks(stdout), want) {
			t.Errorf("doctor does not say %q", want)
		}
	}
	if code != 0 || strings.Contains(stdout, "s3cret") {
		t.Errorf("doctor: code %d:\n%s%s", code, stdout, stderr)
	}
	f.redis.kill()
	stdout, stderr, code = archiver.tool(args...)
	if text := checks(stdout); code != 1 || !strings.Contains(text, "FAIL registry") ||
		!strings.Contains(text, "start it, or correct --registry") || strings.Count(text, "FAIL") != 1 {
		t.Errorf("doctor without Redis: code %d:\n%s%s", code, stdout, stderr)
	}
	figure(t, "doctor beside a cluster", "%d checks in %d ms", strings.Count(stdout, "\n")-1, took.Milliseconds())
}
