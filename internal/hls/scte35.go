package hls

import "encoding/binary"

// Commands of SCTE 35, 9.6.1, and types of segmentation, 10.3.3.1.
const (
	spliceNull           = 0x00
	spliceInsert         = 0x05
	timeSignal           = 0x06
	bandwidthReservation = 0x07

	// maxSplices bounds what is read of one section: it has room for about 200 descriptors.
	maxSplices = 64
)

// spliceInfo is a splice_info_section as far as playlists need it (SCTE 35, 9.6).
type spliceInfo struct {
	// section is as long as it says it is.
	section []byte
	command byte
	// opaque says that nothing was read of what it commands: it is encrypted, of an unknown form, or damaged in spite of
	// the right checksum.
	opaque bool
	// splices are a splice_insert's one, or those of a time_signal's segmentation descriptors.
	splices []splice
}

// splice is one event of a section.
type splice struct {
	event  uint32
	cancel bool
	// out is of a splice_insert: the programme is left. Of a descriptor kind says that.
	out        bool
	autoReturn bool
	// duration is in 90 kHz; 0 is unknown.
	duration int64
	// kind is a descriptor's segmentation_type_id.
	kind byte
}

// parseSplice reads a section; false if it is none, or its checksum is wrong.
func parseSplice(b []byte) (spliceInfo, bool) {
	const tableID, header, sum = 0xfc, 14, 4
	if len(b) < header+2+sum || b[0] != tableID {
		return spliceInfo{}, false
	}
	size := 3 + int(b[1]&0x0f)<<8 + int(b[2])
	if size < header+2+sum || size > len(b) || sectionCRC(b[:size]) != 0 {
		return spliceInfo{}, false
	}
	s := spliceInfo{section: b[:size], command: b[13]}
	const encrypted = 0x80
	if b[4]&encrypted != 0 || b[3] != 0 {
		s.opaque = true
		return s, true
	}
	switch r := (spliceReader{b: b[header : size-sum]}); s.command {
	case spliceInsert:
		x := r.insert()
		s.opaque = r.short
		s.splices = []splice{x}
	case timeSignal:
		r.time()
		s.splices = r.descriptors()
		s.opaque = r.short
	}
	if s.opaque {
		s.splices = nil
	}
	return s, true
}

// spliceReader takes bytes from the front; short is set for ever by a read past the end.
type spliceReader struct {
	b     []byte
	short bool
}

// take gives n bytes, zeros if there are no more.
func (r *spliceReader) take(n int) []byte {
	if len(r.b) < n {
		r.short, r.b = true, nil
		return make([]byte, n)
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

func (r *spliceReader) byte() byte { return r.take(1)[0] }

// bits33 reads a number of 33 bits that ends five bytes, and the flag that begins them.
func (r *spliceReader) bits33() (flag bool, value int64) {
	b := r.take(5)
	return b[0]&0x80 != 0, int64(b[0]&1)<<32 | int64(binary.BigEndian.Uint32(b[1:]))
}

// time passes over a splice_time (9.7.1): the piece's own time is that one, since what took it in mapped it.
func (r *spliceReader) time() {
	const specified = 0x80
	if r.byte()&specified != 0 {
		r.take(4)
	}
}

// insert reads a splice_insert (9.7.3).
func (r *spliceReader) insert() splice {
	const cancel, out, program, lasting, immediate = 0x80, 0x80, 0x40, 0x20, 0x10
	x := splice{event: binary.BigEndian.Uint32(r.take(4)), cancel: r.byte()&cancel != 0}
	if x.cancel {
		return x
	}
	flags := r.byte()
	x.out = flags&out != 0
	if flags&program != 0 {
		if flags&immediate == 0 {
			r.time()
		}
	} else {
		for range r.byte() {
			r.byte() // its tag
			if flags&immediate == 0 {
				r.time()
			}
		}
	}
	if flags&lasting != 0 {
		x.autoReturn, x.duration = r.bits33()
	}
	r.take(4) // unique_program_id, avail_num, avails_expected
	return x
}

// descriptors reads the segmentation descriptors of a loop (10.2).
func (r *spliceReader) descriptors() (splices []splice) {
	const segmentation = 0x02
	loop := spliceReader{b: r.take(int(binary.BigEndian.Uint16(r.take(2))))}
	for len(loop.b) > 0 && !loop.short && len(splices) < maxSplices {
		tag := loop.byte()
		d := spliceReader{b: loop.take(int(loop.byte()))}
		if tag != segmentation || string(d.take(4)) != "CUEI" {
			continue
		}
		x := d.segmentation()
		if !d.short {
			splices = append(splices, x)
		}
		r.short = r.short || d.short
	}
	r.short = r.short || loop.short
	return splices
}

// segmentation reads a segmentation_descriptor behind its identifier (10.3.3).
func (r *spliceReader) segmentation() splice {
	const cancel, program, lasting = 0x80, 0x80, 0x40
	x := splice{event: binary.BigEndian.Uint32(r.take(4)), cancel: r.byte()&cancel != 0}
	if x.cancel {
		return x
	}
	flags := r.byte()
	if flags&program == 0 {
		r.take(6 * int(r.byte()))
	}
	if flags&lasting != 0 {
		b := r.take(5)
		x.duration = int64(b[0])<<32 | int64(binary.BigEndian.Uint32(b[1:]))
	}
	r.byte() // segmentation_upid_type
	r.take(int(r.byte()))
	x.kind = r.byte()
	return x
}

// sectionCRC is the checksum of ISO/IEC 13818-1, annex A; that of a section with its checksum is 0.
func sectionCRC(b []byte) uint32 {
	const polynomial = 0x04c11db7
	crc := ^uint32(0)
	for _, v := range b {
		crc ^= uint32(v) << 24
		for range 8 {
			carry := crc >> 31
			crc = crc<<1 ^ carry*polynomial
		}
	}
	return crc
}
