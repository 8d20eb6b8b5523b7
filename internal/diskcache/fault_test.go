package diskcache

import (
	"bytes"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// device is where files are that have faults.
type device struct {
	room  atomic.Int64 // bytes that can be written yet
	fault atomic.Pointer[error]
	hang  chan struct{} // reads wait for it, if there is one
}

type faultyFile struct {
	file
	device *device
}

func (d *device) create(path string) (file, error) {
	if err := d.fault.Load(); err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: *err}
	}
	f, err := createFile(path)
	return &faultyFile{file: f, device: d}, err
}

func (f *faultyFile) WriteAt(b []byte, at int64) (int, error) {
	if err := f.device.fault.Load(); err != nil {
		return 0, &fs.PathError{Op: "write", Err: *err}
	}
	if left := f.device.room.Add(-int64(len(b))); left < 0 {
		f.device.room.Add(int64(len(b)))
		n, _ := f.file.WriteAt(b[:len(b)/2], at) // as much as there is room for
		return n, &fs.PathError{Op: "write", Err: syscall.ENOSPC}
	}
	return f.file.WriteAt(b, at)
}

func (f *faultyFile) ReadAt(b []byte, at int64) (int, error) {
	if f.device.hang != nil {
		<-f.device.hang
	}
	return f.file.ReadAt(b, at)
}

// journal collects what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(b)
}

func (j *journal) count(s string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), s)
}

func faulty(t *testing.T, dir string, d *device) (*Store, *journal) {
	t.Helper()
	j := &journal{}
	s, err := open(Config{Dir: dir, Bytes: minBytes}, d.create, slog.New(slog.NewTextHandler(j, nil)), prometheus.NewPedanticRegistry())
	if err != nil {
		t.Fatal(err)
	}
	return s, j
}

func TestFaultsOfTheDevice(t *testing.T) {
	cases := map[string]struct {
		err    error
		advice string
	}{
		"full":         {syscall.ENOSPC, "make room"},
		"quota":        {syscall.EDQUOT, "make room"},
		"input/output": {syscall.EIO, "look at the device"},
		"read-only":    {syscall.EROFS, "writable"},
		"forbidden":    {syscall.EACCES, "writable"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				d := &device{}
				d.room.Store(1 << 40)
				s, log := faulty(t, dir, d)
				defer mustClose(t, s)
				put(t, s, "first", "group", 900_000)
				put(t, s, "second", "group", 900_000)
				flush(t, s)
				d.fault.Store(&c.err)
				for i := range 20 {
					s.Put(fmt.Sprint(i), "group", nil, [][]byte{make([]byte, 1000)}, nil)
					time.Sleep(10 * time.Second)
				}
				if !want(t, s, "second", 900_000) {
					t.Error("what is there can't be read")
				}
				if log.count("level=WARN") != 1 || log.count(c.advice) != 1 {
					t.Errorf("warned otherwise than once: %s", log.text.String())
				}
				if testutil.ToFloat64(s.metrics.shed[shedPaused]) == 0 || testutil.ToFloat64(s.metrics.errors[actWrite]) == 0 {
					t.Error("nothing was counted")
				}
				d.fault.Store(nil)
				time.Sleep(2 * retryMax)
				put(t, s, "after", "group", 1000)
				flush(t, s)
				if !want(t, s, "after", 1000) || log.count("again") != 1 {
					t.Errorf("it does not go on when the fault is over: %s", log.text.String())
				}
			})
		})
	}
}

// TestFullDeviceKeepsWhatFits has a device that holds less than the bound allows.
func TestFullDeviceKeepsWhatFits(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &device{}
		d.room.Store(5 << 20)
		s, _ := faulty(t, dir, d)
		defer mustClose(t, s)
		_, size := names(t, dir)
		for i := range 200 {
			s.Put(fmt.Sprint(i), "group", []byte("meta of "+fmt.Sprint(i)), [][]byte{bodyOf(fmt.Sprint(i), 100_000)}, nil)
			time.Sleep(retryTime)
			_, now := names(t, dir)
			d.room.Add(max(0, size-now)) // what was removed is free
			size = now
		}
		kept := 0
		for i := range 200 {
			if want(t, s, fmt.Sprint(i), 100_000) {
				kept++
			}
		}
		if kept < 20 {
			t.Errorf("%d entries are there", kept)
		}
	})
}

