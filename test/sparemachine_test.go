package test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// spareMachine is a copy of this machine for what changes a system: an overlay in a mount namespace of its own, so that
// all of it goes with the process that holds it.
type spareMachine struct {
	tb     testing.TB
	holder *exec.Cmd
	root   string
}

// spareMounts makes it: $1 is an empty directory, $2 what is to be at /mnt.
const spareMounts = `
mount -t tmpfs spare "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay spare -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" "$1/root"
mount --rbind /dev "$1/root/dev"
mount --rbind /proc "$1/root/proc"
mount --bind "$2" "$1/root/mnt"
echo ready
exec cat
`

// startSpareMachine has a directory at /mnt. Nobody but root may mount.
func startSpareMachine(t *testing.T, shared string) *spareMachine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("root alone may mount")
	}
	needTool(t, "nsenter")
	m := &spareMachine{tb: t, root: filepath.Join(t.TempDir(), "root")}
	m.holder = exec.Command(needTool(t, "unshare"), "--mount", "--propagation", "private",
		"sh", "-euc", spareMounts, "sh", filepath.Dir(m.root), shared)
	m.holder.Stderr = os.Stderr
	held, err := m.holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := m.holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = held.Close() // cat ends, and with it the namespace
		_ = m.holder.Wait()
	})
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "ready\n" {
		t.Fatalf("this machine can't be copied: %q, %v", line, err)
	}
	return m
}

// do runs a shell's commands there, all of which must do.
func (m *spareMachine) do(commands string) string {
	m.tb.Helper()
	namespace := fmt.Sprintf("--mount=/proc/%d/ns/mnt", m.holder.Process.Pid)
	return run(m.tb, 3*time.Minute, "nsenter", namespace, "chroot", m.root, "/usr/bin/env", "-i",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive",
		"sh", "-euc", commands)
}

// wants runs commands and holds what they say against lines.
func (m *spareMachine) wants(commands string, lines ...string) {
	m.tb.Helper()
	if got, want := strings.TrimSpace(m.do(commands)), strings.Join(lines, "\n"); got != want {
		m.tb.Errorf("%s\nsays:\n%s\nwant:\n%s", commands, got, want)
	}
}
