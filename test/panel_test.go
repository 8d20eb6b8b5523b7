package test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// begunByFaults are queries whose series begin with the first fault of their kind: without one they have none.
func begunByFaults() []string {
	return []string{"_upstream_errors_total", "_ingest_repairs_total", `status=~"5.."`}
}

// TestEveryPanelHasSeries has a Prometheus watch every role with shows live, one archived and viewers at both edges, and
// evaluates each query of each dashboard: it gives series, and they have the labels that name them in the legend.
func TestEveryPanelHasSeries(t *testing.T) {
	onlyFull(t)
	w := newAlertWorld(t)
	w.publishSlowKeys()
	w.f.api.addHook("http://127.0.0.1:1/hook")
	w.ended(w.shows[3])
	eventually(t, time.Minute, "the ended show is archived", func() bool {
		rows := w.shows[3].rows()
		return slices.ContainsFunc(rows, func(r recording) bool { return r.State == "archived" })
	})
	w.ask(8, func(n int64) string {
		edge := w.f.member([]string{"edge1", "edge2"}[n%2])
		return "http://" + edge.http + w.shows[n%alertShows].stream + "/index.m3u8"
	})
	queries := dashboardQueries(t)
	if len(queries) < 80 {
		t.Fatalf("the dashboards have %d queries", len(queries))
	}
	wrong := make(map[int]string)
	for i, q := range queries {
		if !slices.ContainsFunc(begunByFaults(), func(part string) bool { return strings.Contains(q.expr, part) }) {
			wrong[i] = "not asked yet"
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			for i, what := range wrong {
				t.Logf("%s: %s: %s", filepath.Base(queries[i].where), what, queries[i].expr)
			}
		}
	})
	eventually(t, 2*time.Minute, "every panel has series", func() bool {
		for i := range wrong {
			if wrong[i] = w.watch.drawn(queries[i]); wrong[i] == "" {
				delete(wrong, i)
			}
		}
		return len(wrong) == 0
	})
}

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// drawn says what is wrong with a panel's query, if anything is.
func (w *watch) drawn(q used) string {
	var answer struct {
		Error string
		Data  struct {
			Result []struct{ Metric map[string]string }
		}
	}
	_, text, _ := fetch("http://"+w.address+"/api/v1/query?query="+url.QueryEscape(q.expr), nil)
	switch err := json.Unmarshal(text, &answer); {
	case err != nil || answer.Error != "":
		return fmt.Sprintf("%v %s", err, answer.Error)
	case len(answer.Data.Result) == 0:
		return "no series"
	}
	names := make(map[string]bool)
	for _, series := range answer.Data.Result {
		name := q.legend
		for _, label := range legendLabel.FindAllStringSubmatch(q.legend, -1) {
			if series.Metric[label[1]] == "" {
				return fmt.Sprintf("series %v has no label %s", series.Metric, label[1])
			}
			name = strings.ReplaceAll(name, label[0], series.Metric[label[1]])
		}
		if names[name] {
			return fmt.Sprintf("two series are called %q", name)
		}
		names[name] = true
	}
	return ""
}
