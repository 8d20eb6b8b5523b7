package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The command's words reach the package, and its exit codes tell damage and wrong usage apart.
func TestReindexExitCodes(t *testing.T) {
	dir := t.TempDir()
	recordings, archive := filepath.Join(dir, "recordings"), filepath.Join(dir, "archive")
	name := filepath.Join("acme", "show", "01kafzq7s8e5gv9mxw2ctr4n6b")
	write := func(root, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name, "recording.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reindex := func(args ...string) (int, string) {
		var stdout, stderr bytes.Buffer
		code := call(append([]string{
			"reindex", "--recordings", recordings, "--catalog", "sqlite:" + dir + "/catalog.db", "--archive", "dir:" + archive,
		}, args...), &stdout, &stderr)
		return code, stdout.String() + stderr.String()
	}
	ended := strings.Replace(emptyRecording, `"state":"live"`, `"state":"ended","ended_at":"2026-11-20T10:39:00Z"`, 1)
	write(recordings, ended)
	if code, text := reindex(); code != 1 || !strings.Contains(text, "--archive") {
		t.Errorf("without the archive's directory: %d, %s", code, text)
	}
	write(archive, strings.Replace(ended, `"state":"ended"`, `"state":"archived"`, 1))
	if code, text := reindex("--dry-run"); code != 0 || !strings.Contains(text, "1 would be added") {
		t.Errorf("dry run: %d, %s", code, text)
	}
	if code, text := reindex(); code != 0 || !strings.Contains(text, "1 added") || !strings.Contains(text, "curl") {
		t.Errorf("run: %d, %s", code, text)
	}
	if code, text := reindex(); code != 0 || !strings.Contains(text, "1 left") {
		t.Errorf("second run: %d, %s", code, text)
	}
	write(archive, "{")
	if code, text := reindex("--json"); code != 1 || !strings.Contains(text, `"damaged"`) {
		t.Errorf("damage: %d, %s", code, text)
	}
	if code, text := reindex("--cluster", "No"); code != 2 {
		t.Errorf("a bad cluster: %d, %s", code, text)
	}
	if code, text := reindex("--parallel", "0"); code != 2 {
		t.Errorf("a bad number: %d, %s", code, text)
	}
}
