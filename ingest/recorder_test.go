package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// recorder stands on the other side of the seam: it authorises one stream, gives leases and notes what a packager would
// be told.
type recorder struct {
	path media.StreamPath
	key  string
	// stream is what is said of every stream beside its path; others are streams with keys of their own.
	stream media.Stream
	others map[string]media.StreamPath
	// grants are keys of the one stream that are known to have ids, and maybe expire.
	grants map[string]media.KeyGrant
	// onFrame, if set, is called with each frame.
	onFrame func(*media.Frame) error
	// onAcquire and onPublish, if set, may fail a publish.
	onAcquire, onPublish func() error
	// owner, if set, says which other node owns the stream.
	owner func() (media.Lease, bool, error)
	// segment is how many frames of video a segment has, for those that leave at its end; zero is one.
	segment int

	mu      sync.Mutex
	changed chan struct{}
	epoch   uint64
	publs   []*recPublication
	events  []string
}

type recPublication struct {
	rec      *recorder
	epoch    uint64
	tracks   [][]media.Track
	frames   []media.Frame         // payloads copied
	metadata []media.TimedMetadata // likewise
	closed   bool
	clean    bool
	left     int // frames when it was asked to leave, and one
}

func newRecorder() *recorder {
	return &recorder{
		path: media.StreamPath{Publisher: "acme", Stream: "show"}, key: "ox_secret-key+1", changed: make(chan struct{}),
	}
}

// note records an event and wakes those who wait. The caller holds mu.
func (r *recorder) noteLocked(format string, args ...any) {
	r.events = append(r.events, fmt.Sprintf(format, args...))
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *recorder) AuthorizeKey(_ context.Context, key string) (media.Stream, error) {
	stream := r.stream
	stream.Path = r.path
	if grant, ok := r.grants[key]; ok {
		if grant.Expired(time.Now()) {
			return media.Stream{}, fmt.Errorf("find the stream of a key: %w", media.ErrKeyExpired)
		}
		stream.Key = grant
		return stream, nil
	}
	if key != r.key {
		other, ok := r.others[key]
		if !ok {
			return media.Stream{}, fmt.Errorf("find the stream of a key: %w", media.ErrDenied)
		}
		stream.Path = other
	}
	return stream, nil
}

func (r *recorder) AuthorizePath(ctx context.Context, path media.StreamPath, key string) (media.Stream, error) {
	stream, err := r.AuthorizeKey(ctx, key)
	if err == nil && path != stream.Path {
		return media.Stream{}, fmt.Errorf("stream %s: %w", path, media.ErrDenied)
	}
	return stream, err
}

func (r *recorder) Acquire(_ context.Context, _ media.StreamPath, feed string) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.onAcquire != nil {
		if err := r.onAcquire(); err != nil {
			return 0, err
		}
	}
	r.epoch++
	if feed == media.FeedBackup {
		r.noteLocked("acquire %d for %s", r.epoch, feed)
	} else {
		r.noteLocked("acquire %d", r.epoch)
	}
	return r.epoch, nil
}

func (r *recorder) Owner(context.Context, media.StreamPath) (media.Lease, bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.owner == nil {
		return media.Lease{}, false, nil
	}
	return r.owner()
}

func (r *recorder) Release(_ context.Context, _ media.StreamPath, epoch uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noteLocked("release %d", epoch)
	return nil
}

func (r *recorder) Publish(_ context.Context, _ media.Stream, epoch uint64) (Publication, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.onPublish != nil {
		if err := r.onPublish(); err != nil {
			return nil, err
		}
	}
	p := &recPublication{rec: r, epoch: epoch}
	r.publs = append(r.publs, p)
	r.noteLocked("publish %d", epoch)
	return p, nil
}

func (p *recPublication) SetTracks(tracks []media.Track) error {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	p.tracks = append(p.tracks, tracks)
	var names []string
	for _, t := range tracks {
		names = append(names, t.Name)
	}
	p.rec.noteLocked("tracks %s", strings.Join(names, "+"))
	return nil
}

