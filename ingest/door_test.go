package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// guest is a connection that asked to enter.
type guest struct {
	*visit
	ctx    context.Context
	reason string
}

func enter(d *door, address string) guest {
	ctx, drop := context.WithCancelCause(context.Background())
	v, reason := d.enter(netip.MustParsePrefix(address+"/32"), drop)
	return guest{v, ctx, reason}
}

func TestDoor(t *testing.T) {
	const a, b, c = "192.0.2.1", "192.0.2.2", "192.0.2.3"
	dropped := func(g guest) bool { return errors.Is(context.Cause(g.ctx), errCrowded) }
	t.Run("a stranger of the address gives way", func(t *testing.T) {
		d := newDoor(doorLimits{all: 10, perIP: 10, strangers: 10, strangersPerIP: 3})
		other, first, second, third := enter(d, b), enter(d, a), enter(d, a), enter(d, a)
		d.pick = func(n int) int { return n - 2 }
		fourth := enter(d, a)
		if fourth.reason != "" || dropped(first) || !dropped(second) || dropped(third) || dropped(other) {
			t.Errorf("%q, dropped %v %v %v %v", fourth.reason, dropped(first), dropped(second), dropped(third), dropped(other))
		}
		if second.publishes() {
			t.Error("who was dropped published")
		}
		second.leave() // it was counted out already
		if d.mu.open != 4 {
			t.Errorf("%d open", d.mu.open)
		}
	})
	t.Run("a stranger of all gives way", func(t *testing.T) {
		d := newDoor(doorLimits{all: 10, perIP: 10, strangers: 2, strangersPerIP: 10})
		first, second := enter(d, a), enter(d, b)
		d.pick = func(int) int { return 0 }
		if third := enter(d, c); third.reason != "" || !dropped(first) || dropped(second) {
			t.Errorf("%q, dropped %v %v", third.reason, dropped(first), dropped(second))
		}
	})
	t.Run("who has a wrong key gives way first", func(t *testing.T) {
		d := newDoor(doorLimits{all: 10, perIP: 10, strangers: 10, strangersPerIP: 3})
		first, guesser, third := enter(d, a), enter(d, a), enter(d, a)
		third.shakes()
		guesser.shakes()
		guesser.yield()
		enter(d, a)
		if dropped(first) || !dropped(guesser) || dropped(third) {
			t.Errorf("dropped %v %v %v", dropped(first), dropped(guesser), dropped(third))
		}
		guesser.yield() // too late to matter
		first.yield()
		if !first.publishes() { // with another key
			t.Error("who was refused once does not publish")
		}
	})
	t.Run("who has shaken hands gives way last", func(t *testing.T) {
		d := newDoor(doorLimits{all: 10, perIP: 10, strangers: 3, strangersPerIP: 10})
		first, second, third := enter(d, a), enter(d, b), enter(d, c)
		second.shakes()
		enter(d, a)
		enter(d, a)
		enter(d, a).shakes()
		enter(d, a).shakes()
		if !dropped(first) || dropped(second) || !dropped(third) {
			t.Errorf("dropped %v %v %v", dropped(first), dropped(second), dropped(third))
		}
		if enter(d, a); d.mu.open != 3 {
			t.Errorf("%d open", d.mu.open)
		}
	})
	t.Run("publishers do not give way", func(t *testing.T) {
		d := newDoor(doorLimits{all: 3, perIP: 2, strangers: 10, strangersPerIP: 10})
		publisher, stranger := enter(d, a), enter(d, a)
		publisher.publishes()
		if g := enter(d, a); g.reason != "" || !dropped(stranger) || dropped(publisher) {
			t.Errorf("%q, dropped %v %v", g.reason, dropped(stranger), dropped(publisher))
		} else {
			g.publishes()
		}
		if g := enter(d, a); g.reason != "too many connections of one address" {
			t.Errorf("%q", g.reason)
		}
		enter(d, b).publishes()
		if g := enter(d, c); g.reason != "too many connections" {
			t.Errorf("%q", g.reason)
		}
		publisher.leave()
		if g := enter(d, c); g.reason != "" {
			t.Errorf("%q", g.reason)
		}
	})
	t.Run("nothing is kept of who left", func(t *testing.T) {
		d := newDoor(doorLimits{all: 2, perIP: 1, strangers: 1, strangersPerIP: 1})
		for range 5 {
			enter(d, a)
			enter(d, b)
			enter(d, c).publishes()
			enter(d, c)
		}
		for d.mu.strangers.count() > 0 {
			d.mu.strangers.next(d.pick).leave()
		}
		if d.mu.open != 1 || len(d.mu.from) != 1 {
			t.Errorf("%d open, %d addresses", d.mu.open, len(d.mu.from))
		}
	})
	t.Run("no place is needed where none was given", func(t *testing.T) {
		if !(*visit)(nil).publishes() {
			t.Error("refused")
		}
	})
}

