package diskcache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	markFile      = "oxbow-disk-cache"
	markText      = "oxbow disk cache, format 1\n"
	segmentSuffix = ".segment"
)

var (
	// ErrConfig is of limits that can't be kept.
	ErrConfig = errors.New("unusable limits")
	// ErrInUse is of a directory that another process uses.
	ErrInUse = errors.New("another process uses it")
	// ErrForeign is of a directory that has other things in it.
	ErrForeign = errors.New("it has other things in it")
)

// claimed is a directory that is this process's.
type claimed struct {
	mark    *os.File // its lock is the claim
	serials []uint32 // of the segments, in order
	// reset says that what was there was of another format, or unreadable, and is gone.
	reset bool
}

// claim takes the directory, which has nothing in it or is a cache's.
func claim(dir string) (claimed, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return claimed{}, unusable(dir, err)
	}
	_, marked, err := list(dir)
	if err != nil {
		return claimed{}, err
	}
	mark, err := os.OpenFile(filepath.Join(dir, markFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return claimed{}, unusable(dir, err)
	}
	if err := lockFile(mark); err != nil {
		return claimed{}, errors.Join(fmt.Errorf("disk cache in %s: %w: stop it, or give this one a directory of its own",
			dir, err), mark.Close())
	}
	// Now that it is ours: the other process may have written since.
	serials, _, err := list(dir)
	if err != nil {
		return claimed{}, errors.Join(err, mark.Close())
	}
	c := claimed{mark: mark, serials: serials}
	text := make([]byte, len(markText)+1)
	n, _ := mark.ReadAt(text, 0) // what can't be read is no mark
	if string(text[:n]) == markText {
		return c, nil
	}
	c.reset = marked
	if err := c.wipe(dir); err != nil {
		return claimed{}, errors.Join(err, mark.Close())
	}
	return c, nil
}

// wipe makes it an empty cache's.
func (c *claimed) wipe(dir string) error {
	errs := []error{c.mark.Truncate(0)}
	names := []string{dropsFile, dropsNext}
	for _, serial := range c.serials {
		names = append(names, segmentName(serial))
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	_, err := c.mark.WriteAt([]byte(markText), 0) // last: what has no mark is wiped again
	if err = errors.Join(append(errs, err)...); err != nil {
		return fmt.Errorf("clear disk cache: %w", err)
	}
	c.serials = nil
	return nil
}

// list gives the segments, and refuses a directory that is not a cache's alone.
func list(dir string) (serials []uint32, marked bool, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, false, unusable(dir, err)
	}
	own := ""
	for _, e := range entries {
		name := e.Name()
		serial, segment := parseSegmentName(name)
		switch {
		case name == "lost+found":
		case !e.Type().IsRegular():
			return nil, false, foreign(dir, name)
		case name == markFile:
			marked = true
		case segment:
			own = name
			serials = append(serials, serial)
		case name == dropsFile, name == dropsNext:
			own = name
		default:
			return nil, false, foreign(dir, name)
		}
	}
	if own != "" && !marked {
		return nil, false, foreign(dir, own)
	}
	return serials, marked, nil
}

func unusable(dir string, err error) error {
	return fmt.Errorf("disk cache in %s: %w: choose a directory that this user may write", dir, err)
}

func foreign(dir, name string) error {
	return fmt.Errorf("disk cache in %s: %w (%.60q): give the cache an empty directory", dir, ErrForeign, name)
}

func segmentName(serial uint32) string { return fmt.Sprintf("%08x", serial) + segmentSuffix }

func parseSegmentName(name string) (uint32, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != 8 || strings.ToLower(digits) != digits {
		return 0, false
	}
	serial, err := strconv.ParseUint(digits, 16, 32)
	return uint32(serial), err == nil
}

// held says whether the directory is still the one that was claimed.
func held(dir string, mark *os.File) bool {
	own, err := mark.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(filepath.Join(dir, markFile))
	return err == nil && os.SameFile(own, there)
}
