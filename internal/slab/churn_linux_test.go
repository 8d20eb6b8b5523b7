package slab

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkChurn fills bodies in place of those before, 250 MB of them a second with 128 MiB alive, from the arena and
// from the heap. It says what CPU a body takes, collections included, and what the process has resident for every byte
// that is alive; run one at a time, for a process keeps what the one before took. Sent bodies are those that were named
// to the kernel.
func BenchmarkChurn(b *testing.B) {
	const alive, perTick, tick = 128 << 20, 1 << 20, 4 * time.Millisecond
	for _, size := range []int{8 << 10, 16 << 10, 32 << 10, 60 << 10, 200 << 10, 1 << 20} {
		for _, from := range []string{"heap", "arena", "sent"} {
			b.Run(fmt.Sprintf("%dKB/%s", size>>10, from), func(b *testing.B) {
				runtime.GC()
				a := New()
				a.least = 1
				get := a.Get
				if from == "heap" {
					get = Heap
				}
				live := make([]Piece, alive/size)
				body := make([]byte, size)
				i := 0
				fill := func() {
					buf := get(size)
					copy(buf.Bytes(), body)
					if from == "sent" {
						buf.File()
					}
					live[i%len(live)] = Piece{Buffer: buf, Data: buf.Bytes()[:size]}
					i++
				}
				for range live {
					fill()
				}
				var worst int64
				clock := time.NewTicker(tick)
				defer clock.Stop()
				cpu := used(b)
				for b.Loop() {
					fill()
					if i%(perTick/size) == 0 {
						<-clock.C
					}
					if i%(16*perTick/size) == 0 {
						worst = max(worst, resident(b))
					}
				}
				b.ReportMetric(float64((used(b)-cpu).Nanoseconds())/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(worst)/alive, "resident/alive")
				b.ReportMetric(float64(a.Stats().Collections), "collections")
				runtime.KeepAlive(live)
			})
		}
	}
}

// used is the process's CPU time.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// resident is the process's resident memory.
func resident(b *testing.B) int64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		b.Skip(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return pages * pageBytes
}
