package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// notifier tells a service manager of systemd's kind how the process fares (sd_notify(3)). Without a NOTIFY_SOCKET it
// tells nobody, and touches no signal.
//
// READY=1 is told once the process listens and its parts run, which is not /readyz: an edge whose directory does not
// answer yet is up, and says in /readyz that no viewer should be sent to it. Else a machine that boots before the rest
// of its cluster would be held up, or its services started over and over.
type notifier struct {
	send     func(state string) error
	watchdog time.Duration // the interval to tell within that the process lives; 0: nobody watches
	logger   *slog.Logger
}

// running tells that the process is up, and from then on that it lives, until the returned function is called, which
// tells that it stops; the watchdog is fed until the end of the process, since a drain takes longer than its interval.
func (n *notifier) running(ctx context.Context) (stopping func()) {
	if n == nil {
		return func() {}
	}
	n.tell("READY=1\nSTATUS=up")
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	done := make(chan struct{})
	go func() {
		defer signal.Stop(hangup)
		n.follow(context.WithoutCancel(ctx), hangup, done)
	}()
	return func() {
		n.tell("STOPPING=1\nSTATUS=draining")
		close(done)
	}
}

// follow answers SIGHUP until done, and feeds the watchdog until ctx ends, which is never outside tests. What is read
// anew is read by those who use it: the access log begins a new file; certificates and secrets need no signal.
func (n *notifier) follow(ctx context.Context, hangup <-chan os.Signal, done <-chan struct{}) {
	var beat <-chan time.Time
	if n.watchdog > 0 {
		ticker := time.NewTicker(n.watchdog / 2)
		defer ticker.Stop()
		beat = ticker.C
	}
	for {
		select {
		case <-beat:
			n.tell("WATCHDOG=1")
		case <-hangup:
			n.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic().Microseconds()))
			n.logger.InfoContext(ctx, "SIGHUP: the access log begins a new file; nothing else needs it")
			n.tell("READY=1")
		case <-done:
			if beat == nil {
				return
			}
			done = nil // a signal that comes now is still not to end the process
		case <-ctx.Done():
			return
		}
	}
}

func (n *notifier) tell(state string) {
	if err := n.send(state); err != nil {
		n.logger.Warn("tell the service manager", "state", state, "err", err)
	}
}
