package loadgen

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"testing"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
)

// FuzzAnswer: whatever a server answers, a body that is kept is no longer than its limit and what came, and its length
// is that which was told.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.1 302 \r\nLocation: /x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffff\r\n",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "HTTP/9 x", "HTTP/1.1 200\nContent-Length: -1\n\n",
	} {
		f.Add([]byte(text), true)
		f.Add([]byte(text), false)
	}
	f.Fuzz(func(t *testing.T, said []byte, keep bool) {
		defer fuzztest.Bound(t, 2<<20+2048*len(said))() // gzip makes a thousand bytes of one
		c := &httpClient{r: bufio.NewReaderSize(bytes.NewReader(said), 16<<10)}
		h, err := c.readHeader()
		if err != nil {
			return
		}
		n, err := c.readBody(h, keep)
		if err != nil {
			return
		}
		if n < 0 || n > int64(len(said)) || !h.chunked && n != h.length || keep && n != int64(c.body.Len()) {
			t.Fatalf("%d bytes of %d, %d kept: %+v", n, len(said), c.body.Len(), h)
		}
		if !keep {
			return
		}
		if body, err := c.unpack(h.gzip); err == nil && len(body) > maxBody {
			t.Errorf("%d bytes", len(body))
		}
	})
}

// FuzzSteeringManifest: a steering manifest that is taken holds for a time that can be waited.
func FuzzSteeringManifest(f *testing.F) {
	for _, text := range []string{
		`{"VERSION":1,"TTL":10,"RELOAD-URI":"?a=b","PATHWAY-PRIORITY":["a","b"]}`, `{"VERSION":2}`, `{"VERSION":1,"TTL":-1}`, `{"VERSION":1,"TTL":1e300}`,
		`{"VERSION":1,"PATHWAY-CLONES":[{"BASE-ID":"a","ID":"b","URI-REPLACEMENT":{"HOST":"h","PARAMS":{"a":"b"}}}]}`, `[]`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defer fuzztest.Bound(t, 1<<20+64*len(text))()
		m, err := parseSteeringManifest(text)
		if err != nil {
			return
		}
		if d := m.ttl(); d < 0 || d > maxTTL || m.Version != 1 || math.IsNaN(m.TTL) || len(text) > maxSteeringManifest {
			t.Errorf("%q holds for %s", text, d)
		}
		if _, err := json.Marshal(m.Priority); err != nil {
			t.Error(err)
		}
	})
}
