package objstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// TestHostileDirectory: what others put into an archive's directory is neither waited for nor followed, listed nor
// removed where it leads.
func TestHostileDirectory(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	d := mustOpenDir(t, dir)
	objstoretest.MustPut(t, d, "acme/show/rec/recording.json", []byte("{}"), media.PutOptions{})
	foreign := filepath.Join(outside, "foreign")
	for _, err := range []error{
		os.WriteFile(foreign, []byte("another's"), 0o600),
		unix.Mkfifo(filepath.Join(dir, "acme/show/rec/pipe"), 0o600),
		os.Symlink(foreign, filepath.Join(dir, "acme/show/rec/link")),
		os.Symlink("/dev/zero", filepath.Join(dir, "acme/show/rec/device")),
		os.Symlink(outside, filepath.Join(dir, "acme/show/rec/1")),
		os.Symlink(dir, filepath.Join(dir, "acme/show/rec/again")),
		os.WriteFile(filepath.Join(dir, "acme/show/rec/.nfs0000"), nil, 0o600),
		os.WriteFile(filepath.Join(dir, "acme/show/rec/sparse"), nil, 0o600),
		os.Truncate(filepath.Join(dir, "acme/show/rec/sparse"), 1<<40),
		os.Mkdir(filepath.Join(dir, lostFound), 0),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"pipe", "link", "device", "1/foreign"} {
		key = "acme/show/rec/" + key
		if data, err := d.ReadFile(t.Context(), key); err == nil {
			t.Errorf("%s is read: %.20q", key, data)
		}
		if _, err := d.OpenRange(t.Context(), key, 0, 1); err == nil {
			t.Errorf("%s is read", key)
		}
		if _, _, _, err := d.OpenVersion(t.Context(), key, 0, 1); err == nil {
			t.Errorf("%s is read", key)
		}
		if _, err := d.Put(t.Context(), key, bytes.NewReader([]byte("x")), 1, media.PutOptions{Exclusive: true}); err == nil {
			t.Errorf("%s is put", key)
		}
	}
	if _, err := d.ReadFile(t.Context(), "acme/show/rec/sparse"); !errors.Is(err, media.ErrTooLarge) {
		t.Errorf("the large one: %v", err)
	}
	keys := objstoretest.MustKeys(t, d, "")
	if want := []string{"acme/show/rec/recording.json", "acme/show/rec/sparse"}; !slices.Equal(slices.Sorted(slices.Values(keys)), want) {
		t.Errorf("listed: %q", keys)
	}
	for _, key := range []string{"pipe", "link", "device", "again", "sparse", "recording.json", "1"} {
		if err := d.Delete(t.Context(), "acme/show/rec/"+key); err != nil {
			t.Errorf("%s is not deleted: %v", key, err)
		}
	}
	if data, err := os.ReadFile(foreign); string(data) != "another's" {
		t.Errorf("the file outside: %q, %v", data, err)
	}
	for _, key := range []string{
		"../x", "/etc/passwd", "a/../../x", "a//b", "a/./b", "", ".", "..", "a/..", "a\x00/../b/..", strings.Repeat("x/", 600) + "x",
	} {
		if _, err := d.ReadFile(t.Context(), key); err == nil {
			t.Errorf("%.20q is read", key)
		}
		if err := d.Delete(t.Context(), key); err == nil {
			t.Errorf("%.20q is deleted", key)
		}
	}
}
