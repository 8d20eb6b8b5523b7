package ingest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

var testLimits = chunkLimits{media: 1 << 20, data: 64 << 10, command: 64 << 10, memory: 2 << 20}

// chunk writes one chunk by hand.
func chunk(format byte, chunkStream uint32, header string, payload string) string {
	return string(appendBasicHeader(nil, format, chunkStream)) + header + payload
}

// head0 makes the header of a type 0 chunk, head1 of type 1, head2 of type 2.
func head0(timestamp uint32, length int, kind byte, stream uint32) string {
	return head1(timestamp, length, kind) + string(binary.LittleEndian.AppendUint32(nil, stream))
}

func head1(delta uint32, length int, kind byte) string {
	return head2(delta) + string([]byte{byte(length >> 16), byte(length >> 8), byte(length), kind})
}

func head2(delta uint32) string {
	return string([]byte{byte(delta >> 16), byte(delta >> 8), byte(delta)})
}

func be32(v uint32) string { return string(binary.BigEndian.AppendUint32(nil, v)) }

type gotMessage struct {
	Kind      byte
	Stream    uint32
	Timestamp uint32
	Payload   string
}

func readAll(r *chunkReader) (got []gotMessage, err error) {
	for {
		m, err := r.read()
		if err != nil {
			return got, err
		}
		got = append(got, gotMessage{m.kind, m.stream, m.timestamp, string(m.payload)})
	}
}

