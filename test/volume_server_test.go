package test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// faultVolume is a file system on a server of this process, as NFS is on another machine's: it can hang, be slow, full
// or read-only, for who has files open too, and be all of that from one moment to the next. It speaks FUSE's protocol
// (include/uapi/linux/fuse.h) and keeps the files in a directory beside. A process that hangs in it can be killed.
type faultVolume struct {
	tb   testing.TB
	dir  string // where it is mounted
	back string // where its files are
	fd   int
	ends sync.WaitGroup

	mu     sync.Mutex
	going  chan struct{} // nil: it does not hang
	errno  syscall.Errno // what changes meet
	full   bool
	used   float64 // fraction that statfs tells; zero is a half
	rate   int64   // bytes in a second, both ways together; zero is as fast as can be
	free   time.Time
	closed bool

	nodes   map[uint64]*volumeNode
	names   map[volumeName]uint64
	files   map[uint64]*os.File
	counter uint64
}

type volumeName struct {
	parent uint64
	name   string
}

type volumeNode struct {
	volumeName
	gone bool       // its name is another's or nobody's
	open []*os.File // a file without a name still has a size
}

const fuseRoot = 1

// newFaultVolume mounts a volume at dir, which is made, or skips the test.
func newFaultVolume(tb testing.TB, dir string) *faultVolume {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("mounting needs root")
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		tb.Skipf("open /dev/fuse: %v", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	v := &faultVolume{
		tb: tb, dir: dir, back: tb.TempDir(), fd: fd,
		nodes: map[uint64]*volumeNode{fuseRoot: {}}, names: map[volumeName]uint64{}, files: map[uint64]*os.File{},
		counter: fuseRoot,
	}
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("oxbow-fault", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		_ = unix.Close(fd)
		tb.Skipf("mount: %v", err)
	}
	v.ends.Go(v.serve)
	tb.Cleanup(func() {
		v.heal()
		// Force answers what is under way with an error.
		if err := unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH); err != nil {
			tb.Errorf("umount: %v", err)
		}
		v.mu.Lock()
		v.closed = true
		v.mu.Unlock()
		v.ends.Wait()
		_ = unix.Close(fd)
		for _, f := range v.files {
			_ = f.Close()
		}
	})
	if err := v.refusePolls(); err != nil {
		tb.Fatalf("a first poll of the volume: %v", err)
	}
	return v
}

// refusePolls has the kernel learn that files of the volume cannot be polled. Else os.Open asks for it first, in a call that
// Go's scheduler takes for a short one: a collection of garbage that begins meanwhile waits for its end with everything
// stopped, so for an answer of the server in this process.
func (v *faultVolume) refusePolls() error {
	name := filepath.Join(v.dir, ".poll")
	fd, err := unix.Open(name, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
	return errors.Join(err, unix.Close(fd), unix.Unlink(name))
}

// hang has every call wait from now on.
func (v *faultVolume) hang() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.going == nil {
		v.going = make(chan struct{})
	}
}

// fail has every change meet an error from now on.
func (v *faultVolume) fail(errno syscall.Errno) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.errno, v.full = errno, errno == syscall.ENOSPC
}

// fill has who asks for the room told that a fraction of it is used; what is written is taken all the same.
func (v *faultVolume) fill(used float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.used = used
}

// throttle makes the volume slow.
func (v *faultVolume) throttle(bytesPerSecond int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rate, v.free = bytesPerSecond, time.Now()
}

// heal ends all of it.
func (v *faultVolume) heal() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.errno, v.full, v.rate, v.used = 0, false, 0, 0
	if v.going != nil {
		close(v.going)
		v.going = nil
	}
}

// serve answers requests. While the volume hangs they are not even read: the kernel lets who waits for a request that
// was not read be killed.
func (v *faultVolume) serve() {
	buffer := make([]byte, 256<<10)
	poll := []unix.PollFd{{Fd: int32(v.fd), Events: unix.POLLIN}}
	for {
		v.mu.Lock()
		going, closed := v.going, v.closed
		v.mu.Unlock()
		if closed {
			return
		}
		if going != nil {
			<-going
			continue
		}
		if n, err := unix.Poll(poll, 20); n <= 0 || err != nil {
			continue
		}
		v.mu.Lock()
		hangs := v.going != nil
		v.mu.Unlock()
		if hangs {
			continue
		}
		n, err := unix.Read(v.fd, buffer)
		if errors.Is(err, unix.ENODEV) {
			return // unmounted
		}
		if err != nil || n < 40 {
			continue
		}
		r := volumeRequest{
			code: binary.LittleEndian.Uint32(buffer[4:]), unique: binary.LittleEndian.Uint64(buffer[8:]),
			node: binary.LittleEndian.Uint64(buffer[16:]), body: bytes.Clone(buffer[40:n]),
		}
		v.ends.Go(func() { v.answer(r) })
	}
}

type volumeRequest struct {
	code         uint32
	unique, node uint64
	body         []byte
}

func (r *volumeRequest) u32(at int) uint32 { return binary.LittleEndian.Uint32(r.body[at:]) }
func (r *volumeRequest) u64(at int) uint64 { return binary.LittleEndian.Uint64(r.body[at:]) }

// name gives the n-th of the names behind a header.
func (r *volumeRequest) name(at, n int) string {
	return string(bytes.Split(r.body[at:], []byte{0})[n])
}

