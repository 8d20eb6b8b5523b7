package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of the room that is left, below which a node is near the pressure ladder.
const (
	failRoom   = 1 << 30
	warnRoom   = 10 << 30
	warnInodes = 10_000
)

// What is written for the speed: pieces as large as a segment's part, each synced.
const (
	speedPiece  = 128 << 10
	speedPieces = 48
	slowSync    = 200 * time.Millisecond
)

const doVolume = "use a local disk or NFS 4 that is mounted as the README says"

// scratch is a directory of the checks' own.
type scratch struct {
	dir    string
	report *Report
}

// checkDirectory does what recordings do to their directory, in a hidden directory of its own.
func checkDirectory(ctx context.Context, r *Report, cfg Config) {
	dir := cfg.Recordings
	if dir == "" {
		return
	}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		r.add(Warn, "directory", "make it, or let the first node make it, and run doctor again", "%s is not there", dir)
		return
	case err != nil:
		r.add(Fail, "directory", "let the user of oxbow enter it", "%s", reason(err))
		return
	case !info.IsDir():
		r.add(Fail, "directory", "name a directory with --recordings", "%s is a file", dir)
		return
	}
	checkHolder(r, cfg)
	checkFileSystem(r, dir)
	s := scratch{filepath.Join(dir, ".oxbow-doctor-"+rand.Text()), r}
	if err := os.Mkdir(s.dir, 0o750); err != nil {
		r.add(Fail, "directory create", fmt.Sprintf("let user %d write in %s", os.Geteuid(), dir), "%s", reason(err))
		return
	}
	defer func() {
		if err := os.RemoveAll(s.dir); err != nil {
			r.add(Warn, "directory", "remove it by hand", "%s", reason(err))
		}
	}()
	for _, c := range []struct {
		name string
		run  func() error
		text string
	}{
		{"directory create", s.exclusive, "a name is created once"},
		{"directory append", s.append, "bytes at an offset are seen by another descriptor"},
		{"directory rename", s.rename, "a rename replaces an open file at once, and its reader keeps the old one"},
		{"directory sync", s.sync, "files and directories sync"},
	} {
		if err := c.run(); err != nil {
			r.add(Fail, c.name, doVolume, "%s", reason(err))
			continue
		}
		r.ok(c.name, "%s", c.text)
	}
	if cfg.LockElsewhere != nil {
		s.lock(ctx, cfg.LockElsewhere)
	}
	s.speed(ctx)
}

// checkHolder tells of a server that keeps a cluster's nodes out.
func checkHolder(r *Report, cfg Config) {
	const name = "directory holder"
	if cfg.Holder == nil {
		return
	}
	holder, err := cfg.Holder(cfg.Recordings)
	switch {
	case err != nil:
		r.add(Warn, name, "let the user of oxbow read its lock", "%s", reason(err))
	case holder != "" && cfg.Shared:
		r.add(Fail, name, "stop it, or give the cluster another directory",
			"%s has it for itself, as oxbow serve does: no node of a cluster starts there", holder)
	case holder != "":
		r.ok(name, "%s has it for itself, as oxbow serve does", holder)
	default:
		r.ok(name, "nobody has it for itself")
	}
}

func (s scratch) path(name string) string { return filepath.Join(s.dir, name) }