var (
	x128       = strings.Repeat("x", 128)
	chunkCases = []struct {
		name string
		data string
		want []gotMessage
		err  error
	}{
		{"nothing", "", nil, io.EOF},
		{"type 0", chunk(0, 4, head0(1000, 3, 9, 1), "abc"), []gotMessage{{9, 1, 1000, "abc"}}, io.EOF},
		{"an empty message", chunk(0, 4, head0(1, 0, 9, 1), ""), []gotMessage{{9, 1, 1, ""}}, io.EOF},
		{"ids of two and three bytes", chunk(0, 64, head0(0, 1, 9, 1), "a") + chunk(0, 319, head0(0, 1, 9, 1), "b") +
			chunk(0, 320, head0(0, 1, 9, 1), "c") + chunk(0, 65599, head0(0, 1, 9, 1), "d"),
			[]gotMessage{{9, 1, 0, "a"}, {9, 1, 0, "b"}, {9, 1, 0, "c"}, {9, 1, 0, "d"}}, io.EOF},
		{"deltas", chunk(0, 4, head0(5000, 1, 9, 1), "a") + chunk(1, 4, head1(40, 2, 8), "bb") + chunk(2, 4, head2(20), "cc") +
			chunk(3, 4, "", "dd"),
			[]gotMessage{{9, 1, 5000, "a"}, {8, 1, 5040, "bb"}, {8, 1, 5060, "cc"}, {8, 1, 5080, "dd"}}, io.EOF},
		{"type 3 after type 0 repeats a small timestamp", chunk(0, 4, head0(23, 1, 9, 1), "a") + chunk(3, 4, "", "b"),
			[]gotMessage{{9, 1, 23, "a"}, {9, 1, 46, "b"}}, io.EOF},
		{"type 3 after type 0 does not repeat a large one", chunk(0, 4, head0(90000, 1, 9, 1), "a") + chunk(3, 4, "", "b"),
			[]gotMessage{{9, 1, 90000, "a"}, {9, 1, 90000, "b"}}, io.EOF},
		{"a message of three chunks", chunk(0, 4, head0(0, 300, 9, 1), x128) + chunk(3, 4, "", x128) + chunk(3, 4, "", strings.Repeat("x", 44)),
			[]gotMessage{{9, 1, 0, strings.Repeat("x", 300)}}, io.EOF},
		{"type 1 inside a message", chunk(0, 4, head0(0, 130, 9, 1), x128) + chunk(1, 4, head1(0, 130, 9), "xx"),
			[]gotMessage{{9, 1, 0, x128 + "xx"}}, io.EOF},
		{"two messages interleaved", chunk(0, 4, head0(1, 130, 9, 1), x128) + chunk(0, 6, head0(2, 129, 8, 1), x128) +
			chunk(3, 4, "", "ab") + chunk(3, 6, "", "c"),
			[]gotMessage{{9, 1, 1, x128 + "ab"}, {8, 1, 2, x128 + "c"}}, io.EOF},
		{"an extended timestamp", chunk(0, 4, head0(extendedMark, 130, 9, 1)+be32(0x01000000), x128) +
			chunk(3, 4, be32(0x01000000), "ab"),
			[]gotMessage{{9, 1, 0x01000000, x128 + "ab"}}, io.EOF},
		{"an extended timestamp that type 3 leaves out", chunk(0, 4, head0(extendedMark, 140, 9, 1)+be32(0x01000000), x128) +
			chunk(3, 4, "", "abcdefghijkl"),
			[]gotMessage{{9, 1, 0x01000000, x128 + "abcdefghijkl"}}, io.EOF},
		{"an extended delta", chunk(0, 4, head0(5, 1, 9, 1), "a") + chunk(2, 4, head2(extendedMark)+be32(0x01000001), "b") +
			chunk(3, 4, be32(0x01000001), "c"),
			[]gotMessage{{9, 1, 5, "a"}, {9, 1, 0x01000006, "b"}, {9, 1, 0x02000007, "c"}}, io.EOF},
		{"timestamps wrap", chunk(0, 4, head0(extendedMark, 1, 9, 1)+be32(0xfffffff0), "a") + chunk(2, 4, head2(0x20), "b"),
			[]gotMessage{{9, 1, 0xfffffff0, "a"}, {9, 1, 0x10, "b"}}, io.EOF},
		{"Set Chunk Size", chunk(0, 2, head0(0, 4, 1, 0), be32(3)) + chunk(0, 4, head0(0, 4, 9, 1), "abc") + chunk(3, 4, "", "d"),
			[]gotMessage{{9, 1, 0, "abcd"}}, io.EOF},
		{"Abort", chunk(0, 4, head0(0, 200, 9, 1), x128) + chunk(0, 2, head0(0, 4, 2, 0), be32(4)) + chunk(0, 4, head0(0, 1, 9, 1), "a"),
			[]gotMessage{{9, 1, 0, "a"}}, io.EOF},
		{"Abort of nothing", chunk(0, 2, head0(0, 4, 2, 0), be32(400)), nil, io.EOF},
		{"type 1 opens a chunk stream", chunk(1, 2, head1(0, 1, 4), "a"), []gotMessage{{4, 0, 0, "a"}}, io.EOF},
		{"unknown types are read past", chunk(0, 4, head0(0, 200, 99, 1), x128) + chunk(3, 4, "", x128[:72]) + chunk(0, 4, head0(0, 1, 9, 1), "a"),
			[]gotMessage{{9, 1, 0, "a"}}, io.EOF},

		{"torn basic header", "\x00", nil, io.ErrUnexpectedEOF},
		{"torn header", chunk(0, 4, "\x00\x00", ""), nil, io.ErrUnexpectedEOF},
		{"torn extended timestamp", chunk(0, 4, head0(extendedMark, 1, 9, 1), "\x01"), nil, io.ErrUnexpectedEOF},
		{"torn body", chunk(0, 4, head0(0, 5, 9, 1), "abc"), nil, io.ErrUnexpectedEOF},
		{"torn body of what is read past", chunk(0, 4, head0(0, 5, 99, 1), "abc"), nil, io.ErrUnexpectedEOF},
		{"type 3 opens a chunk stream", chunk(3, 4, "", "a"), nil, media.ErrInvalid},
		{"type 0 inside a message", chunk(0, 4, head0(0, 200, 9, 1), x128) + chunk(0, 4, head0(0, 200, 9, 1), x128), nil, media.ErrInvalid},
		{"chunk size zero", chunk(0, 2, head0(0, 4, 1, 0), be32(0)), nil, media.ErrInvalid},
		{"chunk size with its top bit set", chunk(0, 2, head0(0, 4, 1, 0), be32(1<<31)), nil, media.ErrInvalid},
		{"short Set Chunk Size", chunk(0, 2, head0(0, 2, 1, 0), "ab"), nil, media.ErrInvalid},
		{"short Abort", chunk(0, 2, head0(0, 2, 2, 0), "ab"), nil, media.ErrInvalid},
		{"too large a command", chunk(0, 3, head0(0, 10<<20, 20, 0), ""), nil, media.ErrTooLarge},
		{"too large a frame", chunk(0, 4, head0(0, 16<<20-1, 9, 1), ""), nil, media.ErrTooLarge},
		{"too large a control message", chunk(0, 2, head0(0, 1000, 1, 0), ""), nil, media.ErrTooLarge},
	}
)

