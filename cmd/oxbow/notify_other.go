//go:build !linux

package main

import (
	"log/slog"
	"time"
)

func openNotifier(*slog.Logger) *notifier { return nil }

func monotonic() time.Duration { return 0 }
