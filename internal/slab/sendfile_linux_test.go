package slab

import (
	"bytes"
	"io"
	"net"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// What the kernel has been told to send is sent as it was, though its buffer is free and its place another's by then.
func TestInvariant2_WhatIsBeingSentNeverChanges(t *testing.T) {
	a := mapped(t, New())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	reader, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	writer, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Close() }()

	const size = 128 << 10
	place, sent := sendAndLetGo(t, a, writer.(*net.TCPConn), size)
	eventually(t, "the buffer is free", func() bool {
		s := a.Stats()
		return s.Used == 0 && s.Buffers == 0 && free(a, place, size)
	})
	var others []*Buffer
	again := false
	for range 64 {
		b := a.Get(size)
		for i := range b.Bytes() {
			b.Bytes()[i] = 'x'
		}
		others = append(others, b)
		again = again || int64(b.place.at)*pageBytes == place
	}
	if !again {
		t.Error("the place was not given again: the test shows nothing")
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(reader)
	if err != nil || len(got) != sent || !bytes.Equal(got, pattern(size)[:sent]) {
		t.Errorf("%d of %d bytes came (%v), %d of them another's", len(got), sent, err, bytes.Count(got, []byte("x")))
	}
	runtime.KeepAlive(others)
}

// pattern is lower-case letters but x.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + i%23)
	}
	return b
}

// sendAndLetGo queues what the socket takes of a buffer, and forgets it.
func sendAndLetGo(t *testing.T, a *Arena, conn *net.TCPConn, size int) (place int64, sent int) {
	t.Helper()
	b := a.Get(size)
	copy(b.Bytes(), pattern(size))
	fd, offset, ok := b.File()
	if !ok {
		t.Fatal("no file")
	}
	place = offset
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	err = raw.Write(func(out uintptr) bool {
		sent, err = unix.Sendfile(int(out), fd, &offset, size)
		return true
	})
	if err != nil || sent < 32<<10 {
		t.Fatalf("%d bytes sent: %v", sent, err)
	}
	runtime.KeepAlive(b)
	return place, sent
}

// free says whether that place is nobody's, not even an idle run's.
func free(a *Arena, at int64, size int) bool {
	m := a.memory.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	for first, x := range m.mu.places.byFirst {
		if int64(first)*pageBytes <= at && at+int64(size) <= int64(first+x.n)*pageBytes {
			return true
		}
	}
	return false
}

// Idle and used runs are what the file takes, and nothing else.
func TestTheFileHasWhatTheArenaSays(t *testing.T) {
	a := mapped(t, New())
	var live []*Buffer
	for i := range 400 {
		b := a.Get(40_000 + i*1000)
		if i%2 == 0 {
			live = append(live, b)
		}
		if i%3 == 0 {
			b.File()
		}
	}
	eventually(t, "half is free", func() bool { return a.Stats().Buffers == int64(len(live)) })
	eventually(t, "holes are punched", func() bool {
		var info unix.Stat_t
		if err := unix.Fstat(a.memory.Load().file.fd, &info); err != nil {
			t.Fatal(err)
		}
		s := a.Stats()
		return info.Blocks*512 == s.Used+s.Idle
	})
	runtime.KeepAlive(live)
}

func TestAnArenaThatNobodyHoldsTakesNothing(t *testing.T) {
	before := descriptors(t)
	for range 20 {
		mapped(t, New())
	}
	eventually(t, "the files are closed", func() bool { return descriptors(t) <= before })
}

func descriptors(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}
