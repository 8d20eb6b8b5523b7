package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// filesBelow lists the files of a directory.
func filesBelow(t *testing.T, dir string) (names []string) {
	t.Helper()
	if err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestBenchArchiveMeasuresAndLeavesNothing(t *testing.T) {
	gateway := objstoretest.MustStartGateway(t)
	gateway.MustMakeBucket(t, "vod")
	t.Setenv("AWS_ACCESS_KEY_ID", gateway.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", gateway.SecretKey)
	dir, scratch := filepath.Join(t.TempDir(), "archive"), t.TempDir()
	for _, archive := range []string{
		"dir:" + dir, "s3://vod/shows?region=us-east-1&endpoint=" + gateway.Endpoint,
	} {
		var stdout, stderr bytes.Buffer
		code := call([]string{"bench", "archive", "--archive", archive, "--shows", "3", "--size", "1MiB", "--length", "20s",
			"--scratch", scratch, "--json", "--fail-if", "archived<3", "--fail-if", "failures>0"}, &stdout, &stderr)
		var r archiveResult
		if err := json.Unmarshal(stdout.Bytes(), &r); err != nil || code != exitDone {
			t.Fatalf("%s: code %d, %v: %s%s", archive, code, err, &stdout, &stderr)
		}
		if r.Recordings != 3 || r.Archived != 3 || r.Bytes < 3<<20 || r.Objects < 3*8 || r.Rate <= 0 || r.ObjectRate <= 0 ||
			r.PutP50 <= 0 || r.PutMax < r.PutP99 || r.RecordingMax < r.RecordingP50 || r.RecordingP50 < r.PutP50 ||
			r.Seconds <= 0 {
			t.Errorf("%s: %+v", archive, r)
		}
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
	if left := filesBelow(t, filepath.Join(gateway.Dir, "vod")); len(left) > 0 {
		t.Errorf("left in the bucket: %v", left)
	}
	if left := filesBelow(t, scratch); len(left) > 0 {
		t.Errorf("left in --scratch: %v", left)
	}
}

func TestBenchArchiveAsksBeforeItLoadsAStoreWithData(t *testing.T) {
	dir := t.TempDir()
	theirs := filepath.Join(dir, "acme", "show", "recording.json")
	if err := os.MkdirAll(filepath.Dir(theirs), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(theirs, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"bench", "archive", "--archive", "dir:" + dir, "--shows", "1", "--size", "1MiB", "--length", "2s"}
	var stdout, stderr bytes.Buffer
	if code := call(args, &stdout, &stderr); code != exitUsage ||
		!strings.Contains(stderr.String(), "acme/show/recording.json") || !strings.Contains(stderr.String(), "--yes") {
		t.Errorf("code %d: %s", code, &stderr)
	}
	stdout.Reset()
	if code := call(append(args, "--yes"), &stdout, &stderr); code != exitDone ||
		!strings.Contains(stdout.String(), "1 of 1 recordings") {
		t.Errorf("code %d: %s%s", code, &stdout, &stderr)
	}
	if left := filesBelow(t, dir); len(left) != 1 {
		t.Errorf("left: %v", left)
	}
}

func TestBenchArchiveTellsWhatTheStoreSaid(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "x")
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3Secret)
	var stdout, stderr bytes.Buffer
	code := call([]string{"bench", "archive", "--archive", "s3://vod?region=us-east-1&endpoint=http://" + awayAddress(t),
		"--shows", "1", "--size", "1MiB", "--length", "2s", "--yes", "--time-limit", "2s"}, &stdout, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "oxbow: nothing was archived") {
		t.Errorf("code %d: %s%s", code, &stdout, &stderr)
	}
	keepsSecrets(t, stdout.String()+stderr.String())
}