func (s scratch) exclusive() error {
	create := func() error {
		f, err := os.OpenFile(s.path("once"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o640)
		if err != nil {
			return err
		}
		return f.Close()
	}
	if err := create(); err != nil {
		return err
	}
	if err := create(); !errors.Is(err, fs.ErrExist) {
		return errors.Join(errors.New("a file was created a second time"), err)
	}
	if err := os.Mkdir(s.path("dir"), 0o750); err != nil {
		return err
	}
	if err := os.Mkdir(s.path("dir"), 0o750); !errors.Is(err, fs.ErrExist) {
		return errors.Join(errors.New("a directory was made a second time"), err)
	}
	return nil
}

func (s scratch) append() (err error) {
	f, err := os.OpenFile(s.path("append"), os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	reader, err := os.Open(s.path("append"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	got, offset := make([]byte, 4096), int64(0)
	for i := range 16 {
		want := bytes.Repeat([]byte{byte(i + 1)}, len(got))
		if _, err := f.WriteAt(want, offset); err != nil {
			return err
		}
		if n, err := reader.ReadAt(got, offset); n < len(got) || !bytes.Equal(got, want) {
			return errors.Join(err, fmt.Errorf(
				"a second descriptor read %d of the %d bytes that were written at %d, or others", n, len(want), offset))
		}
		offset += int64(len(want))
	}
	if err := f.Truncate(offset / 2); err != nil {
		return err
	}
	info, err := os.Stat(s.path("append"))
	if err == nil && info.Size() != offset/2 {
		err = fmt.Errorf("a file that was cut at %d has %d bytes", offset/2, info.Size())
	}
	return err
}

func (s scratch) rename() (err error) {
	if err := os.WriteFile(s.path("old"), []byte("old"), 0o640); err != nil {
		return err
	}
	if err := os.WriteFile(s.path("new"), []byte("new"), 0o640); err != nil {
		return err
	}
	reader, err := os.Open(s.path("old"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	if err := os.Rename(s.path("new"), s.path("old")); err != nil {
		return err
	}
	if data, err := os.ReadFile(s.path("old")); err != nil || string(data) != "new" {
		return errors.Join(fmt.Errorf("after a rename the name gives %q", data), err)
	}
	data := make([]byte, 3)
	if _, err := reader.ReadAt(data, 0); err != nil || string(data) != "old" {
		return errors.Join(fmt.Errorf("after a rename the open file gives %q", data), err)
	}
	return nil
}

func (s scratch) sync() (err error) {
	f, err := os.OpenFile(s.path("sync"), os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return err
	}
	if _, err = f.Write([]byte("sync")); err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// lock checks that a lock which is held here is refused to another process, and given to it afterwards.
func (s scratch) lock(ctx context.Context, elsewhere func(context.Context, string) (bool, error)) {
	const name, do = "directory lock", "mount NFS without nolock, and let the server's lockd through"
	f, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o640)
	if err == nil {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		s.report.add(Fail, name, do, "%s", reason(err))
		return
	}
	defer f.Close()
	while, err := elsewhere(ctx, f.Name())
	if err == nil && !while {
		err = unix.Flock(int(f.Fd()), unix.LOCK_UN)
	}
	var after bool
	if err == nil && !while {
		after, err = elsewhere(ctx, f.Name())
	}
	switch {
	case err != nil:
		s.report.add(Warn, name, "look at the error, and run doctor again", "%s", reason(err))
	case while:
		s.report.add(Fail, name, do, "two processes have the same lock: two nodes would write one recording")
	case !after:
		s.report.add(Fail, name, do, "a lock that was given up is refused to another process")
	default:
		s.report.ok(name, "a lock keeps another process out")
	}
}

// ProbeLock tries to lock a file, for Config.LockElsewhere.
func ProbeLock(file string) (got bool, err error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, f.Close()
	}
	return err == nil, errors.Join(err, f.Close())
}

// speed writes as recordings do and tells how long syncs take.
func (s scratch) speed(ctx context.Context) {
	const name = "directory speed"
	took, err := s.write(ctx)
	if err != nil {
		s.report.add(Fail, name, "make room, or look at the volume", "%s", reason(err))
		return
	}
	total := time.Duration(0)
	for _, d := range took {
		total += d
	}
	slices.Sort(took)
	p50, most := took[len(took)/2], took[len(took)-1]
	text := fmt.Sprintf("%.0f MB/s synced in pieces of %d KiB; a write and sync takes %v p50, %v at most",
		float64(speedPiece*len(took))/1e6/max(total.Seconds(), 1e-6), speedPiece>>10,
		p50.Round(10*time.Microsecond), most.Round(10*time.Microsecond))
	if most > slowSync {
		s.report.add(Warn, name, "segments may be listed late under --sync part; look for what else uses the volume",
			"%s", text)
		return
	}
	s.report.ok(name, "%s", text)
}

func (s scratch) write(ctx context.Context) (took []time.Duration, err error) {
	f, err := os.OpenFile(s.path("speed"), os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	piece := make([]byte, speedPiece)
	_, _ = rand.Read(piece)
	for i := range speedPieces {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		begun := time.Now()
		if _, err := f.WriteAt(piece, int64(i)*speedPiece); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(begun))
	}
	return took, nil
}
