package cacheproxy

import (
	"errors"
	"io"
	"runtime"
	"sync"

	"github.com/oxbow-video/oxbow/internal/slab"
)

// errBytes: what comes next is ordinary bytes, to be had by Read.
var errBytes = errors.New("no piece")

// pipe is an io.Pipe that carries pieces too: those go by reference to a reader who takes them so, and are copied for
// one who reads. It has one writer and one reader, who may close it at any time.
type pipe struct {
	offers chan offer
	taken  chan int // how many bytes of an offer the reader took
	done   chan struct{}

	// The reader's own.
	bytes   []byte // of an offer that was not taken yet
	pending bool
	rest    slab.Piece // of a piece that is being read

	mu   sync.Mutex
	err  error // why it is done
	once sync.Once
}

// offer is what a writer holds out.
type offer struct {
	bytes []byte
	piece slab.Piece
	again slab.Weak
}

func newPipe() *pipe {
	return &pipe{offers: make(chan offer), taken: make(chan int), done: make(chan struct{})}
}

// write gives bytes to the reader, and waits until it has copied them all.
func (p *pipe) write(b []byte) (n int, err error) {
	for first := true; first || n < len(b); first = false {
		took, err := p.offer(offer{bytes: b[n:]})
		if n += took; err != nil {
			return n, err
		}
	}
	return n, nil
}

// writePiece gives a piece to the reader.
func (p *pipe) writePiece(piece slab.Piece, again slab.Weak) error {
	if len(piece.Data) == 0 {
		return nil
	}
	_, err := p.offer(offer{piece: piece, again: again})
	return err
}

func (p *pipe) offer(o offer) (int, error) {
	select {
	case <-p.done:
		return 0, p.cause()
	default:
	}
	select {
	case p.offers <- o:
	case <-p.done:
		return 0, p.cause()
	}
	select {
	case n := <-p.taken:
		return n, nil
	case <-p.done:
		return 0, p.cause()
	}
}

// next takes an offer. A piece is the reader's with that; the writer of bytes waits for take.
func (p *pipe) next() (offer, error) {
	select {
	case <-p.done:
		return offer{}, p.cause()
	default:
	}
	select {
	case o := <-p.offers:
		if o.piece.Data != nil {
			p.take(len(o.piece.Data))
		} else {
			p.bytes, p.pending = o.bytes, true
		}
		return o, nil
	case <-p.done:
		return offer{}, p.cause()
	}
}

func (p *pipe) take(n int) {
	select {
	case p.taken <- n:
	case <-p.done:
	}
}

// Read implements io.Reader.
func (p *pipe) Read(b []byte) (int, error) {
	if len(p.rest.Data) == 0 && !p.pending {
		o, err := p.next()
		if err != nil {
			return 0, err
		}
		p.rest = o.piece
	}
	if p.pending {
		n := copy(b, p.bytes)
		p.bytes, p.pending = nil, false
		p.take(n)
		return n, nil
	}
	n := copy(b, p.rest.Data)
	runtime.KeepAlive(p.rest.Buffer)
	if p.rest.Data = p.rest.Data[n:]; len(p.rest.Data) == 0 {
		p.rest = slab.Piece{}
	}
	return n, nil
}

// NextPiece gives the next piece, or errBytes.
func (p *pipe) NextPiece() (slab.Piece, slab.Weak, error) {
	switch {
	case p.pending:
		return slab.Piece{}, slab.Weak{}, errBytes
	case len(p.rest.Data) > 0:
		piece := p.rest
		p.rest = slab.Piece{}
		return piece, slab.Weak{}, nil
	}
	o, err := p.next()
	if err == nil && p.pending {
		err = errBytes
	}
	return o.piece, o.again, err
}

// close is for the reader, or for who cuts it.
func (p *pipe) close(err error) {
	p.once.Do(func() {
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.done)
	})
}

// end is for the writer; nil ends the body well.
func (p *pipe) end(err error) {
	if err == nil {
		err = io.EOF
	}
	p.close(err)
}

func (p *pipe) cause() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}
