package hlscheck

import (
	"time"
)

// fragment is what one moof and its mdat say.
type fragment struct {
	sequence   uint32
	base       int64 // tfdt
	end        int64 // tfdt and all durations
	start      int64 // first presentation time
	stop       int64 // last presentation end
	longest    int64 // sample
	samples    int
	startsSync bool // the first sample is one
	hasSync    bool
	bytes      int
}

// parseMedia reads a part or a segment and holds it against the CMF rules.
func parseMedia(f *findings, i *initSection, data []byte) (list []fragment) {
	all, fault := parseBoxes(data)
	f.check("CMF-4", fault == "" && len(all) > 0, "a torn part: %s", fault)
	for at, b := range all {
		switch b.kind {
		case "moof":
			next := at+1 < len(all) && all[at+1].kind == "mdat"
			if f.check("CMF-4", next, "moof without mdat behind it") {
				list = append(list, parseFragment(f, i, b, all[at+1]))
			}
		case "mdat", "styp", "prft", "emsg":
		default:
			f.check("CMF-21", false, "box %s in a part", b.kind)
		}
	}
	for n := 1; n < len(list); n++ {
		f.check("CMF-5", list[n].base == list[n-1].end, "tfdt %d behind an end of %d", list[n].base, list[n-1].end)
		f.check("CMF-6", list[n].sequence > list[n-1].sequence, "mfhd %d behind %d", list[n].sequence, list[n-1].sequence)
	}
	return list
}

func parseFragment(f *findings, i *initSection, moof, mdat box) fragment {
	g := fragment{sequence: u32(child(moof.body, "mfhd"), 4), bytes: moof.size + mdat.size}
	trafs := children(moof.body, "traf")
	if !f.check("CMF-13", len(trafs) == 1, "%d traf boxes", len(trafs)) {
		return g
	}
	tfdt := child(trafs[0], "tfdt")
	f.check("CMF-3", len(tfdt) == 12 && tfdt[0] == 1, "tfdt of %d bytes", len(tfdt))
	g.base = int64(u64(tfdt, 4))
	g.end = g.base
	tfhd := child(trafs[0], "tfhd")
	flags := u32(tfhd, 0) & 0xffffff
	f.check("CMF-4", flags&0x020000 != 0 && flags&1 == 0, "tfhd flags %06x", flags)
	d := defaults{i.duration, i.size, i.flags}
	d.read(tfhd, flags)
	truns := children(trafs[0], "trun")
	f.check("CMF-4", len(truns) > 0, "no trun")
	offset := 0
	for n, trun := range truns {
		offset = g.readRun(f, i, trun, d, moof, mdat, offset, n)
	}
	f.check("CMF-4", offset == len(mdat.body), "samples of %d bytes in an mdat of %d", offset, len(mdat.body))
	f.check("CMF-18", g.samples > 0, "no samples")
	return g
}

// defaults are what a sample has where trun is silent.
type defaults struct{ duration, size, flags uint32 }

func (d *defaults) read(tfhd []byte, flags uint32) {
	at := 8
	for _, field := range []struct {
		bit  uint32
		into *uint32
	}{{0x2, nil}, {0x8, &d.duration}, {0x10, &d.size}, {0x20, &d.flags}} {
		if flags&field.bit != 0 {
			if field.into != nil {
				*field.into = u32(tfhd, at)
			}
			at += 4
		}
	}
}

// readRun reads one trun and the samples in the mdat; offset is where the last run's data ended.
func (g *fragment) readRun(f *findings, i *initSection, trun []byte, d defaults, moof, mdat box, offset, run int) int {
	flags := u32(trun, 0) & 0xffffff
	count := int(u32(trun, 4))
	at := 8
	if flags&1 != 0 {
		dataOffset := int(int32(u32(trun, at)))
		f.check("CMF-4", dataOffset == moof.size+8+offset,
			"data offset %d, the data is at %d", dataOffset, moof.size+8+offset)
		at += 4
	} else {
		f.check("CMF-4", run > 0, "trun without data offset")
	}
	first := d.flags
	if flags&4 != 0 {
		first = u32(trun, at)
		at += 4
	}
	for n := range count {
		if at > len(trun) {
			f.check("CMF-4", false, "a torn trun")
			return offset
		}
		s := d
		if n == 0 {
			s.flags = first
		}
		composition := int64(0)
		for _, field := range []struct {
			bit  uint32
			into *uint32
		}{{0x100, &s.duration}, {0x200, &s.size}, {0x400, &s.flags}} {
			if flags&field.bit != 0 {
				*field.into = u32(trun, at)
				at += 4
			}
		}
		if flags&0x800 != 0 {
			composition = int64(int32(u32(trun, at)))
			at += 4
		}
		end := offset + int(s.size)
		if end > len(mdat.body) {
			f.check("CMF-4", false, "a sample ends %d bytes behind mdat", end-len(mdat.body))
			return offset
		}
		g.addSample(f, i, s, composition, mdat.body[offset:end])
		offset = end
		if s.size == 0 && flags&0xf00 == 0 {
			return offset // so are the others, and no bytes bound how many the trun says there are
		}
	}
	return offset
}

func (g *fragment) addSample(f *findings, i *initSection, s defaults, composition int64, data []byte) {
	f.check("CMF-18", s.duration > 0 && s.size > 0, "a sample of %d ticks and %d bytes", s.duration, s.size)
	sync := s.flags&0x10000 == 0
	if g.samples == 0 {
		g.startsSync = sync
		g.start, g.stop = g.end+composition, g.end+composition
	}
	g.hasSync = g.hasSync || sync
	g.start = min(g.start, g.end+composition)
	g.stop = max(g.stop, g.end+composition+int64(s.duration))
	g.longest = max(g.longest, int64(s.duration))
	g.end += int64(s.duration)
	g.samples++
	judgeFlags(f, i, s.flags, data)
}

// judgeFlags holds a sample's flags against its NAL units.
func judgeFlags(f *findings, i *initSection, flags uint32, data []byte) {
	if !i.video {
		f.check("CMF-8", flags&0x10000 == 0, "audio with flags %08x", flags)
		return
	}
	if i.entry != "avc1" && !i.hevc {
		return
	}
	idr, slices := false, false
	for len(data) > i.nalLength {
		size := 0
		for _, b := range data[:i.nalLength] {
			size = size<<8 | int(b)
		}
		if !f.check("CMF-8", size > 0 && size <= len(data)-i.nalLength,
			"a NAL unit of %d bytes, %d are there", size, len(data)-i.nalLength) {
			return
		}
		kind := data[i.nalLength] & 31
		if i.hevc {
			kind = data[i.nalLength] >> 1 & 63
			slices = slices || kind < 32
			idr = idr || kind >= 16 && kind <= 21
		} else {
			slices = slices || kind >= 1 && kind <= 5
			idr = idr || kind == 5
		}
		data = data[i.nalLength+size:]
	}
	f.check("CMF-8", slices, "a sample without a slice")
	if idr {
		f.check("CMF-8", flags&0x10000 == 0 && flags>>24&3 == 2, "an IDR with flags %08x", flags)
	} else {
		f.check("CMF-8", flags&0x10000 != 0 && flags>>24&3 != 2, "no IDR, but flags %08x", flags)
	}
}

// span turns ticks into time.
func (i *initSection) span(ticks int64) time.Duration {
	if i.timescale == 0 {
		return 0
	}
	whole := ticks / i.timescale
	return time.Duration(whole)*time.Second + time.Duration(ticks%i.timescale)*time.Second/time.Duration(i.timescale)
}
