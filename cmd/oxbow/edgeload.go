package main

import (
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// loadSpan is the time over which what an edge sends is averaged: segments come in bursts.
const loadSpan = 5

// edgeLoad measures an edge, once a beat, by one goroutine.
type edgeLoad struct {
	// busy gives requests so far, those under way, and bytes sent so far.
	busy func() (requests int64, open int, sent int64)

	requests int64
	asked    time.Time // when a request was known last to have come, or to be under way
	sent     [loadSpan + 1]int64
	at       [loadSpan + 1]time.Time
	next     int
}

// read measures now.
func (l *edgeLoad) read(now time.Time) media.Load {
	requests, open, sent := l.busy()
	if requests != l.requests || open > 0 {
		l.requests, l.asked = requests, now
	}
	oldest := (l.next + 1) % len(l.at)
	l.sent[l.next], l.at[l.next] = sent, now
	for l.at[oldest].IsZero() {
		oldest = (oldest + 1) % len(l.at)
	}
	load := media.Load{Viewers: open}
	if span := now.Sub(l.at[oldest]); span > 0 {
		load.BitsOut = int64(float64(sent-l.sent[oldest]) * 8 / span.Seconds())
	}
	l.next = (l.next + 1) % len(l.at)
	return load
}

// quiet says for how long nobody has asked anything.
func (l *edgeLoad) quiet(now time.Time) time.Duration { return now.Sub(l.asked) }

// over says by how much an edge sends more than it may.
func over(bits, capacity int64) string {
	if capacity == 0 || bits <= capacity {
		return ""
	}
	return fmt.Sprintf("sends %d %% of its capacity", bits*100/capacity)
}