// It holds for a TLS handshake and for sessions in HTTP too.
func TestStrangersGiveWay(t *testing.T) {
	t.Run("RTMPS", func(t *testing.T) {
		s := MustServeTLS(t, Config{MaxStrangersPerIP: 1}, newRecorder())
		var conns [2]net.Conn
		for i := range conns {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conns[i] = conn
		}
		if n, err := conns[0].Read(make([]byte, 1)); err == nil {
			t.Errorf("the first got %d bytes", n)
		}
		s.log.await(t, "connection refused", "protocol=rtmps", "reason=crowded", conns[0].LocalAddr().String())
	})
	t.Run("RTMPT", func(t *testing.T) {
		s := MustTunnel(t, Config{MaxStrangersPerIP: 1}, newRecorder())
		MustOpen(t, s.addr)
		MustShakeHands(t, MustOpen(t, s.addr)).publish(s.rec.key)
		s.log.await(t, "connection refused", "protocol=rtmpt", "reason=crowded")
	})
}

// Neither many idle connections of one address nor of many keep a publisher out, or disturb one that is live.
func TestIdleConnectionsKeepNobodyOut(t *testing.T) {
	const idle = 2000
	for _, tt := range []struct {
		name     string
		from     func(i int) net.IP
		maxLines int
	}{
		{"from one address", func(int) net.IP { return net.IPv4(127, 0, 0, 1) }, 50},
		{"from many addresses", func(i int) net.IP { return net.IPv4(127, 0, 1, byte(1+i%200)) }, idle},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := newRecorder()
			rec.others = map[string]media.StreamPath{"other": {Publisher: "acme", Stream: "other"}}
			s := MustServe(t, Config{IdleTimeout: 10 * time.Minute}, rec)
			live := MustDial(t, s.addr)
			live.publish("other")
			for i := range idle {
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: tt.from(i)}}
				conn, err := dialer.Dial("tcp", s.addr)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				if i%2 == 0 { // a handshake that goes no further
					_, _ = conn.Write([]byte{rtmpVersion, 0, 0})
				}
			}
			c := MustDial(t, s.addr)
			c.publish(rec.key)
			for _, c := range []*testClient{live, c} {
				c.send(typeDataAMF0, 1, 0, onlyAudio)
				c.send(typeAudio, 1, 0, audioConfig(testASC))
				c.send(typeAudio, 1, 0, audioUnit(1))
			}
			rec.await(t, "both are heard", func() bool {
				return len(rec.publs) == 2 && len(rec.publs[0].frames) == 1 && len(rec.publs[1].frames) == 1
			})
			s.door.mu.Lock()
			open, strangers := s.door.mu.open, s.door.mu.strangers.count()
			s.door.mu.Unlock()
			if open != strangers+2 || strangers > 1000 {
				t.Errorf("%d open, %d of them strangers", open, strangers)
			}
			if lines := strings.Count(s.log.String(), "\n"); lines > tt.maxLines {
				t.Errorf("%d lines were logged", lines)
			}
		})
	}
}

