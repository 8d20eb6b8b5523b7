package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
)

// hurry is how many times faster than the rules say a test of them is.
const hurry = 30

var (
	ruleRange   = regexp.MustCompile(`\[(\w+)\]`)
	ruleMinutes = regexp.MustCompile(`\* 60\b`)
)

// hurried gives the rules with their times shortened, exactly so: ranges and "for" are a thirtieth, ranges 5 s at least,
// and a minute is 2 s where expressions have spans, which is "* 60". Nothing else is changed.
func hurried(tb testing.TB, file ruleFile) ruleFile {
	tb.Helper()
	span := func(text string, least time.Duration) string {
		d, err := time.ParseDuration(text)
		if err != nil {
			tb.Fatalf("alerts.yml: %q: use hours, minutes and seconds", text)
		}
		return strconv.Itoa(int(max(d/hurry, least).Milliseconds())) + "ms"
	}
	for g := range file.Groups {
		file.Groups[g].Interval = "1s"
		for i := range file.Groups[g].Rules {
			r := &file.Groups[g].Rules[i]
			r.Expr = ruleRange.ReplaceAllStringFunc(r.Expr, func(found string) string {
				return "[" + span(strings.Trim(found, "[]"), 5*time.Second) + "]"
			})
			r.Expr = ruleMinutes.ReplaceAllString(r.Expr, "* 2")
			if r.For != "" {
				r.For = span(r.For, 0)
			}
		}
	}
	return file
}

// watch is a Prometheus that watches a fleet by the rules, in a hurry.
type watch struct {
	tb      testing.TB
	address string
	process *child
}

// startWatch starts it over the fleet's processes and one more page of metrics.
func startWatch(t *testing.T, f *fleet, more string) *watch {
	t.Helper()
	program := needTool(t, "prometheus")
	dir := t.TempDir()
	type target struct {
		Targets []string          `yaml:"targets"`
		Labels  map[string]string `yaml:"labels,omitempty"`
	}
	type job struct {
		Name    string   `yaml:"job_name"`
		Targets []target `yaml:"static_configs"`
	}
	var config struct {
		Global map[string]string `yaml:"global"`
		Rules  []string          `yaml:"rule_files"`
		Jobs   []job             `yaml:"scrape_configs"`
	}
	config.Global = map[string]string{"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
	config.Rules = []string{filepath.Join(dir, "rules.yml")}
	for _, role := range []string{"ingest", "archiver", "api", "edge"} {
		j := job{Name: role}
		for _, name := range slices.Sorted(maps.Keys(f.members)) {
			if m := f.members[name]; m.role == role {
				labels := map[string]string{"name": name}
				if m.cluster != "" {
					labels["cluster"] = m.cluster
				}
				j.Targets = append(j.Targets, target{Targets: []string{m.admin}, Labels: labels})
			}
		}
		if role == "edge" {
			j.Targets = append(j.Targets, target{Targets: []string{more}, Labels: map[string]string{"name": "more"}})
		}
		config.Jobs = append(config.Jobs, j)
	}
	write := func(name string, v any) string {
		text, err := yaml.Marshal(v)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	write("rules.yml", hurried(t, mustRules(t)))
	w := &watch{tb: t, address: steadyAddress(t), process: newChild(t, "prometheus")}
	cmd := exec.Command(program, "--config.file", write("prometheus.yml", config), "--web.listen-address", w.address,
		"--storage.tsdb.path", filepath.Join(dir, "data"), "--log.level", "warn")
	if err := w.process.start(cmd); err != nil {
		t.Fatal(err)
	}
	w.process.awaitReady(memberStart, func() error {
		if status, _, _ := fetch("http://"+w.address+"/-/ready", nil); status != http.StatusOK {
			return fmt.Errorf("status %d", status)
		}
		return nil
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("alerts: %v\nPrometheus' log:\n%s", w.states(), w.process.out.tail(20))
		}
	})
	return w
}

// states gives the alerts that are pending or firing, with where.
func (w *watch) states() map[string]string {
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
	}
	_, text, _ := fetch("http://"+w.address+"/api/v1/alerts", nil)
	_ = json.Unmarshal(text, &answer) // an answer that is none has no alerts
	states := make(map[string]string)
	for _, a := range answer.Data.Alerts {
		if name := a.Labels["alertname"]; states[name] != "firing" {
			states[name] = a.State
		}
	}
	return states
}

