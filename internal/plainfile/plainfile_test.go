package plainfile

import (
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestOnlyFilesAreOpened: what is no file is not there, and nobody waits for it.
func TestOnlyFilesAreOpened(t *testing.T) {
	t.Chdir(t.TempDir()) // a socket's name is short
	for _, dir := range []string{"root/dir", "outside"} {
		must(t, os.MkdirAll(dir, 0o700))
	}
	must(t, os.WriteFile("root/file", []byte("inside"), 0o600))
	must(t, os.WriteFile("outside/file", []byte("outside"), 0o600))
	must(t, unix.Mkfifo("root/pipe", 0o600))
	socket, err := net.Listen("unix", "root/socket")
	must(t, err)
	defer socket.Close()
	for name, to := range map[string]string{
		"out": "../outside/file", "absolute": "/etc/passwd", "device": "/dev/zero", "pipelink": "pipe", "loop": "loop",
		"nowhere": "gone", "in": "file", "in-dir": "dir", "out-dir": "../outside",
	} {
		must(t, os.Symlink(to, filepath.Join("root", name)))
	}
	root, err := os.OpenRoot("root")
	must(t, err)
	defer root.Close()
	read := func(f *os.File, err error) (string, error) {
		if err != nil {
			return "", err
		}
		defer f.Close()
		data, err := io.ReadAll(f)
		return string(data), err
	}
	for _, name := range []string{
		"dir", "pipe", "socket", "out", "absolute", "device", "pipelink", "loop", "nowhere", "in-dir", "out-dir", "gone", "in",
	} {
		text, err := read(Open(filepath.Join("root", name)))
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
		if name == "in" {
			continue
		}
		if text, err := read(OpenIn(root, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s in the root: %q, %v", name, text, err)
		}
		if _, err := StatIn(root, name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s in the root: %v", name, err)
		}
	}
	if text, err := read(OpenIn(root, "in")); text != "inside" || err != nil {
		t.Errorf("a link within the root: %q, %v", text, err)
	}
	if _, err := Open("root/out"); !errors.Is(err, ErrLink) {
		t.Errorf("the reason: %v", err)
	}
	if _, err := OpenIn(root, "out"); !errors.Is(err, ErrLink) {
		t.Errorf("the reason: %v", err)
	}
	for _, name := range []string{"out-dir/file", "../outside/file", "/etc/passwd"} {
		if text, err := read(OpenIn(root, name)); err == nil {
			t.Errorf("%s: %q", name, text)
		}
	}
	for _, open := range []func() (*os.File, error){
		func() (*os.File, error) { return Open("root/file") }, func() (*os.File, error) { return OpenIn(root, "file") },
		func() (*os.File, error) { return Open("root/out-dir/file") }, // links on the way are the caller's
	} {
		if text, err := read(open()); err != nil || text == "" {
			t.Errorf("a file: %q, %v", text, err)
		}
	}
}

// TestLeasedFileIsWaitedFor: an NFS server on this machine leases files to its clients; opening without waiting fails
// then, and is done again with waiting.
func TestLeasedFileIsWaitedFor(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(name, []byte("leased"), 0o600))
	tries := 0
	f, err := open(name, 0, func(flag int) (*os.File, error) {
		if tries++; flag&unix.O_NONBLOCK != 0 {
			return nil, &fs.PathError{Op: "open", Path: name, Err: unix.EAGAIN}
		}
		return os.OpenFile(name, flag, 0)
	})
	must(t, err)
	if tries != 2 {
		t.Errorf("%d tries", tries)
	}
	must(t, f.Close())
}