// A flood of wrong keys waits, gives way and is not logged; who comes with a right key meanwhile is not held up.
func TestFloodOfWrongKeys(t *testing.T) {
	rec := newRecorder()
	rec.others = map[string]media.StreamPath{"other": {Publisher: "acme", Stream: "other"}}
	s := MustServe(t, Config{IdleTimeout: 10 * time.Minute}, rec)
	live := MustDial(t, s.addr)
	live.publish("other")
	const guesses, each = 20, 30
	var flood sync.WaitGroup
	begun := make(chan struct{}, guesses*each)
	for range guesses {
		flood.Go(func() {
			for range each {
				dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
				conn, err := dialer.Dial("tcp", s.addr)
				if err != nil {
					t.Error(err)
					begun <- struct{}{}
					continue
				}
				defer conn.Close() // after the others: they wait for their answers all the while
				_, _ = conn.Write(wrongKey())
				begun <- struct{}{}
			}
		})
	}
	for range guesses * each / 2 {
		<-begun
	}
	began := time.Now()
	c := MustDial(t, s.addr)
	c.publish(rec.key)
	t.Logf("the right key took %v", time.Since(began))
	flood.Wait()
	for _, c := range []*testClient{live, c} {
		c.send(typeDataAMF0, 1, 0, onlyAudio)
		c.send(typeAudio, 1, 0, audioConfig(testASC))
		c.send(typeAudio, 1, 0, audioUnit(1))
	}
	rec.await(t, "both are heard", func() bool {
		return len(rec.publs) == 2 && len(rec.publs[0].frames) == 1 && len(rec.publs[1].frames) == 1
	})
	if lines := strings.Count(s.log.String(), "\n"); lines > 50 {
		t.Errorf("%d lines were logged", lines)
	}
}

// wrongKey is all that a client says who does not wait for answers.
func wrongKey() []byte {
	b := append([]byte{rtmpVersion}, make([]byte, 2*handshakeSize)...)
	for _, m := range []message{
		{kind: typeCommandAMF0, payload: appendAMF0(nil, "connect", 1.0, amfObject{{"app", "live"}})},
		{kind: typeCommandAMF0, stream: 1, payload: appendAMF0(nil, "publish", 2.0, nil, "wrong", "live")},
	} {
		b = appendMessage(b, 3, m, defaultChunkSize)
	}
	return b
}

// slowConn waits for every answer.
type slowConn struct {
	net.Conn
	wait func()
}

func (c slowConn) Read(p []byte) (int, error) {
	c.wait()
	return c.Conn.Read(p)
}

// Behind the address of a flood of wrong keys and of handshakes that stop, an encoder that comes with a right key gets in
// within some tries, though the flood fills the limit several times while it shakes hands.
func TestRightKeyGetsInBesideAFlood(t *testing.T) {
	rec := newRecorder()
	rec.others = map[string]media.StreamPath{}
	for i := range 5 {
		key := fmt.Sprintf("right%d", i)
		rec.others[key] = media.StreamPath{Publisher: "acme", Stream: key}
	}
	s := MustServe(t, Config{IdleTimeout: 10 * time.Minute, MaxStrangersPerIP: 10}, rec)
	hello := wrongKey()
	var flood sync.WaitGroup
	life, over := context.WithCancel(t.Context())
	defer over()
	var guesses atomic.Int64
	guessed := make(chan struct{})
	for i := range 8 {
		flood.Go(func() {
			for life.Err() == nil {
				conn, err := net.Dial("tcp", s.addr)
				if err != nil {
					continue
				}
				if i%2 == 0 {
					_, _ = conn.Write(hello)
				} else {
					_, _ = conn.Write(hello[:100]) // and no more
				}
				guesses.Add(1)
				select {
				case guessed <- struct{}{}:
				default:
				}
				flood.Go(func() { // it holds the place until it is sent away
					unhook := context.AfterFunc(life, func() { _ = conn.Close() })
					defer unhook()
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
				})
			}
		})
	}
	for guesses.Load() < 100 {
		<-guessed
	}
	dialer := RTMPDialer{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return slowConn{conn, func() {
			for range 5 {
				select {
				case <-guessed:
				case <-life.Done():
				}
			}
		}}, err
	}}
	for i := range 5 {
		key := fmt.Sprintf("right%d", i)
		const tries = 50
		for try := 1; ; try++ {
			client, err := dialer.DialRTMP(t.Context(), "rtmp://"+s.addr+"/live/"+key)
			if err == nil {
				defer client.conn.Close()
				err = client.Publish(t.Context())
			}
			if err == nil {
				t.Logf("%s is in after %d tries", key, try)
				break
			}
			if try == tries {
				t.Errorf("%s is not in after %d tries: %v", key, try, err)
				break
			}
		}
	}
	t.Logf("%d guesses", guesses.Load())
	over()
	flood.Wait()
}
