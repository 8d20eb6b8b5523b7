package cacheproxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
	"github.com/oxbow-video/oxbow/internal/steering"
)

// SetSteering says how viewers are steered to other edges. It takes effect with the next request.
func (p *Proxy) SetSteering(to media.Steering) {
	to.URL = strings.TrimSuffix(to.URL, "/")
	// Neither is quoted in a playlist. What can't be there is no steering: players would refuse the whole playlist.
	if media.CheckBaseURL(to.URL) != nil || strings.ContainsAny(to.URL, "\"\r\n") || !steering.LegalPathway(to.Pathway) {
		if old := p.steering.Swap(nil); old != nil || to.URL != "" {
			p.logger.Info("viewers are not steered", "url", to.URL, "pathway", to.Pathway)
		}
		return
	}
	if old := p.steering.Load(); old != nil && old.to == to {
		return // a new one would make every playlist anew
	}
	sum := sha256.Sum256([]byte(to.URL + "\n" + to.Pathway))
	p.steering.Store(&steeringOffer{to: to, tag: "-s" + hex.EncodeToString(sum[:4])})
	p.logger.Info("viewers are steered", "url", to.URL, "pathway", to.Pathway)
}

// steeringOffer is how viewers are steered, as multivariant playlists tell it.
type steeringOffer struct {
	to media.Steering
	// tag ends the ETags of playlists that have it.
	tag string
}

// steeredCopy is a multivariant playlist with an offer, made once and kept beside what it was made of.
type steeredCopy struct {
	offer  *steeringOffer
	signed bool
	object *object
}

// steered gives a multivariant playlist with the offer in it, as an object of its own: what is cached stays as the
// origin made it, for other edges and other offers.
func (p *Proxy) steered(a asker, v visit, f found, to *steeringOffer) (found, error) {
	o, err := f.whole(a)
	if err != nil {
		return f, err
	}
	f = found{object: o, result: f.result}
	if o.status != http.StatusOK {
		return f, nil
	}
	if o.steered != nil {
		if made := o.steered.Load(); made != nil && made.offer == to && made.signed == v.carries {
			f.object = made.object
			return f, nil
		}
	}
	text, err := p.unzip.text(o)
	if err != nil {
		return f, err
	}
	text, put := to.put(text, v.path, v.carries)
	if !put {
		return f, nil
	}
	own := o.with(o)
	zipped := len(o.header["Content-Encoding"]) > 0
	if zipped {
		if text, err = p.packer.gzip(text); err != nil {
			return f, err
		}
	}
	suffix := to.tag
	if v.carries {
		suffix += "-t"
	}
	own.retag(suffix, zipped)
	own.chunks = []slab.Piece{slab.Of(text)}
	own.setLength(int64(len(text)))
	own.steered = nil
	if o.steered != nil {
		o.steered.Store(&steeredCopy{offer: to, signed: v.carries, object: own}) // another's is the same
	}
	f.object = own
	return f, nil
}

// retag gives an object of another text the ETag that it had, with a suffix.
func (o *object) retag(suffix string, zipped bool) {
	if zipped {
		suffix += "-gz"
	}
	if tag := strings.TrimSuffix(strings.TrimSuffix(o.etag, `"`), "-gz"); tag != "" {
		o.etag = tag + suffix + `"`
		o.header["Etag"] = []string{o.etag}
	}
}

// tokenTag tells a token's playlists from those of others.
func tokenTag(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "-t" + hex.EncodeToString(sum[:6])
}

