package ingest

import "time"

// clock unwraps RTMP's timestamps: milliseconds in 32 bits, which wrap every 49.7 days. One clock serves all tracks
// of a connection, so that their offset is kept; a step of less than 24.8 days either way is read right.
type clock struct {
	last    int64 // ms
	started bool
}

func (c *clock) unwrap(timestamp uint32) time.Duration {
	at := c.peek(timestamp)
	c.started, c.last = true, at.Milliseconds()
	return at
}

// peek unwraps a timestamp that may be far from the media's, as those of metadata that is sent again are.
func (c *clock) peek(timestamp uint32) time.Duration {
	if !c.started {
		return time.Duration(timestamp) * time.Millisecond
	}
	return time.Duration(c.last+int64(int32(timestamp-uint32(c.last)))) * time.Millisecond
}
