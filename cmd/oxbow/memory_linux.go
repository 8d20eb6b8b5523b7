package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
)

// memoryLeast is the share of the machine's memory, in percent, below which what is available is held to be short.
const memoryLeast = 3

// memoryTrouble says that the machine is about to run out of memory.
func memoryTrouble() string {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return ""
	}
	return shortOfMemory(text)
}

// shortOfMemory reads /proc/meminfo.
func shortOfMemory(text []byte) string {
	var total, available int64 = 0, -1
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		var kib int64
		if n, _ := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kib); n == 1 {
			total = kib
		} else if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kib); n == 1 {
			available = kib
		}
	}
	if available < 0 || available*100 >= total*memoryLeast {
		return ""
	}
	return fmt.Sprintf("%d MiB of memory are left", available>>10)
}
