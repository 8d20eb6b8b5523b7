package hlscheck

import (
	"bytes"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// fault alters a capture in one way.
type fault func(c *capture)

// at limits what a fault touches: answers had from then on.
func since(d time.Duration) time.Time { return showStart.Add(d) }

// text replaces in the playlists whose URL holds the part, from a moment on; times is 0 for all of them.
func text(url, old, by string, from time.Duration, times int) fault {
	return func(c *capture) {
		done := 0
		for _, x := range c.list {
			if !isPlaylist(x.URL) || !strings.Contains(x.URL, url) || x.Done.Before(since(from)) || !bytes.Contains(x.Body, []byte(old)) {
				continue
			}
			if done++; times > 0 && done > times {
				return
			}
			x.Body = bytes.ReplaceAll(x.Body, []byte(old), []byte(by))
		}
		if done == 0 {
			panic("BUG: the fault found nothing to alter: " + old)
		}
	}
}

// expression is text with a regular expression, once in each playlist.
func expression(url, old, by string, from time.Duration, times int) fault {
	return func(c *capture) {
		re, done := regexp.MustCompile(old), 0
		for _, x := range c.list {
			at := re.FindIndex(x.Body)
			if !isPlaylist(x.URL) || !strings.Contains(x.URL, url) || x.Done.Before(since(from)) || at == nil {
				continue
			}
			if done++; times > 0 && done > times {
				return
			}
			x.Body = slices.Concat(x.Body[:at[0]], re.ReplaceAll(x.Body[at[0]:at[1]], []byte(by)), x.Body[at[1]:])
		}
		if done == 0 {
			panic("BUG: the fault found nothing to alter: " + old)
		}
	}
}

// one alters the first answer that fits.
func one(fits func(x *Exchange) bool, alter func(x *Exchange)) fault {
	return func(c *capture) {
		i := slices.IndexFunc(c.list, fits)
		if i < 0 {
			panic("BUG: the fault found nothing to alter")
		}
		alter(c.list[i])
	}
}

// all alters every answer that fits.
func all(fits func(x *Exchange) bool, alter func(x *Exchange)) fault {
	return func(c *capture) {
		for _, x := range c.list {
			if fits(x) {
				alter(x)
			}
		}
	}
}

func named(part string) func(x *Exchange) bool {
	return func(x *Exchange) bool { return strings.Contains(x.URL, part) }
}

func ends(part string, status int) func(x *Exchange) bool {
	return func(x *Exchange) bool { return strings.HasSuffix(x.URL, part) && x.Status == status }
}

func method(m string) func(x *Exchange) bool {
	return func(x *Exchange) bool { return x.Method == m }
}

func header(name, value string) func(x *Exchange) {
	return func(x *Exchange) {
		if value == "" {
			x.Answer.Del(name)
		} else {
			x.Answer.Set(name, value)
		}
	}
}

func status(code int) func(x *Exchange) { return func(x *Exchange) { x.Status = code } }

// poke replaces bytes of media: n bytes behind where the mark stands.
func poke(mark string, n int, by ...byte) func(x *Exchange) {
	return func(x *Exchange) {
		x.Body = bytes.Clone(x.Body)
		copy(x.Body[bytes.Index(x.Body, []byte(mark))+n:], by)
	}
}

func late(by time.Duration) func(x *Exchange) {
	return func(x *Exchange) { x.Done = x.Done.Add(by) }
}

const newPart = `#EXT-X-PART:DURATION=0.50001,URI="../2/video/8.1.m4s"`

// TestPlantedFaultsAreFound plants one fault at a time in a faultless show.
func TestPlantedFaultsAreFound(t *testing.T) {
	whole := record()
	for _, tt := range append(playlistFaults(), answerFaults()...) {
		t.Run(tt.rule+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			c := whole.clone()
			tt.plant(c)
			r := c.judge(t)
			if !slices.Contains(r.Broken(), tt.rule) {
				t.Errorf("%s was not found in: %v", tt.rule, r.Broken())
			}
			if r.Seen[tt.rule] == 0 {
				t.Errorf("%s was not exercised", tt.rule)
			}
		})
	}
}

