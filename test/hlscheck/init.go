package hlscheck

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// initSection is what one says of its track.
type initSection struct {
	timescale     int64
	entry         string // of stsd
	codec         string // as far as CODECS must begin with it
	video         bool
	width, height int
	sampleRate    int64
	nalLength     int
	duration      uint32 // trex's defaults
	flags         uint32
	size          uint32
	edits         bool
	hevc          bool
}

// parseInit reads an init section and holds it against the CMF rules.
func parseInit(f *findings, data []byte) *initSection {
	list, fault := parseBoxes(data)
	ok := fault == "" && len(list) == 2 && list[0].kind == "ftyp" && list[1].kind == "moov"
	if !f.check("CMF-1", ok, "an init section of %s %s", kinds(list), fault) {
		return nil
	}
	var brands []string
	for i := 0; i+4 <= len(list[0].body); i += 4 {
		if i != 4 {
			brands = append(brands, string(list[0].body[i:i+4]))
		}
	}
	f.check("CMF-1", slices.ContainsFunc(brands, func(b string) bool {
		return strings.HasPrefix(b, "iso") && b[3:] >= "6" && b != "isom"
	}) &&
		slices.ContainsFunc(brands, func(b string) bool { return strings.HasPrefix(b, "cmf") }), "brands %v", brands)
	moov := list[1].body
	traks := children(moov, "trak")
	f.check("CMF-13", len(traks) == 1, "%d tracks", len(traks))
	trex := child(moov, "mvex", "trex")
	f.check("CMF-2", trex != nil, "no trex")
	if len(traks) == 0 {
		return nil
	}
	trak := traks[0]
	stbl := child(trak, "mdia", "minf", "stbl")
	empty := u32(child(stbl, "stts"), 4) == 0 && u32(child(stbl, "stsc"), 4) == 0 && u32(child(stbl, "stsz"), 8) == 0 &&
		u32(child(stbl, "stco"), 4) == 0
	f.check("CMF-2", empty, "sample tables are not empty")
	f.check("CMF-2", zeroDuration(child(moov, "mvhd"), 16) && zeroDuration(child(trak, "tkhd"), 20),
		"mvhd or tkhd has a duration")
	i := &initSection{
		duration: u32(trex, 12), size: u32(trex, 16), flags: u32(trex, 20),
		edits: child(trak, "edts") != nil, nalLength: 4,
	}
	f.check("CMF-19", !i.edits, "an edit list")
	mdhd := child(trak, "mdia", "mdhd")
	i.timescale = int64(u32(mdhd, 12))
	if len(mdhd) > 0 && mdhd[0] == 1 {
		i.timescale = int64(u32(mdhd, 20))
	}
	f.check("CMF-5", i.timescale > 0, "timescale 0")
	i.video = string(at(child(trak, "mdia", "hdlr"), 8, 4)) == "vide"
	i.readEntry(f, child(stbl, "stsd"))
	return i
}

func kinds(list []box) (names []string) {
	for _, b := range list {
		names = append(names, b.kind)
	}
	return names
}

// zeroDuration reads a full box whose 32-bit duration stands at the offset in version 0.
func zeroDuration(b []byte, offset int) bool {
	if len(b) > 0 && b[0] == 1 {
		return u64(b, offset+8) == 0
	}
	return u32(b, offset) == 0
}

// readEntry reads the one sample entry.
func (i *initSection) readEntry(f *findings, stsd []byte) {
	list, _ := parseBoxes(stsd[min(8, len(stsd)):])
	if !f.check("CMF-2", len(list) == 1, "%d sample entries", len(list)) {
		return
	}
	i.entry = list[0].kind
	i.codec = i.entry
	body := list[0].body
	if i.video {
		i.width, i.height = u16(body, 24), u16(body, 26)
		rest := body[min(78, len(body)):]
		switch i.entry {
		case "avc1":
			c := child(rest, "avcC")
			i.codec = fmt.Sprintf("avc1.%x", at(c, 1, 3))
			i.nalLength = int(at(c, 4, 1)[0]&3) + 1
			f.check("CMF-14", len(c) > 8 && c[5]&31 > 0, "no SPS in avcC")
		case "hvc1":
			c := child(rest, "hvcC")
			i.hevc = true
			i.nalLength = int(at(c, 21, 1)[0]&3) + 1
			f.check("CMF-14", len(c) > 23 && c[22] > 0, "no parameter sets in hvcC")
		case "av01", "vp09":
		default:
			f.check("CMF-14", false, "sample entry %s", i.entry)
		}
		return
	}
	i.sampleRate = int64(u32(body, 24) >> 16)
	if i.sampleRate > 0 && i.entry != "Opus" {
		f.check("CMF-15", i.timescale == i.sampleRate, "timescale %d, sample rate %d", i.timescale, i.sampleRate)
	}
	f.check("CMF-22", slices.Contains([]string{"mp4a", "Opus", "fLaC", "ac-3", "ec-3"}, i.entry),
		"sample entry %s", i.entry)
	if i.entry == "mp4a" {
		esds := child(body[min(28, len(body)):], "esds")
		if at := bytes.IndexByte(esds, 4); at >= 0 {
			i.codec = "mp4a.40"
		}
	}
}
