//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// The URLs are those of Oxbow, so that every server gets the same ones: media of a recording of one stream.
const (
	publisher = "bench"
	stream    = "edge"
	recording = "01kabcdefghjkmnpqrstvwxyz0"
	base      = "/" + publisher + "/" + stream + "/" + recording
	mediaBase = base + "/1/video/"
	liveList  = base + "/live/video.m3u8"
)

// headBytes begin every body: its number and when it was released (Unix nanoseconds; zero of what is always there).
const headBytes = 16

// maxObject is the largest body.
const maxObject = 1 << 20

// noise is what bodies are cut from: their number says where, so that origin and client know the same bytes.
var noise = makeNoise()

func makeNoise() []byte {
	b := make([]byte, 4<<20)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(b) // never fails
	return b
}

// rest gives a body's bytes behind its head.
func rest(number uint64, size int) []byte {
	size -= headBytes
	at := int(number * 2654435761 % uint64(len(noise)-maxObject))
	return noise[at : at+size]
}

// putHead writes a body's first bytes.
func putHead(b []byte, number uint64, released int64) {
	binary.BigEndian.PutUint64(b, number)
	binary.BigEndian.PutUint64(b[8:], uint64(released))
}

// sizes are the classes of the objects that are always there: the number of an object tells its size.
var sizes = [...]int{1 << 10, 60 << 10, maxObject}

// classOf are the numbers of a class: MSNs have nine digits.
const classOf = 100_000_000

// staticPath names an object that is always there. Numbers begin at one.
func staticPath(class, n int) string {
	return mediaBase + strconv.Itoa(class*classOf+n) + ".m4s"
}

// liveMSN is the first segment of the live parts, behind all classes of sizes.
const liveMSN = 900_000_000

// partsPerSegment is Oxbow's: segments of 2 s.
const partsPerSegment = 10

// livePath names a tick's part.
func livePath(tick int) string {
	return fmt.Sprintf("%s%d.%d.m4s", mediaBase, liveMSN+tick/partsPerSegment, tick%partsPerSegment)
}

// listPath names the blocking reload that a tick ends.
func listPath(tick int) string {
	return fmt.Sprintf("%s?_HLS_msn=%d&_HLS_part=%d", liveList, liveMSN+tick/partsPerSegment, tick%partsPerSegment)
}

// parseMedia reads the name of a media file: an object that is always there, or a tick's part.
func parseMedia(path string) (number uint64, size, tick int, ok bool) {
	name, ok := strings.CutPrefix(path, mediaBase)
	if !ok {
		return 0, 0, 0, false
	}
	name, ok = strings.CutSuffix(name, ".m4s")
	first, second, parted := strings.Cut(name, ".")
	msn, err := strconv.Atoi(first)
	if !ok || err != nil || msn < 1 {
		return 0, 0, 0, false
	}
	if !parted {
		class := msn / classOf
		if class >= len(sizes) {
			return 0, 0, 0, false
		}
		return uint64(msn), sizes[class], -1, true
	}
	part, err := strconv.Atoi(second)
	if err != nil || msn < liveMSN || part < 0 || part >= partsPerSegment {
		return 0, 0, 0, false
	}
	tick = (msn-liveMSN)*partsPerSegment + part
	return liveMSN + uint64(tick), 0, tick, true
}

// The head of a playlist is a line of its own, of fixed width.
const listHead = "#EXTM3U\n## number=%020d released=%020d\n"

// playlist renders what a blocking reload is answered with: the size of a real one of a ten-second window.
func playlist(tick int, released int64) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, listHead, liveMSN+tick, released)
	fmt.Fprintf(&b, "#EXT-X-VERSION:10\n#EXT-X-TARGETDURATION:2\n#EXT-X-PART-INF:PART-TARGET=0.2\n"+
		"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6,CAN-SKIP-UNTIL=12\n")
	first := max(0, tick-5*partsPerSegment) / partsPerSegment
	fmt.Fprintf(&b, "#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-MAP:URI=\"../1/video/init.mp4\"\n", liveMSN+first)
	for t := first * partsPerSegment; t <= tick; t++ {
		fmt.Fprintf(&b, "#EXT-X-PART:DURATION=0.2,URI=\"../1/video/%d.%d.m4s\"\n",
			liveMSN+t/partsPerSegment, t%partsPerSegment)
		if t%partsPerSegment == partsPerSegment-1 {
			fmt.Fprintf(&b, "#EXTINF:2,\n../1/video/%d.m4s\n", liveMSN+t/partsPerSegment)
		}
	}
	return b.Bytes()
}

// parseHead reads the first bytes of a body of either kind.
func parseHead(b []byte) (number uint64, released int64, ok bool) {
	if text, isList := bytes.CutPrefix(b, []byte("#EXTM3U\n## number=")); isList {
		if len(text) < 51 {
			return 0, 0, false
		}
		n, err1 := strconv.ParseUint(string(text[:20]), 10, 64)
		at, err2 := strconv.ParseInt(string(text[30:50]), 10, 64)
		return n, at, err1 == nil && err2 == nil
	}
	if len(b) < headBytes {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:])), true
}
