package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// openNotifier gives nil where no service manager listens.
func openNotifier(logger *slog.Logger) *notifier {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		logger.Warn("the service manager's watchdog is left out", "err", err)
		watchdog = 0
	}
	return &notifier{watchdog: watchdog, logger: logger, send: func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}}
}

// monotonic is the clock that the service manager compares a reload's beginning with.
func monotonic() time.Duration {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		panic("BUG: the monotonic clock: " + err.Error())
	}
	return time.Duration(now.Nano())
}
