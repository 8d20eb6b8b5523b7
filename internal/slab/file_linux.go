package slab

import (
	"errors"
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// file is a memory file, mapped once and empty but for what is committed.
type file struct {
	fd      int
	mapping []byte
}

const (
	// minFile is the least address space that is worth having.
	minFile = 64 << 20
	// spread is the address space over the machine's memory: gaps between buffers cost nothing else.
	spread = 4
)

// openFile makes a memory file as large as the machine could ever need, or as the limits of this process let it be.
func openFile() (*file, error) {
	size := fileSize()
	if size < minFile {
		return nil, fmt.Errorf("map a memory file: no address space for %d bytes", int64(minFile))
	}
	fd, err := unix.MemfdCreate("oxbow-bodies", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // before Linux 6.3
		fd, err = unix.MemfdCreate("oxbow-bodies", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, fmt.Errorf("create a memory file: %w", err)
	}
	f := &file{fd: fd}
	for ; f.mapping == nil; size /= 2 {
		if size < minFile {
			err = fmt.Errorf("map a memory file: %w", err)
			break
		}
		if err = unix.Ftruncate(fd, size); err != nil {
			continue
		}
		f.mapping, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	}
	if f.mapping != nil {
		// A hole in a huge page would clear its bytes, and so those that are being sent, instead of taking the page away.
		if err = unix.Madvise(f.mapping, unix.MADV_NOHUGEPAGE); errors.Is(err, unix.EINVAL) {
			err = nil // a kernel without them
		}
		_ = unix.Madvise(f.mapping, unix.MADV_DONTDUMP) // or a core file has all bodies; not a matter of being right
	}
	if err == nil {
		if err = f.commit(0, pageBytes); err == nil {
			err = f.punch(0, pageBytes)
		}
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

// fileSize is what openFile asks for, in bytes.
func fileSize() int64 {
	var info unix.Sysinfo_t
	size := int64(64 << 30)
	if err := unix.Sysinfo(&info); err == nil {
		//nolint:unconvert // of systems of 32 bits it is another type
		size = int64(min(uint64(info.Totalram)*uint64(info.Unit)*spread, 4<<40))
	}
	size = min(max(size, 1<<30), math.MaxInt/8) &^ (pageBytes - 1)
	var limit unix.Rlimit
	// A file beyond its limit is answered with a signal that ends the process.
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &limit); err == nil && limit.Cur < uint64(size) {
		size = int64(limit.Cur) &^ (pageBytes - 1)
	}
	return size
}

// commit fills a run with pages. Without, a machine without memory would tell by a signal when they are written.
func (f *file) commit(at, n int64) error { return f.allocate(unix.FALLOC_FL_KEEP_SIZE, at, n) }

// punch takes a run's pages away.
func (f *file) punch(at, n int64) error {
	return f.allocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n)
}

func (f *file) allocate(mode uint32, at, n int64) error {
	for {
		// A signal, of which the runtime sends many, undoes it.
		if err := unix.Fallocate(f.fd, mode, at, n); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (f *file) close() {
	if f.mapping != nil {
		_ = unix.Munmap(f.mapping) // of a mapping of our own: can't fail
	}
	_ = unix.Close(f.fd)
}