func (c *capture) clone() *capture {
	again := &capture{}
	for _, x := range c.list {
		y := *x
		y.Header, y.Answer = x.Header.Clone(), x.Answer.Clone()
		again.list = append(again.list, &y)
	}
	return again
}

type planted struct {
	rule, name string
	plant      fault
}

func playlistFaults() []planted {
	const v, a, sec = "live/video.m3u8", "live/audio.m3u8", time.Second
	return []planted{
		{"SYN-1", "BOM", text(v, "#EXTM3U", "\ufeff#EXTM3U", 0, 1)},
		{"SYN-2", "low version", text(v, "VERSION:9", "VERSION:5", 0, 0)},
		{"SYN-2", "two versions", text(v, "#EXT-X-VERSION:9\n", "#EXT-X-VERSION:9\n#EXT-X-VERSION:9\n", 0, 1)},
		{"SYN-3", "quoted enumeration", text(v, "INDEPENDENT=YES", `INDEPENDENT="YES"`, 10*sec, 1)},
		{"SYN-3", "space in a list", text(v, ",HOLD-BACK", ", HOLD-BACK", 0, 0)},
		{"SYN-4", "media tag in the multivariant playlist", text("index", "#EXT-X-INDEP", "#EXT-X-TARGETDURATION:2\n#EXT-X-INDEP", 0, 0)},
		{"SYN-6", "date before MAP", expression(v, `(#EXT-X-MAP[^\n]*\n)(#EXT-X-PROG[^\n]*\n)`, "$2$1", 10*sec, 1)},
		{"SYN-5", "version too high", text("index", "VERSION:6", "VERSION:12", 0, 0)},
		{"TD-1", "no TARGETDURATION", text(v, "#EXT-X-TARGETDURATION:2\n", "", 0, 1)},
		{"TD-2", "long segment", expression(v, `#EXTINF:2.000000,\n../2/video/7`, "#EXTINF:2.500000,\n../2/video/7", 0, 0)},
		{"TD-3", "TARGETDURATION rises", text("live/", "TARGETDURATION:2", "TARGETDURATION:3", 20*sec, 0)},
		{"TD-4", "TARGETDURATION differs", text(a, "TARGETDURATION:2", "TARGETDURATION:3", 0, 0)},
		{"SEQ-1", "MEDIA-SEQUENCE goes back", text(v, "MEDIA-SEQUENCE:6", "MEDIA-SEQUENCE:2", 27*sec, 0)},
		{"SEQ-2", "other URI", text(v, "\n../2/video/7.m4s", "\n../2/video/7b.m4s", 20*sec, 0)},
		{"SEQ-3", "date moves", expression(v, `10:38:14\.000Z`, "10:38:14.010Z", 20*sec, 0)},
		{"SEQ-4", "a part changes", expression(v, `DURATION=0.50001,URI="../2/video/8.1`, `DURATION=0.50002,URI="../2/video/8.1`, 18*sec, 1)},
		{"SEQ-5", "window shorter than 3 TD", cutWindow(2)},
		{"SEQ-8", "window of few segments", cutWindow(4)},
		{"SEQ-6", "no new segment", all(func(x *Exchange) bool { return x.Done.After(since(20 * sec)) }, func(x *Exchange) {
			x.Asked, x.Done = x.Asked.Add(3*sec), x.Done.Add(3*sec)
		})},
		{"SEQ-7", "parts in bursts", all(func(x *Exchange) bool { return x.Done.After(since(20 * sec)) }, late(sec))},
		{"SEQ-9", "the edge goes back", expression(v, `#EXTINF:2.000000,\n../2/video/9.m4s\n(.*\n)*`, "", 21*sec, 1)},
		{"SEQ-10", "404 of a live playlist", one(ends(v, 200), status(404))},
		{"SEQ-11", "first MSN 0", text("live/", "MEDIA-SEQUENCE:1\n", "MEDIA-SEQUENCE:0\n", 0, 0)},
		{"SEQ-13", "a part is gone", all(ends("1/video/1.0.m4s", 200), status(404))},
		{"DSC-1", "DISCONTINUITY-SEQUENCE stands still", text("live/", "DISCONTINUITY-SEQUENCE:1", "DISCONTINUITY-SEQUENCE:0", 0, 0)},
		{"DSC-2", "no DISCONTINUITY-SEQUENCE", expression(v, `#EXT-X-DISCONTINUITY-SEQUENCE:\d+\n`, "", 0, 0)},
		{"DSC-4", "DISCONTINUITY in video alone", expression(a, `#EXT-X-DISCONTINUITY\n`, "", 0, 0)},
		{"PDT-2", "dates overlap", text(v, "10:38:14.000Z", "10:38:12.500Z", 0, 0)},
		{"PDT-3", "dates drift", text(v, "10:38:14.000Z", "10:38:14.200Z", 0, 0)},
		{"PDT-4", "audio's dates are off", text(a, "T10:38:", "T10:37:", 0, 0)},
		{"PDT-6", "a segment without date", expression(v, `#EXT-X-PROGRAM-DATE-TIME[^\n]*\n#EXTINF:2.000000,\n../2/video/5`, "#EXTINF:2.000000,\n../2/video/5", 0, 0)},
		{"PRT-1", "no PART-INF", text(v, "#EXT-X-PART-INF:PART-TARGET=0.51201\n", "", 0, 0)},
		{"PRT-2", "a long part", expression(v, `DURATION=0.50001,URI="../2/video/8.1`, `DURATION=0.51301,URI="../2/video/8.1`, 0, 0)},
		{"PRT-3", "a short part", expression(v, `DURATION=0.50001,URI="../2/video/8.1`, `DURATION=0.40001,URI="../2/video/8.1`, 0, 0)},
		{"PRT-4", "PART-TARGET changes", text("live/", "PART-TARGET=0.51201", "PART-TARGET=0.51301", 20*sec, 0)},
		{"PRT-5", "the parts are not the segment", expression(v, `DURATION=0.50001,URI="../2/video/8.1`, `DURATION=0.51001,URI="../2/video/8.1`, 0, 0)},
		{"PRT-9", "INDEPENDENT without IDR", text(v, `8.1.m4s"`+"\n", `8.1.m4s",INDEPENDENT=YES`+"\n", 0, 0)},
		{"PRT-10", "audio not INDEPENDENT", text(a, `8.1.m4s",INDEPENDENT=YES`, `8.1.m4s"`, 0, 0)},
		{"PRT-13", "MAP behind a part", expression(v, `(`+regexp.QuoteMeta(newPart)+`\n)`, "$1#EXT-X-MAP:URI=\"../2/video/init.mp4\"\n", 0, 0)},
		{"PRT-16", "parts rounded down", expression(v, `DURATION=0.50001,URI="../2/video/8.1`, `DURATION=0.49999,URI="../2/video/8.1`, 0, 0)},
		{"SC-1", "no blocking", text(v, "CAN-BLOCK-RELOAD=YES,", "", 0, 0)},
		{"SC-2", "PART-HOLD-BACK below 2 parts", text("live/", "PART-HOLD-BACK=1.836", "PART-HOLD-BACK=1.0", 0, 0)},
		{"SC-3", "PART-HOLD-BACK below 3 parts", text("live/", "PART-HOLD-BACK=1.836", "PART-HOLD-BACK=1.5", 0, 0)},
		{"SC-4", "HOLD-BACK below 3 TD", text("live/", ",HOLD-BACK=6.0", ",HOLD-BACK=5.0", 0, 0)},
		{"SC-5", "CAN-SKIP-UNTIL below 6 TD", text("live/", "CAN-SKIP-UNTIL=12.0", "CAN-SKIP-UNTIL=10.0", 0, 0)},
		{"SC-6", "SERVER-CONTROL differs", text(a, "PART-HOLD-BACK=1.836", "PART-HOLD-BACK=1.9", 0, 0)},
		{"SC-7", "SERVER-CONTROL changes", text("live/", "PART-HOLD-BACK=1.836", "PART-HOLD-BACK=1.9", 20*sec, 0)},
		{"DLT-1", "no delta", undelta(v)},
		{"DLT-2", "a delta names another URI", deltaFault("../2/video/10.m4s", "../2/video/10x.m4s")},
		{"DLT-3", "skips too much", overskip},
		{"DLT-4", "a delta of version 8", text(v, "VERSION:9", "VERSION:8", 0, 0)},
		{"HNT-1", "no hint", expression(v, `#EXT-X-PRELOAD-HINT[^\n]*\n`, "", 20*sec, 1)},
		{"HNT-3", "another hint", text(v, `HINT:TYPE=PART,URI="../2/video/10.`, `HINT:TYPE=PART,URI="../2/video/x10.`, 0, 0)},
		{"HNT-6", "a hint behind the end", text(v, "#EXT-X-ENDLIST", "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"x\"\n#EXT-X-ENDLIST", 0, 0)},
		{"RR-1", "no report", expression(v, `#EXT-X-RENDITION-REPORT[^\n]*\n`, "", 10*sec, 1)},
		{"RR-2", "a report of what is not there", expression(v, `LAST-MSN=10,LAST-PART=\d`, "LAST-MSN=12,LAST-PART=0", 0, 1)},
		{"END-2", "a type comes", text(v, "#EXT-X-TARGET", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-TARGET", 20*sec, 0)},
		{"GAP-1", "the window starts with a GAP", expression(v, `(EXT-X-PROGRAM[^\n]*\n)`, "$1#EXT-X-GAP\n", 0, 0)},
		{"GAP-1", "a part of a gap is none", expression(v, `3\.1\.m4s",GAP=YES`, `3.1.m4s"`, 0, 0)},
		{"DR-1", "a date range changes", dateRange()},
		{"MV-2", "no CODECS", text("index", `CODECS="avc1.4d401f,mp4a.40.2",`, "", 0, 0)},
		{"MV-3", "CODECS lie", text("index", `CODECS="avc1.4d401f,mp4a`, `CODECS="avc1.640028,mp4a`, 0, 0)},
		{"MV-3", "CODECS lack the audio", text("index", `avc1.4d401f,mp4a.40.2`, `avc1.4d401f`, 0, 0)},
		{"MV-4", "another RESOLUTION", text("index", "640x360", "1280x720", 0, 0)},
		{"MV-5", "FRAME-RATE too low", text("index", "30.000", "25.000", 0, 0)},
		{"MV-7", "BANDWIDTH too low", text("index", "BANDWIDTH=40000,AVERAGE-BANDWIDTH=30000", "BANDWIDTH=4000,AVERAGE-BANDWIDTH=3000", 0, 0)},
		{"MV-8", "no such group", text("index", `AUDIO="audio"`, `AUDIO="other"`, 0, 0)},
		{"MV-9", "no LANGUAGE", text("index", `LANGUAGE="und",`, "", 0, 0)},
		{"MV-12", "no INDEPENDENT-SEGMENTS", text("index", "#EXT-X-INDEPENDENT-SEGMENTS\n", "", 0, 0)},
		{"MV-15", "no I-frame variant", expression("index", `#EXT-X-I-FRAME[^\n]*\n`, "", 0, 0)},
		{"LIF-1", "DISCONTINUITY without MAP", expression(v, `(#EXT-X-DISCONTINUITY\n)#EXT-X-MAP[^\n]*\n`, "$1", 0, 0)},
		{"CMF-9", "EXTINF is not the media's", expression(v, `#EXTINF:2.000000,\n../2/video/7`, "#EXTINF:1.900000,\n../2/video/7", 0, 0)},
		{"CMF-16", "another MAP without DISCONTINUITY", text(v, "#EXT-X-DISCONTINUITY\n", "", 0, 0)},
	}
}

// cutWindow leaves the video's last segments alone in the list, once.
func cutWindow(keep int) fault {
	return func(c *capture) {
		for _, x := range c.list {
			if !strings.Contains(x.URL, "live/video.m3u8?_HLS_msn=11&_HLS_part=1") {
				continue
			}
			lines := strings.Split(string(x.Body), "\n#EXT-X-PROGRAM-DATE-TIME")
			head := regexp.MustCompile(`MEDIA-SEQUENCE:\d+`).ReplaceAllString(lines[0], "MEDIA-SEQUENCE:"+map[int]string{2: "9", 4: "7"}[keep])
			head = strings.ReplaceAll(head, "DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:1") + "\n#EXT-X-MAP:URI=\"../2/video/init.mp4\""
			x.Body = []byte(strings.Join(append([]string{head}, lines[len(lines)-keep-1:]...), "\n#EXT-X-PROGRAM-DATE-TIME"))
		}
	}
}

// undelta gives the whole playlist where a delta was asked for.
func undelta(uri string) fault {
	return func(c *capture) {
		for i, x := range c.list {
			if strings.Contains(x.URL, uri) && strings.Contains(x.URL, "skip=YES") && i+1 < len(c.list) && strings.Contains(string(x.Body), "EXT-X-SKIP") {
				x.Body = c.list[i+1].Body
			}
		}
	}
}

func deltaFault(old, by string) fault {
	return func(c *capture) {
		for _, x := range c.list {
			if strings.Contains(string(x.Body), "EXT-X-SKIP") {
				x.Body = bytes.ReplaceAll(x.Body, []byte(old), []byte(by))
			}
		}
	}
}

// overskip leaves two more segments out of a delta.
func overskip(c *capture) {
	re := regexp.MustCompile(`(SKIPPED-SEGMENTS=)3(\n#EXT-X-MAP.*\n)(?:#EXT-X-PROGRAM.*\n(?:#EXT-X-PART.*\n)*#EXTINF.*\n.*\n){2}`)
	for _, x := range c.list {
		x.Body = re.ReplaceAll(x.Body, []byte("${1}5$2"))
	}
}

// dateRange puts one in that changes its class.
func dateRange() fault {
	return func(c *capture) {
		for _, x := range c.list {
			class := "a"
			if x.Done.After(since(20 * time.Second)) {
				class = "b"
			}
			x.Body = bytes.Replace(x.Body, []byte("#EXT-X-PROGRAM"),
				[]byte("#EXT-X-DATERANGE:ID=\"1\",CLASS=\""+class+"\",START-DATE=\"2026-11-20T10:38:01Z\",DURATION=60.0\n#EXT-X-PROGRAM"), 1)
		}
	}
}

func answerFaults() []planted {
	const v, sec = "live/video.m3u8", time.Second
	part, segment := ends("2/video/7.1.m4s", 200), ends("2/video/7.m4s", 200)
	return []planted{
		{"HTTP-1", "wrong type", one(named(v), header("Content-Type", "text/plain"))},
		{"HTTP-2", "wrong type of media", one(segment, header("Content-Type", "text/plain"))},
		{"HTTP-4", "no CORS on 400", one(ends("_HLS_msn=x", 400), header("Access-Control-Allow-Origin", ""))},
		{"HTTP-4", "no CORS on 206", one(ends(".m4s", 206), header("Access-Control-Allow-Origin", ""))},
		{"HTTP-5", "preflight without Range", one(method(http.MethodOptions), header("Access-Control-Allow-Headers", ""))},
		{"HTTP-6", "not compressed", one(named(v), header("X-Plain", "1"))},
		{"HTTP-6", "no Vary", one(named(v), header("Vary", ""))},
		{"HTTP-7", "short caching of a blocking answer", one(named(v+"?_HLS_msn=9"), header("Cache-Control", "max-age=1"))},
		{"HTTP-8", "long caching of a plain playlist", one(func(x *Exchange) bool {
			return strings.HasSuffix(x.URL, v) && x.Done.After(since(20*sec))
		}, header("Cache-Control", "max-age=60"))},
		{"HTTP-9", "short caching of media", one(segment, header("Cache-Control", "max-age=5"))},
		{"HTTP-10", "an error without Cache-Control", one(ends("_HLS_msn=x", 400), header("Cache-Control", ""))},
		{"HTTP-11", "200 for what is not there", one(ends("999.m4s", 404), status(200))},
		{"HTTP-12", "a redirect of media", one(segment, status(302))},
		{"HTTP-14", "wrong Content-Range", one(ends(".m4s", 206), header("Content-Range", "bytes 0-9/*"))},
		{"HTTP-14", "200 past the end", one(ends(".m4s", 416), status(200))},
		{"HTTP-15", "404 of what is listed", all(segment, status(404))},
		{"HTTP-16", "a cookie", one(segment, header("Set-Cookie", "a=b"))},
		{"HTTP-18", "HEAD is another", one(method(http.MethodHead), status(405))},
		{"HTTP-19", "a redirect of a playlist", one(ends(v, 200), status(302))},
		{"HTTP-21", "a weak ETag", one(named(v), header("Etag", `W/"1"`))},
		{"BLK-1", "a segment that is not complete", one(named(v+"?_HLS_msn=9&_HLS_part=1"), func(x *Exchange) {
			x.URL = recordings + v + "?_HLS_msn=9"
		})},
		{"BLK-2", "answered too soon", one(named(v+"?_HLS_msn=9&_HLS_part=1"), func(x *Exchange) {
			x.URL = recordings + v + "?_HLS_msn=9&_HLS_part=3"
		})},
		{"BLK-3", "200 for a part without MSN", one(ends("m3u8?_HLS_part=0", 400), status(200))},
		{"BLK-4", "200 for what is far ahead", one(ends("_HLS_msn=61", 400), func(x *Exchange) { x.Status = 200; x.Body = []byte("#EXTM3U\n") })},
		{"BLK-6", "400 past the last part", one(ends("&_HLS_part=40", 200), status(400))},
		{"BLK-7", "400 for what is listed", one(ends("_HLS_msn=10", 200), status(400))},
		{"BLK-8", "200 for no number", one(ends("_HLS_msn=x", 400), status(200))},
		{"BLK-9", "400 behind the end", one(named("_HLS_msn=99&"), status(400))},
		{"BLK-10", "held too long", one(named(v+"?_HLS_msn=16&_HLS_part=1"), func(x *Exchange) { x.Asked = x.Asked.Add(-8 * sec) })},
		{"BLK-11", "a blocked request is cut", one(named(v+"?_HLS_msn=9&_HLS_part=1"), status(500))},
		{"PRT-6", "a listed part is not there", all(part, status(404))},
		{"PRT-12", "the segment is not its parts", one(segment, func(x *Exchange) { x.Body = bytes.Clone(x.Body); x.Body[len(x.Body)-1]++ })},
		{"HNT-5", "the part is not the segment's", one(part, func(x *Exchange) { x.Body = bytes.Clone(x.Body); x.Body[len(x.Body)-1]++ })},
		{"LIF-7", "other bytes at one URL", one(func(x *Exchange) bool {
			return strings.HasSuffix(x.URL, "2/video/5.m4s") && x.Done.After(since(20*sec))
		}, func(x *Exchange) { x.Body = bytes.Clone(x.Body); x.Body[len(x.Body)-1]++ })},
		{"LIF-3", "ENDLIST comes late", all(func(x *Exchange) bool { return x.Done.After(since(34 * sec)) }, late(4*sec))},
		{"CMF-1", "brand isom", all(ends("1/video/init.mp4", 200), poke("ftyp", 4, []byte("isom\x00\x00\x00\x00isommp42mp41")...))},
		{"CMF-2", "no trex", all(ends("1/video/init.mp4", 200), poke("trex", 0, []byte("free")...))},
		{"CMF-3", "tfdt of version 0", all(segment, poke("tfdt", 4, 0))},
		{"CMF-4", "data offset", all(segment, poke("trun", 12, 0, 0, 0, 1))},
		{"CMF-4", "base is not moof", all(segment, poke("tfhd", 5, 0))},
		{"CMF-5", "tfdt jumps", all(segment, poke("tfdt", 15, 1))},
		{"CMF-6", "mfhd goes back", all(segment, poke("mfhd", 8, 0, 0, 0, 0))},
		{"CMF-8", "an IDR with flags of none", all(segment, poke("trun", 24, 1, 1, 0, 0))},
		{"CMF-7", "no IDR first", all(segment, poke("trun", 24, 1, 1, 0, 0))},
		{"CMF-15", "audio timescale", all(ends("audio/init.mp4", 200), poke("mdhd", 16, 0, 0, 0xac, 0x44))},
		{"CMF-18", "a sample without time", all(segment, poke("trun", 16, 0, 0, 0, 0))},
	}
}
