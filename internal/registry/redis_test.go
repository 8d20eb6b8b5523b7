package registry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestRedis(t *testing.T) {
	s := MustRedis(t)
	conformance(t, (&redisBench{url: "redis://" + s.addr + "/3?"}).bench())
}

// wantAway holds every call of a registry against one that is away: an error that says so, before the caller's patience
// ends.
func wantAway(t *testing.T, r *Redis) {
	t.Helper()
	calls := map[string]func(ctx context.Context) error{
		"Register":   func(ctx context.Context) error { return r.Register(ctx, media.Node{ID: "a", URL: "http://a"}) },
		"Unregister": func(ctx context.Context) error { return r.Unregister(ctx, "a") },
		"Nodes":      func(ctx context.Context) error { _, err := r.Nodes(ctx); return err },
		"Acquire":    func(ctx context.Context) error { _, err := r.Acquire(ctx, owned(show, "z", 0), 0); return err },
		"Claim":      func(ctx context.Context) error { _, err := r.Claim(ctx, owned(show, "z", 0), 0); return err },
		"Renew":      func(ctx context.Context) error { return r.Renew(ctx, owned(show, "a", 1)) },
		"RenewAll":   func(ctx context.Context) error { return r.RenewAll(ctx, []media.Lease{owned(show, "a", 1)})[0] },
		"Release":    func(ctx context.Context) error { return r.Release(ctx, show, "z", 1) },
		"Owner":      func(ctx context.Context) error { _, _, err := r.Owner(ctx, show); return err },
		"Leases":     func(ctx context.Context) error { _, err := r.Leases(ctx, ""); return err },
		"Publish":    func(ctx context.Context) error { return r.Publish(ctx, media.Event{}) },
		"Tail":       func(ctx context.Context) error { _, err := r.Tail(ctx); return err },
		"Read":       func(ctx context.Context) error { _, err := r.Read(ctx, 1); return err },
		"Ping":       r.Ping,
	}
	type outcome struct {
		name string
		err  error
	}
	done := make(chan outcome)
	for name, f := range calls {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // many times our bound: a busy machine
			defer cancel()
			done <- outcome{name, f(ctx)}
		}()
	}
	for range calls {
		if o := <-done; !errors.Is(o.err, media.ErrUnavailable) || errors.Is(o.err, context.DeadlineExceeded) {
			t.Errorf("%s at a registry that is away: error %v, want media.ErrUnavailable alone", o.name, o.err)
		}
	}
}

// A registry that is killed and comes back empty learns from the owners; nobody is overrun meanwhile.
func TestRedisForgetsAll(t *testing.T) {
	ctx := t.Context()
	s := MustRedis(t)
	a := MustOpenRedis(t, "redis://"+s.addr, Config{})
	b := MustOpenRedis(t, "redis://"+s.addr, Config{})
	b.shift = a.shift
	orphan := media.StreamPath{Publisher: "acme", Stream: "orphan"} // of the same group of streams
	fresh := media.StreamPath{Publisher: "acme", Stream: "fresh"}
	epoch := acquire(t, a, show, "a", 4)
	acquire(t, a, orphan, "gone", 0)

	s.kill()
	wantAway(t, a)
	s.start("Ready to accept connections")
	// After as many failures as it has connections the client looks each second only.
	eventually(t, "registry back", func() error { return a.Ping(ctx) })

	// Before the owner was here. A publisher may come at once: storage says above what.
	_, err := b.Claim(ctx, owned(show, "b", 0), 4)
	wantError(t, err, media.ErrUnavailable)
	if got := acquire(t, b, fresh, "b", 11); got != 12 {
		t.Errorf("Acquire in a registry that forgot = %d, want 12", got)
	}
	wantOwner(t, b, show, "", 0)
	noError(t, a.Renew(ctx, owned(show, "a", epoch)))
	wantOwner(t, b, show, "a", epoch)
	_, err = b.Claim(ctx, owned(show, "b", 0), 4)
	wantError(t, err, media.ErrConflict)

	pass(b, 4*time.Second)
	_, err = b.Claim(ctx, owned(orphan, "b", 0), 1)
	wantError(t, err, media.ErrUnavailable)
	noError(t, a.Renew(ctx, owned(show, "a", epoch)))
	pass(b, 3*time.Second)
	if got := claim(t, b, orphan, "b", 1); got != 2 {
		t.Errorf("Claim of an orphan = %d, want 2", got)
	}
	_, err = b.Claim(ctx, owned(show, "b", 0), 4)
	wantError(t, err, media.ErrConflict)
}

