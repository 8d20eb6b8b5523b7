package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
)

// toldMetric is one of docs/metrics.md.
type toldMetric struct {
	name, help    string
	labels, roles []string
}

// TestMetricsDocIsCurrent runs every role and holds docs/metrics.md against what they register: no metric is
// undocumented, and none that is documented is gone. What has no value yet counts too.
func TestMetricsDocIsCurrent(t *testing.T) {
	t.Parallel() // it mostly waits
	const name = "../../docs/metrics.md"
	want := metricsDoc(t, roleMetrics(t))
	if *updateFlags {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != want {
		t.Errorf("docs/metrics.md is stale (%v): go test ./cmd/oxbow -run MetricsDoc -update", err)
	}
}

// roleMetrics runs the roles, each with all that it may have, and gives what each of them registers.
func roleMetrics(t *testing.T) map[string]*prometheus.Registry {
	t.Helper()
	redis, _ := startRedis(t)
	server := catalogtest.MustStartPostgres(t)
	sql, err := server.CreateDatabase(t.Context(), "metrics")
	if err != nil {
		t.Fatal(err)
	}
	sql += "&connect_timeout=60"
	if code := run([]string{"migrate", "--catalog", sql}, io.Discard, io.Discard); code != 0 {
		t.Fatalf("migrate: code %d", code)
	}
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	certText, keyText := mustCertificate(t, "oxbow.example.com", time.Now().Add(time.Hour))
	if err := errors.Join(os.WriteFile(cert, certText, 0o600), os.WriteFile(key, keyText, 0o600)); err != nil {
		t.Fatal(err)
	}
	shared := []string{"--registry", redis, "--catalog", sql}
	cluster := []string{"--cluster", "main", "--recordings", filepath.Join(dir, "recordings")}
	archive := []string{"--archive", "dir:" + filepath.Join(dir, "archive")}
	tls := []string{"--https", "127.0.0.1:0", "--http3", "--tls-cert", cert, "--tls-key", key}
	public := []string{"--http", "127.0.0.1:0"}
	internal := []string{"--internal", "127.0.0.1:0"}
	doors := []string{"--rtmp", "127.0.0.1:0", "--srt", "127.0.0.1:0"}
	var roles []*startedRole
	started := func(role string, args ...[]string) {
		roles = append(roles, startRole(t, role, slices.Concat(args...)))
	}
	started("api", shared, public, internal, tls, []string{"--node", "api", "--steering-url", "https://api.example.com"})
	started("ingest", shared, cluster, internal, doors, []string{"--node", "a1"})
	started("archiver", shared, cluster, archive, []string{"--node", "archiver"})
	started("edge", public, internal, archive, tls, []string{
		"--directory", "http://127.0.0.1:1", "--node", "edge", "--disk-cache", filepath.Join(dir, "disk"),
		"--access-log", filepath.Join(dir, "access.log"),
	})
	started("edge --upstream", public, tls, []string{
		"--upstream", "http://127.0.0.1:1", "--disk-cache", filepath.Join(dir, "reverse"),
		"--access-log", filepath.Join(dir, "reverse.log"),
	})
	started("serve", public, doors, tls, []string{"--data", filepath.Join(dir, "data")})
	registries := make(map[string]*prometheus.Registry)
	for _, r := range roles { // which become ready beside each other
		r.await(t)
		registries[r.name] = r.registry
	}
	return registries
}

// startedRole is a role that runs.
type startedRole struct {
	name     string
	registry *prometheus.Registry
	out      *lockedBuffer
	ended    chan error
}

// startRole runs a role until the test ends.
func startRole(t *testing.T, role string, args []string) *startedRole {
	t.Helper()
	args = slices.Concat(strings.Fields(role)[:1], args, []string{"--admin", "127.0.0.1:0"})
	r := &startedRole{name: role, registry: prometheus.NewRegistry(), out: new(lockedBuffer), ended: make(chan error, 1)}
	var cli commands
	parser, err := newParser(&cli, r.out, r.out)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		t.Fatalf("%s: %v", role, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		call := runContext{
			Context: ctx, stdout: r.out, stderr: r.out, logger: slog.New(slog.NewTextHandler(r.out, nil)), metrics: r.registry,
		}
		r.ended <- parsed.Run(call, call.process())
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-r.ended; err != nil {
			t.Errorf("%s: %v\n%s", role, err, r.out.String())
		}
	})
	return r
}

// await waits until the role is ready: by then all is registered.
func (r *startedRole) await(t *testing.T) {
	t.Helper()
	// An edge without a directory is never ready: it says that it has begun to beat.
	ready := func() bool {
		if r.name == "edge" {
			return describes(r.registry, "oxbow_edge_beats_total")
		}
		return gathers(r.registry, "oxbow_node_ready") == 1
	}
	deadline := time.NewTimer(5 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case err := <-r.ended:
			r.ended <- err
			t.Fatalf("%s ended: %v\n%s", r.name, err, r.out.String())
		case <-deadline.C:
			t.Fatalf("%s is not ready:\n%s", r.name, r.out.String())
		case <-tick.C:
		}
	}
}

