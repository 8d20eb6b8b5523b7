package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTheTableHasEveryTarget holds docs/fuzzing.md against the sources: every target is listed once, and is there.
func TestTheTableHasEveryTarget(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "fuzzing.md"))
	if err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, row := range regexp.MustCompile(`(?m)^\| (\S+) \| (Fuzz\w+) \| (.+) \| (.+) \|$`).FindAllStringSubmatch(string(text), -1) {
		listed = append(listed, row[1]+"."+row[2])
	}
	targets, err := findTargets(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	if len(targets) < 50 {
		t.Fatalf("only %d targets are found", len(targets))
	}
	for _, target := range targets {
		at := slices.Index(listed, target.name())
		if at < 0 {
			t.Errorf("%s is not in the table of docs/fuzzing.md: add what it reads and what holds", target.name())
			continue
		}
		listed = slices.Delete(listed, at, at+1)
	}
	for _, name := range listed {
		t.Errorf("%s is in the table of docs/fuzzing.md, once too often or without a function", name)
	}
}

func TestLedgerAddsUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "fuzz.json")
	one, other := target{folder: "x", function: "FuzzA", sum: "1"}, target{folder: "x", function: "FuzzA", sum: "2"}
	for range 2 {
		l, err := openLedger(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.add(one, result{ran: 20 * time.Second, execs: 5, fresh: 1, corpus: 7}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := openLedger(file)
	if err != nil {
		t.Fatal(err)
	}
	if l.had(one) != 40*time.Second || l.had(other) != 0 {
		t.Errorf("it had %s, with other sources %s", l.had(one), l.had(other))
	}
	table := l.table([]target{one}, 40*time.Second)
	for _, want := range []string{"FuzzA   40s   10          2    7", "done", "1 targets, 1 with 40s: 10 executions in 40s"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is not in\n%s", want, table)
		}
	}
	if table := l.table([]target{other}, time.Second); !strings.Contains(table, "changed since") {
		t.Error(table)
	}
	if err := l.add(one, result{}); err != nil { // it crashed
		t.Fatal(err)
	}
	if l.had(one) != 0 || !strings.Contains(l.table([]target{one}, time.Second), "CRASHED") {
		t.Errorf("after a crash it had %s", l.had(one))
	}
	if err := os.WriteFile(file, []byte("["), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openLedger(file); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a broken ledger: %v", err)
	}
}

func TestWhatBrokeIsToldWithHowToRepeatIt(t *testing.T) {
	x := target{folder: "internal/x", function: "FuzzA"}
	said := []byte("--- FAIL: FuzzA (0.10s)\n    Failing input written to testdata/fuzz/FuzzA/0123abcd\n")
	if got := repeat(x, said); !strings.Contains(got, "the input: internal/x/testdata/fuzz/FuzzA/0123abcd") ||
		!strings.Contains(got, "go test -run '^FuzzA$/^0123abcd$' ./internal/x") {
		t.Error(got)
	}
	if got := repeat(x, []byte("fatal error: out of memory")); !strings.Contains(got, "go test -run '^FuzzA$' ./internal/x") {
		t.Error(got)
	}
}
