package ingest

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Kinds of RTMP messages that carry media, as RTMPClient reads and writes them.
const (
	RTMPAudio = typeAudio
	RTMPVideo = typeVideo
	RTMPData  = typeDataAMF0
)

const (
	clientSetup       = 10 * time.Second // for each of the dial, Publish, Play
	clientWrite       = 10 * time.Second
	clientFarewell    = time.Second
	clientReadBuffer  = 4 << 10 // a publisher reads next to nothing; larger reads pass it by
	clientWriteBuffer = 32 << 10
	clientVersion     = "FMLE/3.0 (compatible; Oxbow)"
)

// RTMPDialer connects to RTMP servers. Its zero value is ready.
type RTMPDialer struct {
	// TLS is for rtmps URLs; nil checks the server by the system's certificates.
	TLS *tls.Config
	// ChunkSize is the size of the chunks that are sent; zero is 65536.
	ChunkSize int
	// Dial opens the connections; nil is net.Dialer's DialContext.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Reconnect is called by ReadMessage when the server asks to connect again, to another tcUrl if it is not empty
	// (Enhanced RTMP v2, "Reconnect Request"). The client says that it can only if this is set.
	Reconnect func(tcURL string)
}

// RTMPClient is the client's side of an RTMP connection. One goroutine may write while another reads.
type RTMPClient struct {
	conn             net.Conn
	chunks           *chunkReader
	app, name, tcURL string
	stream           uint32 // message stream of publish or play
	publishing       bool
	calls            float64 // transactions begun
	readArmed        time.Time
	reconnect        func(tcURL string)

	received, acked, window uint64 // as wire's

	chunkSize  int
	mu         sync.Mutex // guards what follows
	out        []byte
	writeArmed time.Time
}

// RTMPMessage is a message of media. Its body is borrowed until the next read.
type RTMPMessage struct {
	Kind      byte
	Timestamp uint32 // ms, wraps
	Body      []byte
}

// RTMPStatusError is a server's refusal, or its reason to end a stream.
type RTMPStatusError struct {
	Code        string // such as NetStream.Publish.Denied
	Description string // the server's words, made printable
}

func (e *RTMPStatusError) Error() string {
	if e.Description == "" {
		return "the server says " + e.Code
	}
	return fmt.Sprintf("the server says %s: %s", e.Code, e.Description)
}

// DialRTMP connects to the server of an rtmp or rtmps URL, shakes hands and opens its app. The last part of the URL's
// path, with its query, is the stream's name.
func DialRTMP(ctx context.Context, target string) (*RTMPClient, error) {
	return RTMPDialer{}.DialRTMP(ctx, target)
}

// DialRTMP is the function of the same name with the dialer's settings.
func (d RTMPDialer) DialRTMP(ctx context.Context, target string) (*RTMPClient, error) {
	ctx, cancel := context.WithTimeout(ctx, clientSetup)
	defer cancel()
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "rtmp" && u.Scheme != "rtmps" {
		return nil, fmt.Errorf("%w: no rtmp or rtmps URL", media.ErrInvalid) // the URL may hold a key
	}
	conn, err := d.open(ctx, u)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", u.Host, err)
	}
	c := &RTMPClient{conn: conn, chunkSize: defaultChunkSize, reconnect: d.Reconnect}
	c.app, c.name, c.tcURL = splitRTMP(u)
	if err := c.within(ctx, func() error { return c.connect(cmp.Or(d.ChunkSize, answerChunkSize)) }); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("connect to %s: %w", u.Host, err)
	}
	return c, nil
}

// open connects, with TLS where the URL asks for it.
func (d RTMPDialer) open(ctx context.Context, u *url.URL) (net.Conn, error) {
	port := "1935"
	if u.Scheme == "rtmps" {
		port = "443"
	}
	dial := d.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)))
	if err != nil || u.Scheme == "rtmp" {
		return conn, err
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if d.TLS != nil {
		config = d.TLS.Clone()
	}
	config.ServerName = cmp.Or(config.ServerName, u.Hostname())
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}

// splitRTMP gives the app, the stream's name and tcUrl.
func splitRTMP(u *url.URL) (app, name, tcURL string) {
	app = strings.Trim(u.Path, "/")
	if cut := strings.LastIndexByte(app, '/'); cut >= 0 {
		app, name = app[:cut], app[cut+1:]
	}
	if u.RawQuery != "" {
		name += "?" + u.RawQuery
	}
	return app, name, u.Scheme + "://" + u.Host + "/" + app
}

// within runs a phase that ends with ctx.
func (c *RTMPClient) within(ctx context.Context, phase func() error) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(clientSetup)
	}
	if err := c.conn.SetDeadline(deadline); err != nil {
		return err
	}
	unhook := context.AfterFunc(ctx, func() { _ = c.conn.SetDeadline(time.Unix(1, 0)) })
	err := phase()
	if !unhook() {
		return context.Cause(ctx)
	}
	if err != nil {
		return torn(err)
	}
	return c.conn.SetDeadline(time.Time{})
}

