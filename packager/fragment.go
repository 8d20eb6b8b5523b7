package packager

import (
	"bytes"
	"encoding/binary"
)

// Sample flags (ISO/IEC 14496-12, 8.8.3.1).
const (
	flagsSync    = 0x02000000 // depends on no other
	flagsNonSync = 0x01010000 // depends on others, non-sync
	flagsLeading = 0x04000000 // leading, not to be decoded when decoding begins at the sync sample before
)

// sample is one access unit in a fragment. Times are ticks.
type sample struct {
	dts      int64
	duration int64
	cto      int32
	size     uint32
	sync     bool
	leading  bool
}

// fragment collects the samples of a track and gives them out as moof+mdat, oldest first. Its buffers are reused: after
// the first parts nothing is allocated but the parts.
type fragment struct {
	video   bool
	unit    int64 // audio: the duration of every sample
	samples []sample
	data    []byte // the samples' bytes, back to back
	emsg    []byte // emsg boxes for the next part (CMF-21)
	head    []byte // of the last part: all but the samples' bytes
}

// next gives the buffer that the next sample's bytes are appended to; add takes it back.
func (f *fragment) next() []byte { return f.data }

// add appends a sample whose bytes are those that data has more than next gave.
func (f *fragment) add(data []byte, s sample) {
	s.size = uint32(len(data) - len(f.data))
	f.data = data
	f.samples = append(f.samples, s)
}

// drop removes the samples from index n on.
func (f *fragment) drop(n int) {
	keep := 0
	for i := range f.samples[:n] {
		keep += int(f.samples[i].size)
	}
	f.samples = f.samples[:n]
	f.data = f.data[:keep]
}

// cut removes the first n samples and gives them, behind the emsg boxes, as one part, the caller's own, in an
// allocation of its size.
func (f *fragment) cut(sequence uint32, n int) []byte {
	size := 0
	for i := range f.samples[:n] {
		size += int(f.samples[i].size)
	}
	f.head = append(f.head[:0], f.emsg...)
	f.emsg = f.emsg[:0]
	f.head = header(f.appendMoof(f.head, sequence, f.samples[:n]), 8+size, "mdat")
	part := bytes.Join([][]byte{f.head, f.data[:size]}, nil) // unlike make, it writes no zeroes first
	f.samples = f.samples[:copy(f.samples, f.samples[n:])]
	f.data = f.data[:copy(f.data, f.data[size:])]
	return part
}

const (
	tfhdBaseIsMoof      = 0x020000 // CMF-4
	tfhdDefaultDuration = 0x08
	tfhdDefaultFlags    = 0x20
	trunDataOffset      = 0x001
	trunDuration        = 0x100
	trunSize            = 0x200
	trunFlags           = 0x400
	trunOffset          = 0x800
)

// moofSize is that of n samples' moof.
func (f *fragment) moofSize(n int) int {
	tfhd, perSample := 24, 4
	if f.video {
		tfhd, perSample = 16, 16
	}
	return 8 + 16 + 8 + tfhd + 20 + 20 + perSample*n
}

func (f *fragment) appendMoof(b []byte, sequence uint32, samples []sample) []byte {
	tfhd, perSample := 24, 4
	if f.video {
		tfhd, perSample = 16, 16
	}
	trun := 20 + perSample*len(samples)
	traf := 8 + tfhd + 20 + trun
	moof := f.moofSize(len(samples))

	b = header(b, moof, "moof")
	b = header(b, 16, "mfhd")
	b = be32(be32(b, 0), sequence) // CMF-6

	b = header(b, traf, "traf")
	b = header(b, tfhd, "tfhd")
	if f.video {
		b = be32(be32(b, tfhdBaseIsMoof), trackID)
	} else {
		b = be32(be32(b, tfhdBaseIsMoof|tfhdDefaultDuration|tfhdDefaultFlags), trackID)
		b = be32(be32(b, uint32(f.unit)), flagsSync)
	}
	b = header(b, 20, "tfdt") // CMF-3
	b = be32(b, 1<<24)
	b = binary.BigEndian.AppendUint64(b, uint64(samples[0].dts))

	b = header(b, trun, "trun")
	if f.video {
		b = be32(b, 1<<24|trunDataOffset|trunDuration|trunSize|trunFlags|trunOffset) // CMF-19
	} else {
		b = be32(b, 1<<24|trunDataOffset|trunSize)
	}
	b = be32(b, uint32(len(samples)))
	b = be32(b, uint32(moof+8))
	for i := range samples {
		s := &samples[i]
		if !f.video {
			b = be32(b, s.size)
			continue
		}
		flags := uint32(flagsNonSync) // CMF-8
		if s.sync {
			flags = flagsSync
		}
		if s.leading {
			flags |= flagsLeading
		}
		b = be32(be32(b, uint32(s.duration)), s.size)
		b = be32(be32(b, flags), uint32(s.cto))
	}
	return b
}

func header(b []byte, size int, kind string) []byte {
	return append(be32(b, uint32(size)), kind...)
}

func be32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }
