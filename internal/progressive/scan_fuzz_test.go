package progressive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// boxed makes a box.
func boxed(kind string, parts ...[]byte) []byte {
	payload := bytes.Join(parts, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(payload))), kind...), payload...)
}

func words32(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// FuzzInit: what is taken of an init section lies in it.
func FuzzInit(f *testing.F) {
	tkhd := boxed("tkhd", make([]byte, 4+20+16+44))
	stsd := boxed("stsd", words32(0, 1), boxed("avc1", make([]byte, 78)))
	mdia := boxed("mdia", boxed("mdhd", make([]byte, 24)), boxed("minf", boxed("stbl", stsd)))
	whole := append(boxed("ftyp", []byte("iso6")), boxed("moov", boxed("trak", tkhd, mdia))...)
	f.Add(whole)
	f.Add(whole[:len(whole)-9])
	f.Add(bytes.Replace(whole, []byte("avc1"), []byte("free"), 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer fuzztest.Bound(t, 1<<20)()
		s, err := readInit(data)
		if err != nil {
			if !errors.Is(err, media.ErrCorrupt) {
				t.Error(err)
			}
			return
		}
		if len(s.display) != 44 || !bytes.Contains(data, s.entry) || len(s.entry) < 8 ||
			int(binary.BigEndian.Uint32(s.entry)) != len(s.entry) {
			t.Errorf("%x: entry of %d bytes, display of %d", data, len(s.entry), len(s.display))
		}
	})
}

// FuzzScan: a segment's samples lie in its bytes, one behind the other, or it is corrupt; and its table says the same
// when it is read again.
func FuzzScan(f *testing.F) {
	part := func(seq uint32, dts uint32, media string) []byte {
		trun := boxed("trun", words32(trunData|trunDuration|trunSize|trunFlags, 2, 0, 10, uint32(len(media)), 0, 10, 0, nonSync))
		moof := boxed("moof", boxed("mfhd", words32(0, seq)), boxed("traf", boxed("tfhd", words32(0x20000, 1)), boxed("tfdt", words32(0, dts)), trun))
		at := bytes.Index(moof, []byte("trun")) + 4 + 8
		binary.BigEndian.PutUint32(moof[at:], uint32(len(moof)+8))
		return append(moof, boxed("mdat", []byte(media))...)
	}
	const msn = 3
	first := reclog.SequenceNumber(msn, 0)
	seed := append(part(first, 0, "one"), part(first+1, 20, "three")...)
	var whole builder
	if err := whole.scan(bytes.NewReader(seed), &media.Segment{MSN: msn, Size: int64(len(seed))}); err != nil || whole.table.Samples() != 4 {
		f.Fatalf("%d samples: %v", whole.table.Samples(), err)
	}
	f.Add(seed)
	f.Add(seed[:len(seed)-1])
	f.Add(append(boxed("emsg", make([]byte, 20)), seed...))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		defer fuzztest.Bound(t, 24<<20+64*len(data))()
		var b builder
		err := b.scan(bytes.NewReader(data), &media.Segment{MSN: msn, Size: int64(len(data))})
		if err != nil {
			if !errors.Is(err, media.ErrCorrupt) {
				t.Errorf("%x: %v", data, err)
			}
			return
		}
		var bytesOf, count int64
		for i := range b.table.segments {
			b.table.each(i, func(_ int, s *sample) { bytesOf, count = bytesOf+int64(s.size), count+1 }, nil)
		}
		if bytesOf > int64(len(data)) || count != b.table.Samples() {
			t.Errorf("%d samples of %d bytes in %d: %d told", count, bytesOf, len(data), b.table.Samples())
		}
		again, err := ParseTable(b.table.Object())
		if err != nil || again.Samples() != count {
			t.Errorf("its table: %v", err)
		}
	})
}
