package ingest

import (
	"bytes"
	"fmt"
)

// sniffSize is how many bytes looksLike wants at most.
const sniffSize = 8

// looksLike names what a client speaks that does not begin like RTMP. It never repeats the bytes: a request for a URL
// may hold a key.
func looksLike(head []byte) string {
	for _, known := range []struct{ prefix, name string }{
		{"GET ", "an HTTP request"}, {"POST ", "an HTTP request"}, {"HEAD ", "an HTTP request"},
		{"PUT ", "an HTTP request"}, {"PRI * ", "an HTTP/2 request"}, {"CONNECT ", "an HTTP proxy request"},
		{"OPTIONS ", "an HTTP or RTSP request"}, {"DESCRIBE", "an RTSP request"}, {"ANNOUNCE", "an RTSP request"},
		{"SSH-", "an SSH client"}, {"FLV\x01", "a bare FLV stream"}, {"G@", "an MPEG transport stream"},
		{"\x16\x03", "a TLS hello: use rtmp://, not rtmps://, on this port"},
		{"\x06", "encrypted RTMP (RTMPE): use rtmp://"},
	} {
		if bytes.HasPrefix(head, []byte(known.prefix)) {
			return known.name
		}
	}
	if len(head) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("unknown, first byte 0x%02x", head[0])
}
