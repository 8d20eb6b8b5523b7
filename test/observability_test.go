package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

const (
	rulesFile  = "../deploy/prometheus/alerts.yml"
	runbookURL = "https://github.com/oxbow-video/oxbow/blob/main/docs/runbooks/"
)

// ruleFile is what Prometheus reads, as far as tests look at it.
type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name     string `yaml:"name"`
	Interval string `yaml:"interval,omitempty"`
	Rules    []rule `yaml:"rules"`
}

type rule struct {
	Record      string            `yaml:"record,omitempty"`
	Alert       string            `yaml:"alert,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

func mustRules(tb testing.TB) ruleFile {
	tb.Helper()
	var file ruleFile
	mustYAML(tb, rulesFile, &file)
	return file
}

func mustYAML(tb testing.TB, name string, to any) {
	tb.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = yaml.Unmarshal(text, to)
	}
	if err != nil {
		tb.Fatalf("%s: %v", name, err)
	}
}

// alerts gives the alerts by name.
func (f ruleFile) alerts() map[string]rule {
	all := make(map[string]rule)
	for _, group := range f.Groups {
		for _, r := range group.Rules {
			if r.Alert != "" {
				all[r.Alert] = r
			}
		}
	}
	return all
}

// TestAlertRules has Prometheus' own tool read the configuration and the rules, and try the threshold and the time of
// each alert; an alert without a case that fires and one that does not is an error.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	promtool := needTool(t, "promtool")
	for _, args := range [][]string{
		{"check", "config", "../deploy/prometheus/prometheus.yml"}, {"test", "rules", "../deploy/prometheus/alerts_test.yml"},
	} {
		run(t, time.Minute, promtool, args...)
	}
	var cases struct {
		Tests []struct {
			Cases []struct {
				Alert string           `yaml:"alertname"`
				Fires []map[string]any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		} `yaml:"tests"`
	}
	mustYAML(t, "../deploy/prometheus/alerts_test.yml", &cases)
	fires, quiet := map[string]bool{}, map[string]bool{}
	for _, test := range cases.Tests {
		for _, c := range test.Cases {
			fires[c.Alert] = fires[c.Alert] || len(c.Fires) > 0
			quiet[c.Alert] = quiet[c.Alert] || len(c.Fires) == 0
		}
	}
	pages := map[string]bool{"README.md": true}
	for name, r := range mustRules(t).alerts() {
		if !fires[name] || !quiet[name] {
			t.Errorf("%s: alerts_test.yml has no case in which it fires, or none in which it does not", name)
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s has severity %q", name, r.Labels["severity"])
		}
		if r.Annotations["summary"] == "" || !strings.Contains(r.Annotations["description"], "{{ $") {
			t.Errorf("%s: it needs a summary, and a description with values", name)
		}
		page, ok := strings.CutPrefix(r.Annotations["runbook_url"], runbookURL)
		text, err := os.ReadFile(filepath.Join("../docs/runbooks", filepath.Base(page)))
		if !ok || err != nil || !strings.Contains(string(text), "`"+name+"`") {
			t.Errorf("%s: runbook %q: %v; the page names its alert", name, r.Annotations["runbook_url"], err)
		}
		pages[page] = true
	}
	entries, err := os.ReadDir("../docs/runbooks")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !pages[entry.Name()] {
			t.Errorf("no alert leads to docs/runbooks/%s", entry.Name())
		}
	}
}

// dashboardFile is one of Grafana's, as far as tests look at it.
type dashboardFile struct {
	UID    string
	Title  string
	Panels []struct {
		ID          int
		Type, Title string
		Description string
		Links       []struct{ URL string }
		Targets     []struct{ Expr, LegendFormat string }
	}
	Templating struct {
		List []struct{ Definition string }
	}
}

// used is a PromQL expression and where it stands; a panel's has what its series are called.
type used struct{ where, expr, legend string }

// dashboardQueries gives every expression of the dashboards, with numbers in the place of Grafana's variables.
func dashboardQueries(t *testing.T) (all []used) {
	t.Helper()
	files, err := filepath.Glob("../deploy/grafana/dashboards/*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("dashboards %v, %v", files, err)
	}
	uids := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		var d dashboardFile
		if err == nil {
			err = json.Unmarshal(text, &d)
		}
		if err != nil || uids[d.UID] || d.UID == "" {
			t.Fatalf("%s: uid %q, %v", file, d.UID, err)
		}
		uids[d.UID] = true
		ids := map[int]bool{}
		for _, p := range d.Panels {
			if ids[p.ID] || p.Type != "row" && (p.Description == "" || len(p.Targets) == 0) {
				t.Errorf("%s: panel %q: its id is another's, or it has no description or no query", file, p.Title)
			}
			ids[p.ID] = true
			for _, link := range p.Links {
				page, ok := strings.CutPrefix(link.URL, runbookURL)
				if _, err := os.Stat(filepath.Join("../docs/runbooks", page)); !ok || err != nil {
					t.Errorf("%s: panel %q leads to %s: %v", file, p.Title, link.URL, err)
				}
			}
			for _, target := range p.Targets {
				expr := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*", "$cluster", ".*").Replace(target.Expr)
				all = append(all, used{fmt.Sprintf("%s, panel %q", file, p.Title), expr, target.LegendFormat})
			}
		}
		for _, v := range d.Templating.List {
			if !strings.HasPrefix(v.Definition, "label_values(up{") {
				t.Errorf("%s: a variable is made of %s", file, v.Definition)
			}
		}
	}
	return all
}

var (
	promSelector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?`)
	promMatcher  = regexp.MustCompile(`([a-zA-Z_]\w*)\s*(?:=~|!~|!=|=)\s*"`)
	promGrouping = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	promText     = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	// metricNames are those of Oxbow's metrics in a text, and ours alone.
	metricNames = regexp.MustCompile(`\boxbow_[a-z0-9_]+\b`)
)

