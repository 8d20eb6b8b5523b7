package loadgen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// LatencyConfig says where latency is measured.
type LatencyConfig struct {
	// Publish takes the clip.
	Publish string
	// URL is that of the stream's multivariant or media playlist, over http.
	URL string
	// Duration is how long parts are measured, from the first one on.
	Duration time.Duration
	// Watch is called once, with what tells how it goes until it has ended; nil is fine.
	Watch func(ask func() Live)
}

// LatencyResult is in milliseconds from the sending of a frame's last byte to the arrival of the last byte of the part
// that holds it.
type LatencyResult struct {
	Frames     int     `json:"frames"`
	Parts      int     `json:"parts"`
	Unknown    int     `json:"unknown_parts"` // whose last frame is not one that was sent
	PartTarget float64 `json:"part_target_ms"`
	FrameP50   float64 `json:"frame_p50_ms"`
	FrameP99   float64 `json:"frame_p99_ms"`
	FrameMax   float64 `json:"frame_max_ms"`
	LastP50    float64 `json:"last_p50_ms"`
	LastP99    float64 `json:"last_p99_ms"`
	LastMax    float64 `json:"last_max_ms"`
	Own
}

// tailSize is how many bytes of a frame's end tell it from the others.
const tailSize = 16

type tail [tailSize]byte

// sent keeps when each frame of the clip was last sent. Frames that end alike are not told apart, and left out.
type sent struct {
	frames map[tail]int // of each video frame's end, its place among the video frames; -1 for an end of several
	place  []int        // of each step; -1 for what is no video frame
	mu     sync.Mutex
	times  []time.Time // of the newest round, by place
}

// newSent looks at the ends of a clip's video frames; nil stands for a message of another kind.
func newSent(video [][]byte) *sent {
	s := &sent{frames: map[tail]int{}, place: make([]int, len(video))}
	count := 0
	for step, body := range video {
		s.place[step] = -1
		if body == nil {
			continue
		}
		s.place[step] = count
		count++
		if len(body) < tailSize {
			continue
		}
		end := tail(body[len(body)-tailSize:])
		if _, twice := s.frames[end]; twice {
			s.frames[end] = -1
		} else {
			s.frames[end] = s.place[step]
		}
	}
	s.times = make([]time.Time, count)
	return s
}

// Latency publishes the clip and watches it: how long do frames take until their part can be had?
func (c *Clip) Latency(ctx context.Context, cfg LatencyConfig) (LatencyResult, error) {
	if c.video == nil {
		return LatencyResult{}, fmt.Errorf("%w: latency is measured with FLV over RTMP", media.ErrUnsupported)
	}
	u, err := playlistURL(cfg.URL)
	if err != nil {
		return LatencyResult{}, err
	}
	meter, err := NewMeter()
	if err != nil {
		return LatencyResult{}, err
	}
	s := newSent(c.video)
	ctx, cancel := context.WithTimeout(ctx, startTimeout+cfg.Duration)
	defer cancel()
	var publishing sync.WaitGroup
	defer publishing.Wait()
	defer cancel()
	var refused error
	publishing.Go(func() {
		defer cancel()
		refused = c.publishTimed(ctx, cfg.Publish, s)
	})
	l := &latency{sent: s}
	watch(cfg.Watch).begin(l.live)
	err = l.watch(ctx, u, cfg.Duration)
	cancel()
	publishing.Wait()
	own := meter.End()
	if refused != nil {
		return LatencyResult{}, fmt.Errorf("--publish: %w", refused)
	}
	result := l.result()
	result.Own = own
	return result, err
}

func (l *latency) live() Live {
	live := Live{Lag: ms(l.last.quantile(0.99))}
	if at := l.begun.Load(); at != nil {
		live.Passed, live.Active = time.Since(*at), 1
	}
	return live
}

