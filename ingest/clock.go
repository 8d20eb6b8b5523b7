package ingest

import "time"

// clock unwraps RTMP's timestamps: milliseconds in 32 bits, which wrap every 49.7 days. One clock serves all tracks
// of a connection, so that their offset is kept; a step of less than 24.8 days either way is read right.
type clock struct {
	last    int64 // ms
	started bool
}

func (c *clock) unwrap(timestamp uint32) time.Duration {
	if !c.started {
		c.started, c.last = true, int64(timestamp)
	}
	c.last += int64(int32(timestamp - uint32(c.last)))
	return time.Duration(c.last) * time.Millisecond
}
