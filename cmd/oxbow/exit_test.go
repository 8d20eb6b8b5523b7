package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/inspect"
	"github.com/oxbow-video/oxbow/internal/loadgen"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/progress"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// TestExitCodesAreDocumented holds the table of docs/cli.md against the codes that there are.
func TestExitCodesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/cli.md")
	if err != nil {
		t.Fatal(err)
	}
	var codes []int
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(string(text), -1) {
		code, _ := strconv.Atoi(m[1])
		codes = append(codes, code)
	}
	if want := []int{exitDone, exitFailed, exitUsage, exitInterrupted}; !slices.Equal(codes, want) {
		t.Errorf("docs/cli.md has the codes %v, want %v", codes, want)
	}
}

// sampleFile is the built-in clip as a file.
func sampleFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "sample.flv")
	if err := os.WriteFile(name, sampleFLV, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// madeRecording is the directory of a recording of ten seconds.
func madeRecording(t *testing.T) string {
	t.Helper()
	dir, id := t.TempDir(), newRecordingID()
	root, err := reclog.OpenRoot(reclog.Config{Dir: dir, Sync: reclog.SyncNever}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	_, err = loadgen.WriteRecording(root, loadgen.RecordingConfig{
		Path: media.StreamPath{Publisher: "acme", Stream: "show"}, ID: id, Size: 1 << 20, Length: 10 * time.Second,
	})
	if err := errors.Join(err, root.Close()); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "acme", "show", string(id))
}

// An inspection tells where it is: each file from its begin towards its end.
func TestInspectTellsHowFarItIs(t *testing.T) {
	c := inspectCommand{Target: madeRecording(t)}
	var all []inspect.At
	report, err := c.inspect(t.Context(), func(at inspect.At) { all = append(all, at) })
	if err != nil || report.Errors > 0 || report.Interrupted {
		t.Fatalf("%+v, %v", report, err)
	}
	files := map[string]inspect.At{}
	for _, at := range all {
		if before := files[at.Name]; at.Segments || at.Done < before.Done || at.Done > at.Total || at.Total <= 0 {
			t.Errorf("%+v behind %+v", at, before)
		}
		files[at.Name] = at
	}
	if at := files["1/video.mp4"]; len(files) != 2 || at.Done < at.Total/2 {
		t.Errorf("%+v", files)
	}
	for want, at := range map[progress.State]*inspect.At{
		{}: nil,
		{Done: 5, Total: 9, Unit: progress.Bytes, Text: "1/video.mp4"}: {Name: "1/video.mp4", Done: 5, Total: 9},
		{Done: 5, Total: 9, Unit: "segments", Text: "video.m3u8"}:      {Name: "video.m3u8", Done: 5, Total: 9, Segments: true},
	} {
		if got := inspected(at); got != want {
			t.Errorf("%+v is shown as %+v", at, got)
		}
	}
}

// What is told to stop tells what it has done so far, and ends with a code of its own.
func TestInterruptedCommandsTellWhatIsDone(t *testing.T) {
	dir := t.TempDir()
	recording := filepath.Join(dir, "recordings/acme/show/01kafzq7s8e5gv9mxw2ctr4n6b")
	for _, d := range []string{recording, filepath.Join(dir, "archive")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(recording, "recording.json"), []byte(emptyRecording), 0o600); err != nil {
		t.Fatal(err)
	}
	away, made := awayAddress(t), madeRecording(t)
	for name, c := range map[string]struct {
		args []string
		says string // in its JSON; empty: it has nothing to tell
	}{
		"bench publish": {[]string{"bench", "publish", "--url", "rtmp://" + away + "/live", "--file", sampleFile(t),
			"--json"}, "streams"},
		"bench view": {[]string{"bench", "view", "--url", "http://" + away + "/index.m3u8"}, ""},
		"players": {[]string{"bench", "view", "--player", "--url", "http://" + away + "/index.m3u8", "--json"},
			"viewers"},
		"bench view of no stream": {[]string{"bench", "view", "--url", "ftp://" + away + "/index.m3u8"}, ""},
		"players of no stream":    {[]string{"bench", "view", "--player", "--url", "ftp://" + away + "/index.m3u8"}, ""},

		"inspect": {[]string{"inspect", made, "--json"}, "interrupted"},
		"reindex": {[]string{
			"reindex", "--recordings", filepath.Join(dir, "recordings"), "--catalog", "sqlite:" + filepath.Join(dir, "catalog.db"),
			"--archive", "dir:" + filepath.Join(dir, "archive"),
		}, ""},
		"doctor":     {[]string{"doctor", "--http", "127.0.0.1:0", "--json"}, "checks"},
		"node drain": {[]string{"node", "drain", "x", "--wait", "--token", "x", "--api", "http://" + away}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			var stdout, stderr bytes.Buffer
			code := callIn(ctx, c.args, &stdout, &stderr)
			if code != exitInterrupted || stderr.String() != "oxbow: interrupted\n" {
				t.Errorf("code %d: %s", code, &stderr)
			}
			var result map[string]any
			if err := json.Unmarshal(stdout.Bytes(), &result); c.says != "" && (err != nil || result[c.says] == nil) {
				t.Errorf("it tells %s: %v", &stdout, err)
			}
		})
	}
}

