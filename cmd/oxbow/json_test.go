package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// TestEveryCommandThatPrintsDataHasJSON walks the command line.
func TestEveryCommandThatPrintsDataHasJSON(t *testing.T) {
	// What they print is for shells and people, or they only answer yes or no.
	others := []string{"completion", "complete", "help", "health", "sample"}
	for _, leaf := range model(t).Leaves(false) {
		if group := topOf(leaf).Group; group != nil && group.Key == "servers" || slices.Contains(others, leaf.Path()) {
			continue
		}
		if !slices.ContainsFunc(flagsOf(leaf), func(f *kong.Flag) bool { return f.Name == "json" && f.IsBool() }) {
			t.Errorf("oxbow %s has no --json", leaf.Path())
		}
	}
}

// argumentOf gives a value that an operators' command takes in a place, by the place's name.
func argumentOf(command, name string) string {
	switch name {
	case "expires":
		return "1h"
	case "stream":
		return "acme/show"
	case "publisher", "scope", "publisher[/stream]":
		return "acme"
	case "setting", "settings":
		return "retention=24h"
	case "url", "source", "target":
		return "http://h.example/x"
	}
	if strings.HasPrefix(command, "settings") {
		return "retention"
	}
	return "x"
}

// TestOperatorsJSONParses runs every operators' command against an API that has one thing of each kind.
func TestOperatorsJSONParses(t *testing.T) {
	const thing = `{"id":"x","name":"x","publisher":"acme","stream":"show","revision":1,"type":"t","ok":true,` +
		`"time":"2026-01-01T00:00:00Z"}`
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/events/stream") {
			w.Header().Set("Content-Type", "text/event-stream")
			_, _ = io.WriteString(w, "id: 1\ndata: "+thing+"\n\n")
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, strings.TrimSuffix(thing, "}")+`,"items":[`+thing+`],"deleted":1}`)
	}))
	t.Cleanup(api.Close)
	t.Setenv("OXBOW_TOKEN", "x")
	more := map[string][]string{ // what the flags' own rules ask for
		"recording set": {"--name", "x"}, "event follow": {"--count", "1"}, "steering set": {"--to", "edge:x"},
		"webhook set": {"--label", "x"}, "webhook replay": {"--since", "1h"},
	}
	for _, leaf := range model(t).Leaves(true) {
		if group := topOf(leaf).Group; group == nil || group.Key != "operate" {
			continue
		}
		args := append(strings.Fields(leaf.Path()), "--json", "--api", api.URL)
		for _, p := range leaf.Positional {
			args = append(args, argumentOf(leaf.Path(), p.Name))
		}
		for _, flag := range flagsOf(leaf) {
			if flag.Required {
				args = append(args, "--"+flag.Name+"="+argumentOf("", flag.Name))
			}
		}
		args = append(args, more[leaf.Path()]...)
		var stdout, stderr bytes.Buffer
		if code := call(args, &stdout, &stderr); code != exitDone {
			t.Errorf("%v: code %d: %s", args, code, &stderr)
			continue
		}
		for decoder := json.NewDecoder(&stdout); decoder.More(); {
			var value any
			if err := decoder.Decode(&value); err != nil {
				t.Errorf("%v: %v", args, err)
				break
			}
		}
	}
}

// What the tools print as JSON is one object; those that need a server's media or a store have tests of their own.
func TestToolsJSONParses(t *testing.T) {
	catalog := "sqlite:" + filepath.Join(t.TempDir(), "c.db")
	for _, c := range []struct {
		args []string
		has  string
	}{
		{[]string{"version"}, "go"},
		{[]string{"migrate", "--catalog", catalog}, "to_version"},
		{[]string{"migrate", "--catalog", catalog}, "from_version"},
		{[]string{"doctor", "--http", "127.0.0.1:0"}, "checks"},
		{[]string{"reindex", "--catalog", catalog, "--recordings", t.TempDir(), "--archive", "dir:" + t.TempDir()}, "added"},
	} {
		var stdout, stderr bytes.Buffer
		var object map[string]any
		code := call(append(c.args, "--json"), &stdout, &stderr)
		if err := json.Unmarshal(stdout.Bytes(), &object); err != nil || code != exitDone || object[c.has] == nil {
			t.Errorf("%v: code %d, %v: %s%s", c.args, code, err, &stdout, &stderr)
		}
	}
}
