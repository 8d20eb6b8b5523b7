package ingest

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// pipeTo serves one end of a pipe in a synctest bubble and gives the other.
func pipeTo(t *testing.T, s *testServer) net.Conn {
	ours, theirs := net.Pipe()
	go func() {
		s.serveRTMP(context.Background(), theirs, nil)
		_ = theirs.Close()
	}()
	t.Cleanup(func() { _ = ours.Close() })
	return ours
}

// Invariant 9: every wait has a deadline.
func TestSilentClients(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(*testing.T, *testServer, net.Conn)
		want time.Duration // until the server gives up
		log  []string
	}{
		{"says nothing", func(*testing.T, *testServer, net.Conn) {}, 10 * time.Second,
			[]string{"timed out before a publish", "handshake_done=false"}},
		{"stops in the handshake", func(_ *testing.T, _ *testServer, c net.Conn) { _, _ = c.Write([]byte{3, 1, 2}) },
			10 * time.Second, []string{"timed out before a publish", "handshake_done=false"}},
		{"stops after the handshake", func(t *testing.T, _ *testServer, c net.Conn) { MustShakeHands(t, c) },
			15 * time.Second, []string{"timed out before a publish", "handshake_done=true"}},
		{"trickles without a publish", func(t *testing.T, _ *testServer, conn net.Conn) {
			c := MustShakeHands(t, conn)
			for range 14 {
				c.send(typeAck, 0, 0, []byte{0, 0, 0, 0})
				time.Sleep(time.Second)
			}
		}, 15 * time.Second, []string{"timed out before a publish"}},
		{"stops while it publishes", func(t *testing.T, s *testServer, conn net.Conn) {
			MustShakeHands(t, conn).publish(s.rec.key)
		}, 15 * time.Second, []string{"publisher left", "how=timeout"}},
		{"says much but sends no media", func(t *testing.T, s *testServer, conn net.Conn) {
			c := MustShakeHands(t, conn)
			c.publish(s.rec.key)
			for range 15 {
				time.Sleep(time.Second)
				c.send(typeAck, 0, 0, []byte{0, 0, 0, 0})
			}
			time.Sleep(time.Millisecond)
			c.send(typeAck, 0, 0, []byte{0, 0, 0, 0})
		}, 15*time.Second + time.Millisecond, []string{"publisher left", "how=silent"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTestServer(t, Config{}, newRecorder())
				began := time.Now()
				conn := pipeTo(t, s)
				tt.do(t, s, conn)
				buf := make([]byte, 4096)
				for {
					if _, err := conn.Read(buf); err != nil {
						break
					}
				}
				if got := time.Since(began); got != tt.want {
					t.Errorf("gave up after %v, want %v", got, tt.want)
				}
				s.log.await(t, tt.log...)
			})
		})
	}
}

// A packager that holds a frame back for longer than the idle timeout does not make its publisher a silent one.
func TestBackPressureIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		rec.onFrame = func(*media.Frame) error {
			time.Sleep(time.Minute)
			return nil
		}
		s := newTestServer(t, Config{}, rec)
		c := MustShakeHands(t, pipeTo(t, s))
		c.publish(rec.key)
		c.send(typeDataAMF0, 1, 0, onlyAudio)
		c.send(typeAudio, 1, 0, audioConfig(testASC))
		for i := range 3 {
			c.send(typeAudio, 1, uint32(i), audioUnit(1))
			c.send(typeAck, 0, 0, []byte{0, 0, 0, 0})
		}
		_ = c.conn.Close()
		if p := rec.publication(t, 0); len(p.frames) != 3 {
			t.Errorf("%d frames", len(p.frames))
		}
		s.log.await(t, "publisher left", "how=lost")
	})
}

// A client that never reads does not block the server: it loses its acknowledgements.
func TestClientThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rec := newRecorder()
		s := newTestServer(t, Config{}, rec)
		c := MustShakeHands(t, pipeTo(t, s)) // a pipe has no buffer: every write waits for a read
		c.publish(rec.key)
		c.send(typeWindowAckSize, 0, 0, []byte{0, 0, 0, 1})
		began := time.Now()
		c.send(typeDataAMF0, 1, 0, onlyAudio)
		c.send(typeAudio, 1, 0, audioConfig(testASC))
		for i := range 20 {
			c.send(typeAudio, 1, uint32(i), append(audioUnit(), make([]byte, 20<<10)...))
		}
		_ = c.conn.Close()
		if p := rec.publication(t, 0); len(p.frames) != 20 {
			t.Errorf("%d frames", len(p.frames))
		}
		if waited := time.Since(began); waited != ackTimeout {
			t.Errorf("it was waited for %v", waited)
		}
	})
}

func TestSeats(t *testing.T) {
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	type place struct {
		*seat
		ctx context.Context
	}
	take := func(s *seats, epoch uint64) (place, error) {
		ctx, stop := context.WithCancelCause(context.Background())
		mine := &seat{epoch: epoch, stop: stop, pulse: newPulse()}
		return place{mine, ctx}, s.take(ctx, path, mine, 5*time.Second)
	}
	t.Run("a lower epoch loses", func(t *testing.T) {
		var s seats
		first, err := take(&s, 2)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := take(&s, 1); !errors.Is(err, media.ErrTakenOver) {
			t.Error(err)
		}
		if first.ctx.Err() != nil {
			t.Error("the holder was stopped")
		}
	})
	t.Run("one that does not leave is waited for, and then passed by", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var s seats
			first, _ := take(&s, 1)
			began := time.Now()
			second, err := take(&s, 2)
			if err != nil || time.Since(began) != 5*time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			if cause := context.Cause(first.ctx); !errors.Is(cause, media.ErrTakenOver) {
				t.Error(cause)
			}
			s.leave(path, second.seat) // the first is still there, so the third waits for it
			began = time.Now()
			time.AfterFunc(time.Second, func() { s.leave(path, first.seat) })
			third, err := take(&s, 3)
			if err != nil || time.Since(began) != time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
			s.leave(path, third.seat)
			if len(s.mu.taken) != 0 {
				t.Errorf("%d places are still taken", len(s.mu.taken))
			}
		})
	})
	t.Run("a third stops a second that still waits, and waits for the first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var s seats
			first, _ := take(&s, 1)
			failed := make(chan error)
			go func() {
				_, err := take(&s, 2)
				failed <- err
			}()
			synctest.Wait()
			taken := make(chan time.Time)
			go func() {
				third, err := take(&s, 3)
				if err != nil {
					t.Error(err)
				}
				taken <- time.Now()
				s.leave(path, third.seat)
			}()
			if err := <-failed; !errors.Is(err, media.ErrTakenOver) {
				t.Error(err)
			}
			time.Sleep(time.Second)
			left := time.Now()
			s.leave(path, first.seat)
			if at := <-taken; at != left {
				t.Errorf("the third came %v after the first left", at.Sub(left))
			}
			synctest.Wait()
			if len(s.mu.taken) != 0 {
				t.Errorf("%d places are still taken", len(s.mu.taken))
			}
		})
	})
}

func TestLooksLike(t *testing.T) {
	for head, want := range map[string]string{
		"": "nothing", "GET / HT": "HTTP", "SSH-2.0-": "SSH", "FLV\x01\x05": "FLV", "G@\x11\x10": "transport stream", "?key": "first byte 0x3f",
	} {
		if got := looksLike([]byte(head)); !strings.Contains(got, want) {
			t.Errorf("%q: %s", head, got)
		}
	}
}