// publishTimed sends the clip round and round and notes when each video frame was sent.
func (c *Clip) publishTimed(ctx context.Context, target string, s *sent) error {
	stream, err := c.dial(ctx, target)
	if err != nil {
		return err
	}
	leave := sync.OnceFunc(func() { _ = stream.close() })
	defer leave()
	stop := context.AfterFunc(ctx, leave)
	defer stop()
	go func() { _ = stream.wait() }() // reads until close
	timer := time.NewTimer(0)
	start := time.Now()
	for round := 0; ; round++ {
		base := start.Add(time.Duration(round) * c.length)
		for step := range c.due {
			if !pause(ctx, timer, base.Add(c.due[step])) {
				return nil
			}
			err := stream.send(step, round)
			if err == nil {
				err = stream.flush()
			}
			if err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
			if place := s.place[step]; place >= 0 {
				s.mu.Lock()
				s.times[place] = time.Now()
				s.mu.Unlock()
			}
		}
	}
}

// latency is one measurement at work.
type latency struct {
	sent           *sent
	frames, last   lags
	count, unknown int
	parts          int
	partTarget     time.Duration
	begun          atomic.Pointer[time.Time] // when parts came first
}

// watch loads every part of the video until the time is up.
func (l *latency) watch(ctx context.Context, u *url.URL, length time.Duration) error {
	v := &view{host: hostPort(u), failures: map[string]int{}}
	if err := v.discover(ctx, u.RequestURI()); err != nil {
		return err
	}
	w := &viewer{view: v, rendition: v.renditions[0], client: httpClient{addr: v.host, timeout: viewTimeout}}
	w.keep = l.part
	stop := context.AfterFunc(ctx, w.client.interrupt)
	defer stop()
	defer w.client.close()
	begun := time.Now()
	l.begun.Store(&begun)
	for end := begun.Add(length); time.Now().Before(end) && !w.edge.ended; {
		if err := w.reload(ctx); err != nil {
			return err
		}
		if err := w.load(ctx); err != nil {
			return err
		}
		if w.edge.partTarget == 0 {
			return errors.New("the playlist lists no parts")
		}
		l.partTarget = w.edge.partTarget
	}
	return nil
}

// part takes a part that has just arrived.
func (l *latency) part(body []byte) {
	now := time.Now()
	if len(body) < tailSize {
		l.unknown++
		return
	}
	place, known := l.sent.frames[tail(body[len(body)-tailSize:])]
	count := samplesOf(body)
	if !known || place < 0 || count == 0 || count > place+1 { // one over the seam of two rounds is left out, too
		l.unknown++
		return
	}
	l.sent.mu.Lock()
	defer l.sent.mu.Unlock()
	l.parts++
	l.last.add(now.Sub(l.sent.times[place]))
	for i := place - count + 1; i <= place; i++ {
		l.frames.add(now.Sub(l.sent.times[i]))
		l.count++
	}
}

// samplesOf counts the samples of a part: those of every trun. It is zero for what is no part.
func samplesOf(data []byte) int {
	count := 0
	for len(data) >= 16 {
		size, kind := int(binary.BigEndian.Uint32(data)), string(data[4:8])
		switch {
		case size < 8 || size > len(data):
			return 0
		case kind == "moof" || kind == "traf":
			count += samplesOf(data[8:size])
		case kind == "trun" && size >= 16:
			count += int(binary.BigEndian.Uint32(data[12:]) & 0xffff)
		}
		data = data[size:]
	}
	return count
}

func (l *latency) result() LatencyResult {
	return LatencyResult{
		Frames: l.count, Parts: l.parts, Unknown: l.unknown, PartTarget: ms(l.partTarget),
		FrameP50: ms(l.frames.quantile(0.5)), FrameP99: ms(l.frames.quantile(0.99)),
		FrameMax: ms(l.frames.max()),
		LastP50:  ms(l.last.quantile(0.5)), LastP99: ms(l.last.quantile(0.99)), LastMax: ms(l.last.max()),
	}
}
