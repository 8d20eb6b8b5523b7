package front

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// v2 makes a header of version 2.
func v2(command, family byte, rest ...byte) string {
	b := append([]byte(signatureV2), command, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(rest)))
	return string(append(b, rest...))
}

var (
	ends4 = []byte{192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0x01, 0xBB}
	ends6 = append(append(append([]byte{0x20, 1, 0xd, 0xb8, 15: 1}, 0x20, 1, 0xd, 0xb8), make([]byte, 12)...),
		0x12, 0x67, 0x01, 0xBB)
	mapped = append(append(make([]byte, 10), 255, 255, 192, 0, 2, 1), append(make([]byte, 16), 0, 1, 0, 2)...)
)

// headers are headers with what they tell; "-" is nothing, and "" that they are no good.
func headers() map[string]string {
	return map[string]string{
		"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n":                     "192.0.2.1:4711",
		"PROXY TCP4 1.1.1.1 2.2.2.2 0 0\r\n":                                 "1.1.1.1:0",
		"PROXY TCP6 2001:db8::1 2001:db8:: 4711 443\r\n":                     "[2001:db8::1]:4711",
		"PROXY TCP6 :: :: 1 1\r\n":                                           "[::]:1",
		"PROXY TCP6 ::ffff:192.0.2.1 2001:db8:: 4711 443\r\n":                "192.0.2.1:4711",
		"PROXY UNKNOWN\r\n":                                                  "-",
		"PROXY UNKNOWN whatever it says\r\n":                                 "-",
		"PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n":                  "-",
		"PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n":                  "",
		"PROXY UNKNOWNS\r\n":                                                 "",
		"PROXY UNKNOWN\n":                                                    "",
		"PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n":                         "",
		"PROXY TCP4 192.0.2.1  198.51.100.1 4711 443\r\n":                    "",
		"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443 \r\n":                    "",
		"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\n":                       "",
		"PROXY TCP4 192.0.2.1 198.51.100.1 04711 443\r\n":                    "",
		"PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n":                    "",
		"PROXY TCP4 192.0.2.01 198.51.100.1 4711 443\r\n":                    "",
		"PROXY TCP4 2001:db8::1 2001:db8:: 4711 443\r\n":                     "",
		"PROXY TCP6 192.0.2.1 198.51.100.1 4711 443\r\n":                     "",
		"PROXY TCP6 fe80::1%eth0 fe80::2 4711 443\r\n":                       "",
		"PROXY UDP4 192.0.2.1 198.51.100.1 4711 443\r\n":                     "",
		"proxy TCP4 192.0.2.1 198.51.100.1 4711 443\r\n":                     "",
		"GET /a HTTP/1.1\r\nHost: a\r\n\r\n":                                 "",
		v2(0x21, 0x11, ends4...):                                             "192.0.2.1:4711",
		v2(0x21, 0x21, ends6...):                                             "[2001:db8::1]:4711",
		v2(0x21, 0x21, mapped...):                                            "192.0.2.1:1",
		v2(0x21, 0x11, append(bytes.Clone(ends4), 1, 0, 2, 'h', '2')...):     "192.0.2.1:4711",
		v2(0x21, 0x11, append(bytes.Clone(ends4), 1, 0, 3, 'h', '2')...):     "",
		v2(0x21, 0x11, append(bytes.Clone(ends4), 1, 0)...):                  "",
		v2(0x21, 0x11, append(bytes.Clone(ends4), make([]byte, 4069)...)...): "",
		v2(0x21, 0x11, append(bytes.Clone(ends4), make([]byte, 4068)...)...): "192.0.2.1:4711",
		v2(0x20, 0x00):                            "-",
		v2(0x20, 0x11, ends4...):                  "-",
		v2(0x21, 0x00):                            "-",
		v2(0x21, 0x31, make([]byte, 216)...):      "-",
		v2(0x21, 0x31, make([]byte, 100)...):      "",
		v2(0x21, 0x11, ends4[:11]...):             "",
		v2(0x21, 0x21, ends6[:35]...):             "",
		v2(0x21, 0x12, ends4...):                  "",
		v2(0x22, 0x11, ends4...):                  "",
		v2(0x11, 0x11, ends4...):                  "",
		signatureV2 + "\x21\x11\xff\xff":          "",
		"\r\n\r\n\x00\r\nQUIT\r" + "\x21\x11\x00": "",
	}
}

func TestHeadersOfTheProxyProtocol(t *testing.T) {
	for header, want := range headers() {
		for _, in := range []io.Reader{strings.NewReader(header + "next"), iotest.OneByteReader(strings.NewReader(header + "next"))} {
			p, err := readProxy(in, new([maxProxy]byte))
			switch {
			case want == "":
				if !errors.Is(err, errProxy) || p != (proxied{}) {
					t.Errorf("%.80q: %v %v", header, p, err)
				}
				continue
			case err != nil:
				t.Errorf("%.80q: %v", header, err)
				continue
			case want == "-" && p.client.IsValid(), want != "-" && p.client.String() != want:
				t.Errorf("%.80q: %v, want %s", header, p.client, want)
			}
			if rest, _ := io.ReadAll(in); string(rest) != "next" {
				t.Errorf("%.80q: %q is left", header, rest)
			}
		}
	}
}

// FuzzProxy holds the reader to what it says of any bytes: it reads a whole header and no byte behind it, or none is
// there.
func FuzzProxy(f *testing.F) {
	for header := range headers() {
		f.Add([]byte(header))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		in := bytes.NewReader(b)
		p, err := readProxy(in, new([maxProxy]byte))
		read := b[:len(b)-in.Len()]
		if err != nil {
			if p != (proxied{}) {
				t.Fatalf("%v with %v", p, err)
			}
			return
		}
		if p.client.IsValid() != p.local.IsValid() || p.client.Addr().Is4In6() || p.client.Addr().Zone() != "" {
			t.Fatalf("%q gives %v", read, p)
		}
		line := bytes.HasPrefix(read, []byte("PROXY ")) && bytes.HasSuffix(read, []byte("\r\n")) && len(read) <= maxLine &&
			bytes.Count(read, []byte("\n")) == 1
		binaryForm := bytes.HasPrefix(read, []byte(signatureV2)) &&
			len(read) == headV2+int(binary.BigEndian.Uint16(read[14:]))
		if !line && !binaryForm {
			t.Fatalf("%q was taken for a header", read)
		}
	})
}
