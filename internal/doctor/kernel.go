package doctor

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limits of open files: a viewer has a connection or two, a growing track two files.
const (
	failFiles = 4096
	warnFiles = 65536
)

func checkKernel(r *Report, receiveBuffer int) {
	if receiveBuffer > 0 {
		text, err := os.ReadFile("/proc/sys/net/core/rmem_max")
		most, parseErr := strconv.Atoi(strings.TrimSpace(string(text)))
		checkReceive(r, receiveBuffer, most, errors.Join(err, parseErr))
	}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		r.add(Warn, "kernel files", "look with ulimit -n", "%s", reason(err))
		return
	}
	checkFiles(r, limit.Max) // the soft limit is raised to the hard one at start
}

func checkReceive(r *Report, want, most int, err error) {
	const name = "kernel rmem_max"
	switch do := "sysctl -w net.core.rmem_max=" + strconv.Itoa(want) + ", and the same in /etc/sysctl.d"; {
	case err != nil:
		r.add(Warn, name, do, "it can't be read: %s", reason(err))
	case most < want:
		r.add(Warn, name, do, "%d bytes: SRT asks for %d, and loses packets in bursts with less", most, want)
	default:
		r.ok(name, "%d bytes, SRT asks for %d", most, want)
	}
}

func checkFiles(r *Report, most uint64) {
	const name = "kernel files"
	switch do := "raise it: LimitNOFILE=1048576 in the unit, or ulimits of the container"; {
	case most < failFiles:
		r.add(Fail, name, do, "%d open files at most", most)
	case most < warnFiles:
		r.add(Warn, name, do, "%d open files at most: each viewer's connection is one", most)
	default:
		r.ok(name, "%d open files at most", most)
	}
}
