package bitstream

import (
	mathbits "math/bits"

	"github.com/oxbow-video/oxbow/internal/media"
)

// eac3Frame is one syncframe's header.
type eac3Frame struct {
	kind, id   byte // strmtyp, substreamid
	size       int  // bytes
	rateCode   byte // fscod
	rate       int64
	blocks     int
	acmod, lfe byte
	bsid       byte
	chanmap    uint16 // of a dependent substream
}

const (
	eac3Dependent  = 1
	eac3Substreams = 8 // independent ones, and dependent ones of each
	// eac3MaxFrames bounds the syncframes of a sample: each is read again for every place where a search for the next
	// sample may begin. The standard has room for nine times as many; real streams have up to three for a block.
	eac3MaxFrames = ac3Blocks * eac3Substreams
)

func parseEAC3Frame(b []byte) (f eac3Frame, ok bool) {
	if len(b) < AC3Header || b[0] != 0x0b || b[1] != 0x77 {
		return f, false
	}
	r := bits{data: b, at: 16}
	f.kind, f.id, f.size = byte(r.read(2)), byte(r.read(3)), int(r.read(11)+1)*2
	f.rateCode = byte(r.read(2))
	blocks := r.read(2)
	if f.rateCode == 3 { // half the rate that the next two bits tell
		if blocks == 3 {
			return f, false
		}
		f.rate, f.blocks = ac3Rate(byte(blocks))/2, 6
	} else {
		f.rate, f.blocks = ac3Rate(f.rateCode), [...]int{1, 2, 3, 6}[blocks]
	}
	f.acmod, f.lfe, f.bsid = byte(r.read(3)), byte(r.read(1)), byte(r.read(5))
	if f.kind == 3 || f.bsid <= 10 || f.bsid > 16 || f.size < AC3Header {
		return f, false
	}
	for range 1 + bint(f.acmod == 0) { // dialogue level of each of two programmes
		r.skip(5)
		if r.flag() {
			r.skip(8)
		}
	}
	if f.kind == eac3Dependent && r.flag() {
		f.chanmap = uint16(r.read(16))
	}
	return f, true
}

func bint(b bool) int {
	if b {
		return 1
	}
	return 0
}

// eac3Program is what dec3 says of an independent substream.
type eac3Program struct {
	frame      eac3Frame
	dependents uint8 // a bit for each
	locations  uint16
}

func (p *eac3Program) add(dependent eac3Frame) {
	p.dependents |= 1 << dependent.id
	// chan_loc names pairs and channels from the lowest bit on, chanmap from the highest.
	for i := range 8 {
		p.locations |= dependent.chanmap >> (10 - i) & 1 << i
	}
	p.locations |= dependent.chanmap >> 1 & 1 << 8 // LFE2
}

// parseEAC3 reads the syncframes of one sample. Where b ends with a syncframe, nothing more is taken to belong to it.
func parseEAC3(b []byte) (AudioFrame, bool) {
	f := AudioFrame{Codec: media.EAC3, Samples: ac3Block * ac3Blocks}
	var programs [eac3Substreams]eac3Program
	program, count, blocks := 0, 0, 0
	for range eac3MaxFrames {
		if f.Size > 0 && f.Size+AC3Header > len(b) {
			if blocks < ac3Blocks {
				f.Size += AC3Header // and more
			}
			return f.eac3(programs[:count]), true
		}
		frame, ok := parseEAC3Frame(b[f.Size:])
		begins := frame.kind != eac3Dependent && frame.id == 0
		if blocks >= ac3Blocks && (!ok || begins) {
			return f.eac3(programs[:count]), true
		}
		switch {
		case !ok, count == 0 && !begins:
			return AudioFrame{}, false
		case frame.kind == eac3Dependent:
			programs[program].add(frame)
		default:
			if program = int(frame.id); program > count {
				return AudioFrame{}, false
			}
			count = max(count, program+1)
			programs[program].frame = frame
		}
		if begins {
			f.Rate = frame.rate
			blocks += frame.blocks
		}
		f.Size += frame.size
	}
	return AudioFrame{}, false
}

// eac3 gives the frame the configuration of its substreams: dec3 (F.6), whose data rate Track fills in.
func (f AudioFrame) eac3(programs []eac3Program) AudioFrame {
	f.dataRate = uint16(min(int64(f.Size)*8*f.Rate/f.Samples/1000, 1<<13-1))
	f.setConfig(0, byte(len(programs)-1))
	for i := range programs {
		p := &programs[i]
		v := uint32(p.frame.rateCode)<<30 | uint32(p.frame.bsid)<<25 | uint32(p.frame.acmod)<<17 |
			uint32(p.frame.lfe)<<16 | uint32(mathbits.OnesCount8(p.dependents))<<9 | uint32(p.locations)
		b, size := [...]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}, 4
		if p.dependents == 0 {
			size = 3
		}
		f.configSize += int8(copy(f.config[f.configSize:], b[:size]))
	}
	return f
}
