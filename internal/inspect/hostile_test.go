package inspect

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/media"
)

// TestHostileFolder inspects a recording that has links, pipes and names of all kinds where files should be: it ends,
// reads nothing of outside, and its report can be printed.
func TestHostileFolder(t *testing.T) {
	const secret = "what-lies-beside-it"
	for file, want := range map[string]string{
		"1/video.mp4": "missing-file", "1/video.idx": "missing-file", "1/metadata.jsonl": "missing-file",
	} {
		for kind, put := range map[string]func(outside, name string) error{
			"link":   os.Symlink,
			"pipe":   func(_, name string) error { return unix.Mkfifo(name, 0o600) },
			"device": func(_, name string) error { return os.Symlink("/dev/zero", name) },
			"folder": func(_, name string) error { return os.Mkdir(name, 0o700) },
		} {
			r := mustRecord(t, true)
			outside := filepath.Join(t.TempDir(), "outside")
			must(t, os.WriteFile(outside, []byte(secret), 0o600))
			name := filepath.Join(r.dir, file)
			must(t, errors.Join(os.Remove(name), put(outside, name)))
			d, err := OpenDir(r.dir)
			must(t, err)
			if data, err := d.ReadFile(t.Context(), file); !errors.Is(err, media.ErrNotFound) {
				t.Errorf("%s as %s: %.20q, %v", file, kind, data, err)
			}
			if _, err := d.OpenRange(t.Context(), file, 0, 1); !errors.Is(err, media.ErrNotFound) {
				t.Errorf("%s as %s: %v", file, kind, err)
			}
			must(t, d.Close())
			report := r.inspect(false)
			if found := names(report, Error); !slices.Contains(found, want) {
				t.Errorf("%s as %s: %v, want %s", file, kind, found, want)
			}
		}
	}
}

// TestNamesOfOthersArePrintable: files are named as anybody likes, and a terminal obeys what it is told.
func TestNamesOfOthersArePrintable(t *testing.T) {
	r := mustRecord(t, true)
	for _, name := range []string{
		"\x1b]0;title\x07", "\x1b[2J", "a\nb", "\u009b31m", "\u202etxt.exe", "\xff\xfe", strings.Repeat("x", 255), "-rf", "..."} {
		must(t, os.WriteFile(filepath.Join(r.dir, name), []byte("x"), 0o600))
	}
	deep := r.dir
	for range 40 {
		deep = filepath.Join(deep, "d")
	}
	must(t, os.MkdirAll(deep, 0o700))
	must(t, os.WriteFile(filepath.Join(deep, "far"), nil, 0o600))
	must(t, os.Symlink(r.dir, filepath.Join(r.dir, "again")))
	must(t, os.Symlink("/", filepath.Join(r.dir, "1", "all")))
	report := r.inspect(true)
	var text strings.Builder
	must(t, report.Print(&text))
	if strings.ContainsAny(text.String(), "\x1b\x07\u009b\u202e") {
		t.Errorf("%q", text.String())
	}
	if strings.Contains(text.String(), "far") || strings.Contains(text.String(), "all/") || !strings.Contains(text.String(), "title") {
		t.Errorf("%s", text.String())
	}
}

// TestEndlessManifestIsNotRead: what is told of its size comes before its bytes.
func TestEndlessManifestIsNotRead(t *testing.T) {
	r := mustRecord(t, true)
	name := filepath.Join(r.dir, "recording.json")
	must(t, os.Truncate(name, 1<<40))
	d, err := OpenDir(r.dir)
	must(t, err)
	defer d.Close()
	if _, err := d.ReadFile(t.Context(), "recording.json"); !errors.Is(err, media.ErrTooLarge) {
		t.Errorf("%v", err)
	}
}
