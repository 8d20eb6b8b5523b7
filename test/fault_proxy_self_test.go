package test

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// startEcho gives the address of a server that answers with what it is sent.
func startEcho(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = io.Copy(conn, conn)
				_ = conn.Close()
			})
		}
	})
	tb.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

// TestFaultProxy proves that each fault is the one that it is named for.
func TestFaultProxy(t *testing.T) {
	t.Parallel()
	proxy := newFaultProxy(t, startEcho(t))
	dial := func() (net.Conn, error) { return net.DialTimeout("tcp", proxy.address, time.Second) }
	mustDial := func() net.Conn {
		t.Helper()
		conn, err := dial()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	echo := func(conn net.Conn, size int, within time.Duration) (time.Duration, error) {
		begun := time.Now()
		_ = conn.SetDeadline(begun.Add(within))
		_, err := conn.Write(make([]byte, size))
		if err == nil {
			_, err = io.ReadFull(conn, make([]byte, size))
		}
		return time.Since(begun), err
	}
	conn := mustDial()
	if _, err := echo(conn, 1000, patient(5*time.Second)); err != nil {
		t.Errorf("pass: %v", err)
	}
	proxy.set(proxyLine{delay: 100 * time.Millisecond})
	if took, err := echo(conn, 1000, patient(5*time.Second)); err != nil || took < 200*time.Millisecond {
		t.Errorf("delay of 100 ms each way: %v, %v", took, err)
	}
	proxy.set(proxyLine{rate: 1 << 20})
	if took, err := echo(conn, 1<<19, patient(10*time.Second)); err != nil || took < 400*time.Millisecond {
		t.Errorf("512 KiB at 1 MiB/s: %v, %v", took, err)
	}
	proxy.hole()
	if _, err := echo(conn, 10, 200*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("hole: %v, want a wait", err)
	}
	fresh := mustDial()
	if _, err := echo(fresh, 10, 200*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("hole, a new connection: %v, want a wait", err)
	}
	proxy.pass()
	for _, c := range []net.Conn{conn, fresh} { // what was held comes now, before what is sent now
		if _, err := echo(c, 10, patient(5*time.Second)); err != nil {
			t.Errorf("after the hole: %v", err)
		}
	}
	proxy.cut()
	if _, err := echo(conn, 10, patient(5*time.Second)); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("cut: %v, want a reset", err)
	}
	eventually(t, 5*time.Second, "no connection is left", func() bool { return proxy.established() == 0 })
	proxy.refuse()
	if _, err := dial(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("refuse: %v, want a refusal", err)
	}
	proxy.pass()
	again := mustDial()
	if _, err := echo(again, 10, patient(5*time.Second)); err != nil {
		t.Errorf("after a refusal: %v", err)
	}
	if err := again.(*net.TCPConn).CloseWrite(); err != nil {
		t.Error(err)
	}
	if _, err := again.Read(make([]byte, 1)); !isEOF(err) {
		t.Errorf("half a close: %v, want the other half's", err)
	}
	if accepted, cuts := proxy.accepted.Load(), proxy.cuts.Load(); accepted != 3 || cuts != 2 {
		t.Errorf("%d accepted and %d cut, want 3 and 2", accepted, cuts)
	}
	proxy.close()
	if _, err := dial(); err == nil {
		t.Error("a closed proxy takes connections")
	}
	gone := newFaultProxy(t, "127.0.0.1:1")
	if lost, err := net.Dial("tcp", gone.address); err == nil { // else it was reset before that was known
		defer lost.Close()
		if _, err := echo(lost, 10, patient(5*time.Second)); err == nil {
			t.Error("nobody is behind it, and it answers")
		}
	}
	eventually(t, 5*time.Second, "the failure is counted", func() bool { return gone.failed.Load() == 1 })
}