// missing gives those of the alerts that do not fire.
func (w *watch) missing(alerts []string) (missing []string) {
	states := w.states()
	for _, name := range alerts {
		if states[name] != "firing" {
			missing = append(missing, name)
		}
	}
	return missing
}

// alertFault is a fault and the alerts that it must raise.
type alertFault struct {
	name   string
	alerts []string
	begin  func()
	heal   func()
	limit  time.Duration
	// own says what shows that it was this fault that raised them, if another could; nil: none can.
	own func() error
	// lasts: it is made at the start, and its alerts are waited for at the end.
	lasts bool
}

// TestEveryAlertFires makes a fault for each alert over real processes, with a Prometheus that watches them, and waits
// until the alert fires; it did not before. An alert without a fault is an error.
func TestEveryAlertFires(t *testing.T) {
	onlyFull(t)
	w := newAlertWorld(t)
	covered := map[string]bool{}
	for _, fault := range w.faults() {
		for _, name := range fault.alerts {
			covered[name] = true
		}
	}
	known := mustRules(t).alerts()
	for name := range known {
		if !covered[name] {
			t.Errorf("no fault raises %s: add a row", name)
		}
	}
	var lasting []alertFault
	for _, fault := range w.faults() {
		if fault.lasts {
			fault.begin()
			lasting = append(lasting, fault)
		}
	}
	for _, fault := range append(slices.DeleteFunc(w.faults(), func(f alertFault) bool { return f.lasts }), lasting...) {
		for _, name := range fault.alerts {
			if _, ok := known[name]; !ok {
				t.Errorf("%s: there is no alert %s", fault.name, name)
			}
		}
		if !fault.lasts {
			eventually(t, 2*time.Minute, "no alert fires before the fault: "+fault.name, func() bool {
				return len(w.watch.missing(fault.alerts)) == len(fault.alerts)
			})
			fault.begin()
		}
		begun := time.Now()
		var missing []string
		over := time.NewTimer(fault.limit)
		look := time.NewTicker(500 * time.Millisecond)
		for waiting := true; waiting; {
			if missing = w.watch.missing(fault.alerts); len(missing) == 0 {
				break
			}
			select {
			case <-over.C:
				waiting = false
			case <-look.C:
			}
		}
		over.Stop()
		look.Stop()
		if len(missing) > 0 {
			t.Errorf("%s: %v do not fire after %v: %v", fault.name, missing, fault.limit, w.watch.states())
		} else {
			if fault.own != nil {
				if err := fault.own(); err != nil {
					t.Errorf("%s: %v fired, but not by this: %v", fault.name, fault.alerts, err)
				}
			}
			figure(t, "alerts: "+fault.name, "%s after %d ms", strings.Join(fault.alerts, ", "), time.Since(begun).Milliseconds())
		}
		if fault.heal != nil {
			fault.heal()
		}
	}
}

// skewed serves a process's metrics as if its clock were off: no clock of this machine may be changed.
func skewed(t *testing.T, admin string, by float64) string {
	t.Helper()
	clock := regexp.MustCompile(`(?m)^oxbow_node_time_seconds (.*)$`)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		status, text, _ := fetch("http://"+admin+"/metrics", nil)
		rw.WriteHeader(max(status, http.StatusBadGateway*boolInt(status == 0)))
		_, _ = rw.Write(clock.ReplaceAllFunc(text, func(line []byte) []byte {
			at, _ := strconv.ParseFloat(strings.Fields(string(line))[1], 64)
			return fmt.Appendf(nil, "oxbow_node_time_seconds %f", at+by)
		}))
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
