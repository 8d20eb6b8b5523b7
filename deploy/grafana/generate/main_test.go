package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the dashboards anew")

// TestDashboardsAreCurrent holds the dashboards' files against the tables that they are made of.
func TestDashboardsAreCurrent(t *testing.T) {
	const dir = "../dashboards"
	known := make(map[string]bool)
	for _, d := range dashboards() {
		known[d.file()] = true
		name := filepath.Join(dir, d.file())
		if *update {
			if err := os.WriteFile(name, d.json(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(name); err != nil || !bytes.Equal(got, d.json()) {
			t.Errorf("%s is stale (%v): go test ./deploy/grafana/generate -update", name, err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !known[entry.Name()] {
			t.Errorf("%s is nobody's: remove it", entry.Name())
		}
	}
}