// A registry that stood still remembers leases that ran out meanwhile: their owners come first all the same.
func TestRedisStandsStill(t *testing.T) {
	ctx := t.Context()
	s := MustRedis(t)
	a := MustOpenRedis(t, "redis://"+s.addr, Config{})
	pass(a, 7*time.Second)
	epoch := claim(t, a, show, "a", 0)

	s.signal(syscall.SIGSTOP)
	wantAway(t, a)
	a.shift.Add(time.Minute.Microseconds()) // nobody beats
	s.signal(syscall.SIGCONT)
	eventually(t, "registry back", func() error { return a.Ping(ctx) })

	wantOwner(t, a, show, "", 0)
	_, err := a.Claim(ctx, owned(show, "b", 0), 0)
	wantError(t, err, media.ErrUnavailable)
	noError(t, a.Renew(ctx, owned(show, "a", epoch)))
	pass(a, 4*time.Second)
	noError(t, a.Renew(ctx, owned(show, "a", epoch)))
	pass(a, 3*time.Second)
	_, err = a.Claim(ctx, owned(show, "b", 0), 0)
	wantError(t, err, media.ErrConflict)
	pass(a, 3*time.Second)
	if got := claim(t, a, show, "b", 0); got != epoch+1 {
		t.Errorf("Claim once the owner is gone = %d, want %d", got, epoch+1)
	}
}

// A server that was saved and starts at once may still lack the newest: nothing is claimed before the owners have come,
// and readers of events look anew.
func TestRedisStartsFromASnapshot(t *testing.T) {
	ctx := t.Context()
	s := MustRedis(t)
	a := MustOpenRedis(t, "redis://"+s.addr, Config{})
	pass(a, 7*time.Second)
	noError(t, a.Publish(ctx, media.Event{}))
	tail, err := a.Tail(ctx)
	noError(t, err)
	claim(t, a, show, "gone", 0)
	s.mustDo("SAVE")
	epoch := acquire(t, a, show, "a", 0)
	s.kill()
	a.shift.Add(time.Second.Microseconds())
	s.start("Ready to accept connections")
	eventually(t, "registry back", func() error { return a.Ping(ctx) })
	noError(t, a.Release(ctx, show, "gone", epoch-1))

	_, err = a.Claim(ctx, owned(show, "b", 0), 0)
	wantError(t, err, media.ErrUnavailable)
	noError(t, a.Renew(ctx, owned(show, "a", epoch)))
	_, err = a.Claim(ctx, owned(show, "b", 0), 0)
	wantError(t, err, media.ErrConflict)
	_, err = a.Read(ctx, tail-1)
	wantError(t, err, media.ErrGone)
	if newest, err := a.Tail(ctx); err != nil || newest <= tail {
		t.Errorf("Tail = %d, %v, want above %d", newest, err, tail)
	}
}

// Also a server that takes connections and never says a word holds nobody.
func TestRedisSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		var held []net.Conn // open until the end
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			held = append(held, c)
		}
		for _, c := range held {
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-accepted })
	for _, url := range []string{
		"redis://" + l.Addr().String(), "redis+sentinel://" + l.Addr().String() + "/main",
		"redis+cluster://" + l.Addr().String(), "rediss://" + l.Addr().String(),
	} {
		t.Run(url[:strings.Index(url, ":")], func(t *testing.T) {
			t.Parallel()
			wantAway(t, MustOpenRedis(t, url, Config{}))
		})
	}
}

// A node starts while Redis is away, and finds it when it comes.
func TestRedisComesLater(t *testing.T) {
	s := MustRedis(t)
	s.kill()
	r := MustOpenRedis(t, "redis://"+s.addr, Config{})
	wantError(t, r.Ping(t.Context()), media.ErrUnavailable)
	s.start("Ready to accept connections")
	noError(t, r.Ping(t.Context()))
	acquire(t, r, show, "a", 0)
}