func TestChunks(t *testing.T) {
	for _, tt := range chunkCases {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readAll(newChunkReader(bufio.NewReader(strings.NewReader(tt.data)), testLimits))
			if !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTooManyChunkStreams(t *testing.T) {
	var data string
	for i := range maxChunkStreams + 1 {
		data += chunk(0, uint32(2+i), head0(0, 1, 9, 1), "a")
	}
	got, err := readAll(newChunkReader(bufio.NewReader(strings.NewReader(data)), testLimits))
	if len(got) != maxChunkStreams || !errors.Is(err, media.ErrTooLarge) {
		t.Errorf("%d messages and %v", len(got), err)
	}
}

// Invariant 1: memory follows the bytes that came, and no more than the budget is ever held.
func TestChunkMemory(t *testing.T) {
	t.Run("a claim alone costs nothing", func(t *testing.T) {
		var data string
		for i := range 64 {
			data += chunk(0, uint32(3+i), head0(0, 1<<20, 9, 1), x128)
		}
		r := newChunkReader(bufio.NewReader(strings.NewReader(data)), testLimits)
		if _, err := readAll(r); !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		if r.memory > 64*256 {
			t.Errorf("%d bytes held for %d received", r.memory, len(data))
		}
	})
	t.Run("nor does a claim in one large chunk", func(t *testing.T) {
		data := chunk(0, 2, head0(0, 4, 1, 0), be32(1<<24)) + chunk(0, 4, head0(0, 1<<20, 9, 1), x128)
		r := newChunkReader(bufio.NewReader(strings.NewReader(data)), testLimits)
		if _, err := readAll(r); !errors.Is(err, io.ErrUnexpectedEOF) || r.memory > 2*growStep {
			t.Errorf("%v, %d bytes held", err, r.memory)
		}
	})
	t.Run("partial messages share a budget", func(t *testing.T) {
		var data strings.Builder
		body := strings.Repeat("x", 1<<20)
		// One chunk with all but the last byte of each.
		data.WriteString(chunk(0, 2, head0(0, 4, 1, 0), be32(1<<20-1)))
		for i := range 4 {
			data.WriteString(chunk(0, uint32(3+i), head0(0, 1<<20, 9, 1), body[1:]))
		}
		r := newChunkReader(bufio.NewReader(strings.NewReader(data.String())), testLimits)
		got, err := readAll(r)
		if len(got) != 0 || !errors.Is(err, media.ErrTooLarge) || r.memory > testLimits.memory {
			t.Errorf("%d messages, %v, %d bytes held", len(got), err, r.memory)
		}
	})
	t.Run("idle buffers make room", func(t *testing.T) {
		var data strings.Builder
		data.WriteString(chunk(0, 2, head0(0, 4, 1, 0), be32(1<<20)))
		body := strings.Repeat("x", 1<<20)
		for i := range 8 {
			data.WriteString(chunk(0, uint32(3+i), head0(0, 1<<20, 9, 1), body))
		}
		r := newChunkReader(bufio.NewReader(strings.NewReader(data.String())), testLimits)
		got, err := readAll(r)
		if len(got) != 8 || !errors.Is(err, io.EOF) || r.memory > testLimits.memory {
			t.Errorf("%d messages, %v, %d bytes held", len(got), err, r.memory)
		}
	})
}

func TestAppendMessage(t *testing.T) {
	for _, size := range []int{0, 1, 127, 128, 129, 70000} {
		for _, id := range []uint32{2, 63, 64, 319, 320, 65599} {
			for _, timestamp := range []uint32{0, 7, extendedMark - 1, extendedMark, 1<<32 - 1} {
				m := message{kind: typeVideo, stream: 1, timestamp: timestamp, payload: bytes.Repeat([]byte{7}, size)}
				data := appendMessage(nil, id, m, 128)
				got, err := readAll(newChunkReader(bufio.NewReader(bytes.NewReader(data)), testLimits))
				if !errors.Is(err, io.EOF) || len(got) != 1 ||
					got[0] != (gotMessage{typeVideo, 1, timestamp, string(m.payload)}) {
					t.Errorf("size %d, chunk stream %d, timestamp %d: %d messages, %v", size, id, timestamp, len(got), err)
				}
			}
		}
	}
}

// FuzzChunks: no input panics, holds more memory than its limit, or gives a message past its limit.
func FuzzChunks(f *testing.F) {
	for _, tt := range chunkCases {
		f.Add([]byte(tt.data))
	}
	limits := chunkLimits{media: 8 << 10, data: 2 << 10, command: 1 << 10, memory: 16 << 10}
	f.Fuzz(func(t *testing.T, data []byte) {
		defer fuzztest.Bound(t, 1<<20+64*len(data))()
		r := newChunkReader(bufio.NewReaderSize(bytes.NewReader(data), 16), limits)
		for {
			m, err := r.read()
			held := 0
			for _, cs := range r.streams {
				held += cap(cs.buf)
			}
			if held != r.memory || held > limits.memory || len(r.streams) > maxChunkStreams {
				t.Fatalf("%d bytes in %d chunk streams, counted %d", held, len(r.streams), r.memory)
			}
			if err != nil {
				return
			}
			if limit, keep := limits.keep(m.kind); !keep || len(m.payload) > limit {
				t.Fatalf("type %d with %d bytes", m.kind, len(m.payload))
			}
		}
	})
}

// loop is an endless stream of the same bytes.
type loop struct {
	data []byte
	at   int
}

func (l *loop) Read(p []byte) (int, error) {
	n := copy(p, l.data[l.at:])
	l.at = (l.at + n) % len(l.data)
	return n, nil
}

// BenchmarkReadVideoMessage is the path of a frame from the socket's bytes to the publication: chunks, FLV, NAL units,
// lineup. Frames are of 30 kB, as 6 Mbps at 25 frames a second has them.
func BenchmarkReadVideoMessage(b *testing.B) {
	for _, chunkSize := range []int{128, 4096, 65536} {
		b.Run(fmt.Sprintf("chunk=%d", chunkSize), func(b *testing.B) {
			picture := append(slice(1), bytes.Repeat([]byte{7}, 30000)...)
			frame := message{kind: typeVideo, stream: 1, timestamp: 40, payload: videoUnit(0, picture)}
			src := &loop{data: appendMessage(nil, 6, frame, chunkSize)}
			limits := testLimits
			r := newChunkReader(bufio.NewReaderSize(src, readBuffer), limits)
			r.size = chunkSize
			d, _ := newTestDemuxer(b, discard{})
			if err := d.video(0, videoConfig(recordOf(testSPS, testPPS)), testWall); err != nil {
				b.Fatal(err)
			}
			if err := d.data(0, metadata(amfProperty{"videocodecid", 7.0}), testWall); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(frame.payload)))
			b.ReportAllocs()
			for b.Loop() {
				m, err := r.read()
				if err != nil {
					b.Fatal(err)
				}
				if err := d.video(m.timestamp, m.payload, testWall); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// discard is a publication that keeps nothing.
type discard struct{}

func (discard) SetTracks([]media.Track) error            { return nil }
func (discard) WriteFrame(*media.Frame) error            { return nil }
func (discard) WriteMetadata(*media.TimedMetadata) error { return nil }
func (discard) Leave()                                   {}
func (discard) Close(bool) error                         { return nil }
