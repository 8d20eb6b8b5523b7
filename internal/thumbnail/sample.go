package thumbnail

import (
	"encoding/binary"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// MaxSample is the most bytes of a part up to the end of its first sample that are taken.
const MaxSample = 32 << 20

// sample is a random access point on its own.
type sample struct {
	track uint32 // track_ID
	data  []byte
}

// box cuts the first box off the data. One that is longer than the data, as the mdat of a part that is cut after its
// first sample, is given as far as it reaches, with its true length.
func box(data []byte) (kind string, body []byte, header int, size uint64, err error) {
	if len(data) < 8 {
		return "", nil, 0, 0, fmt.Errorf("%w: box of %d bytes", media.ErrCorrupt, len(data))
	}
	header, size = 8, uint64(binary.BigEndian.Uint32(data))
	if size == 1 {
		if len(data) < 16 {
			return "", nil, 0, 0, fmt.Errorf("%w: box of %d bytes", media.ErrCorrupt, len(data))
		}
		header, size = 16, binary.BigEndian.Uint64(data[8:])
	}
	if size < uint64(header) {
		return "", nil, 0, 0, fmt.Errorf("%w: box of %d bytes", media.ErrCorrupt, size)
	}
	return string(data[4:8]), data[header:min(size, uint64(len(data)))], header, size, nil
}

// firstSample takes the first sample out of a part, (emsg* moof mdat), of which what follows that sample may be
// missing.
func firstSample(part []byte) (sample, error) {
	if len(part) > MaxSample {
		return sample{}, fmt.Errorf("%w: part of %d bytes, at most %d are taken", media.ErrTooLarge, len(part), MaxSample)
	}
	for at := 0; at < len(part); {
		kind, body, _, size, err := box(part[at:])
		if err != nil {
			return sample{}, err
		}
		if kind != "moof" {
			at += int(min(size, uint64(len(part)-at)))
			continue
		}
		if size > uint64(len(part)-at) {
			break
		}
		return locate(part[at:], body)
	}
	return sample{}, fmt.Errorf("%w: part without a whole moof", media.ErrCorrupt)
}

// locate reads the moof, which fragment begins with, for where the first sample is.
func locate(fragment, moof []byte) (sample, error) {
	traf, err := child(moof, "traf")
	if err != nil {
		return sample{}, err
	}
	tfhd, err := child(traf, "tfhd")
	if err != nil {
		return sample{}, err
	}
	r := fields{b: tfhd}
	flags := r.word()
	s := sample{track: r.word()}
	r.skip(flags, 0x1, 8)
	r.skip(flags, 0x2, 4)
	r.skip(flags, 0x8, 4)
	size := uint32(0)
	if flags&0x10 != 0 {
		size = r.word()
	}
	trun, err := child(traf, "trun")
	if err != nil {
		return sample{}, err
	}
	t := fields{b: trun, bad: r.bad}
	flags = t.word()
	count, offset := t.word(), uint32(0)
	if flags&0x1 != 0 {
		offset = t.word()
	}
	t.skip(flags, 0x4, 4)
	t.skip(flags, 0x100, 4)
	if flags&0x200 != 0 {
		size = t.word()
	}
	if t.bad || count == 0 || size == 0 || flags&0x1 == 0 ||
		uint64(offset)+uint64(size) > uint64(len(fragment)) {
		return sample{}, fmt.Errorf("%w: sample of %d bytes at %d, the part has %d", media.ErrCorrupt, size, offset,
			len(fragment))
	}
	s.data = fragment[offset : offset+size]
	return s, nil
}

// child finds a box in another's body.
func child(data []byte, want string) ([]byte, error) {
	for len(data) > 0 {
		kind, body, _, size, err := box(data)
		if err != nil {
			return nil, err
		}
		if size > uint64(len(data)) {
			break
		}
		if kind == want {
			return body, nil
		}
		data = data[size:]
	}
	return nil, fmt.Errorf("%w: no %s", media.ErrCorrupt, want)
}

// fields reads words; past the end they are zero, and bad is set.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) word() uint32 {
	if len(f.b) < 4 {
		f.b, f.bad = nil, true
		return 0
	}
	v := binary.BigEndian.Uint32(f.b)
	f.b = f.b[4:]
	return v
}

// skip passes over a field of n bytes if the flag is set.
func (f *fields) skip(flags, flag uint32, n int) {
	for ; flags&flag != 0 && n > 0; n -= 4 {
		f.word()
	}
}

const (
	// sampleTicks is the length that each sample is given, and firstTick when the first begins: behind whatever an edit
	// list of the init section takes away. Ffmpeg numbers the pictures anew.
	sampleTicks = 9000
	firstTick   = 1 << 30
)

// header gives the moof and the head of the mdat that make the sample the i-th fragment of a track.
func (s *sample) header(i int) []byte {
	const trunAt = 8 + 16 + 8 + 16 + 20 // moof, mfhd, traf, tfhd with flags, tfdt of 64 bits
	const moofSize = trunAt + 28
	b := make([]byte, 0, moofSize+16)
	open := func(size uint32, kind string) {
		b = append(binary.BigEndian.AppendUint32(b, size), kind...)
	}
	put := func(words ...uint32) {
		for _, w := range words {
			b = binary.BigEndian.AppendUint32(b, w)
		}
	}
	open(moofSize, "moof")
	open(16, "mfhd")
	put(0, uint32(i)+1)
	open(moofSize-24, "traf")
	open(16, "tfhd")
	put(0x020000, s.track) // default-base-is-moof
	open(20, "tfdt")
	put(1 << 24)
	b = binary.BigEndian.AppendUint64(b, firstTick+uint64(i)*sampleTicks)
	open(28, "trun")
	put(0x301, 1, moofSize+8, sampleTicks, uint32(len(s.data)))
	open(uint32(len(s.data))+8, "mdat")
	return b
}
