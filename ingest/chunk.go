package ingest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/oxbow-video/oxbow/internal/media"
)

// RTMP message types (RTMP 1.0, sections 5.4, 6.2, 7.1).
const (
	typeSetChunkSize  = 1
	typeAbort         = 2
	typeAck           = 3
	typeUserControl   = 4
	typeWindowAckSize = 5
	typePeerBandwidth = 6
	typeAudio         = 8
	typeVideo         = 9
	typeDataAMF3      = 15
	typeCommandAMF3   = 17
	typeDataAMF0      = 18
	typeCommandAMF0   = 20
	typeAggregate     = 22
)

const (
	defaultChunkSize = 128
	maxChunkSize     = 1<<24 - 1 // a message is no longer
	extendedMark     = 1<<24 - 1 // a timestamp field that says: look in the extended timestamp
	maxChunkStreams  = 128
	growStep         = 64 << 10
	// maxFirstDelta is the largest absolute timestamp that a type 3 chunk after a type 0 chunk may repeat as its delta
	// (section 5.3.1.2.4). A larger one is an encoder that means "same time as before", as librtmp does.
	maxFirstDelta = 1000
)

// message is one RTMP message. Its payload is borrowed until the next read.
type message struct {
	kind      byte
	stream    uint32
	timestamp uint32 // ms, wraps
	payload   []byte
}

// chunkLimits bound what a peer may make us hold.
type chunkLimits struct {
	media   int // largest audio, video or aggregate message; zero drops them unread
	data    int // largest data message
	command int // largest command
	memory  int // all buffers of the connection
}

// keep says how large a message of a kind may be; keep is false for kinds that are read past.
func (l chunkLimits) keep(kind byte) (limit int, keep bool) {
	switch kind {
	case typeSetChunkSize, typeAbort, typeAck, typeUserControl, typeWindowAckSize, typePeerBandwidth:
		return 64, true
	case typeAudio, typeVideo, typeAggregate:
		return l.media, l.media > 0
	case typeDataAMF0, typeDataAMF3:
		return l.data, true
	case typeCommandAMF0, typeCommandAMF3:
		return l.command, true
	default: // shared objects, unknown kinds
		return 0, false
	}
}

// chunkReader puts messages together from chunks (RTMP 1.0, section 5.3). It holds one buffer for each chunk stream,
// reused from message to message. A buffer grows as its bytes come, never by the length that a header claims.
type chunkReader struct {
	src     *bufio.Reader
	limits  chunkLimits
	size    int // the peer's chunk size
	streams map[uint32]*chunkStream
	memory  int          // capacity of all buffers
	lent    *chunkStream // whose buffer the last message borrows
	dropped func(kind byte)
}

type chunkStream struct {
	id        uint32
	field     uint32 // last timestamp field, absolute or delta
	extended  bool   // field was an extended timestamp
	timestamp uint32
	delta     uint32
	length    int
	kind      byte
	stream    uint32
	partial   bool // a message has begun
	discard   bool // its bytes are read past
	got       int  // bytes of it read
	buf       []byte
}

func newChunkReader(src *bufio.Reader, limits chunkLimits) *chunkReader {
	return &chunkReader{
		src: src, limits: limits, size: defaultChunkSize,
		streams: make(map[uint32]*chunkStream), dropped: func(byte) {},
	}
}

// read gives the next message. SetChunkSize and Abort are obeyed and not given. io.EOF is an end between two chunks.
func (r *chunkReader) read() (message, error) {
	if r.lent != nil {
		r.lent.buf = r.lent.buf[:0]
		r.lent = nil
	}
	for {
		cs, err := r.readHeader()
		if err != nil {
			return message{}, err
		}
		if err := r.readBody(cs); err != nil {
			return message{}, err
		}
		if cs.got < cs.length {
			continue
		}
		cs.partial = false
		if cs.discard {
			r.dropped(cs.kind)
			continue
		}
		switch cs.kind {
		case typeSetChunkSize:
			err = r.setChunkSize(cs.buf)
		case typeAbort:
			err = r.abort(cs.buf)
		default:
			r.lent = cs
			return message{kind: cs.kind, stream: cs.stream, timestamp: cs.timestamp, payload: cs.buf}, nil
		}
		cs.buf = cs.buf[:0]
		if err != nil {
			return message{}, err
		}
	}
}

func (r *chunkReader) setChunkSize(payload []byte) error {
	if len(payload) < 4 {
		return fmt.Errorf("%w: short Set Chunk Size", media.ErrInvalid)
	}
	size := binary.BigEndian.Uint32(payload)
	if size == 0 || size > 1<<31-1 {
		return fmt.Errorf("%w: chunk size %d", media.ErrInvalid, size)
	}
	r.size = int(min(size, maxChunkSize))
	return nil
}

func (r *chunkReader) abort(payload []byte) error {
	if len(payload) < 4 {
		return fmt.Errorf("%w: short Abort", media.ErrInvalid)
	}
	if cs := r.streams[binary.BigEndian.Uint32(payload)]; cs != nil && cs.partial {
		cs.partial = false
		cs.buf = cs.buf[:0]
	}
	return nil
}

