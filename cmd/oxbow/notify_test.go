package main

import (
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestNotifierFeedsTheWatchdogWhileItDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		n := &notifier{watchdog: 10 * time.Second, logger: slog.New(slog.DiscardHandler), send: func(state string) error {
			told = append(told, strings.SplitN(state, "\n", 2)[0])
			return nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		hangup, done := make(chan os.Signal, 1), make(chan struct{})
		go n.follow(ctx, hangup, done)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		hangup <- syscall.SIGHUP
		synctest.Wait()
		close(done)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		cancel()
		synctest.Wait()
		want := []string{"WATCHDOG=1", "WATCHDOG=1", "RELOADING=1", "READY=1", "WATCHDOG=1", "WATCHDOG=1"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

func TestNotifierWithoutAWatchdogEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &notifier{logger: slog.New(slog.DiscardHandler), send: func(string) error { return nil }}
		done := make(chan struct{})
		go n.follow(t.Context(), make(chan os.Signal), done)
		close(done)
		synctest.Wait() // it would be left over otherwise, which the bubble refuses
	})
}

func TestNobodyIsNotified(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	if n := openNotifier(slog.New(slog.DiscardHandler)); n != nil {
		t.Error("a notifier without a service manager")
	}
	var none *notifier
	none.running(t.Context())() // does nothing
}
