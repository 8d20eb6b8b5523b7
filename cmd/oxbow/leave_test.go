package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/fastlane"
	"github.com/oxbow-video/oxbow/internal/front"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// leftEdge answers at once, but for /held, which waits for the end of waits, and /slow, which never ends.
type leftEdge struct {
	held, waited chan struct{}
}

func (e *leftEdge) EndWaits() { close(e.waited) }

func (e *leftEdge) status(path string, gone <-chan struct{}) string {
	if path == "/at-once" {
		return "200 OK"
	}
	e.held <- struct{}{}
	if path == "/slow" {
		<-gone
		return "500 Cut"
	}
	<-e.waited
	return "503 Service Unavailable"
}

func (e *leftEdge) ServeLane(x *fastlane.Exchange) error {
	status := e.status(x.Path(), x.Context().Done())
	if err := x.Begin("HTTP/1.1 "+status+"\r\n", nil, []byte("Content-Length: 2\r\n"), 2); err != nil {
		return err
	}
	if err := x.Write(slab.Of([]byte("ok"))); err != nil {
		return err
	}
	return x.End()
}

func (e *leftEdge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var code int
	_, _ = fmt.Sscan(e.status(r.URL.Path, r.Context().Done()), &code)
	w.Header().Set("Content-Length", "2")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, "ok")
}

// asker is a viewer's connection.
type asker struct {
	net.Conn
	in *bufio.Reader
}

func (a *asker) ask(t *testing.T, path string) {
	t.Helper()
	if _, err := fmt.Fprintf(a, "GET %s HTTP/1.1\r\nHost: edge\r\n\r\n", path); err != nil {
		t.Fatal(err)
	}
}

// answer gives the next answer's status, and whether it is the connection's last.
func (a *asker) answer(t *testing.T) (status int, last bool) {
	t.Helper()
	resp, err := http.ReadResponse(a.in, nil)
	if err != nil {
		return 0, true
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Close
}

// calmListener says that nobody is connected once it is calm, so that a busy machine has all the time it needs before.
type calmListener struct {
	*front.Listener
	calm atomic.Bool
}

func (l *calmListener) Open() int {
	if l.calm.Load() {
		return 0
	}
	return l.Listener.Open()
}

// patientServer shuts down until its time is over, which the test says.
type patientServer struct {
	httpServer
	over chan struct{}
}

func (s *patientServer) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-s.over:
			cancel()
		case <-ctx.Done():
		}
	}()
	return s.httpServer.Shutdown(ctx)
}

func (s *patientServer) Leave() {
	if lane, ok := s.httpServer.(interface{ Leave() }); ok {
		lane.Leave()
	}
}

func TestViewersAreSentAwayKindly(t *testing.T) {
	for _, lane := range []bool{true, false} {
		t.Run(fmt.Sprintf("lane=%v", lane), func(t *testing.T) {
			t.Parallel()
			testLeave(t, lane)
		})
	}
}