func (p *recPublication) WriteFrame(frame *media.Frame) error {
	if p.rec.onFrame != nil {
		if err := p.rec.onFrame(frame); err != nil {
			return err
		}
	}
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	if len(p.tracks) == 0 {
		return errors.New("a frame before the tracks")
	}
	if last := p.tracks[len(p.tracks)-1]; frame.Track < 0 || frame.Track >= len(last) {
		return errors.New("a frame of no track")
	}
	if p.left > 0 && len(p.frames)%max(p.rec.segment, 1) == 0 {
		return fmt.Errorf("a segment's end: %w", media.ErrUnavailable)
	}
	copied := *frame
	copied.Payload = bytes.Clone(frame.Payload)
	p.frames = append(p.frames, copied)
	close(p.rec.changed)
	p.rec.changed = make(chan struct{})
	return nil
}

func (p *recPublication) WriteMetadata(m *media.TimedMetadata) error {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	copied := *m
	copied.Payload = bytes.Clone(m.Payload)
	p.metadata = append(p.metadata, copied)
	close(p.rec.changed)
	p.rec.changed = make(chan struct{})
	return nil
}

func (p *recPublication) Leave() {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	p.left = len(p.frames) + 1
	p.rec.noteLocked("leave %d", p.epoch)
}

func (p *recPublication) Close(clean bool) error {
	p.rec.mu.Lock()
	defer p.rec.mu.Unlock()
	if p.closed {
		return nil
	}
	p.closed, p.clean = true, clean
	p.rec.noteLocked("close %d clean=%v", p.epoch, clean)
	return nil
}

// await blocks until the condition holds; it is called with mu held.
func (r *recorder) await(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	for {
		r.mu.Lock()
		ok, changed := cond(), r.changed
		r.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			tb.Fatalf("waited in vain until %s; events: %q", what, r.events)
		}
	}
}

// publication waits for the nth publication, from 0, to be closed and gives it.
func (r *recorder) publication(tb testing.TB, n int) *recPublication {
	tb.Helper()
	var p *recPublication
	r.await(tb, fmt.Sprintf("publication %d is closed", n), func() bool {
		if len(r.publs) <= n || !r.publs[n].closed {
			return false
		}
		p = r.publs[n]
		return true
	})
	return p
}

// logBuffer keeps a server's log.
type logBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{}
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.changed)
	b.changed = make(chan struct{})
	return b.text.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// await waits for a line with all the words and gives it.
func (b *logBuffer) await(tb testing.TB, words ...string) string {
	tb.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	for {
		b.mu.Lock()
		text, changed := b.text.String(), b.changed
		b.mu.Unlock()
		for line := range strings.Lines(text) {
			missing := false
			for _, w := range words {
				missing = missing || !strings.Contains(line, w)
			}
			if !missing {
				return line
			}
		}
		select {
		case <-changed:
		case <-deadline.C:
			tb.Fatalf("no log line has %q:\n%s", words, text)
		}
	}
}

// testServer is a Server at work.
type testServer struct {
	*Server
	rec  *recorder
	log  *logBuffer
	addr string
	stop func() // ends it and waits
}

// newTestServer makes a Server that does not listen.
func newTestServer(tb testing.TB, cfg Config, rec *recorder) *testServer {
	tb.Helper()
	log := &logBuffer{changed: make(chan struct{})}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("server's log:\n%s", log)
		}
		if strings.Contains(log.String(), rec.key) {
			tb.Errorf("the key was logged:\n%s", log)
		}
	})
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &testServer{
		Server: New(cfg, rec, rec, rec, logger, prometheus.NewRegistry()), rec: rec, log: log,
	}
}

// MustServe starts a Server on a free port.
func MustServe(tb testing.TB, cfg Config, rec *recorder) *testServer {
	tb.Helper()
	s := newTestServer(tb, cfg, rec)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listener) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Serve: %v", err)
		}
	})
	tb.Cleanup(s.stop)
	return s
}
