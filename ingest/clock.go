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

func (c *clock) peek(timestamp uint32) time.Duration {
	if !c.started {
		return time.Duration(timestamp) * time.Millisecond
	}
	return time.Duration(c.last+int64(int32(timestamp-uint32(c.last)))) * time.Millisecond
}

// near unwraps the timestamp of what is no media. Some encoders write zero there, or the time when they began: what is
// far from the media belongs to the media that came last.
func (c *clock) near(timestamp uint32) time.Duration {
	const far = 10 * time.Second
	at, last := c.peek(timestamp), time.Duration(c.last)*time.Millisecond
	if c.started && (at-last).Abs() > far {
		return last
	}
	return at
}
