package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const emptyRecording = `{"format":1,"id":"01kafzq7s8e5gv9mxw2ctr4n6b","publisher":"acme","stream":"show","state":"live",
"started_at":"2026-11-20T10:38:00Z","writer":"x","settings":{},"constants":{},"takes":[]}`

// The exit code tells clean, faulty and wrong usage apart.
func TestInspectExitCodes(t *testing.T) {
	root := t.TempDir()
	name := "acme/show/01kafzq7s8e5gv9mxw2ctr4n6b"
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(dir, "recording.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for label, test := range map[string]struct {
		manifest string
		args     []string
		code     int
		says     string
	}{
		"directory":            {emptyRecording, []string{dir}, 0, ""},
		"root and name":        {emptyRecording, []string{root, name}, 0, ""},
		"archive":              {emptyRecording, []string{"dir:" + root, name, "--fast"}, 0, ""},
		"faulty":               {"{}", []string{dir}, 1, "1 errors"},
		"nothing there":        {"{}", []string{root}, 1, "recording.json"},
		"no directory":         {"{}", []string{root + "/x"}, 1, "not found"},
		"no target":            {"{}", nil, 2, "expected"},
		"a file":               {"{}", []string{dir + "/recording.json"}, 2, "is a file"},
		"no recording's name":  {"{}", []string{root, "acme"}, 2, "PUBLISHER/STREAM/ID"},
		"no bucket":            {"{}", []string{"s3://"}, 2, "s3://BUCKET"},
		"a URL without a host": {"{}", []string{"http://"}, 2, "URL"},
	} {
		write(test.manifest)
		var stdout, stderr bytes.Buffer
		if code := call(append([]string{"inspect"}, test.args...), &stdout, &stderr); code != test.code ||
			!strings.Contains(stderr.String(), test.says) {
			t.Errorf("%s: code %d, want %d: %s%s", label, code, test.code, &stdout, &stderr)
		}
	}
	write(emptyRecording)
	var stdout, stderr bytes.Buffer
	if code := call([]string{"inspect", dir, "--json"}, &stdout, &stderr); code != 0 {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	var report struct{ Recording, State string }
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil || report.State != "live" {
		t.Errorf("%+v, %v: %s", report, err, &stdout)
	}
}
