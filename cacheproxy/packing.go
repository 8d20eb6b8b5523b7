package cacheproxy

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/zstd"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// zstdLeast is the size of a packed playlist, in bytes, from which its viewers get zstd rather than gzip if they take
// both alike. Below it the two differ by some hundred bytes at the most, and both fit into one packet beside the
// header: nobody would notice but the edge, which would make another copy of each version of each live playlist.
const zstdLeast = 1024

// zstdCopy is where a playlist keeps its copy in zstd, which is made once, when it is first asked for. It lives and
// dies with what it was made of, so it needs no key, no flight and no purge of its own.
type zstdCopy struct {
	made atomic.Pointer[object]
	mu   sync.Mutex // of who makes it: the rest of a stampede waits for it
}

// suited gives what a viewer gets of a playlist that came as upstreams pack it: itself, or its copy in zstd.
func (p *Proxy) suited(a asker, v visit, f found) (found, error) {
	o := f.object
	if v.coding < codingEither || !o.kind.text() || o.status != http.StatusOK {
		return f, nil
	}
	if v.coding == codingEither && o.length >= 0 && o.length < zstdLeast {
		return f, nil
	}
	o, err := f.whole(a)
	if err != nil {
		return f, err
	}
	packed, err := p.inZstd(o)
	if err != nil {
		return f, err
	}
	switch {
	case v.coding == codingEither && packed.length >= o.length:
	case packed.standIn != o.standIn || packed.policy != o.policy: // made for another answer of the same bytes
		own := *packed
		own.standIn, own.policy = o.standIn, o.policy
		o = &own
	default:
		o = packed
	}
	return found{object: o, result: f.result}, nil
}

// inZstd gives a playlist in zstd.
func (p *Proxy) inZstd(o *object) (*object, error) {
	kept := o.zstd
	if kept == nil || o.length < zstdLeast { // not worth its memory: weight does not count it
		return p.makeZstd(o)
	}
	if made := kept.made.Load(); made != nil {
		return made, nil
	}
	kept.mu.Lock()
	defer kept.mu.Unlock()
	if made := kept.made.Load(); made != nil {
		return made, nil
	}
	made, err := p.makeZstd(o)
	if err == nil {
		kept.made.Store(made)
	}
	return made, err
}

func (p *Proxy) makeZstd(o *object) (*object, error) {
	text, err := p.unzip.text(o)
	if err != nil {
		return nil, err
	}
	p.metrics.zstdMade.Inc()
	own := o.with(o)
	own.header["Content-Encoding"] = []string{"zstd"}
	if tag := strings.TrimSuffix(strings.TrimSuffix(o.etag, `"`), "-gz"); tag != "" {
		own.etag = tag + `-zst"` // another representation has another one (RFC 9110 section 8.8.3)
		own.header["Etag"] = []string{own.etag}
	}
	packed := p.packer.zstd(text)
	own.chunks = []slab.Piece{slab.Of(packed)}
	own.setLength(int64(len(packed)))
	own.zstd, own.steered = nil, nil
	return own, nil
}

// packer packs playlists that are made here.
type packer struct {
	gzips sync.Pool
	zstds *zstd.Encoder
}

// zstdWindow is at most 8 MB for HTTP (RFC 9659). Most playlists are smaller than this, and an encoder keeps twice as
// much.
const zstdWindow = 512 << 10

func newPacker() packer {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return packer{zstds: encoder}
}

// zstd packs at the fastest level: the others are slower, and on playlists no better.
func (p *packer) zstd(text []byte) []byte { return bytes.Clone(p.zstds.EncodeAll(text, nil)) }

func (p *packer) gzip(text []byte) ([]byte, error) {
	var out bytes.Buffer
	z, _ := p.gzips.Get().(*gzip.Writer)
	var err error
	if z == nil {
		z, err = gzip.NewWriterLevel(&out, gzip.BestSpeed)
	} else {
		z.Reset(&out)
	}
	if err == nil {
		_, err = z.Write(text)
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("pack playlist: %w", err)
	}
	p.gzips.Put(z)
	return out.Bytes(), nil
}
