package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a process and its children have used.
type usage struct {
	at       time.Time
	cpu      time.Duration
	rss, pss int64 // bytes
}

// usageOf sums up a process and its descendants.
func usageOf(pid int) (usage, error) {
	u := usage{at: time.Now()}
	parents := map[int]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return u, err
	}
	for _, name := range stats {
		fields := statOf(name)
		if len(fields) > 1 {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			parents[child], _ = strconv.Atoi(fields[1])
		}
	}
	for p := range parents {
		for up := p; up > 1; up = parents[up] {
			if up == pid {
				if err := u.add(p); err != nil {
					return u, err
				}
				break
			}
		}
	}
	return u, nil
}

// statOf gives the fields of /proc/PID/stat from the third, the state, on.
func statOf(name string) []string {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil // it has ended
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

func (u *usage) add(pid int) error {
	const tick = time.Second / 100 // USER_HZ, the same on every Linux that counts
	fields := statOf(fmt.Sprintf("/proc/%d/stat", pid))
	if len(fields) < 22 {
		return nil
	}
	for _, field := range fields[11:13] { // utime, stime
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return err
		}
		u.cpu += time.Duration(n) * tick
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return nil // it has ended
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "Rss:" && fields[0] != "Pss:" {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return err
		}
		if fields[0] == "Rss:" {
			u.rss += kib << 10
		} else {
			u.pss += kib << 10
		}
	}
	return nil
}

// receiveQueue gives the most bytes that wait in one socket of a local port.
func receiveQueue(protocol string, port int) (int64, error) {
	table := "/proc/net/tcp"
	if protocol == "srt" {
		table = "/proc/net/udp"
	}
	file, err := os.Open(table)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }()
	local, most := fmt.Sprintf(":%04X", port), int64(0)
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		// sl local_address rem_address st tx_queue:rx_queue ...; of a listener (0A) it is the accept queue.
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || !strings.HasSuffix(fields[1], local) || fields[3] == "0A" {
			continue
		}
		_, queue, _ := strings.Cut(fields[4], ":")
		n, err := strconv.ParseInt(queue, 16, 64)
		if err != nil {
			return 0, err
		}
		most = max(most, n)
	}
	return most, lines.Err()
}
