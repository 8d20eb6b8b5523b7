package test

import (
	"bytes"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The player table: real players, each in each scenario, judged by the numbers that they show. `make e2e` runs all
// rows, against the limits that they promise; `make test` runs a few, with room for a loaded machine. VLC is not among
// them: it refuses to run as root, which containers of tests are; mpv stands for it.

// playerStage is what the rows of the table share.
type playerStage struct {
	server      *oxbow
	film, other *stampedFilm // of two sizes; the other in make e2e only
	recording   sync.Once
	recorded    string // URL of a whole recording from picture 0 on
	full        bool

	mu      sync.Mutex
	results []playerResult
}

// playerRow is one player in one scenario.
type playerRow struct {
	kind     playerKind
	scenario string
	settings map[string]any // of the stream, beside the defaults
	play     func(t testing.TB, w *watched)
	limits   playerLimits
	always   bool // in make test, too
}

func (r *playerRow) name() string {
	return strings.ReplaceAll(r.kind.name+" "+r.scenario, " ", "_")
}

// playerLimits is what a row must keep.
type playerLimits struct {
	stalls  int
	stalled time.Duration
	skips   int
	late    time.Duration // behind the publisher at the end; 0: any
	faults  bool          // errors that are not fatal may come
	ends    bool          // the player must say so
	cannot  string        // cause why the player can't; the row is shown and not judged
}

// generous gives the limits for a machine that does other work beside: figures are shown there, and only what no load
// explains is judged.
func (l playerLimits) generous() playerLimits {
	l.stalls, l.stalled, l.skips = l.stalls+50, leeway(l.stalled), l.skips+50
	l.faults = true
	if l.late > 0 {
		l.late = leeway(l.late)
	}
	return l
}

// watched is one row at work.
type watched struct {
	stage     *playerStage
	row       playerRow
	url       string
	publisher *stampedPublisher
	viewing   *viewing
	notes     []string
}

func (w *watched) note(format string, args ...any) {
	w.notes = append(w.notes, fmt.Sprintf(format, args...))
}

// playerResult is a row of the table.
type playerResult struct {
	row     playerRow
	figures figures
	notes   []string
	broken  []string
	raced   bool // by appendRace, and all else is within the limits
	tries   int
}

// TestPlayers plays every scenario in every player.
func TestPlayers(t *testing.T) {
	t.Parallel()
	stage := &playerStage{server: newOxbow(t), full: os.Getenv("OXBOW_MATRIX") == "full"}
	stage.server.start("serve")
	const length = 70 * time.Second
	stage.film = readStamped(t, stampedClip(t, 640, 360, length))
	if stage.full {
		stage.other = readStamped(t, stampedClip(t, 480, 270, length))
	}
	settings := map[string]any{"name": "acme", "archive_delay": "1h"}
	if status := stage.server.api(http.MethodPost, "/v1/publishers", settings, nil); status >= 300 {
		t.Fatalf("create publisher: %d", status)
	}
	t.Cleanup(func() { stage.write(t) })
	lanes := make(chan struct{}, 3) // at once: the machine must keep up
	for i, row := range playerRows() {
		if !stage.full && !row.always {
			continue
		}
		t.Run(row.name(), func(t *testing.T) {
			if row.kind.browser {
				parallelWithBrowser(t)
			} else {
				t.Parallel()
			}
			for _, tool := range row.kind.needs {
				needTool(t, tool)
			}
			lanes <- struct{}{}
			defer func() { <-lanes }()
			stage.run(t, row, fmt.Sprintf("row%d", i))
		})
	}
}

// run plays a row; in make e2e one that fails is played once more, and elsewhere one that appendRace ended.
func (s *playerStage) run(t *testing.T, row playerRow, stream string) {
	var result playerResult
	for try := 1; try <= 2; try++ {
		result = s.try(t, row, fmt.Sprintf("%s-%d", stream, try))
		result.tries = try
		if len(result.broken) == 0 || row.limits.cannot != "" || !s.full && !result.raced {
			break
		}
		t.Logf("try %d: %s", try, strings.Join(result.broken, "; "))
	}
	s.mu.Lock()
	s.results = append(s.results, result)
	s.mu.Unlock()
	if row.limits.cannot == "" && (s.full || !result.raced) {
		for _, b := range result.broken {
			t.Error(b)
		}
	}
	t.Logf("%+v %v", result.figures, result.notes)
}

func (s *playerStage) try(t *testing.T, row playerRow, stream string) playerResult {
	w := &watched{stage: s, row: row}
	if row.scenario == "VOD" {
		s.recording.Do(func() { s.record(t) })
		if s.recorded == "" {
			t.Fatal("there is no recording")
		}
		w.url = s.recorded
	} else {
		settings := map[string]any{"name": stream, "reconnect_window": "60s"}
		maps.Copy(settings, row.settings)
		key := createStreamWith(t, s.server, settings)
		w.url = s.server.url("/acme/" + stream + "/index.m3u8")
		w.publisher = newStampedPublisher(t, s.server, key)
		w.publisher.start(s.film, 0)
		eventually(t, 20*time.Second, "the stream is live", func() bool {
			status, _ := s.server.try(w.url)
			return status == http.StatusOK
		})
		eventually(t, 20*time.Second, "there are segments enough to join", func() bool {
			return row.kind.joins == 0 || s.segments(t, "/acme/"+stream+"/index.m3u8") >= row.kind.joins
		})
		w.viewing = row.kind.start(t, w.url, 0)
	}
	row.play(t, w)
	sentAt := func(int) (time.Time, bool) { return time.Time{}, false }
	if w.publisher != nil {
		sentAt = w.publisher.sentAt
	}
	w.viewing.stop()
	r := playerResult{row: row, figures: w.viewing.measure(sentAt), notes: w.notes}
	if w.publisher != nil {
		w.publisher.leave()
		limits := row.limits
		if !s.full {
			limits = limits.generous()
		}
		r.broken = limits.judge(&r.figures)
		rest, raced := r.figures.withoutAppendRace()
		r.raced = raced && len(limits.judge(&rest)) == 0
	}
	for _, n := range w.notes {
		if strings.HasPrefix(n, "NOT") {
			r.broken = append(r.broken, n)
		}
	}
	return r
}

// segments counts what each live playlist of a stream lists, and gives the least.
func (s *playerStage) segments(tb testing.TB, index string) (least int) {
	tb.Helper()
	for i, variant := range variants(index, string(s.server.get(index))) {
		if n := bytes.Count(s.server.get(variant), []byte("#EXTINF:")); i == 0 || n < least {
			least = n
		}
	}
	return least
}

func createStreamWith(tb testing.TB, server *oxbow, settings map[string]any) (key string) {
	tb.Helper()
	var created struct{ Key string }
	if status := server.api(http.MethodPost, "/v1/publishers/acme/streams", settings, &created); status >= 300 {
		tb.Fatalf("create stream: %d", status)
	}
	return created.Key
}

// judge says what a row did not keep.
func (l *playerLimits) judge(m *figures) (broken []string) {
	check := func(ok bool, format string, args ...any) {
		if !ok {
			broken = append(broken, fmt.Sprintf(format, args...))
		}
	}
	check(m.first >= 0, "no picture was shown")
	check(m.stalls <= l.stalls && m.stalled <= l.stalled, "%d stalls of %v, at most %d of %v",
		m.stalls, m.stalled, l.stalls, l.stalled)
	check(m.skips <= l.skips, "%d pictures skipped in %d places", m.skipped, m.skips)
	check(m.back == 0, "%d steps back, the last from %s", m.back, m.backs)
	check(m.unreadable == 0, "%d pictures without a number", m.unreadable)
	check(l.late == 0 || m.late <= l.late, "%v behind the publisher, at most %v", m.late, l.late)
	check(m.fatal == 0 && (l.faults || len(m.faults) == 0), "errors: %s", m.faultText())
	check(!l.ends || m.ended, "the player does not say that this is the end")
	return broken
}

// record makes the recording that is played as VOD.
func (s *playerStage) record(t *testing.T) {
	key := createStreamWith(t, s.server, map[string]any{"name": "film"})
	p := newStampedPublisher(t, s.server, key)
	p.start(s.film, 0)
	seconds := 14
	if s.full {
		seconds = 40
	}
	eventually(t, time.Duration(seconds+10)*time.Second, "the film is sent", func() bool {
		_, ok := p.sentAt(seconds * stampRate)
		return ok
	})
	p.goodbye()
	recordings := s.server.recordings("acme", "film")
	if len(recordings) != 1 {
		t.Fatalf("%d recordings, want one", len(recordings))
	}
	s.server.waitState(recordings[0].ID, "ended", 30*time.Second)
	s.recorded = s.server.url("/acme/film/" + recordings[0].ID + "/index.m3u8")
}

// write prints the table and keeps it.
func (s *playerStage) write(tb testing.TB) {
	order := map[string]int{}
	for i, row := range playerRows() {
		order[row.name()] = i
	}
	slices.SortFunc(s.results, func(a, b playerResult) int { return order[a.row.name()] - order[b.row.name()] })
	var b bytes.Buffer
	b.WriteString("| player | scenario | first picture | stalls | skips | behind: median, p95, end | dropped | errors ")
	b.WriteString("| verdict |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range s.results {
		m, verdict := &r.figures, "good"
		switch {
		case r.row.limits.cannot != "" && len(r.broken) > 0:
			verdict = "cannot: " + r.row.limits.cannot
		case r.row.limits.cannot != "":
			verdict = "good this time; at times: " + r.row.limits.cannot
		case len(r.broken) > 0:
			verdict = "BROKEN: " + strings.Join(r.broken, "; ")
		case r.tries > 1:
			verdict = "good at the second try"
		}
		if len(r.notes) > 0 {
			verdict += " (" + strings.Join(r.notes, ", ") + ")"
		}
		behind := "-"
		if m.latency[0] > 0 && r.row.scenario != "VOD" {
			behind = fmt.Sprintf("%.2f, %.2f, %.2f s", m.latency[0].Seconds(), m.latency[1].Seconds(), m.late.Seconds())
		}
		fmt.Fprintf(&b, "| %s | %s | %d ms | %d: %.1f s | %d: %d | %s | %d | %s | %s |\n", r.row.kind.name, r.row.scenario,
			m.first.Milliseconds(), m.stalls, m.stalled.Seconds(), m.skips, m.skipped, behind, m.dropped, m.faultText(), verdict)
	}
	tb.Logf("\n%s", b.String())
	if err := os.WriteFile(outFile(tb, "players.txt"), b.Bytes(), 0o644); err != nil {
		tb.Error(err)
	}
}
