package cacheproxy

import (
	"bytes"
	"net/http"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// answer is respond, for a visit whose token, or how its viewer is steered, may have to be put into a playlist.
func (p *Proxy) answer(x exchange, v visit, f found, now time.Time) error {
	var err error
	to := p.steering.Load()
	switch {
	case v.token != "":
		f, err = p.personal(x, v, f, to)
	case to != nil && f.object.kind == kindMultivariant && v.peer == nil:
		if f, err = p.steered(x, v, f, to); err == nil {
			f, err = p.suited(x, v, f)
		}
	default:
		f, err = p.suited(x, v, f)
	}
	if err != nil {
		return err
	}
	return p.respond(x, v, f, now)
}

// personal gives a multivariant playlist whose URIs have the viewer's token, as an object of its own: what is cached
// stays everybody's. Its ETag is another one for every token. To is how its viewer is steered, if it is.
func (p *Proxy) personal(a asker, v visit, f found, to *steeringOffer) (found, error) {
	o, err := f.whole(a)
	if err != nil {
		return f, err
	}
	if o.status != http.StatusOK {
		return found{object: o, result: f.result}, nil
	}
	text, err := p.unzip.text(o)
	if err != nil {
		return f, err
	}
	// Relative, so that it is right whatever is in front of our paths.
	up := strings.Repeat("../", strings.Count(v.path, "/")-1)
	dir := v.path[1 : strings.LastIndexByte(v.path, '/')+1]
	steered := ""
	if to != nil && v.peer == nil {
		if with, put := to.put(text, v.path, true); put {
			text, steered = with, to.tag
		}
	}
	text = withToken(text, up+tokenPrefix[1:]+v.token+"/", dir)
	own := o.with(o)
	delete(own.header, "Content-Encoding")
	suffix := steered + tokenTag(v.token) + `"`
	switch {
	case v.coding == codingPlain:
	case v.coding == codingZstd || v.coding == codingEither && o.length >= zstdLeast:
		text = p.packer.zstd(text)
		own.header["Content-Encoding"] = []string{"zstd"}
		suffix = "-zst" + suffix
	default:
		if text, err = p.packer.gzip(text); err != nil {
			return f, err
		}
		own.header["Content-Encoding"] = []string{"gzip"}
		suffix = "-gz" + suffix
	}
	if tag, ok := strings.CutSuffix(strings.TrimSuffix(o.etag, `"`), "-gz"); ok || tag != "" {
		own.etag = tag + suffix
		own.header["Etag"] = []string{own.etag}
	}
	own.chunks = []slab.Piece{slab.Of(text)}
	own.setLength(int64(len(text)))
	return found{object: own, result: f.result}, nil
}

// withToken puts a prefix, relative to the playlist, in front of its URIs: those on lines of their own, and those of
// URI attributes (RFC 8216, section 4.3.4). Dir is where relative ones begin. Those that lead to other servers stay.
func withToken(text []byte, prefix, dir string) []byte {
	var out bytes.Buffer
	out.Grow(len(text) + 16*len(prefix))
	uri := func(u []byte) {
		switch {
		case len(u) == 0 || hasScheme(u) || bytes.HasPrefix(u, []byte("//")):
		case u[0] == '/':
			out.WriteString(strings.TrimSuffix(prefix, "/"))
		default:
			out.WriteString(prefix)
			out.WriteString(dir)
		}
		out.Write(u)
	}
	attribute := []byte(`URI="`)
	for line := range bytes.Lines(text) {
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			out.Write(line)
		case line[0] != '#':
			uri(line)
		case bytes.HasPrefix(line, []byte("#EXT")):
			for at := bytes.Index(line, attribute); at >= 0; at = bytes.Index(line, attribute) {
				whole := at > 0 && (line[at-1] == ':' || line[at-1] == ',') // not the end of another attribute's name
				at += len(attribute)
				out.Write(line[:at])
				line = line[at:]
				if end := bytes.IndexByte(line, '"'); whole && end >= 0 {
					uri(line[:end])
					line = line[end:]
				}
			}
			out.Write(line)
		default:
			out.Write(line)
		}
	}
	return out.Bytes()
}

// hasScheme says whether a URI begins with a scheme (RFC 3986, section 3.1).
func hasScheme(uri []byte) bool {
	for i, c := range uri {
		switch {
		case c == ':':
			return i > 0
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', i > 0 && (c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return false
}
