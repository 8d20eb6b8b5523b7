// Package proc is what the benchmarks need of processes: what they use, from Linux's /proc, and their start on a core
// of their own.
package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process and its descendants have used.
type Usage struct {
	At  time.Time
	CPU time.Duration // user and system time
	// RSS, PSS and Shmem, the part of PSS that is shared memory, are bytes.
	RSS, PSS, Shmem int64
	// MemoryFiles are the bytes of memory files (memfd), each counted once, mapped or not.
	MemoryFiles int64
	Descriptors int
}

// Memory is all memory that the processes hold: their proportional set, with memory files whole although no page of
// them need be mapped. Pages of files on disk that the kernel keeps are not in it.
func (u Usage) Memory() int64 { return u.PSS - u.Shmem + max(u.Shmem, u.MemoryFiles) }

// CPUOf sums up the time of a process and its descendants. It is cheap, so that it may be asked while load is measured.
func CPUOf(pid int) (Usage, error) {
	u := Usage{At: time.Now()}
	pids, err := family(pid)
	if err != nil {
		return u, err
	}
	for _, p := range pids {
		if err := u.addCPU(p); err != nil {
			return u, err
		}
	}
	return u, nil
}

// UsageOf sums up a process and its descendants. Reading their memory maps takes milliseconds.
func UsageOf(pid int) (Usage, error) {
	u := Usage{At: time.Now()}
	pids, err := family(pid)
	if err != nil {
		return u, err
	}
	seen := make(map[string]bool)
	for _, p := range pids {
		if err := u.addCPU(p); err != nil {
			return u, err
		}
		if err := u.addMemory(p); err != nil {
			return u, err
		}
		u.addDescriptors(p, seen)
	}
	return u, nil
}

// family gives a process and its descendants.
func family(pid int) ([]int, error) {
	parents := map[int]int{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	for _, name := range stats {
		fields := statOf(name)
		if len(fields) > 1 {
			child, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
			parents[child], _ = strconv.Atoi(fields[1])
		}
	}
	var pids []int
	for p := range parents {
		for up := p; up > 1; up = parents[up] {
			if up == pid {
				pids = append(pids, p)
				break
			}
		}
	}
	return pids, nil
}

// statOf gives the fields of /proc/PID/stat from the third, the state, on.
func statOf(name string) []string {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil // it has ended
	}
	return strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
}

func (u *Usage) addCPU(pid int) error {
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
		u.CPU += time.Duration(n) * tick
	}
	return nil
}

func (u *Usage) addMemory(pid int) error {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return nil // it has ended
	}
	sums := map[string]*int64{"Rss:": &u.RSS, "Pss:": &u.PSS, "Pss_Shmem:": &u.Shmem}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || sums[fields[0]] == nil {
			continue
		}
		kib, err := strconv.ParseInt(fields[1], 10, 64)
		if err != nil {
			return err
		}
		*sums[fields[0]] += kib << 10
	}
	return nil
}

// addDescriptors counts the open files, and the blocks of memory files among them, which seen names by inode.
func (u *Usage) addDescriptors(pid int, seen map[string]bool) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // it has ended
	}
	u.Descriptors += len(entries)
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		target, err := os.Readlink(name)
		if err != nil || !strings.HasPrefix(target, "/memfd:") {
			continue
		}
		inode, size, err := blocksOf(name)
		if err == nil && !seen[inode] {
			seen[inode] = true
			u.MemoryFiles += size
		}
	}
}
