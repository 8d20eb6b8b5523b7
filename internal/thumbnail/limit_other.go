//go:build !linux

package thumbnail

import (
	"syscall"
	"time"
)

// limit bounds a process that leads its group, as far as this system lets another process do so.
func limit(pid int, _ time.Duration) error { return syscall.Setpriority(syscall.PRIO_PGRP, pid, 19) }