func (v *faultVolume) answer(r volumeRequest) {
	data, err := v.perform(&r)
	if data == nil && err == nil && (r.code == opForget || r.code == opBatchForget || r.code == opInterrupt) {
		return
	}
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		errno = syscall.EIO
	}
	out := binary.LittleEndian.AppendUint32(nil, uint32(16+len(data)))
	out = binary.LittleEndian.AppendUint32(out, uint32(-int32(errno)))
	out = binary.LittleEndian.AppendUint64(out, r.unique)
	_, _ = unix.Write(v.fd, append(out, data...)) // who asked may be gone
}

// The protocol's calls.
const (
	opLookup, opForget, opGetattr, opSetattr                   = 1, 2, 3, 4
	opMkdir, opUnlink, opRmdir, opRename                       = 9, 10, 11, 12
	opOpen, opRead, opWrite, opStatfs, opRelease, opFsync      = 14, 15, 16, 17, 18, 20
	opInit, opOpendir, opReaddir, opReleasedir, opFsyncdir     = 26, 27, 28, 29, 30
	opCreate, opInterrupt, opDestroy, opBatchForget, opRename2 = 35, 36, 38, 42, 45
)

func (v *faultVolume) perform(r *volumeRequest) ([]byte, error) {
	switch r.code {
	case opSetattr, opMkdir, opUnlink, opRmdir, opRename, opRename2, opWrite, opCreate:
		v.mu.Lock()
		errno := v.errno
		v.mu.Unlock()
		removes := r.code == opUnlink || r.code == opRmdir || r.code == opSetattr
		if errno != 0 && (errno != syscall.ENOSPC || !removes) {
			return nil, errno
		}
	}
	switch r.code {
	case opInit:
		out := make([]byte, 64)
		for i, n := range []uint32{7, 31, 128 << 10, 1 << 5} { // big writes
			binary.LittleEndian.PutUint32(out[4*i:], n)
		}
		binary.LittleEndian.PutUint16(out[16:], 64)
		binary.LittleEndian.PutUint16(out[18:], 48)
		binary.LittleEndian.PutUint32(out[20:], 128<<10)
		binary.LittleEndian.PutUint32(out[24:], 1)
		return out, nil
	case opForget, opBatchForget, opInterrupt:
		return nil, nil
	case opDestroy:
		return nil, nil
	case opStatfs:
		return v.statfs()
	case opLookup:
		return v.entry(r.node, r.name(0, 0))
	case opGetattr, opSetattr:
		return v.attributes(r)
	case opMkdir:
		path, err := v.path(r.node, r.name(8, 0))
		if err == nil {
			err = os.Mkdir(path, os.FileMode(r.u32(0)&0o777))
		}
		if err != nil {
			return nil, err
		}
		return v.entry(r.node, r.name(8, 0))
	case opUnlink, opRmdir:
		return nil, v.remove(r.node, r.name(0, 0))
	case opRename:
		return nil, v.rename(volumeName{r.node, r.name(8, 0)}, volumeName{r.u64(0), r.name(8, 1)})
	case opRename2:
		if r.u32(8) != 0 {
			return nil, syscall.EINVAL
		}
		return nil, v.rename(volumeName{r.node, r.name(16, 0)}, volumeName{r.u64(0), r.name(16, 1)})
	}
	return v.performOnFile(r)
}

func (v *faultVolume) performOnFile(r *volumeRequest) ([]byte, error) {
	switch r.code {
	case opOpen, opOpendir:
		path, err := v.path(r.node, "")
		if err != nil {
			return nil, err
		}
		return v.open(path, int(r.u32(0)), r.node)
	case opCreate:
		path, err := v.path(r.node, r.name(16, 0))
		if err != nil {
			return nil, err
		}
		made, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|int(r.u32(0))&(os.O_EXCL|os.O_TRUNC), 0o644)
		if err = errors.Join(err, made.Close()); err != nil {
			return nil, err
		}
		entry, err := v.entry(r.node, r.name(16, 0))
		if err != nil {
			return nil, err
		}
		opened, err := v.open(path, int(r.u32(0)), binary.LittleEndian.Uint64(entry))
		return append(entry, opened...), err
	case opRelease, opReleasedir:
		v.mu.Lock()
		f := v.files[r.u64(0)]
		delete(v.files, r.u64(0))
		if n := v.nodes[r.node]; n != nil {
			n.open = slices.DeleteFunc(n.open, func(open *os.File) bool { return open == f })
		}
		v.mu.Unlock()
		return nil, f.Close()
	}
	switch r.code {
	case opRead, opReaddir, opWrite, opFsync, opFsyncdir:
	default:
		return nil, syscall.ENOSYS
	}
	v.mu.Lock()
	f := v.files[r.u64(0)]
	v.mu.Unlock()
	if f == nil {
		return nil, syscall.EBADF
	}
	switch r.code {
	case opRead:
		out := make([]byte, r.u32(16))
		n, err := f.ReadAt(out, int64(r.u64(8)))
		if errors.Is(err, io.EOF) {
			err = nil
		}
		v.spend(n)
		return out[:n], err
	case opReaddir:
		return v.list(f, r.u64(8), int(r.u32(16)))
	case opWrite:
		data := r.body[40:]
		v.spend(len(data))
		n, err := f.WriteAt(data, int64(r.u64(8)))
		return binary.LittleEndian.AppendUint64(nil, uint64(n)), err
	}
	return nil, nil // nothing here outlives the machine
}

// spend waits as long as so many bytes take.
func (v *faultVolume) spend(n int) {
	v.mu.Lock()
	if v.rate == 0 {
		v.mu.Unlock()
		return
	}
	if now := time.Now(); v.free.Before(now) {
		v.free = now
	}
	v.free = v.free.Add(time.Duration(n) * time.Second / time.Duration(v.rate))
	done := time.NewTimer(time.Until(v.free))
	v.mu.Unlock()
	<-done.C
}
