package cacheproxy

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// asker is what a request says, whoever has read it: net/http (web.go) or the fast lane (lane.go).
type asker interface {
	// context ends when the viewer has left. It is asked for only where somebody waits.
	context() context.Context
	// values gives a field's lines by its canonical name.
	values(name string) []string
	// remote is the connection's other end; not valid: nobody can know.
	remote() netip.Addr
	// keep is called before a wait. Values that were given before are not to be used behind it, nor views of the path.
	keep()
}

// exchange is a request and its answer.
type exchange interface {
	asker
	// begin starts the answer, whose body follows.
	begin(r reply) error
	// told gives the answer's status, 0 as long as there is none, and the bytes of its body up to now.
	told() (status int, body int64)
	outlet
}

// outlet is where a body goes: write goes on with it, and end, without which it is broken off, sends all of it.
type outlet interface {
	context() context.Context
	write(piece slab.Piece) error
	// flush sends what was written.
	flush() error
	end() error
}

// reply is an answer's header, before it is written.
type reply struct {
	// object has what is told always, and form says which part of that is told here.
	object *object
	form   form
	access access
	status int
	head   bool
	// age in seconds; negative is not told.
	age int64
	// cacheStatus is not told if it is empty, nor told, which is for another edge.
	cacheStatus, told string
	// from and to are the bytes of the body; to is negative as long as nobody knows.
	from, to int64
	// several has the ranges if they are more than one. From and to then span what is sent for them.
	several *several
}

// bodyless says that nothing follows the header.
func (r *reply) bodyless() bool {
	return r.head || r.form == formNotModified || r.form == formUnsatisfiable || r.status == 204 || r.status < 200
}

// errCut ends an answer that was begun and can't be finished.
var errCut = errors.New("answer broken off")

// handle answers a GET or HEAD. Escaped says that the path was written with escapes that it did not need. An error,
// which is errCut, wants the connection closed.
func (p *Proxy) handle(x exchange, v visit, escaped bool) error {
	p.load.begun.Add(1)
	defer p.load.ended.Add(1)
	if len(p.config.Observers) == 0 {
		_, err := p.handleVisit(x, v, escaped)
		return err
	}
	o := p.observe(x, &v)
	res, err := p.handleVisit(x, v, escaped)
	p.observed(x, o, res, err)
	return err
}

func (p *Proxy) handleVisit(x exchange, v visit, escaped bool) (result, error) {
	err := p.holdBack(x, &v)
	if err == nil {
		err = p.admit(x, &v)
	}
	res := resultError
	if err == nil && escaped {
		err = media.ErrNotFound // an encoded slash or dot would be another name for a thing
	}
	if err == nil {
		res, err = p.serve(x, v)
	}
	if err != nil {
		res = resultError
		if !errors.Is(err, errCut) {
			if x.context().Err() != nil {
				return res, errCut // nobody is there to be told
			}
			err = p.writeError(x, v, err)
		}
	}
	p.metrics.requests[res].Inc()
	return res, err
}

// sendBody sends an object's bytes, or what the flight brings of it to its end.
func (p *Proxy) sendBody(x exchange, f *flight, r *reply) error {
	b := body{x: x, from: r.from, to: r.to}
	if p.config.Limits != nil {
		b.pace = pace{limits: p.config.Limits, client: p.config.viewerOf(x)}
	}
	var err error
	if r.several != nil {
		err = b.sendSeveral(f, r.object, r.several)
	} else {
		err = b.send(f, r.object)
	}
	switch {
	case b.sent == 0:
	case r.told != "":
		p.metrics.peers.sentBytes.Add(float64(b.sent))
	default:
		p.metrics.sentBytes.Add(float64(b.sent))
		p.load.sent.Add(b.sent)
	}
	return err
}

// body is one viewer's way through a body, from from up to to, or to the end if that is negative.
type body struct {
	x        outlet
	from, to int64
	at       int64 // position of what comes next
	sent     int64
	pace     pace
}

func (b *body) send(f *flight, o *object) error {
	if err := b.run(f, o); err != nil {
		return err
	}
	return b.x.end()
}

// run sends the run without ending the answer.
func (b *body) run(f *flight, o *object) error {
	if f == nil || len(o.chunks) > 0 {
		for _, chunk := range o.chunks {
			if b.to >= 0 && b.at >= b.to {
				break
			}
			if err := b.write(chunk); err != nil {
				return err
			}
		}
		return nil
	}
	var c cursor
	for b.to < 0 || b.at < b.to {
		v, err := f.read(b.x.context(), &c)
		if err != nil {
			return err
		}
		if err := b.write(v.piece); err != nil {
			return err
		}
		if v.done {
			break
		}
		if b.sent > 0 && !f.more(&c) {
			if err := b.x.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *body) write(piece slab.Piece) error {
	start, end := max(0, b.from-b.at), int64(len(piece.Data))
	if b.to >= 0 {
		end = min(end, b.to-b.at)
	}
	b.at += int64(len(piece.Data))
	if start >= end {
		return nil
	}
	piece.Data = piece.Data[start:end]
	b.sent += end - start
	if b.pace.limits != nil {
		return b.pace.write(b.x, piece)
	}
	return b.x.write(piece)
}

// more says that the next read would not wait.
func (f *flight) more(c *cursor) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.done || c.position < f.mu.size
}

// seconds is a span as Age and Cache-Status tell it.
func seconds(d time.Duration) int64 { return int64(d / time.Second) }
