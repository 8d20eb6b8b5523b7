package test

import (
	"context"
	"errors"
	"io"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
)

// stampedFilm is a stamped clip taken apart.
type stampedFilm struct {
	tracks  []*erTrack
	samples []erSample
	numbers []int // of the picture in each sample, -1 if it is sound
	keys    map[int]int
}

func readStamped(tb testing.TB, file string) *stampedFilm {
	tb.Helper()
	f := &stampedFilm{keys: map[int]int{}}
	f.tracks, f.samples = readClip(tb, file)
	first := time.Duration(math.MaxInt64)
	for _, s := range f.samples {
		if s.track.video {
			first = min(first, s.pts)
		}
	}
	for i := range f.samples {
		s, number := &f.samples[i], -1
		if s.track.video {
			number = int(math.Round((s.pts - first).Seconds() * stampRate))
			if s.sync {
				f.keys[number] = i
			}
			if s.sync != (number%stampGOP == 0) {
				tb.Fatalf("picture %d: key frame %v", number, s.sync)
			}
		}
		f.numbers = append(f.numbers, number)
	}
	return f
}

// stampedPublisher sends stamped films in real time through a relay of its own, which can cut the connection without a
// goodbye, and notes when each picture was sent.
type stampedPublisher struct {
	tb     testing.TB
	server *oxbow
	key    string
	data   map[int][]byte // bodies of data messages to send with the picture of the number; set before start

	mu   sync.Mutex
	film *stampedFilm // what is to be sent from the next key frame on
	sent map[int]time.Time
	last int // the newest key frame's number

	cancel context.CancelFunc
	done   chan struct{}
	err    error
	cutOff atomic.Pointer[func()]
}

func newStampedPublisher(tb testing.TB, server *oxbow, key string) *stampedPublisher {
	p := &stampedPublisher{tb: tb, server: server, key: key, sent: map[int]time.Time{}}
	tb.Cleanup(func() {
		if p.cancel != nil {
			p.cancel()
			<-p.done
		}
	})
	return p
}

// start connects and sends the film from the key frame of the number on.
func (p *stampedPublisher) start(film *stampedFilm, from int) {
	p.tb.Helper()
	address := p.relay()
	ctx, cancel := context.WithCancel(context.Background())
	p.film, p.cancel, p.done = film, cancel, make(chan struct{})
	done := p.done
	go func() {
		defer close(done)
		p.err = p.send(ctx, "rtmp://"+address+"/live/"+p.key, film.keys[from])
	}()
}

// change sends another film from the next key frame on, as an encoder does that is given another resolution.
func (p *stampedPublisher) change(film *stampedFilm) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.film = film
}

// goodbye ends the stream as an encoder does that is stopped.
func (p *stampedPublisher) goodbye() {
	p.tb.Helper()
	p.cancel()
	<-p.done
	if !errors.Is(p.err, context.Canceled) {
		p.tb.Errorf("publisher: %v", p.err)
	}
}

// cut breaks the connection, and gives the number of the newest key frame that was sent.
func (p *stampedPublisher) cut() int {
	(*p.cutOff.Load())()
	<-p.done
	return p.newestKey()
}

// leave ends the stream if it still goes on.
func (p *stampedPublisher) leave() {
	p.cancel()
	<-p.done
}

// newestKey gives the number of the newest key frame that was sent.
func (p *stampedPublisher) newestKey() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// newestPicture gives the highest number that was sent.
func (p *stampedPublisher) newestPicture() (newest int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for number := range p.sent {
		newest = max(newest, number)
	}
	return newest
}

// sentAt says when a picture was sent.
func (p *stampedPublisher) sentAt(number int) (time.Time, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.sent[number]
	return at, ok
}

func (p *stampedPublisher) send(ctx context.Context, url string, at int) error {
	client, err := ingest.DialRTMP(ctx, url)
	if err != nil {
		return err
	}
	if err := client.Publish(ctx); err != nil {
		return errors.Join(err, client.Close())
	}
	err = p.sendFilm(ctx, client, at)
	return errors.Join(err, client.Close())
}

func (p *stampedPublisher) sendFilm(ctx context.Context, client *ingest.RTMPClient, at int) error {
	var film *stampedFilm
	began, first := time.Now(), time.Duration(0)
	for ; ; at++ {
		if film == nil || film.samples[at].track.video && film.samples[at].sync {
			p.mu.Lock()
			next := p.film
			p.mu.Unlock()
			if film == nil {
				first = next.samples[at].dts
			} else if film != next {
				at = next.keys[film.numbers[at]]
			}
			if film != next {
				for _, t := range next.tracks {
					kind, body := t.message(0, true, t.header)
					if err := client.WriteMessage(kind, uint32((next.samples[at].dts - first).Milliseconds()), body); err != nil {
						return err
					}
				}
				film = next
			}
		}
		if at == len(film.samples)-1 {
			return errors.New("the stamped clip is over")
		}
		s := film.samples[at]
		due := time.NewTimer(time.Until(began.Add(s.dts - first)))
		select {
		case <-due.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := sendSample(client, s, first, p.data[film.numbers[at]]); err != nil {
			return err
		}
		if number := film.numbers[at]; number >= 0 {
			p.mu.Lock()
			p.sent[number] = time.Now()
			if s.sync {
				p.last = number
			}
			p.mu.Unlock()
		}
	}
}

// sendSample sends a picture or sound, after the data that goes with it.
func sendSample(client *ingest.RTMPClient, s erSample, first time.Duration, data []byte) error {
	stamp := func(at time.Duration) uint32 { return uint32((at - first).Round(time.Millisecond).Milliseconds()) }
	if data != nil {
		if err := client.WriteMessage(ingest.RTMPData, stamp(s.pts), data); err != nil {
			return err
		}
	}
	kind, body := s.message()
	if err := client.WriteMessage(kind, stamp(s.dts), body); err != nil {
		return err
	}
	return client.Flush()
}

// relay passes one connection on to the server.
func (p *stampedPublisher) relay() (address string) {
	p.tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.tb.Fatal(err)
	}
	p.tb.Cleanup(func() { _ = l.Close() })
	go func() {
		near, err := l.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", p.server.rtmp)
		if err != nil {
			_ = near.Close()
			return
		}
		cut := func() {
			_ = far.Close()
			_ = near.Close()
		}
		p.cutOff.Store(&cut)
		go func() {
			_, _ = io.Copy(near, far)
			_ = near.(*net.TCPConn).CloseWrite()
		}()
		_, _ = io.Copy(far, near)
		_ = far.(*net.TCPConn).CloseWrite()
	}()
	return l.Addr().String()
}
