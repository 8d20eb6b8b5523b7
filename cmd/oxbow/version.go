package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// commit and date are the source's, as the Makefile's build sets them: the commit with "-dirty" behind it where files
// differ from it, and when it was made, in RFC 3339. Never the time of the build: two builds give the same bytes.
var commit, date string

// versionLine is what --version prints.
func versionLine() string {
	return fmt.Sprintf("oxbow %s (%s), %s %s/%s", version, builtFrom(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// builtFrom is what this binary was built from.
func builtFrom() source {
	if commit != "" {
		return source{commit: commit, date: date}
	}
	info, _ := debug.ReadBuildInfo()
	return sourceOf(info)
}

// source is what a binary was built from.
type source struct{ commit, date string }

// sourceOf reads what go build noted, for a binary that the Makefile did not build.
func sourceOf(info *debug.BuildInfo) (of source) {
	if info == nil {
		return of
	}
	var dirty string
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			of.commit = s.Value
		case "vcs.time":
			of.date = s.Value
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "-dirty"
			}
		}
	}
	if of.commit != "" {
		of.commit += dirty
	}
	return of
}

func (s source) String() string {
	switch {
	case s.commit == "":
		return "commit unknown"
	case s.date == "":
		return "commit " + s.commit
	}
	return "commit " + s.commit + " of " + s.date
}

// versionCommand is `oxbow version`.
type versionCommand struct {
	JSON bool `name:"json" help:"Print it as JSON."`
}

// buildFacts is of what this program was built. Commit ends in "-dirty" where files differed from it.
type buildFacts struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Run prints it.
func (c *versionCommand) Run(ctx runContext) error {
	if c.JSON {
		of := builtFrom()
		return printJSON(ctx, buildFacts{
			Version: version, Commit: of.commit, Date: of.date,
			Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		})
	}
	_, err := fmt.Fprintln(ctx.stdout, versionLine())
	return err
}
