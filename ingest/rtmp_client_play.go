package ingest

import (
	"context"
	"time"
)

// Play asks for the URL's stream. Its media comes by ReadMessage, with messages of up to limit bytes. A refusal is an
// *RTMPStatusError.
func (c *RTMPClient) Play(ctx context.Context, limit int) error {
	return c.within(ctx, func() error {
		if err := c.createStream(); err != nil {
			return err
		}
		// Some servers send media before they say that it starts.
		c.chunks.limits = chunkLimits{media: limit, data: maxData, command: maxCommand, memory: 2*limit + limit/2}
		c.calls++
		const liveOrRecorded = -2.0
		c.command(c.stream, "play", c.calls, nil, c.name, liveOrRecorded)
		if err := c.Flush(); err != nil {
			return err
		}
		return c.awaitStatus("NetStream.Play.Start")
	})
}

// played gives the next message of a stream that is played. The end that a server tells of is errGoodbye.
func (c *RTMPClient) played(idle time.Duration) (message, error) {
	if now := time.Now(); now.Sub(c.readArmed) > idle/16 {
		if err := c.conn.SetReadDeadline(now.Add(idle)); err != nil {
			return message{}, err
		}
		c.readArmed = now
	}
	m, err := c.next()
	if err != nil || m.kind != typeCommandAMF0 {
		return m, err
	}
	values, err := commandOf(m)
	if err != nil {
		return m, err
	}
	if len(values) > 3 && values[0] == "onStatus" {
		info, _ := values[3].(amfObject)
		switch info.text("code") {
		case "NetStream.Play.UnpublishNotify", "NetStream.Play.Stop", "NetStream.Play.Complete":
			return m, errGoodbye
		}
	}
	return m, nil
}
