package cacheproxy

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"strconv"
	"sync"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// version places a media playlist in the order of its versions: by its last complete segment, then by the parts behind
// that. The zero value is unknown and is not compared.
type version struct {
	known bool
	ended bool // EXT-X-ENDLIST: final
	msn   int64
	parts int64
}

// before says that v is an older version than w.
func (v version) before(w version) bool {
	switch {
	case !v.known || !w.known || v.ended:
		return false // an ended playlist may be rewritten as VOD, without the fillers
	case w.ended:
		return true
	case v.msn != w.msn:
		return v.msn < w.msn
	}
	return v.parts < w.parts
}

// covers says whether the version answers a request for that segment (BLK-1) or part (BLK-2, BLK-6).
func (v version) covers(d hls.Directives) bool {
	switch {
	case !v.known || v.ended || v.msn >= int64(d.MSN):
		return true
	case d.Part == noPart:
		return false
	}
	return v.msn == int64(d.MSN)-1 && v.parts > int64(d.Part)
}

// parseVersion reads a media playlist's version. A delta update counts as what it stands for.
func parseVersion(text []byte) version {
	if !bytes.HasPrefix(text, []byte("#EXTM3U")) {
		return version{}
	}
	first, ok := tagNumber(text, "\n#EXT-X-MEDIA-SEQUENCE:", ':')
	if !ok {
		return version{}
	}
	skipped := int64(0)
	if at := bytes.Index(text, []byte("\n#EXT-X-SKIP:")); at >= 0 {
		line, _, _ := bytes.Cut(text[at+1:], []byte("\n"))
		if skipped, ok = tagNumber(line, "SKIPPED-SEGMENTS=", '='); !ok {
			return version{}
		}
	}
	inf := []byte("\n#EXTINF:")
	v := version{known: true, msn: first + skipped + int64(bytes.Count(text, inf)) - 1}
	tail := text[max(0, bytes.LastIndex(text, inf)):]
	v.parts = int64(bytes.Count(tail, []byte("\n#EXT-X-PART:")))
	v.ended = bytes.Contains(tail, []byte("\n#EXT-X-ENDLIST"))
	return v
}

// tagNumber reads the decimal number that follows the mark, whose last byte is end.
func tagNumber(text []byte, mark string, end byte) (int64, bool) {
	at := bytes.Index(text, []byte(mark))
	if at < 0 {
		return 0, false
	}
	rest := text[at+len(mark)-1:]
	if rest[0] != end {
		return 0, false
	}
	n := 1
	for n < len(rest) && n < 20 && rest[n] >= '0' && rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseInt(string(rest[1:n]), 10, 64)
	return v, err == nil
}

// unzipper unpacks playlists, with one set of buffers per use at a time.
type unzipper struct {
	pool sync.Pool
	max  int64
}

// text gives an object's body as plain text.
func (u *unzipper) text(o *object) ([]byte, error) {
	body := o.bytes()
	switch coding := o.header.Get("Content-Encoding"); coding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
	default:
		return nil, fmt.Errorf("playlist in coding %.20q: %w", coding, media.ErrUnsupported)
	}
	z, _ := u.pool.Get().(*gzip.Reader)
	var err error
	if z == nil {
		z, err = gzip.NewReader(bytes.NewReader(body))
	} else {
		err = z.Reset(bytes.NewReader(body))
	}
	if err != nil {
		return nil, fmt.Errorf("unpack playlist: %w", err)
	}
	defer u.pool.Put(z)
	var out bytes.Buffer
	out.Grow(min(8*len(body), 1<<20))
	n, err := io.Copy(&out, io.LimitReader(z, u.max+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("unpack playlist: %w", err)
	case n > u.max:
		return nil, fmt.Errorf("playlist of more than %d bytes: %w", u.max, media.ErrTooLarge)
	}
	return out.Bytes(), nil
}
