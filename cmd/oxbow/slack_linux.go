package main

import (
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// timerSlack is how late the kernel may end a sleep of the server's, so that it ends several at once.
	timerSlack = time.Millisecond
	// slackEnv is set for the program that begins anew.
	slackEnv = "OXBOW_TIMER_SLACK"
)

// allowTimerSlack begins the program anew with a timer slack of timerSlack, unless it has as much already. Nothing may
// be open, read or caught yet. Where it can't, the server costs more and does the same.
//
// The Go runtime watches system calls and timers on a thread of its own, which at a server's load sleeps for 20 us at a
// time (the kernel makes 70 of them): with streams that come as small pieces that alone is a sixth to a third of the
// server's time. A thread has its slack from the thread that made it, and the runtime makes that one before any of our
// code runs; so the slack must come from before the program (systemd's TimerSlackNSec= does the same).
func allowTimerSlack() {
	_, again := os.LookupEnv(slackEnv)
	_ = os.Unsetenv(slackEnv) // not for children
	slack, err := unix.PrctlRetInt(unix.PR_GET_TIMERSLACK, 0, 0, 0, 0)
	if again || err != nil || slack >= int(timerSlack) {
		return
	}
	self, err := os.Executable() // not /proc/self/exe: ps would call the server exe
	if err != nil {
		return
	}
	runtime.LockOSThread() // the slack is this thread's
	defer runtime.UnlockOSThread()
	if unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(timerSlack), 0, 0, 0) != nil {
		return
	}
	_ = syscall.Exec(self, os.Args, append(os.Environ(), slackEnv+"=1"))
}
