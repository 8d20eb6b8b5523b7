package thumbnail

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"
)

// memoryLimit is what an ffmpeg may have of address space: pictures of 8K, and its libraries.
const memoryLimit = 3 << 30

// limit bounds a process that leads its group and has not been given anything to do yet.
func limit(pid int, cpu time.Duration) error {
	set := func(resource int, value uint64) error {
		return unix.Prlimit(pid, resource, &unix.Rlimit{Cur: value, Max: value}, nil)
	}
	return errors.Join(
		unix.Setpriority(unix.PRIO_PGRP, pid, 19),
		set(unix.RLIMIT_CPU, uint64(cpu/time.Second)+1),
		set(unix.RLIMIT_AS, memoryLimit),
		set(unix.RLIMIT_FSIZE, 0),
		set(unix.RLIMIT_CORE, 0),
	)
}