// lockedBuffer is written by a role while the test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// descText is how client_golang tells a description, which has no other way out.
var descText = regexp.MustCompile(`^Desc\{fqName: "([^"]*)", help: ("(?:[^"\\]|\\.)*"), unit: "[^"]*", constLabels: \{([^}]*)\}, variableLabels: \{([^}]*)\}\}$`)

// described gives what a registry may tell, by name.
func described(t *testing.T, registry *prometheus.Registry) map[string]toldMetric {
	t.Helper()
	descs := make(chan *prometheus.Desc)
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	all := make(map[string]toldMetric)
	for desc := range descs {
		m := descText.FindStringSubmatch(desc.String())
		if m == nil {
			t.Errorf("a description in another form: %s", desc)
			continue
		}
		told := toldMetric{name: m[1], help: strings.ReplaceAll(strings.Trim(m[2], `"`), `\"`, `"`)}
		for constant := range strings.SplitSeq(m[3], ",") {
			if label, _, ok := strings.Cut(constant, "="); ok {
				told.labels = append(told.labels, label)
			}
		}
		for label := range strings.SplitSeq(m[4], ",") {
			if label != "" {
				told.labels = append(told.labels, strings.TrimSuffix(strings.TrimPrefix(label, "c("), ")"))
			}
		}
		all[told.name] = told
	}
	return all
}

func describes(registry *prometheus.Registry, name string) bool {
	descs, found := make(chan *prometheus.Desc), false
	go func() {
		defer close(descs)
		registry.Describe(descs)
	}()
	for desc := range descs {
		found = found || strings.Contains(desc.String(), `"`+name+`"`)
	}
	return found
}

// gathers gives the value of a gauge without labels; 0 without it.
func gathers(registry *prometheus.Registry, name string) float64 {
	families, _ := registry.Gather()
	for _, family := range families {
		if family.GetName() == name && len(family.GetMetric()) == 1 {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return 0
}

// kindOf goes by the name where no value was gathered: vectors without a series tell no type.
func kindOf(name string, gathered map[string]string) string {
	if kind := gathered[name]; kind != "" {
		return kind
	}
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case strings.HasSuffix(name, "_duration_seconds"), name == "oxbow_api_request_seconds":
		return "histogram"
	}
	return "gauge"
}

// metricsDoc is docs/metrics.md.
func metricsDoc(t *testing.T, registries map[string]*prometheus.Registry) string {
	t.Helper()
	all, gathered := make(map[string]toldMetric), make(map[string]string)
	for _, role := range []string{"ingest", "archiver", "edge", "edge --upstream", "api", "serve"} {
		families, err := registries[role].Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range families {
			gathered[family.GetName()] = strings.ToLower(family.GetType().String())
		}
		for name, told := range described(t, registries[role]) {
			if had, ok := all[name]; ok {
				told.roles = had.roles
				told.labels = slices.Concat(had.labels, told.labels)
			}
			told.roles = append(told.roles, role)
			slices.Sort(told.labels)
			told.labels = slices.Compact(told.labels)
			all[name] = told
		}
	}
	var b strings.Builder
	b.WriteString("# Metrics\n\n" +
		"<!-- Written by \"go test ./cmd/oxbow -run MetricsDoc -update\" from a run of every role. -->\n\n" +
		"What `/metrics` of the admin port tells. A metric with labels is there once it has a value. `serve` has what ingest,\n" +
		"archiver, edge and api have, but for what is of processes among others. [observability.md](observability.md) says how to\n" +
		"scrape them, and what dashboards and alerts make of them. `go_*` and `process_*` are those of every Go program.\n")
	component := ""
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range all {
			if strings.HasPrefix(name, "oxbow_") && !yield(name) {
				return
			}
		}
	}) {
		m := all[name]
		if c := strings.Split(name, "_")[1]; c != component {
			component = c
			fmt.Fprintf(&b, "\n## %s\n\n| metric | type | labels | of | |\n|---|---|---|---|---|\n", c)
		}
		labels := ""
		for i, label := range m.labels {
			if i > 0 {
				labels += ", "
			}
			labels += "`" + label + "`"
		}
		if strings.TrimSpace(m.help) == "" {
			t.Errorf("%s has no help", name)
		}
		roles := slices.DeleteFunc(slices.Clone(m.roles), func(role string) bool { return role == "serve" && len(m.roles) > 1 })
		if len(roles) == 5 {
			roles = []string{"all"}
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", name, kindOf(name, gathered), labels, strings.Join(roles, ", "), m.help)
	}
	return b.String()
}