// readHeader reads a chunk's basic header, message header and extended timestamp.
func (r *chunkReader) readHeader() (*chunkStream, error) {
	first, err := r.src.ReadByte()
	if err != nil {
		return nil, err
	}
	format, id := first>>6, uint32(first&0x3f)
	if id < 2 {
		b, err := r.peek(int(id) + 1)
		if err != nil {
			return nil, err
		}
		more := uint32(b[0])
		if id == 1 {
			more |= uint32(b[1]) << 8
		}
		r.skip(int(id) + 1)
		id = 64 + more
	}
	cs := r.streams[id]
	if cs == nil {
		// librtmp opens chunk stream 2 with a type 1 header.
		if format > 1 {
			return nil, fmt.Errorf("%w: chunk stream %d begins with chunk type %d", media.ErrInvalid, id, format)
		}
		if len(r.streams) >= maxChunkStreams {
			return nil, fmt.Errorf("%w: more than %d chunk streams", media.ErrTooLarge, maxChunkStreams)
		}
		cs = &chunkStream{id: id}
		r.streams[id] = cs
	}
	if format == 3 {
		return cs, r.readType3(cs)
	}
	return cs, r.readMessageHeader(cs, format)
}

// readMessageHeader reads a header of type 0, 1 or 2. In the middle of a message types 1 and 2 repeat what is known:
// some encoders write them where type 3 belongs.
func (r *chunkReader) readMessageHeader(cs *chunkStream, format byte) error {
	size := [...]int{11, 7, 3}[format]
	h, err := r.peek(size)
	if err != nil {
		return err
	}
	field := uint32(h[0])<<16 | uint32(h[1])<<8 | uint32(h[2])
	length, kind, stream := cs.length, cs.kind, cs.stream
	if format < 2 {
		length, kind = int(h[3])<<16|int(h[4])<<8|int(h[5]), h[6]
	}
	if format == 0 {
		stream = binary.LittleEndian.Uint32(h[7:])
	}
	r.skip(size)
	extended := field == extendedMark
	if extended {
		if h, err = r.peek(4); err != nil {
			return err
		}
		field = binary.BigEndian.Uint32(h)
		r.skip(4)
	}
	if cs.partial {
		if format == 0 || length != cs.length || kind != cs.kind {
			return fmt.Errorf("%w: chunk type %d inside a message of chunk stream %d", media.ErrInvalid, format, cs.id)
		}
		return nil
	}
	cs.field, cs.extended, cs.length, cs.kind, cs.stream = field, extended, length, kind, stream
	if format == 0 {
		cs.timestamp, cs.delta = field, 0
		if field <= maxFirstDelta {
			cs.delta = field
		}
	} else {
		cs.delta = field
		cs.timestamp += field
	}
	return r.begin(cs)
}

// readType3 continues a message, or begins one like the last.
func (r *chunkReader) readType3(cs *chunkStream) error {
	if cs.extended {
		// The standard repeats the extended timestamp here and some encoders do not: look whether it is the one.
		b, err := r.peek(4)
		if err != nil {
			return err
		}
		if binary.BigEndian.Uint32(b) == cs.field {
			r.skip(4)
		}
	}
	if cs.partial {
		return nil
	}
	cs.timestamp += cs.delta
	return r.begin(cs)
}

func (r *chunkReader) begin(cs *chunkStream) error {
	limit, keep := r.limits.keep(cs.kind)
	if keep && cs.length > limit {
		return fmt.Errorf("%w: RTMP message of type %d with %d bytes, the limit is %d",
			media.ErrTooLarge, cs.kind, cs.length, limit)
	}
	cs.partial, cs.discard, cs.got, cs.buf = true, !keep, 0, cs.buf[:0]
	return nil
}

// readBody reads one chunk's share of the message.
func (r *chunkReader) readBody(cs *chunkStream) error {
	n := min(r.size, cs.length-cs.got)
	if cs.discard {
		cs.got += n
		_, err := r.src.Discard(n)
		return torn(err)
	}
	for n > 0 {
		step := min(n, max(growStep, len(cs.buf)))
		if err := r.reserve(cs, step); err != nil {
			return err
		}
		at := len(cs.buf)
		cs.buf = cs.buf[:at+step]
		if _, err := io.ReadFull(r.src, cs.buf[at:]); err != nil {
			return torn(err)
		}
		cs.got += step
		n -= step
	}
	return nil
}

// reserve makes room for n more bytes of a message, counted before it is allocated.
func (r *chunkReader) reserve(cs *chunkStream, n int) error {
	have, need := cap(cs.buf), len(cs.buf)+n
	if need <= have {
		return nil
	}
	grown := min(max(need, 2*have), cs.length)
	if r.memory+grown > r.limits.memory {
		r.freeIdle(cs)
	}
	// The old buffer is still there while it is copied, so both count.
	if r.memory+grown > r.limits.memory {
		return fmt.Errorf("%w: RTMP messages in progress need more than %d bytes", media.ErrTooLarge, r.limits.memory)
	}
	buf := make([]byte, len(cs.buf), grown)
	copy(buf, cs.buf)
	cs.buf = buf
	r.memory += grown - have
	return nil
}

// freeIdle drops the buffers of the other chunk streams that hold nothing.
func (r *chunkReader) freeIdle(but *chunkStream) {
	for _, cs := range r.streams {
		if cs != but && len(cs.buf) == 0 {
			r.memory -= cap(cs.buf)
			cs.buf = nil
		}
	}
}

// peek gives the next n bytes of a header.
func (r *chunkReader) peek(n int) ([]byte, error) {
	b, err := r.src.Peek(n)
	return b, torn(err)
}

// skip drops bytes that peek gave.
func (r *chunkReader) skip(n int) {
	if _, err := r.src.Discard(n); err != nil {
		panic("BUG: peeked bytes are gone: " + err.Error())
	}
}

// torn tells an end inside a chunk from an end between two.
func torn(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
