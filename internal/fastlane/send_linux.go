package fastlane

import (
	"errors"
	"io"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// supported says that the lane can be used on this system.
const supported = true

// fileBytes is the least that is sent out of a memory file: below that, copying is cheaper than a call more. Of 60 KiB
// that takes a seventh to a third off the work of a request; of 1 MiB both are equal, as long as the piece goes in one
// call.
const fileBytes = 24 << 10

// read reads what there is. It takes a buffer for as long as there is anything in it, so that a connection that waits
// for a request has none. False waits for the socket.
func (c *conn) read(fd uintptr) bool {
	if c.buf == nil {
		c.buf = c.server.buffers.Get().(*[maxHead]byte) //nolint:forcetypeassert // the pool has nothing else
	}
	for {
		n, err := unix.Read(int(fd), c.buf[c.end:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			if c.end == 0 {
				c.release()
			}
			return false
		}
		c.got, c.err = n, err
		return true
	}
}

// write sends as much as the socket takes. False waits until it takes more.
func (c *conn) write(fd uintptr) bool {
	for len(c.sending) > 0 && c.err == nil {
		n, err := c.writeSome(int(fd))
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			c.full()
			return c.err != nil
		case err != nil:
			c.err = err
		case n == 0:
			c.err = io.ErrShortWrite // the memory file is shorter than its piece
		default:
			c.sent(n)
		}
	}
	return true
}

// writeSome makes one call: sendfile for a piece that is worth it, else one for all pieces up to the next such.
func (c *conn) writeSome(fd int) (int, error) {
	first := c.sending[0]
	if file, offset, ok := inFile(first); ok {
		return unix.Sendfile(fd, file, &offset, len(first.Data))
	}
	c.vector = c.vector[:0]
	for _, p := range c.sending {
		if _, _, ok := inFile(p); ok {
			if len(c.vector) == 1 { // a header: the piece behind it shares its packet
				return unix.SendmsgN(fd, first.Data, nil, nil, unix.MSG_MORE)
			}
			break
		}
		c.vector = append(c.vector, unix.Iovec{})
		at := &c.vector[len(c.vector)-1]
		at.Base = unsafe.SliceData(p.Data)
		at.SetLen(len(p.Data))
	}
	if len(c.vector) == 1 {
		return unix.Write(fd, first.Data)
	}
	return writev(fd, c.vector)
}

// vector is for writev.
type vector []unix.Iovec

// writev is unix.Writev, which would allocate at every call.
func writev(fd int, v vector) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_WRITEV,
		uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// inFile says where a piece lies in a memory file, if it is worth to send it from there.
func inFile(p slab.Piece) (fd int, offset int64, ok bool) {
	if len(p.Data) < fileBytes || p.Buffer == nil {
		return 0, 0, false
	}
	fd, offset, ok = p.Buffer.File()
	whole := p.Buffer.Bytes()
	at := uintptr(unsafe.Pointer(unsafe.SliceData(p.Data))) - uintptr(unsafe.Pointer(unsafe.SliceData(whole)))
	if !ok || at > uintptr(len(whole)-len(p.Data)) {
		return 0, 0, false
	}
	return fd, offset + int64(at), true
}

// look sees whether there is an end behind what the other side has sent.
func (c *conn) look(fd uintptr) {
	var one [1]byte
	n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
	case err != nil:
		c.peeked = true
	default:
		c.peeked = n == 0
	}
}