// Readers of events are told that a registry forgot them, and ids go on above those that they have seen.
func TestRedisForgetsEvents(t *testing.T) {
	for name, forget := range map[string]func(t *testing.T, s *redisServer){
		"killed":                    func(_ *testing.T, s *redisServer) { s.kill(); s.start("Ready to accept connections") },
		"flushed":                   func(_ *testing.T, s *redisServer) { s.mustDo("FLUSHALL") },
		"the state of events alone": func(_ *testing.T, s *redisServer) { s.mustDo("DEL", "oxbow:{events}:state") },
		"the events alone":          func(_ *testing.T, s *redisServer) { s.mustDo("DEL", "oxbow:{events}:log") },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			s := MustRedis(t)
			r := MustOpenRedis(t, "redis://"+s.addr, Config{})
			for range 3 {
				noError(t, r.Publish(ctx, media.Event{Type: media.EventLive}))
			}
			stood, err := r.Tail(ctx)
			noError(t, err)
			forget(t, s)
			noError(t, r.Publish(ctx, media.Event{Type: media.EventEnded}))
			_, err = r.Read(ctx, stood)
			var lost *LostError
			if !errors.As(err, &lost) || lost.First < stood {
				t.Fatalf("Read = %v, want a LostError that leads on from %d", err, stood)
			}
			events, err := r.Read(ctx, lost.First)
			if err != nil || len(events) != 1 || events[0].ID <= stood || events[0].Type != media.EventEnded {
				t.Errorf("Read on = %+v, %v, want the ended event, above %d", events, err, stood)
			}
		})
	}
}

// Who waits for events when Redis goes away is told, and so is who waits at Close.
func TestRedisEndsWaits(t *testing.T) {
	s := MustRedis(t)
	for name, end := range map[string]func(r *Redis){
		"redis killed": func(*Redis) { s.kill() },
		"closed":       func(r *Redis) { _ = r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			if s.cmd == nil {
				s.start("Ready to accept connections")
			}
			r, err := OpenRedis(t.Context(), RedisConfig{URL: "redis://" + s.addr}, slog.New(slog.DiscardHandler))
			noError(t, err)
			defer func() { _ = r.Close() }()
			tail, err := r.Tail(t.Context())
			noError(t, err)
			const readers = 4
			ended := make(chan error, readers)
			for range readers {
				go func() {
					_, err := r.Read(t.Context(), tail)
					ended <- err
				}()
			}
			eventually(t, "readers wait", func() error {
				if answer := fmt.Sprint(s.mustDo("CLIENT", "LIST")); !strings.Contains(answer, "cmd=xread") {
					return errors.New("no XREAD at the server")
				}
				r.mu.Lock()
				defer r.mu.Unlock()
				if r.mu.follow.readers < readers {
					return errors.New("not all of them")
				}
				return nil
			})
			if n := strings.Count(fmt.Sprint(s.mustDo("CLIENT", "LIST")), "cmd=xread"); n != 1 {
				t.Errorf("%d connections wait for events, want 1 for all readers", n)
			}
			end(r)
			for range readers {
				wantError(t, <-ended, media.ErrUnavailable)
			}
		})
	}
}

// What is none of ours in Redis is logged and left out, and does not hide the rest.
func TestRedisHoldsRubbish(t *testing.T) {
	ctx := t.Context()
	s := MustRedis(t)
	var logged strings.Builder
	r, err := OpenRedis(ctx, RedisConfig{URL: "redis://" + s.addr}, slog.New(slog.NewTextHandler(&logged, nil)))
	noError(t, err)
	defer func() { noError(t, r.Close()) }()
	end := time.Now().Add(3 * time.Second).UnixMicro()

	noError(t, r.Register(ctx, media.Node{ID: "a", URL: "http://a"}))
	s.mustDo("HSET", "oxbow:{nodes}:known", "b", "{", "c", `{"id":"x","url":"http://x"}`,
		"e", `{"id":"e","url":"http://u:secret@e"}`)
	s.mustDo("ZADD", "oxbow:{nodes}:ends", end, "b", end, "c", end, "d", end, "e")
	for range 3 {
		wantNodes(t, r, media.Node{ID: "a", URL: "http://a"})
	}
	if n := strings.Count(logged.String(), "bad node"); n != 3 || strings.Contains(logged.String(), "secret") {
		t.Errorf("%d lines of 3 bad nodes:\n%s", n, logged.String())
	}

	epoch := acquire(t, r, show, "a", 0)
	held := fmt.Sprintf("oxbow:{leases-%02d}:", bucket("acme"))
	s.mustDo("HSET", held+"held", "acme/x", fmt.Sprint(end, " 5 given a t {"), "acme/y", "??", "acme/Z/", fmt.Sprint(end, " 5 given a t {}"))
	s.mustDo("ZADD", held+"ends", end, "acme/x", end, "acme/y", end, "acme/Z/", end, "acme/none")
	wantLeases(t, r, "acme", owned(show, "a", epoch))
	_, _, err = r.Owner(ctx, media.StreamPath{Publisher: "acme", Stream: "x"})
	wantError(t, err, media.ErrCorrupt)
	if epoch := acquire(t, r, media.StreamPath{Publisher: "acme", Stream: "x"}, "a", 0); epoch != 6 {
		t.Errorf("epoch over an entry that can't be read = %d, want 6", epoch)
	}
	for _, text := range []string{"bad node", "node=\"\\\"b", "bad lease", "acme/x"} {
		if !strings.Contains(logged.String(), text) {
			t.Errorf("the log lacks %q:\n%s", text, logged.String())
		}
	}
	wantError(t, r.Register(ctx, media.Node{ID: "a", URL: "http://a", Version: strings.Repeat("v", maxEntry)}), media.ErrTooLarge)
	wantError(t, r.Publish(ctx, media.Event{Type: strings.Repeat("u", maxEntry)}), media.ErrTooLarge)
	wantError(t, r.Renew(ctx, media.Lease{Path: show, Node: "a", Epoch: epoch, Feed: strings.Repeat("u", maxEntry)}), media.ErrTooLarge)
	wantError(t, r.Renew(ctx, owned(show, "a", 1<<53)), media.ErrInvalid)
	_, err = r.Acquire(ctx, owned(show, "a", 0), 1<<63)
	wantError(t, err, media.ErrInvalid)
}