func testLeave(t *testing.T, lane bool) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.DiscardHandler)
	l := &calmListener{Listener: front.NewListener(inner, front.ListenerConfig{
		Book: front.NewBook(front.Config{}, nil), Logger: logger,
	})}
	edge := &leftEdge{held: make(chan struct{}), waited: make(chan struct{})}
	leaving := new(front.Leaving)
	beside := newHTTPServer(leaving.Handler(edge), logger)
	server := &patientServer{httpServer: beside, over: make(chan struct{})}
	if lane {
		server.httpServer = fastlane.New(fastlane.Config{Handler: edge, HTTP: beside, Logger: logger})
	}
	// The two long times are for a machine that stands still, and end when the test says so.
	times := leaveTimes{grace: 10 * time.Minute, rest: 10 * time.Minute, waits: 10*time.Minute - 100*time.Millisecond}
	ctx, cancel := context.WithCancel(t.Context())
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := serveUntilLeft(l, server, leaving, edge, times)(ctx); err != nil {
			t.Error(err)
		}
	})
	defer serving.Wait()
	over := sync.OnceFunc(func() {
		l.calm.Store(true)
		close(server.over)
	})
	defer over()
	defer cancel()
	dial := func() *asker {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(5 * time.Minute))
		return &asker{conn, bufio.NewReader(conn)}
	}
	idle, active, held, slow := dial(), dial(), dial(), dial()
	for _, a := range []*asker{idle, active} {
		a.ask(t, "/at-once")
		if status, last := a.answer(t); status != http.StatusOK || last {
			t.Fatalf("%d %v", status, last)
		}
	}
	for a, path := range map[*asker]string{held: "/held", slow: "/slow"} {
		a.ask(t, path)
		<-edge.held
	}
	cancel()
	// Who comes is served still, and told to leave.
	for {
		fresh := dial()
		fresh.ask(t, "/at-once")
		status, last := fresh.answer(t)
		if status != http.StatusOK {
			t.Fatalf("a new viewer: %d", status)
		}
		if last {
			break
		}
	}
	active.ask(t, "/at-once")
	if status, last := active.answer(t); status != http.StatusOK || !last {
		t.Errorf("a viewer who asks again: %d, last %v", status, last)
	}
	l.calm.Store(true) // the grace is over
	if status, _ := idle.answer(t); status != 0 {
		t.Errorf("a viewer who does not ask: %d", status)
	}
	if status, last := held.answer(t); status != http.StatusServiceUnavailable || !last {
		t.Errorf("a viewer who waits: %d, last %v", status, last)
	}
	over() // and so is the rest
	if status, _ := slow.answer(t); status != 0 {
		t.Errorf("who never ends: %d", status)
	}
}

// pipeListener takes connections of a bubble, of which it says how many came.
type pipeListener struct {
	conns  chan net.Conn
	came   atomic.Int64
	closed chan struct{}
	close  func()
}

func newPipeListener() *pipeListener {
	l := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

func (l *pipeListener) dial() *asker {
	viewer, server := net.Pipe()
	l.conns <- server
	l.came.Add(1)
	return &asker{viewer, bufio.NewReader(viewer)}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.close()
	return nil
}

func (*pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) Open() int { return int(l.came.Load()) }

// The same by the clock: who idles has the grace, who waits is answered before the rest ends, and who is slow has all
// of it.
func TestViewersAreSentAwayInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger := slog.New(slog.DiscardHandler)
		l, edge, leaving := newPipeListener(), &leftEdge{held: make(chan struct{}), waited: make(chan struct{})}, new(front.Leaving)
		times := usualLeave()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- serveUntilLeft(l, newHTTPServer(leaving.Handler(edge), logger), leaving, edge, times)(ctx)
		}()
		idle, held, slow := l.dial(), l.dial(), l.dial()
		idle.ask(t, "/at-once")
		if status, last := idle.answer(t); status != http.StatusOK || last {
			t.Fatalf("%d %v", status, last)
		}
		held.ask(t, "/held")
		<-edge.held
		slow.ask(t, "/slow")
		<-edge.held
		synctest.Wait()
		begun := time.Now()
		cancel()
		for _, c := range []struct {
			*asker
			status int
			after  time.Duration
		}{
			{idle, 0, times.grace},
			{held, http.StatusServiceUnavailable, times.grace + times.rest - times.waits},
			{slow, 0, times.grace + times.rest},
		} {
			if status, _ := c.answer(t); status != c.status || time.Since(begun) != c.after {
				t.Errorf("%d after %v, want %d after %v", status, time.Since(begun), c.status, c.after)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestNobodyIsAwaitedWhoIsNotThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if awaitNobody(newPipeListener(), time.Minute); time.Since(begun) != 0 {
			t.Errorf("waited %v", time.Since(begun))
		}
	})
}