// connect shakes hands and opens the app. It offers what Enhanced RTMP v2 (section "Enhancing NetConnection connect
// command") has for a client that forwards every codec.
func (c *RTMPClient) connect(chunkSize int) error {
	src := bufio.NewReaderSize(clientSource{c}, clientReadBuffer)
	if err := clientHandshake(src, c.conn); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	c.chunks = newChunkReader(src, chunkLimits{data: maxCommand, command: maxCommand, memory: strangerMemory})
	const canForward = 4.0
	every, caps := amfObject{{"*", canForward}}, capMultitrack|capModEx|capNanoOffset
	if c.reconnect != nil {
		caps |= capReconnect
	}
	c.mu.Lock()
	c.queueLocked(chunkStreamControl, message{
		kind: typeSetChunkSize, payload: binary.BigEndian.AppendUint32(nil, uint32(chunkSize)),
	})
	c.chunkSize = chunkSize
	c.mu.Unlock()
	_, err := c.call(0, "connect", amfObject{
		{"app", c.app}, {"type", "nonprivate"}, {"flashVer", clientVersion}, {"tcUrl", c.tcURL}, {"fpad", false},
		{"capabilities", 239.0}, {"audioCodecs", 4071.0}, {"videoCodecs", 252.0}, {"videoFunction", 1.0},
		{"objectEncoding", 0.0},
		{"fourCcList", []any{"*"}}, {"videoFourCcInfoMap", every}, {"audioFourCcInfoMap", every},
		{"capsEx", float64(caps)},
	})
	return err
}

// clientHandshake does the simple handshake (RTMP 1.0, section 5.2), which every server takes.
func clientHandshake(r *bufio.Reader, w io.Writer) error {
	hello := make([]byte, 1+handshakeSize)
	hello[0] = rtmpVersion // and zeros for the rest: nobody needs our random bytes
	if _, err := w.Write(hello); err != nil {
		return err
	}
	version, err := r.ReadByte()
	if err != nil {
		return err
	}
	if version != rtmpVersion {
		return fmt.Errorf("%w: RTMP version %d", media.ErrInvalid, version)
	}
	echo := hello[1:]
	if _, err := io.ReadFull(r, echo); err != nil { // S1, which C2 repeats
		return err
	}
	if _, err := w.Write(echo); err != nil {
		return err
	}
	_, err = r.Discard(handshakeSize)
	return err
}

// Publish asks to publish the URL's stream. A refusal is an *RTMPStatusError.
func (c *RTMPClient) Publish(ctx context.Context) error {
	return c.within(ctx, func() error {
		for _, name := range []string{"releaseStream", "FCPublish"} {
			c.calls++
			c.command(0, name, c.calls, nil, c.name) // whose answers nobody agrees on
		}
		if err := c.createStream(); err != nil {
			return err
		}
		c.calls++
		c.command(c.stream, "publish", c.calls, nil, c.name, "live")
		if err := c.Flush(); err != nil {
			return err
		}
		if err := c.awaitStatus("NetStream.Publish.Start"); err != nil {
			return err
		}
		c.publishing = true
		return nil
	})
}

func (c *RTMPClient) createStream() error {
	values, err := c.call(0, "createStream", nil)
	if err != nil {
		return err
	}
	id, ok := 0.0, false
	if len(values) > 3 {
		id, ok = values[3].(float64)
	}
	if !ok || id < 0 || id > 1<<24 {
		return fmt.Errorf("%w: createStream gave no stream", media.ErrInvalid)
	}
	c.stream = uint32(id)
	return nil
}

// WriteMessage queues a message of the published stream, and sends what is queued once that is worth a packet.
func (c *RTMPClient) WriteMessage(kind byte, timestamp uint32, body []byte) error {
	if len(body) > maxChunkSize {
		return fmt.Errorf("%w: an RTMP message of %d bytes", media.ErrTooLarge, len(body))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// One chunk stream for each kind, as encoders do.
	c.queueLocked(uint32(kind), message{kind: kind, stream: c.stream, timestamp: timestamp, payload: body})
	if len(c.out) < clientWriteBuffer {
		return nil
	}
	return c.flushLocked()
}

// Flush sends what is queued.
func (c *RTMPClient) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.flushLocked()
}

func (c *RTMPClient) flushLocked() error {
	if len(c.out) == 0 {
		return nil
	}
	// Renewed now and then only: a deadline costs as much as a small write.
	if now := time.Now(); c.publishing && now.Sub(c.writeArmed) > clientWrite/8 {
		if err := c.conn.SetWriteDeadline(now.Add(clientWrite)); err != nil {
			return err
		}
		c.writeArmed = now
	}
	_, err := c.conn.Write(c.out)
	c.out = c.out[:0]
	return err
}

func (c *RTMPClient) queueLocked(chunkStream uint32, m message) {
	c.out = appendMessage(c.out, chunkStream, m, c.chunkSize)
}

// command queues a command.
func (c *RTMPClient) command(stream uint32, values ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queueCommandLocked(stream, values...)
}

func (c *RTMPClient) queueCommandLocked(stream uint32, values ...any) {
	m := message{kind: typeCommandAMF0, stream: stream, payload: appendAMF0(nil, values...)}
	c.queueLocked(chunkStreamCommand, m)
}

// Close says goodbye and closes the connection.
func (c *RTMPClient) Close() error {
	now := time.Now()
	err := c.conn.SetWriteDeadline(now.Add(clientFarewell)) // first: it wakes a write that holds the lock
	c.mu.Lock()
	c.writeArmed = now
	if c.publishing {
		c.queueCommandLocked(0, "FCUnpublish", 0.0, nil, c.name)
	}
	if c.stream != 0 {
		c.queueCommandLocked(0, "deleteStream", 0.0, nil, float64(c.stream))
	}
	if err == nil {
		err = c.flushLocked()
	}
	c.mu.Unlock()
	if err == nil {
		// Closing with bytes unread resets the connection, and with it goes what the server has not read.
		(&wire{conn: c.conn}).linger(clientFarewell, lingerBytes)
	}
	return c.conn.Close()
}