// selectors gives what an expression selects: the labels that it asks of each metric. What it groups by is asked of all.
func selectors(expr string) map[string][]string {
	grouped := []string{}
	for _, m := range promGrouping.FindAllStringSubmatch(expr, -1) {
		for label := range strings.SplitSeq(m[2], ",") {
			if label = strings.TrimSpace(label); label != "" && label != "le" {
				grouped = append(grouped, label)
			}
		}
	}
	all := make(map[string][]string)
	for _, m := range promSelector.FindAllStringSubmatch(promGrouping.ReplaceAllString(expr, " "), -1) {
		name := m[1]
		if !strings.Contains(name, "_") && !strings.Contains(name, ":") && name != "up" && name != "ALERTS" ||
			strings.HasSuffix(name, "_over_time") || name == "histogram_quantile" || name == "label_replace" {
			continue // a function, an operator, a duration
		}
		labels := slices.Clone(grouped)
		for _, l := range promMatcher.FindAllStringSubmatch(m[2], -1) {
			labels = append(labels, l[1])
		}
		all[name] = append(all[name], labels...)
	}
	return all
}

// documentedMetrics gives the labels of every metric of docs/metrics.md, which a test of cmd/oxbow holds against a run
// of all roles.
func documentedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `(oxbow_[a-z0-9_]+)` \\| (\\w+) \\| ([^|]*) \\|").FindAllStringSubmatch(string(text), -1)
	if len(rows) < 100 {
		t.Fatalf("docs/metrics.md has %d metrics", len(rows))
	}
	all := make(map[string][]string)
	for _, row := range rows {
		labels := []string{}
		for _, label := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[3], -1) {
			labels = append(labels, label[1])
		}
		names := []string{row[1]}
		if row[2] == "histogram" {
			names = append(names, row[1]+"_bucket", row[1]+"_sum", row[1]+"_count")
		}
		for _, name := range names {
			all[name] = labels
		}
	}
	return all
}

// scraped are the labels that Prometheus adds.
func scraped() []string { return []string{"job", "instance", "cluster"} }

// TestEveryMetricThatIsNamedExists holds dashboards, alerts and runbooks against what the roles tell: names and labels.
// Prometheus' own parser reads every expression.
func TestEveryMetricThatIsNamedExists(t *testing.T) {
	t.Parallel()
	promtool := needTool(t, "promtool")
	known := documentedMetrics(t)
	for _, name := range []string{
		"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "go_goroutines",
		"go_memstats_heap_inuse_bytes", "up",
	} {
		known[name] = nil
	}
	known["ALERTS"] = []string{"alertname", "alertstate", "severity"}
	all := dashboardQueries(t)
	queries := len(all)
	for _, group := range mustRules(t).Groups {
		for _, r := range group.Rules {
			all = append(all, used{"alerts.yml, " + r.Alert + r.Record, r.Expr, ""})
			if r.Record != "" {
				known[r.Record] = nil
				for _, labels := range selectors(r.Expr) {
					known[r.Record] = append(known[r.Record], labels...)
				}
			}
		}
	}
	asRules := ruleFile{Groups: []ruleGroup{{Name: "dashboards"}}}
	for i, u := range all {
		if i < queries {
			asRules.Groups[0].Rules = append(asRules.Groups[0].Rules, rule{Record: fmt.Sprintf("panel:%d", i), Expr: u.expr})
		}
		for name, labels := range selectors(u.expr) {
			has, ok := known[name]
			if !ok {
				t.Errorf("%s: no role tells %s", u.where, name)
				continue
			}
			for _, label := range labels {
				if !slices.Contains(slices.Concat(has, scraped()), label) && !labelOfAnother(known, u.expr, label) {
					t.Errorf("%s: %s has no label %s", u.where, name, label)
				}
			}
		}
	}
	text, err := yaml.Marshal(asRules)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "panels.yml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("an expression of a dashboard is none: %v\n%s", err, out)
	}
	checkPages(t, known)
}

// labelOfAnother says that an expression groups by a label which another metric of it has.
func labelOfAnother(known map[string][]string, expr, label string) bool {
	if !strings.Contains(promText.ReplaceAllString(expr, `""`), label) || regexp.MustCompile(label+`\s*(=|!)`).MatchString(expr) {
		return false
	}
	for name := range selectors(expr) {
		if slices.Contains(known[name], label) {
			return true
		}
	}
	return false
}

// checkPages holds the metrics that runbooks name against those that there are; a name may be the begin of several.
func checkPages(t *testing.T, known map[string][]string) {
	t.Helper()
	pages, err := filepath.Glob("../docs/runbooks/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("runbooks %v, %v", pages, err)
	}
	for _, page := range append(pages, "../docs/observability.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			continue
		}
		for _, name := range metricNames.FindAllString(string(text), -1) {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(known)), func(k string) bool { return strings.HasPrefix(k, name) }) {
				t.Errorf("%s: no role tells %s", page, name)
			}
		}
	}
}
