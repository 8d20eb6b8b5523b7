package test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// TestArchiveStampede lets 500 recordings of ten publishers be due in the same second, more than half of them one
// publisher's: memory and connections stay bounded, and the nine others do not wait for the one.
func TestArchiveStampede(t *testing.T) {
	onlyFull(t)
	const publishers, others, most, all = 10, 25, 275, 500
	f := startFleet(t, clusterConfig{nodes: 1, edges: 1, noArchiver: true})
	film := shootFilm(t, "128x72", "40k")
	root := openRecordings(t, f.recordings("a"))
	began := time.Now()
	for p := range publishers {
		name := fmt.Sprintf("p%d", p)
		f.api.createStream(name, "show", map[string]any{"archive_delay": "0s", "thumbnail_interval": "0s"})
		count := others
		if p == 0 {
			count = most
		}
		for range count {
			film.show(t, root, media.StreamPath{Publisher: name, Stream: "show"}, 4)
		}
	}
	f.list("a")
	if _, err := f.sql.Query(t.Context(), database, `UPDATE recordings SET archive_due = ended_at`); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d recordings of %d KiB written in %v", all, 4*film.size()>>10, time.Since(began))

	archiver := f.member("a-archiver")
	archiver.start()
	memory := watchMemory(t, archiver)
	began = time.Now()
	var connections int
	eventually(t, 3*time.Minute, "all are archived", func() bool {
		connections = max(connections, archiver.toS3.open())
		n, err := f.sql.Query(t.Context(), database, `SELECT COUNT(*) FROM recordings WHERE state = 'archived'`)
		return err == nil && strings.TrimSpace(n) == strconv.Itoa(all)
	})
	took := time.Since(began)
	memory.end()
	if grown := memory.peak - memory.idle; grown > 64<<20 {
		t.Errorf("memory: %v", memory)
	}
	if connections > 16 {
		t.Errorf("%d connections to the store at a time", connections)
	}

	rows, err := f.sql.Query(t.Context(), database, `SELECT publisher FROM recordings ORDER BY archived_at, id`)
	if err != nil {
		t.Fatal(err)
	}
	order := strings.Fields(rows)
	last := 0 // when the last of the nine was through
	for p := 1; p < publishers; p++ {
		name := fmt.Sprintf("p%d", p)
		for i, who := range order {
			if who == name {
				last = max(last, i)
			}
		}
	}
	// Each has its share of ten until the nine have no more, but for those under way.
	if last > publishers*others+10 {
		t.Errorf("the last recording of the nine small publishers came as number %d of %d", last+1, all)
	}
	firsts := order[:2*publishers]
	for p := range publishers {
		if !slices.Contains(firsts, fmt.Sprintf("p%d", p)) {
			t.Errorf("p%d has none of the first %d: %v", p, len(firsts), firsts)
		}
	}
	figure(t, fmt.Sprintf("%d recordings due at once", all), "archived in %d ms; archiver: %v; %d connections at most; the nine small publishers "+
		"are through after %d recordings", took.Milliseconds(), memory, connections, last+1)
	f.noUploads()
	if status := f.api.api(http.MethodGet, "/v1/recordings?limit=1", nil, nil); status != http.StatusOK {
		t.Errorf("list: %d", status)
	}
}
