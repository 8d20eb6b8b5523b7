package ingest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	gosrt "github.com/datarhei/gosrt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// srtFeed is an SRT listener that was called.
type srtFeed struct {
	server *Server
	socket *srtSocket
}

// dialSRTSource calls the listener of a URL as ffmpeg and srt-live-transmit write it: srt://HOST:PORT?streamid=ID&
// passphrase=TEXT&latency=MS&pbkeylen=16.
func (p *Puller) dialSRTSource(ctx context.Context, u *url.URL) (feed, error) {
	address, err := new(net.Resolver).LookupNetIP(ctx, "ip", u.Hostname())
	if err != nil {
		return nil, err
	}
	cfg, err := srtCallConfig(u.Query(), p.server.cfg)
	if err != nil {
		return nil, err
	}
	events := &srtEvents{}
	events.mu.sockets = make(map[uint32]*srtSocket)
	calls := &srtCalls{srtEvents: events}
	cfg.Logger = calls
	conn, err := gosrt.DialWithContext(ctx, "srt", net.JoinHostPort(address[0].Unmap().String(), u.Port()), cfg)
	if err != nil {
		return nil, fmt.Errorf("call %s: %w", u.Host, err)
	}
	calls.made.Store(true)
	socket := &srtSocket{events: events, id: conn.SocketId(), closed: make(chan struct{})}
	socket.conn.Store(&conn)
	events.add(socket)
	return &srtFeed{server: p.server, socket: socket}, nil
}

func srtCallConfig(q url.Values, server Config) (gosrt.Config, error) {
	cfg := gosrt.DefaultConfig()
	cfg.StreamId, cfg.Passphrase = q.Get("streamid"), q.Get("passphrase")
	cfg.ReceiverLatency = server.SRTLatency
	if text := q.Get("latency"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms < 0 || ms > int(media.MaxSRTLatency.Milliseconds()) {
			return cfg, fmt.Errorf("%w: latency of the source's URL", media.ErrInvalid)
		}
		cfg.ReceiverLatency = time.Duration(ms) * time.Millisecond
	}
	if text := q.Get("pbkeylen"); text != "" {
		size, err := strconv.Atoi(text)
		if err != nil || size != 16 && size != 24 && size != 32 {
			return cfg, fmt.Errorf("%w: pbkeylen of the source's URL: use 16, 24 or 32", media.ErrInvalid)
		}
		cfg.PBKeylen = size
	}
	return cfg, nil
}

func (f *srtFeed) ended() string { return "" }

func (f *srtFeed) run(ctx context.Context, out *session) error {
	p := &srtPublisher{
		session: out, socket: f.socket, queue: newSRTQueue(srtQueueLimit), metrics: f.server.metrics,
		demuxer: newTSDemuxer(out, f.server.cfg.MaxFrame, 0), idle: f.server.cfg.IdleTimeout,
		bytes: f.server.metrics.bytes.WithLabelValues("pull_srt"),
	}
	err := p.run(ctx)
	p.poll()
	out.figures = p.attrs()
	return err
}

// close ends the connection, and has the library's reader leave: it waits for somebody to take its last error.
func (f *srtFeed) close() {
	f.socket.close()
	conn := *f.socket.conn.Load()
	const tries, pause = 100, 10 * time.Millisecond
	for range tries {
		_, err := conn.ReadPacket()
		if errors.Is(err, gosrt.ErrClientClosed) || errors.Is(err, net.ErrClosed) {
			return
		}
		time.Sleep(pause)
	}
}

// srtCalls is srtEvents for the library's caller. When a call fails, the caller's reader must leave through a channel
// that is looked at once, right after the log line "closing socket"; else it stays for ever. It looks up every 3 s.
type srtCalls struct {
	*srtEvents
	made atomic.Bool // the call was answered
}

// Print implements gosrt.Logger.
func (c *srtCalls) Print(topic string, socket uint32, line int, message func() string) {
	if topic == "dial" && !c.made.Load() && message() == "closing socket" {
		const lookUp = 3200 * time.Millisecond
		time.Sleep(lookUp)
		return
	}
	if topic == "dial" && message() == "receive queue is full" {
		c.counted("overflow")
		return
	}
	c.srtEvents.Print(topic, socket, line, message)
}