// A call that is sent twice, as the answer to the first was lost, takes effect once.
func TestRedisAnswersAgain(t *testing.T) {
	ctx := t.Context()
	r := MustOpenRedis(t, "redis://"+MustRedis(t).addr, Config{})
	pass(r, 7*time.Second)
	later := time.Now().Add(time.Minute).UnixMicro()
	sent := r.leaseCall(giveScript, bucket("acme"), show.String(), 0, "a", "TOKEN", "{}", "claim", later)
	for range 2 {
		answer, err := r.texts(ctx, 2, sent)
		if err != nil || answer[0] != "given" || answer[1] != "1" {
			t.Fatalf("claim = %v, %v, want epoch 1 both times", answer, err)
		}
	}
}

// What a Redis that stood still had not read yet takes no stream from its owner: who sent it gave up long ago.
func TestRedisReadsLate(t *testing.T) {
	ctx := t.Context()
	r := MustOpenRedis(t, "redis://"+MustRedis(t).addr, Config{})
	epoch := acquire(t, r, show, "a", 0)
	clock, err := r.texts(ctx, 1, r.leaseCall(clockScript, bucket("acme")))
	noError(t, err)
	answer, err := r.texts(ctx, 2, r.leaseCall(
		giveScript, bucket("acme"), show.String(), 0, "b", "TOKEN", "{}", "acquire", clock[0]))
	if err != nil || answer[0] != "late" {
		t.Errorf("acquire that is read late = %v, %v, want late", answer, err)
	}
	noError(t, r.Renew(ctx, owned(show, "a", epoch)))
}

// Streams that are long gone do not fill Redis.
func TestRedisDropsOldLeases(t *testing.T) {
	ctx := t.Context()
	s := MustRedis(t)
	r := MustOpenRedis(t, "redis://"+s.addr, Config{})
	for i := range 20 {
		path := media.StreamPath{Publisher: "acme", Stream: fmt.Sprintf("s%d", i)}
		noError(t, r.Release(ctx, path, "a", acquire(t, r, path, "a", 0)))
	}
	r.shift.Add((leaseMemory + time.Hour).Microseconds())
	acquire(t, r, show, "a", 0)
	acquire(t, r, show, "a", 0)
	held := fmt.Sprintf("oxbow:{leases-%02d}:", bucket("acme"))
	if n := s.mustDo("ZCARD", held+"ends"); n != int64(1) {
		t.Errorf("%v streams are remembered, want 1", n)
	}
	if n := s.mustDo("HLEN", held+"held"); n != int64(4) { // the stream's and the beat's three
		t.Errorf("%v entries are kept, want 4", n)
	}
}

func BenchmarkRedisRenew(b *testing.B) {
	r := MustOpenRedis(b, "redis://"+MustRedis(b).addr, Config{})
	lease := owned(show, "a", 1)
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Renew(b.Context(), lease); err != nil {
			b.Fatal(err)
		}
	}
}

// A node with a hundred streams does this each second.
func BenchmarkRedisRenew100(b *testing.B) {
	r := MustOpenRedis(b, "redis://"+MustRedis(b).addr, Config{})
	var leases []media.Lease
	for i := range 100 {
		path := media.StreamPath{Publisher: fmt.Sprintf("p%d", i/3), Stream: fmt.Sprintf("s%d", i)}
		leases = append(leases, owned(path, "a", 1))
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := errors.Join(r.RenewAll(b.Context(), leases)...); err != nil {
			b.Fatal(err)
		}
	}
}