// put writes the offer into a multivariant playlist: EXT-X-CONTENT-STEERING (RFC 8216bis section 4.4.6.6), and the
// edge's own pathway at every variant. Path is the playlist's. A playlist that is steered by somebody else already, or
// is none, stays as it is.
//
// Of a signed one the API is not told where its tracks are: their URIs need the viewer's token, which would then be in
// each steering request, and in the logs of all that is before the API. A clone by host name needs none of it.
func (o *steeringOffer) put(text []byte, path string, signed bool) (steered []byte, put bool) {
	const first = "#EXTM3U"
	publisher, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	stream, _, ok := strings.Cut(rest, "/")
	if !ok || !bytes.HasPrefix(text, []byte(first)) || bytes.Contains(text, []byte("#EXT-X-CONTENT-STEERING:")) {
		return text, false
	}
	begin := len(text) // of what is behind the first line
	if at := bytes.IndexByte(text, '\n'); at >= 0 {
		begin = at + 1
	}
	var tracks steering.Tracks
	if !signed {
		tracks = tracksOf(text, path[:strings.LastIndexByte(path, '/')+1])
	}
	pathway := `PATHWAY-ID="` + o.to.Pathway + `"`
	var out bytes.Buffer
	out.Grow(len(text) + 1024)
	out.Write(text[:begin])
	out.WriteString(`#EXT-X-CONTENT-STEERING:SERVER-URI="` + o.to.URL + "/" + publisher + "/" + stream + "?" +
		steering.ServerQuery(o.to.Pathway, tracks) + `",` + pathway + "\n")
	for line := range bytes.Lines(text[begin:]) {
		for _, tag := range []string{"#EXT-X-STREAM-INF:", "#EXT-X-I-FRAME-STREAM-INF:"} {
			if rest, ok := bytes.CutPrefix(line, []byte(tag)); ok {
				out.WriteString(tag + pathway + ",")
				line = rest
			}
		}
		out.Write(line)
	}
	return out.Bytes(), true
}

// tracksOf reads what media playlists a multivariant one names. They are told to the API, which names them at other
// edges, if every URI is a folder, the stable id and a query, and folder and query are the same in all; else none are.
func tracksOf(text []byte, dir string) steering.Tracks {
	var t steering.Tracks
	variant := "" // the id of the one whose URI comes next
	folder, same := "", true
	note := func(ids *[]string, id, uri string) {
		at := strings.Index(uri, id+".m3u8")
		if id == "" || at < 0 || hasScheme([]byte(uri)) || strings.HasPrefix(uri, "/") {
			same = false
			return
		}
		before, query := uri[:at], uri[at+len(id+".m3u8"):]
		if len(t.Variants)+len(t.Renditions) == 0 {
			folder, t.Query = before, query
		}
		same = same && before == folder && query == t.Query
		for _, known := range *ids {
			if known == id {
				return
			}
		}
		*ids = append(*ids, id)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "#EXT-X-STREAM-INF:"):
			variant = attribute(line, "STABLE-VARIANT-ID")
			same = same && variant != ""
		case strings.HasPrefix(line, "#EXT-X-I-FRAME-STREAM-INF:"):
			note(&t.Variants, attribute(line, "STABLE-VARIANT-ID"), attribute(line, "URI"))
		case strings.HasPrefix(line, "#EXT-X-MEDIA:"):
			if uri := attribute(line, "URI"); uri != "" {
				note(&t.Renditions, attribute(line, "STABLE-RENDITION-ID"), uri)
			}
		case line != "" && line[0] != '#':
			note(&t.Variants, variant, line)
			variant = ""
		}
	}
	if !same {
		return steering.Tracks{}
	}
	t.Dir = dir + folder
	return t
}

// attribute gives the text of a quoted attribute; empty is none.
func attribute(line, name string) string {
	for rest := line; ; {
		at := strings.Index(rest, name+`="`)
		if at < 0 {
			return ""
		}
		value := rest[at+len(name)+2:]
		if at > 0 && (rest[at-1] == ',' || rest[at-1] == ':') {
			value, _, _ = strings.Cut(value, `"`)
			return value
		}
		rest = value
	}
}

// steeredBox is where an object keeps its steered copy.
type steeredBox = atomic.Pointer[steeredCopy]
