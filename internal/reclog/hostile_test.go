package reclog

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/media"
)

func mustDo(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// hostileTree is a real directory of recordings with one that is whole, in which tests put what does not belong there,
// and a directory beside it that must stay as it is.
type hostileTree struct {
	*testing.T
	root         *Root
	dir, outside string
}

func newHostileTree(t *testing.T) *hostileTree {
	t.Helper()
	base := t.TempDir()
	h := &hostileTree{T: t, dir: filepath.Join(base, "recordings"), outside: filepath.Join(base, "outside")}
	var err error
	h.root, err = OpenRoot(Config{Dir: h.dir, Sync: SyncNever}, slog.New(slog.DiscardHandler))
	mustDo(t, err, os.Mkdir(h.outside, 0o700))
	t.Cleanup(func() { mustDo(t, h.root.Close()) })
	mustDo(t, os.WriteFile(h.foreign(), []byte(strings.Repeat("another's ", 1000)), 0o600))
	return h
}

// foreign is a file that no recording has.
func (h *hostileTree) foreign() string { return filepath.Join(h.outside, "foreign") }

func (h *hostileTree) untouched() {
	h.Helper()
	if data, err := os.ReadFile(h.foreign()); err != nil || string(data) != strings.Repeat("another's ", 1000) {
		h.Errorf("the file outside: %d bytes, %v", len(data), err)
	}
}

// record makes a recording of one take that grows.
func (h *hostileTree) record(id media.RecordingID) Ref {
	h.Helper()
	m := testManifest()
	m.ID = id
	w, err := h.root.Create(m)
	mustDo(h.T, err)
	_, err = w.StartTake(testTake(1, 1), testInits())
	mustDo(h.T, err)
	return Ref{Path: m.Path(), ID: id}
}

func (h *hostileTree) name(ref Ref, file string) string {
	return filepath.Join(h.root.refDir(ref), file)
}

// swap puts something else in a file's place.
func (h *hostileTree) swap(ref Ref, file string, put func(name string) error) {
	h.Helper()
	mustDo(h.T, os.RemoveAll(h.name(ref, file)), put(h.name(ref, file)))
}

func (h *hostileTree) pipe(name string) error   { return unix.Mkfifo(name, 0o600) }
func (h *hostileTree) link(name string) error   { return os.Symlink(h.foreign(), name) }
func (h *hostileTree) device(name string) error { return os.Symlink("/dev/zero", name) }
func (h *hostileTree) itself(name string) error { return os.Symlink(name, name) }
func (h *hostileTree) endless(name string) error {
	return errors.Join(os.WriteFile(name, nil, 0o600), os.Truncate(name, 1<<40))
}

// TestHostileTreeHoldsNobody: a node starts with a directory that has pipes, links and devices where recordings have
// files, waits for none of them, reads nothing of outside, and takes up the recording that is one.
func TestHostileTreeHoldsNobody(t *testing.T) {
	h := newHostileTree(t)
	whole := h.record(media.RecordingID("01kafzq7s8e5gv9mxw2ctr4n01"))
	puts := map[string]func(string) error{
		"02": h.pipe, "03": h.link, "04": h.device, "05": h.itself, "06": h.endless,
		"07": func(name string) error { return os.Mkdir(name, 0o700) },
		"08": func(name string) error { return os.Symlink(h.name(whole, manifestFile), name) }, // another's manifest
		"09": func(name string) error { // another's, as its own
			data, err := os.ReadFile(h.name(whole, manifestFile))
			return errors.Join(err, os.WriteFile(name, data, 0o600))
		},
	}
	files := h.root.Files()
	for number, put := range puts {
		ref := h.record(media.RecordingID("01kafzq7s8e5gv9mxw2ctr4n" + number))
		h.swap(ref, manifestFile, put)
		if _, err := Load(t.Context(), files, ref.Path, ref.ID); err == nil {
			t.Errorf("%s is loaded", number)
		}
		if _, _, err := h.root.Reopen(t.Context(), ref.Path, ref.ID); err == nil {
			t.Errorf("%s is reopened", number)
		}
	}
	long := strings.Repeat("x", 255)
	for _, name := range []string{long, "acme/" + long, "acme/show/" + long, "acme/show/..."} {
		mustDo(t, os.MkdirAll(filepath.Join(h.dir, name), 0o700))
	}
	mustDo(t, h.pipe(filepath.Join(h.dir, "pipe")), h.link(filepath.Join(h.dir, "acme", "link")), h.itself(filepath.Join(h.dir, "loop")))
	// A publisher's directory that leads into another's: its recordings are of that one, and none of this.
	mustDo(t, os.Symlink(filepath.Join(h.dir, "acme"), filepath.Join(h.dir, "evil")))
	refs, err := h.root.Unfinished(t.Context())
	if err != nil || len(refs) != 1 || refs[0] != whole {
		t.Errorf("unfinished: %v, %v", refs, err)
	}
	h.untouched()
}

// TestFilesOfHostileRecordingsAreNotFollowed: the media, indexes and metadata of a recording that lead elsewhere are
// neither read nor written nor removed there.
func TestFilesOfHostileRecordingsAreNotFollowed(t *testing.T) {
	h := newHostileTree(t)
	track := testTake(1, 1).Tracks[0].Name
	for file, number := range map[string]string{
		takeFile(1, track, trackSuffix): "01", takeFile(1, track, indexSuffix): "03", metadataPath(1): "05",
	} {
		for i, put := range []func(string) error{h.link, h.pipe} {
			ref := h.record(media.RecordingID("01kafzq7s8e5gv9mxw2ctr4n" + number[:1] + string(number[1]+byte(i))))
			h.swap(ref, file, put)
			name := ref.String() + "/" + file
			if body, err := h.root.Files().OpenRange(t.Context(), name, 0, 10); !errors.Is(err, media.ErrNotFound) {
				data, _ := io.ReadAll(body)
				t.Errorf("%s is read: %q, %v", file, data, err)
			}
			if data, err := h.root.Files().ReadFile(t.Context(), name); !errors.Is(err, media.ErrNotFound) {
				t.Errorf("%s is read: %.20q, %v", file, data, err)
			}
			if _, err := Load(t.Context(), h.root.Files(), ref.Path, ref.ID); err != nil {
				t.Errorf("%s: the rest can't be read: %v", file, err)
			}
			_, _, err := h.root.Reopen(t.Context(), ref.Path, ref.ID)
			t.Logf("%s: recovery: %v", file, err)
			h.untouched()
			mustDo(t, os.RemoveAll(h.name(ref, "2")), os.Symlink(h.outside, h.name(ref, "2")))
			mustDo(t, h.root.Remove(t.Context(), ref.Path, ref.ID))
			h.untouched()
		}
	}
}

// TestLockIsNoLink: opening a directory writes into its lock, and nowhere else.
func TestLockIsNoLink(t *testing.T) {
	h := newHostileTree(t)
	dir := t.TempDir()
	mustDo(t, h.link(filepath.Join(dir, lockFile)))
	if root, err := OpenRoot(Config{Dir: dir}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("it is opened", root.Close())
	}
	h.untouched()
	mustDo(t, os.Remove(filepath.Join(dir, lockFile)), h.pipe(filepath.Join(dir, lockFile)))
	if holder, err := Holder(dir); holder != "" {
		t.Errorf("a pipe is held by %q, %v", holder, err)
	}
	if _, err := OpenRoot(Config{Dir: dir}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a pipe is a lock")
	}
}

// TestPublishersMayLieElsewhere: a link that the operator made of a publisher's directory is followed.
func TestPublishersMayLieElsewhere(t *testing.T) {
	h := newHostileTree(t)
	mustDo(t, os.Mkdir(filepath.Join(h.outside, "acme"), 0o700), os.Symlink(filepath.Join(h.outside, "acme"), filepath.Join(h.dir, "acme")))
	ref := h.record("01kafzq7s8e5gv9mxw2ctr4n01")
	if refs, err := h.root.Unfinished(t.Context()); err != nil || len(refs) != 1 {
		t.Errorf("unfinished: %v, %v", refs, err)
	}
	if _, err := Load(t.Context(), h.root.Files(), ref.Path, ref.ID); err != nil {
		t.Error(err)
	}
	mustDo(t, h.root.Remove(t.Context(), ref.Path, ref.ID))
	if left, err := os.ReadDir(filepath.Join(h.outside, "acme", "show")); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