func TestDirectoryRemovedWhileRunning(t *testing.T) {
	for _, how := range []string{"removed", "replaced by another's cache", "moved away and back"} {
		t.Run(how, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			synctest.Test(t, func(t *testing.T) {
				d := &device{}
				d.room.Store(1 << 40)
				s, log := faulty(t, dir, d)
				defer mustClose(t, s)
				put(t, s, "key", "group", 1000)
				put(t, s, "dropped", "dead", 1000)
				put(t, s, "away", "away", 1000)
				flush(t, s)
				s.Drop("dead")
				flush(t, s)
				if how == "moved away and back" {
					if err := os.Rename(dir, dir+".away"); err != nil {
						t.Fatal(err)
					}
				} else if err := os.RemoveAll(dir); err != nil {
					t.Fatal(err)
				}
				var other *Store
				if how == "replaced by another's cache" {
					other = mustOpen(t, Config{Dir: dir})
					put(t, other, "theirs", "group", 1000)
					flush(t, other)
				}
				time.Sleep(lookTime + 100*time.Millisecond)
				if want(t, s, "key", 1000) {
					t.Error("what is gone was read")
				}
				if s.Put("key", "group", nil, nil, nil) {
					t.Error("taken without a directory")
				}
				if log.count("level=WARN") != 1 || log.count("make the directory or mount it again") != 1 {
					t.Errorf("warned otherwise than once: %s", log.text.String())
				}
				s.Drop("away")
				if how == "moved away and back" {
					if err := os.Rename(dir+".away", dir); err != nil {
						t.Fatal(err)
					}
				}
				if other != nil {
					time.Sleep(3 * retryMax)
					if !want(t, other, "theirs", 1000) {
						t.Error("the other's cache was harmed")
					}
					mustClose(t, other)
				}
				time.Sleep(2 * retryMax)
				if how == "moved away and back" && !want(t, s, "key", 1000) {
					t.Error("what came back is not there")
				}
				if want(t, s, "dropped", 1000) || want(t, s, "away", 1000) {
					t.Error("what was dropped came back")
				}
				put(t, s, "new", "group", 1000)
				flush(t, s)
				if !want(t, s, "new", 1000) {
					t.Error("it does not go on")
				}
			})
		})
	}
}

func TestDeviceThatHangsIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := &device{hang: make(chan struct{})}
		d.room.Store(1 << 40)
		s, log := faulty(t, dir, d)
		defer mustClose(t, s)
		put(t, s, "key", "group", 1000)
		flush(t, s)
		begun := time.Now()
		if want(t, s, "key", 1000) || time.Since(begun) != s.config.ReadTimeout {
			t.Errorf("waited %s", time.Since(begun))
		}
		begun = time.Now()
		if want(t, s, "key", 1000) || time.Since(begun) != 0 {
			t.Errorf("waited %s again", time.Since(begun))
		}
		if log.count("level=WARN") != 1 {
			t.Errorf("warned otherwise than once: %s", log.text.String())
		}
		close(d.hang)
		time.Sleep(deafTime)
		if !want(t, s, "key", 1000) {
			t.Error("it is not read when it answers again")
		}
	})
}

// TestReadersWhileSegmentsLeave reads what is being evicted: right bytes, or a miss.
func TestReadersWhileSegmentsLeave(t *testing.T) {
	s := mustOpen(t, Config{Dir: t.TempDir()})
	body := make([][]byte, 40)
	for i := range body {
		body[i] = bodyOf(fmt.Sprint("body", i), 300_000)
	}
	var group sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				n := i % len(body)
				v, ok := s.Get(t.Context(), fmt.Sprint(n), heap)
				if ok && !bytes.Equal(bytes.Join(v.Body, nil), body[n]) {
					t.Error("wrong bytes")
					return
				}
			}
		})
	}
	for i := range 200 {
		n := i % len(body)
		s.Put(fmt.Sprint(n), "group", nil, [][]byte{body[n]}, nil)
		if i%8 == 0 {
			flush(t, s)
		}
		if i%30 == 0 {
			s.Drop("group")
		}
	}
	close(stop)
	group.Wait()
	if errs := testutil.ToFloat64(s.metrics.corrupt) + testutil.ToFloat64(s.metrics.errors[actRead]); errs != 0 {
		t.Errorf("%v entries could not be read", errs)
	}
}
