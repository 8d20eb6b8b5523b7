package progressive

import (
	"bufio"
	"encoding/binary"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// layout gives every chunk its place, and makes the header.
func (f *File) layout() {
	var body int64
	for i := range f.chunks {
		f.chunks[i].out = body
		body += f.chunks[i].size
	}
	seen := make(map[media.Kind]bool)
	next := uint32(1)
	for _, t := range f.tracks {
		if len(t.chunks) == 0 {
			continue
		}
		t.id, t.enabled = next, !seen[t.info.Kind]
		t.alternate = 1
		if t.info.Kind == media.Audio {
			t.alternate = 2
		}
		seen[t.info.Kind] = true
		next++
	}
	f.static(box(nil, "ftyp", func(b []byte) []byte {
		b = u32(append(b, "isom"...), 0x200)
		return append(b, "isomiso4iso6mp41mp42"...)
	}))
	udta := f.udta()
	created := macTime(f.started)
	mvhd := fullBox(nil, "mvhd", versionFor(f.length, created>>1), 0, func(b []byte) []byte {
		version := versionFor(f.length, created>>1)
		b = wide(b, version, created, created)
		b = wide(u32(b, movieTimescale), version, f.length)
		b = u32(u16(u32(b, 0x10000), 0x100, 0), 0, 0)
		b = u32(b, 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
		return u32(b, 0, 0, 0, 0, 0, 0, next)
	})
	type trak struct {
		head   []byte
		tables []section
		size   int64
	}
	var traks []trak
	moov := int64(8 + len(mvhd) + len(udta))
	for _, t := range f.tracks {
		if len(t.chunks) == 0 {
			continue
		}
		tables, size := f.sampleTables(t)
		head := f.trakHead(t, size, created)
		traks = append(traks, trak{head, tables, int64(len(head)) + size})
		moov += int64(len(head)) + size
	}
	f.static(append(u32(nil, uint32(moov)), "moov"...))
	f.static(mvhd)
	for _, t := range traks {
		f.static(t.head)
		for _, s := range t.tables {
			f.sections = append(f.sections, s)
			f.header += s.size
		}
	}
	f.static(udta)
	mdat := u32(nil, uint32(body+8))
	mdat = append(mdat, "mdat"...)
	if body+8 > 1<<32-1 {
		mdat = wide(append(u32(nil, 1), "mdat"...), 1, body+16)
	}
	f.static(mdat)
	f.size = f.header + body
}

func (f *File) static(b []byte) {
	f.sections = append(f.sections, section{size: int64(len(b)), bytes: b})
	f.header += int64(len(b))
}

// udta says what the file is, in the form of iTunes, which every player reads.
func (f *File) udta() []byte {
	item := func(b []byte, kind, text string) []byte {
		return box(b, kind, func(b []byte) []byte {
			return box(b, "data", func(b []byte) []byte { return append(u32(b, 1, 0), text...) })
		})
	}
	return box(nil, "udta", func(b []byte) []byte {
		return fullBox(b, "meta", 0, 0, func(b []byte) []byte {
			b = fullBox(b, "hdlr", 0, 0, func(b []byte) []byte {
				return append(u32(append(append(u32(b, 0), "mdir"...), "appl"...), 0, 0), 0)
			})
			return box(b, "ilst", func(b []byte) []byte {
				started := f.started.UTC()
				b = item(b, "\xa9nam", f.path.Stream+" "+started.Format("2006-01-02 15:04 UTC"))
				b = item(b, "\xa9ART", f.path.Publisher)
				return item(b, "\xa9day", started.Format(time.RFC3339))
			})
		})
	})
}

// trakHead is a trak up to its sample tables, which follow.
func (f *File) trakHead(t *track, tables, created int64) []byte {
	version := versionFor(t.length, created>>1)
	tkhd := fullBox(nil, "tkhd", version, t.tkhdFlags(), func(b []byte) []byte {
		b = wide(b, version, created, created)
		b = wide(u32(b, t.id, 0), version, t.length)
		volume := uint16(0)
		if t.info.Kind == media.Audio {
			volume = 0x100
		}
		b = u16(u32(b, 0, 0), 0, t.alternate, volume, 0)
		return append(b, t.init.display...)
	})
	stsd := fullBox(nil, "stsd", 0, 0, func(b []byte) []byte {
		b = u32(b, uint32(len(t.entries)))
		for _, e := range t.entries {
			b = append(b, e...)
		}
		return b
	})
	head := f.minfHead(t)
	mdia := t.mdiaHead(created)
	stbl := 8 + int64(len(stsd)) + tables
	minf := 8 + int64(len(head)) + stbl
	size := func(b []byte, n int64, kind string) []byte { return append(u32(b, uint32(n)), kind...) }
	b := append(size(nil, 0, "trak"), tkhd...)
	b = t.appendEdits(b)
	b = append(size(b, 8+int64(len(mdia))+minf, "mdia"), mdia...)
	b = append(size(b, minf, "minf"), head...)
	b = append(size(b, stbl, "stbl"), stsd...)
	binary.BigEndian.PutUint32(b, uint32(int64(len(b))+tables))
	return b
}

func (t *track) tkhdFlags() uint32 {
	if t.enabled {
		return 3
	}
	return 2 // in the movie, but not shown unless it is chosen
}

func (t *track) appendEdits(b []byte) []byte {
	if len(t.edits) == 0 {
		return b
	}
	version := byte(0)
	for _, e := range t.edits {
		version = max(version, versionFor(e.duration, e.mediaTime))
	}
	return box(b, "edts", func(b []byte) []byte {
		return fullBox(b, "elst", version, 0, func(b []byte) []byte {
			b = u32(b, uint32(len(t.edits)))
			for _, e := range t.edits {
				b = u32(wide(b, version, e.duration, e.mediaTime), 0x10000)
			}
			return b
		})
	})
}

// mdiaHead is what an mdia has in front of its minf.
func (t *track) mdiaHead(created int64) []byte {
	version := versionFor(t.duration, created>>1)
	b := fullBox(nil, "mdhd", version, 0, func(b []byte) []byte {
		b = wide(b, version, created, created)
		b = wide(u32(b, uint32(t.timescale)), version, t.duration)
		return u16(b, t.init.language, 0)
	})
	handler, name := "vide", "VideoHandler"
	if t.info.Kind == media.Audio {
		handler, name = "soun", "SoundHandler"
	}
	if t.info.Label != "" {
		name = strings.ReplaceAll(t.info.Label, "\x00", "")
	}
	b = fullBox(b, "hdlr", 0, 0, func(b []byte) []byte {
		b = append(u32(b, 0), handler...)
		return append(append(u32(b, 0, 0, 0), name...), 0)
	})
	if l := t.info.Language; l != "" && len(l) != 3 {
		b = fullBox(b, "elng", 0, 0, func(b []byte) []byte { return append(append(b, l...), 0) })
	}
	return b
}

// minfHead is what a minf has in front of its stbl.
func (f *File) minfHead(t *track) []byte {
	var b []byte
	if t.info.Kind == media.Video {
		b = fullBox(b, "vmhd", 0, 1, func(b []byte) []byte { return u32(b, 0, 0) })
	} else {
		b = fullBox(b, "smhd", 0, 0, func(b []byte) []byte { return u32(b, 0) })
	}
	return box(b, "dinf", func(b []byte) []byte {
		return fullBox(b, "dref", 0, 0, func(b []byte) []byte {
			return fullBox(u32(b, 1), "url ", 0, 1, func(b []byte) []byte { return b })
		})
	})
}

// tableWriter writes numbers of a sample table.
type tableWriter struct {
	w       *bufio.Writer
	bad     bool
	scratch [4]byte // on the stack it would escape with each number
}

func (w *tableWriter) put(v uint32) {
	binary.BigEndian.PutUint32(w.scratch[:], v)
	_, err := w.w.Write(w.scratch[:])
	w.bad = w.bad || err != nil
}

func (w *tableWriter) u32(values ...uint32) {
	for _, v := range values {
		w.put(v)
	}
}

// open writes the head of a full box with a count.
func (w *tableWriter) open(kind string, size int64, version byte, count uint32) {
	w.u32(uint32(size))
	_, _ = w.w.WriteString(kind)
	w.u32(uint32(version)<<24, count)
}

// sampleTables are the boxes of an stbl behind stsd, and their size.
func (f *File) sampleTables(t *track) (list []section, size int64) {
	add := func(kind string, version byte, count uint32, each int64, write func(w *tableWriter)) {
		s := section{size: 16 + each*int64(count)}
		s.write = func(w *bufio.Writer) {
			out := &tableWriter{w: w}
			out.open(kind, s.size, version, count)
			write(out)
		}
		list = append(list, s)
		size += s.size
	}
	add("stts", 0, t.sttsRuns, 8, func(w *tableWriter) { f.writeTimes(w, t) })
	if t.offsets() {
		version := byte(0)
		if t.leastCTO < 0 {
			version = 1
		}
		add("ctts", version, t.cttsRuns, 8, func(w *tableWriter) { f.writeOffsets(w, t) })
		if t.leastCTO < 0 {
			cslg := t.cslg()
			list = append(list, section{size: int64(len(cslg)), bytes: cslg})
			size += int64(len(cslg))
		}
	}
	if t.syncs < t.samples {
		add("stss", 0, t.syncs, 4, func(w *tableWriter) {
			n := uint32(0)
			f.walk(t, func(_ *chunk, s *timed) bool {
				if n++; s.sync {
					w.u32(n)
				}
				return !w.bad
			})
		})
	}
	add("stsc", 0, t.stscRuns, 12, func(w *tableWriter) { f.writeChunks(w, t) })
	stsz := section{size: 20 + 4*int64(t.samples)}
	stsz.write = func(w *bufio.Writer) {
		out := &tableWriter{w: w}
		out.open("stsz", stsz.size, 0, 0)
		out.u32(t.samples)
		f.walk(t, func(_ *chunk, s *timed) bool {
			out.put(s.size)
			return !out.bad
		})
	}
	list = append(list, stsz)
	size += stsz.size
	add("co64", 0, uint32(len(t.chunks)), 8, func(w *tableWriter) {
		for _, at := range t.chunks {
			offset := uint64(f.header + f.chunks[at].out)
			w.u32(uint32(offset>>32), uint32(offset))
		}
	})
	return list, size
}

// writeTimes writes the entries of stts: how long to the next sample, in runs.
func (f *File) writeTimes(w *tableWriter, t *track) {
	var run uint32
	var previous timed
	begun, delta := false, int64(-1)
	step := func(d int64) {
		if d != delta && run > 0 {
			w.u32(run, uint32(delta))
			run = 0
		}
		delta = d
		run++
	}
	f.walk(t, func(_ *chunk, s *timed) bool {
		if begun {
			step(s.dts - previous.dts)
		}
		begun, previous = true, *s
		return !w.bad
	})
	step(previous.duration)
	w.u32(run, uint32(delta))
}

// writeOffsets writes the entries of ctts.
func (f *File) writeOffsets(w *tableWriter, t *track) {
	var run uint32
	var cto int64
	f.walk(t, func(_ *chunk, s *timed) bool {
		if s.cto != cto && run > 0 {
			w.u32(run, uint32(int32(cto)))
			run = 0
		}
		cto = s.cto
		run++
		return !w.bad
	})
	w.u32(run, uint32(int32(cto)))
}

func (f *File) writeChunks(w *tableWriter, t *track) {
	var per, entry uint32
	for i, at := range t.chunks {
		c := &f.chunks[at]
		if c.hi-c.lo == per && c.entry == entry {
			continue
		}
		per, entry = c.hi-c.lo, c.entry
		w.u32(uint32(i)+1, per, entry)
	}
}

// cslg tells how far composition offsets go where they are negative (ISO/IEC 14496-12, 8.6.1.4).
func (t *track) cslg() []byte {
	shift := max(-t.leastCTO, 0)
	version := versionFor(t.begin, t.end, t.leastCTO, t.mostCTO)
	return fullBox(nil, "cslg", version, 0, func(b []byte) []byte {
		return wide(b, version, shift, t.leastCTO, t.mostCTO, t.begin, t.end)
	})
}
