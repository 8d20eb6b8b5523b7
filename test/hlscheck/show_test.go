package hlscheck

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A made-up show: what a correct server answers to a strict client, over a timeline that nobody waits for. Two takes
// with a GAP between them, two renditions, a window that slides, deltas, hints and an end.

const (
	showBase   = "https://edge.example/acme/show/"
	recordings = showBase + "01m7z7ztatrqzq0f9tv3esgsdg/"
	gapMSN     = 3
	lastMSN    = 16
	window     = 9
	videoScale = 90000
	audioScale = 48000
)

var showStart = time.Date(2026, 11, 20, 10, 38, 0, 0, time.UTC)

// madePart is one part of a made-up track.
type madePart struct {
	msn, index  int
	data        []byte
	duration    time.Duration
	independent bool
	end         time.Duration // media time
	at          time.Duration // when it is listed
}

// madeTrack is one made-up rendition.
type madeTrack struct {
	name  string
	inits [3][]byte // by take
	parts []madePart
}

func takeOf(msn int) int {
	if msn > gapMSN {
		return 2
	}
	return 1
}

func atom(kind string, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(body))), kind...), body...)
}

func words(values ...uint32) (b []byte) {
	for _, v := range values {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

func initOf(video bool, take int) []byte {
	handler, scale := "soun", uint32(audioScale)
	entry := atom("mp4a", make([]byte, 16), []byte{0, 2, 0, 16, 0, 0, 0, 0}, words(audioScale<<16), atom("esds", []byte{0, 0, 0, 0, 3, 25, 0, 0, 0, 4, 17, 0x40}))
	if video {
		handler, scale = "vide", videoScale
		avcC := []byte{1, 0x4d, 0x40, 0x1f, 0xff, 0xe1, 0, 5, 0x67, 0x4d, 0x40, 0x1f, byte(take), 1, 0, 2, 0x68, 1}
		entry = atom("avc1", make([]byte, 24), []byte{2, 0x80, 1, 0x68}, make([]byte, 50), atom("avcC", avcC))
	}
	stbl := atom("stbl", atom("stsd", words(0, 1), entry), atom("stts", words(0, 0)), atom("stsc", words(0, 0)),
		atom("stsz", words(0, 0, 0)), atom("stco", words(0, 0)))
	trak := atom("trak", atom("tkhd", make([]byte, 84)), atom("mdia", atom("mdhd", words(0, 0, 0, scale, 0, 0)),
		atom("hdlr", words(0, 0), []byte(handler), make([]byte, 13)), atom("minf", stbl)))
	moov := atom("moov", atom("mvhd", make([]byte, 100)), trak, atom("mvex", atom("trex", words(0, 1, 1, 0, 0, 0))))
	return append(atom("ftyp", []byte("iso6\x00\x00\x00\x00iso6cmfcmp41")), moov...)
}

// fragmentOf makes a part of n samples.
func fragmentOf(sequence uint32, base uint64, n int, duration uint32, sync func(i int) bool, video bool) []byte {
	var run, data []byte
	for i := range n {
		flags, sample := uint32(0x02000000), []byte{0, 0, 0, 9, 0x65, byte(sequence), byte(i), 1, 2, 3, 4, 5, 6}
		if !sync(i) {
			flags, sample[4] = 0x01010000, 0x41
		}
		if !video {
			sample = sample[4:]
		}
		run = append(run, words(duration, uint32(len(sample)), flags)...)
		data = append(data, sample...)
	}
	moof := func(offset uint32) []byte {
		return atom("moof", atom("mfhd", words(0, sequence)), atom("traf", atom("tfhd", words(0x020000, 1)),
			atom("tfdt", words(1<<24), binary.BigEndian.AppendUint64(nil, base)),
			atom("trun", words(1<<24|0x701, uint32(n), offset), run)))
	}
	return append(moof(uint32(len(moof(0))+8)), atom("mdat", data)...)
}

// listedAt says when what ends at the media time is listed: the publisher was away for a second more than the gap.
func listedAt(msn int, end time.Duration) time.Duration {
	if msn > gapMSN {
		return end + 1100*time.Millisecond
	}
	return end + 100*time.Millisecond
}

func makeTrack(video bool) *madeTrack {
	t := &madeTrack{name: "audio", inits: [3][]byte{nil, initOf(video, 1), initOf(video, 2)}}
	scale, ticks := int64(audioScale), int64(1024)
	if video {
		t.name, scale, ticks = "video", videoScale, 3000
	}
	done, sequence := int64(0), uint32(0)
	for msn := 1; msn <= lastMSN; msn++ {
		for index := range 4 {
			until := (int64(msn-1)*4 + int64(index) + 1) * scale / 2
			n := (until - done + ticks - 1) / ticks
			sequence++
			end := time.Duration((done + n*ticks) * int64(time.Second) / scale)
			sync := func(i int) bool { return !video || i == 0 && index%2 == 0 }
			if msn != gapMSN {
				t.parts = append(t.parts, madePart{
					msn, index, fragmentOf(sequence, uint64(done), int(n), uint32(ticks), sync, video),
					time.Duration(n * ticks * int64(time.Second) / scale), !video || index%2 == 0, end,
					listedAt(msn, time.Duration(int64(msn-1)*4+int64(index)+1)*500*time.Millisecond),
				})
			}
			done += n * ticks
		}
	}
	return t
}

// text gives the media playlist at a time.
func (t *madeTrack) text(now time.Duration, other *madeTrack, skip bool) string {
	gapListed, ended := now >= 6900*time.Millisecond, now >= 34*time.Second
	bySegment := map[int][]madePart{}
	complete := 0
	for _, p := range t.parts {
		if p.at <= now {
			bySegment[p.msn] = append(bySegment[p.msn], p)
			if p.index == 3 {
				complete = p.msn
			}
		}
	}
	if complete == gapMSN-1 && gapListed {
		complete = gapMSN
	}
	first := max(1, complete-window+1)
	if first == gapMSN {
		first++ // no window starts with a GAP
	}
	dsn := 0
	if first > gapMSN+1 {
		dsn = 1
	}
	skipped := 0
	if skip && !ended {
		skipped = max(0, complete-first+1-6)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,"+
		"PART-HOLD-BACK=1.836,HOLD-BACK=6.0,CAN-SKIP-UNTIL=12.0\n#EXT-X-PART-INF:PART-TARGET=0.51201\n"+
		"#EXT-X-MEDIA-SEQUENCE:%d\n#EXT-X-DISCONTINUITY-SEQUENCE:%d\n", first, dsn)
	if skipped > 0 {
		fmt.Fprintf(&b, "#EXT-X-SKIP:SKIPPED-SEGMENTS=%d\n", skipped)
	}
	for msn := first + skipped; msn <= complete+1; msn++ {
		parts := bySegment[msn]
		if len(parts) == 0 && msn != gapMSN || msn > complete && len(parts) == 0 {
			continue
		}
		t.segment(&b, msn, parts, complete, msn == first+skipped)
	}
	if ended {
		return b.String() + "#EXT-X-ENDLIST\n"
	}
	t.tail(&b, complete, bySegment, now, other)
	return b.String()
}

func (t *madeTrack) segment(b *strings.Builder, msn int, parts []madePart, complete int, first bool) {
	if msn == gapMSN+1 {
		b.WriteString("#EXT-X-DISCONTINUITY\n")
	}
	if first || msn == gapMSN+1 {
		fmt.Fprintf(b, "#EXT-X-MAP:URI=\"../%d/%s/init.mp4\"\n", takeOf(msn), t.name)
	}
	fmt.Fprintf(b, "#EXT-X-PROGRAM-DATE-TIME:%s\n", showStart.Add(t.start(msn)).Format("2006-01-02T15:04:05.000Z"))
	if msn == gapMSN {
		length := (t.start(4) - t.start(3)).Seconds()
		b.WriteString("#EXT-X-GAP\n")
		for i := 0; i < 4 && msn >= complete-2; i++ {
			fmt.Fprintf(b, "#EXT-X-PART:DURATION=%.5f,URI=\"../1/%s/3.%d.m4s\",GAP=YES\n", length/4+0.00001, t.name, i)
		}
		fmt.Fprintf(b, "#EXTINF:%.6f,\n../1/%s/3.m4s\n", length, t.name)
		return
	}
	length := time.Duration(0)
	for _, p := range parts {
		length += p.duration
		if msn >= complete-2 {
			fmt.Fprintf(b, "#EXT-X-PART:DURATION=%.5f,URI=\"../%d/%s/%d.%d.m4s\"", p.duration.Seconds()+0.00001, takeOf(msn), t.name, msn, p.index)
			if p.independent {
				b.WriteString(",INDEPENDENT=YES")
			}
			b.WriteString("\n")
		}
	}
	if msn <= complete {
		fmt.Fprintf(b, "#EXTINF:%.6f,\n../%d/%s/%d.m4s\n", length.Seconds(), takeOf(msn), t.name, msn)
	}
}

// start gives a segment's media time.
func (t *madeTrack) start(msn int) time.Duration {
	at := time.Duration(0)
	for _, p := range t.parts {
		if p.msn < msn {
			at = p.end
		}
	}
	if msn == gapMSN+1 {
		at = t.parts[8].end - t.parts[8].duration
	}
	return at
}

func (t *madeTrack) tail(b *strings.Builder, complete int, parts map[int][]madePart, now time.Duration, other *madeTrack) {
	open := len(parts[complete+1])
	if complete < lastMSN && complete != gapMSN || open > 0 {
		fmt.Fprintf(b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../%d/%s/%d.%d.m4s\"\n", takeOf(complete), t.name, complete+1, open)
	} else if complete == lastMSN {
		fmt.Fprintf(b, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"../2/%s/%d.0.m4s\"\n", t.name, complete+1)
	}
	msn, part := 1, 0
	for _, p := range other.parts {
		if p.at <= now {
			msn, part = p.msn, p.index
		}
	}
	if msn == gapMSN-1 && now >= 6900*time.Millisecond {
		msn, part = gapMSN, 0
	}
	fmt.Fprintf(b, "#EXT-X-RENDITION-REPORT:URI=\"%s.m3u8\",LAST-MSN=%d,LAST-PART=%d\n", other.name, msn, part)
}

const multivariantText = `#EXTM3U
#EXT-X-VERSION:6
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID="audio",NAME="audio",LANGUAGE="und",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2",URI="01m7z7ztatrqzq0f9tv3esgsdg/live/audio.m3u8"
#EXT-X-STREAM-INF:BANDWIDTH=40000,AVERAGE-BANDWIDTH=30000,CODECS="avc1.4d401f,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=30.000,AUDIO="audio",CLOSED-CAPTIONS=NONE
01m7z7ztatrqzq0f9tv3esgsdg/live/video.m3u8
#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=20000,AVERAGE-BANDWIDTH=10000,CODECS="avc1.4d401f",RESOLUTION=640x360,URI="01m7z7ztatrqzq0f9tv3esgsdg/live/video.iframes.m3u8"
`

// capture is a show as a client saw it; bodies are still plain text.
type capture struct{ list []*Exchange }

func (c *capture) add(method, uri string, asked, done time.Duration, status int, kind, cache string, body []byte) *Exchange {
	x := &Exchange{
		Method: method, URL: uri, Header: http.Header{}, Asked: showStart.Add(asked), Done: showStart.Add(done), Status: status, Body: body,
		Answer: http.Header{
			"Access-Control-Allow-Origin": {"*"}, "Access-Control-Expose-Headers": {"Date, Age, Content-Length, Content-Range, ETag"},
			"Cache-Control": {cache}, "Content-Type": {kind}, "Date": {showStart.Add(done).Format(http.TimeFormat)},
		},
	}
	if isPlaylist(uri) {
		x.Answer.Set("Vary", "Accept-Encoding")
		if method == http.MethodGet {
			x.Header.Set("Accept-Encoding", "gzip")
		}
	}
	if status == http.StatusOK {
		x.Answer.Set("Etag", fmt.Sprintf(`"%x"`, len(c.list)))
	}
	c.list = append(c.list, x)
	return x
}

func (c *capture) playlist(uri string, asked, done time.Duration, text string) *Exchange {
	cache := "public, max-age=1"
	if strings.Contains(uri, "_HLS_msn") {
		cache = "public, max-age=12"
	}
	return c.add(http.MethodGet, uri, asked, done, http.StatusOK, "application/vnd.apple.mpegurl", cache, []byte(text))
}

func (c *capture) media(uri string, asked, done time.Duration, body []byte) *Exchange {
	x := c.add(http.MethodGet, uri, asked, done, http.StatusOK, "video/mp4", "public, max-age=31536000, immutable", body)
	x.Answer.Set("Content-Length", fmt.Sprint(len(body)))
	return x
}

// judge encodes the capture and holds it against the rules.
func (c *capture) judge(tb testing.TB) *Report {
	tb.Helper()
	j := NewJudge(showBase+"index.m3u8", 300*time.Millisecond)
	z, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
	if err != nil {
		tb.Fatal(err)
	}
	for _, x := range c.list {
		if x.Header.Get("Accept-Encoding") == "gzip" && x.Status == http.StatusOK && x.Answer.Get("X-Plain") == "" {
			var b bytes.Buffer
			z.Reset(&b)
			if _, err := z.Write(x.Body); err != nil {
				tb.Fatal(err)
			}
			if err := z.Close(); err != nil {
				tb.Fatal(err)
			}
			x.Body = b.Bytes()
			x.Answer.Set("Content-Encoding", "gzip")
		}
		j.Take(x)
	}
	return j.Finish()
}
