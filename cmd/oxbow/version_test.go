package main

import (
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

func TestVersionTellsWhatWasBuilt(t *testing.T) {
	line := versionLine()
	for _, want := range []string{"oxbow " + version + " (commit ", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH} {
		if !strings.Contains(line, want) {
			t.Errorf("--version does not say %q: %s", want, line)
		}
	}
	if strings.Contains(line, "\n") {
		t.Errorf("--version is not one line: %q", line)
	}
}

func TestSourceOfABinary(t *testing.T) {
	settings := func(pairs ...string) *debug.BuildInfo {
		info := new(debug.BuildInfo)
		for i := 0; i < len(pairs); i += 2 {
			info.Settings = append(info.Settings, debug.BuildSetting{Key: pairs[i], Value: pairs[i+1]})
		}
		return info
	}
	for _, c := range []struct {
		name string
		info *debug.BuildInfo
		want string
	}{
		{"built without build information", nil, "commit unknown"},
		{"built outside of a repository", settings("-trimpath", "true"), "commit unknown"},
		{"built by go build", settings("vcs.revision", "abc", "vcs.time", "2026-11-22T09:00:00Z", "vcs.modified", "false"),
			"commit abc of 2026-11-22T09:00:00Z"},
		{"built with changes", settings("vcs.revision", "abc", "vcs.modified", "true"), "commit abc-dirty"},
		{"changes of nothing", settings("vcs.modified", "true"), "commit unknown"},
	} {
		if got := sourceOf(c.info).String(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