// A broken threshold is told also of a measurement that was cut off.
func TestBrokenThresholdGoesBeforeTheInterruption(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stdout, stderr bytes.Buffer
	code := callIn(ctx, []string{"bench", "publish", "--url", "rtmp://" + awayAddress(t) + "/live", "--file", sampleFile(t),
		"--fail-if", "connected<1"}, &stdout, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "connected is 0, and --fail-if connected<1") {
		t.Errorf("code %d: %s", code, &stderr)
	}
}

func TestWrongMeasurementsAreWrongUsage(t *testing.T) {
	file := sampleFile(t)
	publish := []string{"bench", "publish", "--url", "rtmp://127.0.0.1:1/live", "--file", file}
	view := []string{"bench", "view", "--url", "http://127.0.0.1:1/index.m3u8"}
	archive := []string{"bench", "archive", "--archive", "dir:" + t.TempDir()}
	for _, c := range []struct {
		args []string
		says string
	}{
		{append(publish, "--streams", "0"), "--streams 0: use 1 to 10000"},
		{append(publish, "--duration", "25h"), "use 1s to 24h"},
		{append(publish, "--fail-if", "lag_p99_ms"), "FIELD>NUMBER"},
		{append(publish, "--fail-if", "lag>1"), "use one of streams, connected, refused, "},
		{append(publish, "--fail-if", "lag_p99_ms>1s"), "without its unit"},
		{append(view, "--viewers", "20001"), "--viewers 20001: use 1 to 20000"},
		{append(view, "--player", "--viewers", "5001"), "with --player"},
		{append(view, "--cmcd"), "--player"},
		{append(view, "--fail-if", "stalls>1"), "late_p99_ms"}, // a field of players alone
		{append(archive, "--shows", "0"), "--shows 0"},
		{append(archive, "--shows", "1000", "--size", "1GiB"), "at most"},
		{append(archive, "--size", "1MiB", "--length", "10h"), "bytes for that length"},
		{append(archive, "--archive-parallel", "65"), "1 to 64"},
		{append(archive, "--time-limit", "0s"), "--time-limit"},
		{[]string{"help", "publishr"}, `did you mean "publisher"?`},
		{[]string{"completion", "tcsh"}, "must be one of"},
		{nil, "Begin with `oxbow demo`"},
		{[]string{"bench"}, "bench archive"},
	} {
		var stdout, stderr bytes.Buffer
		if code := call(c.args, &stdout, &stderr); code != exitUsage || stdout.Len() > 0 ||
			!strings.Contains(stderr.String(), c.says) {
			t.Errorf("%v: code %d: %s%s", c.args, code, &stdout, &stderr)
		}
	}
}

func TestHelpCommandIsTheHelpFlag(t *testing.T) {
	for _, args := range [][]string{nil, {"recording"}, {"recording", "list"}, {"bench", "archive"}} {
		var stdout, stderr bytes.Buffer
		if code := call(append([]string{"help"}, args...), &stdout, &stderr); code != exitDone || stderr.Len() > 0 {
			t.Errorf("help %v: code %d: %s", args, code, &stderr)
		}
		want := "Usage: " + strings.Join(append([]string{"oxbow"}, args...), " ") + " "
		if !strings.HasPrefix(stdout.String(), want) {
			t.Errorf("help %v begins %.80q", args, stdout.String())
		}
	}
}
