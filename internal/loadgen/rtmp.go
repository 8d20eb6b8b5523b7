package loadgen

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/oxbow-video/oxbow/ingest"
)

const (
	sendBuffer = 128 << 10
	// rtmpChunk is what OBS sends.
	rtmpChunk = 4096
)

// rtmpSender publishes an flvClip.
type rtmpSender struct {
	*ingest.RTMPClient
	clip *flvClip
}

// dial connects, publishes and sends what comes before the frames.
func (c *flvClip) dial(ctx context.Context, target string) (sender, error) {
	d := ingest.RTMPDialer{ChunkSize: rtmpChunk, Dial: dialSmall}
	client, err := d.DialRTMP(ctx, target)
	if err != nil {
		return nil, err
	}
	err = client.Publish(ctx)
	for _, m := range c.start {
		if err == nil {
			err = client.WriteMessage(m.kind, 0, m.body)
		}
	}
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return &rtmpSender{client, c}, nil
}

// dialSmall dials with a small send buffer.
func dialSmall(ctx context.Context, network, addr string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		panic(fmt.Sprintf("BUG: a TCP connection is %T", conn))
	}
	if err := tcp.SetWriteBuffer(sendBuffer); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

func (s *rtmpSender) send(step, round int) error {
	m := &s.clip.frames[step]
	return s.WriteMessage(m.kind, m.timestamp+uint32(int64(round)*s.clip.length.Milliseconds()), m.body)
}

func (s *rtmpSender) flush() error { return s.Flush() }

func (s *rtmpSender) wait() error {
	for {
		if _, err := s.ReadMessage(0); err != nil {
			return err
		}
	}
}

func (s *rtmpSender) close() error { return s.Close() }
