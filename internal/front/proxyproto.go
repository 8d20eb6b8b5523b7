package front

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// proxied is what a header of the PROXY protocol tells: where the client is, and where it thinks that we are. Both are
// not valid if the connection is the proxy's own, or of a kind without addresses.
type proxied struct{ client, local netip.AddrPort }

const (
	// leastProxy is the length of the shortest header, v1's for a client that is not known.
	leastProxy = len("PROXY UNKNOWN\r\n")
	// maxLine bounds a header of version 1 (section 2.1).
	maxLine = 107
	// maxProxy bounds a header of version 2, whose extensions (TLVs) take some hundred bytes where there are any. The
	// protocol would allow 64 KiB.
	maxProxy = 4 << 10
	// headV2 is the length of what tells version 2's length.
	headV2 = 16
)

// signatureV2 begins a header of version 2.
const signatureV2 = "\r\n\r\n\x00\r\nQUIT\n"

// errProxy is what no header of the PROXY protocol is.
var errProxy = errors.New("no good header of the PROXY protocol")

// readProxy reads a header and not a byte behind it.
func readProxy(r io.Reader, room *[maxProxy]byte) (proxied, error) {
	n := 0
	for {
		p, want, err := parseProxy(room[:n])
		if err != nil || want == 0 {
			return p, err
		}
		if _, err := io.ReadFull(r, room[n:n+want]); err != nil {
			return proxied{}, fmt.Errorf("read PROXY header: %w", err)
		}
		n += want
	}
}

// parseProxy reads a header. Want is how many bytes more belong to it at least; with a header that is whole it is zero.
func parseProxy(b []byte) (p proxied, want int, err error) {
	switch {
	case len(b) < leastProxy:
		return p, leastProxy - len(b), nil
	case string(b[:len(signatureV2)]) == signatureV2:
		return parseV2(b)
	case bytes.HasPrefix(b, []byte("PROXY ")):
		return parseV1(b)
	}
	return p, 0, fmt.Errorf("%w: begins with %q", errProxy, b[:leastProxy])
}

// parseV1 reads "PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n".
func parseV1(b []byte) (p proxied, want int, err error) {
	end := bytes.IndexByte(b, '\n')
	switch {
	case end < 0 && len(b) >= maxLine:
		return p, 0, fmt.Errorf("%w: a line of more than %d bytes", errProxy, maxLine)
	case end < 0:
		return p, leastV1(b), nil
	case end != len(b)-1 || len(b) > maxLine || b[end-1] != '\r':
		return p, 0, fmt.Errorf("%w: line %q", errProxy, b)
	}
	line := string(b[:end-1])
	if line == "PROXY UNKNOWN" || strings.HasPrefix(line, "PROXY UNKNOWN ") {
		return p, 0, nil // what follows is to be ignored
	}
	f := strings.Split(line, " ")
	if len(f) != 6 || f[1] != "TCP4" && f[1] != "TCP6" {
		return p, 0, fmt.Errorf("%w: line %q", errProxy, line)
	}
	p.client, err = endV1(f[1], f[2], f[4])
	if err == nil {
		p.local, err = endV1(f[1], f[3], f[5])
	}
	if err != nil {
		return proxied{}, 0, fmt.Errorf("%w: line %q: %w", errProxy, line, err)
	}
	return p, 0, nil
}

// leastV1 is how many bytes a line that is not whole has still to come, at least: it saves most of the reads.
func leastV1(b []byte) int {
	least := 0
	switch {
	case bytes.HasPrefix(b, []byte("PROXY TCP4")):
		least = len("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n")
	case bytes.HasPrefix(b, []byte("PROXY TCP6")):
		least = len("PROXY TCP6 :: :: 0 0\r\n")
	}
	return max(1, least-len(b))
}

func endV1(family, address, port string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		return netip.AddrPort{}, err
	case addr.Zone() != "" || addr.Is4() != (family == "TCP4"):
		return netip.AddrPort{}, fmt.Errorf("%q is not of %s", address, family)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, fmt.Errorf("%q is no port", port)
	}
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), nil
}

// parseV2 reads version 2: signature, version and command, family and protocol, length, addresses, extensions.
func parseV2(b []byte) (p proxied, want int, err error) {
	if len(b) < headV2 {
		return p, headV2 - len(b), nil
	}
	length := headV2 + int(binary.BigEndian.Uint16(b[14:]))
	switch {
	case b[12]>>4 != 2 || b[12]&15 > 1:
		return p, 0, fmt.Errorf("%w: version and command %#x", errProxy, b[12])
	case length > maxProxy:
		return p, 0, fmt.Errorf("%w: %d bytes, of at most %d", errProxy, length, maxProxy)
	case len(b) < length:
		return p, length - len(b), nil
	case len(b) > length:
		return p, 0, fmt.Errorf("%w: %d bytes behind it", errProxy, len(b)-length)
	case b[12]&15 == 0: // LOCAL: the proxy's own connection, to see whether we are well
		return p, 0, nil
	}
	size := 0 // of an address
	switch b[13] {
	case 0x00: // unspecified
	case 0x11: // TCP over IPv4
		size = 4
	case 0x21: // TCP over IPv6
		size = 16
	case 0x31: // a UNIX socket
		if length < headV2+2*108 {
			return p, 0, fmt.Errorf("%w: %d bytes are too few for its addresses", errProxy, length)
		}
		return p, 0, nil
	default:
		return p, 0, fmt.Errorf("%w: family and protocol %#x", errProxy, b[13])
	}
	if size == 0 {
		return p, 0, nil
	}
	rest := b[headV2:]
	if len(rest) < 2*size+4 {
		return p, 0, fmt.Errorf("%w: %d bytes are too few for its addresses", errProxy, length)
	}
	end := func(address, port []byte) netip.AddrPort {
		addr, _ := netip.AddrFromSlice(address) // of 4 or 16 bytes
		return netip.AddrPortFrom(addr.Unmap(), binary.BigEndian.Uint16(port))
	}
	p.client = end(rest[:size], rest[2*size:])
	p.local = end(rest[size:2*size], rest[2*size+2:])
	if err := checkExtensions(rest[2*size+4:]); err != nil {
		return proxied{}, 0, err
	}
	return p, 0, nil
}

// checkExtensions holds the extensions against their form. None is used.
func checkExtensions(b []byte) error {
	for len(b) > 0 {
		if len(b) < 3 || len(b) < 3+int(binary.BigEndian.Uint16(b[1:])) {
			return fmt.Errorf("%w: an extension is cut off", errProxy)
		}
		b = b[3+int(binary.BigEndian.Uint16(b[1:])):]
	}
	return nil
}
