package hls

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

// withTexts gives a snapshot of two-second segments from a media time on, with pieces of metadata.
func withTexts(begin time.Duration, segments int, pieces ...media.Metadata) *Snapshot {
	track := media.Track{Name: "video", Kind: media.Video, Timescale: 90000}
	s := &Snapshot{Takes: []media.Take{{Number: 1, FirstMSN: 1, Tracks: []media.Track{track}}}, Metadata: pieces}
	r := Rendition{Name: "video"}
	for i := range segments {
		r.Segments = append(r.Segments, media.Segment{
			MSN: media.MSN(i + 1), Take: 1, DTS: media.Ticks(begin, 90000) + int64(i)*180000, Duration: 180000,
		})
	}
	s.Renditions = []Rendition{r}
	return s
}

func textAt(at time.Duration, text string) media.Metadata {
	payload, err := json.Marshal(map[string]any{"text": text})
	if err != nil {
		panic(err)
	}
	return media.Metadata{Kind: media.Text, Time: at, Payload: payload}
}

// cues gives the lines behind the header, and the header.
func cues(text []byte) (header, body string) {
	header, body, _ = strings.Cut(string(text), "\n\n")
	return header, strings.TrimSpace(body)
}

func TestSUB1_Cues(t *testing.T) {
	long := media.Metadata{Kind: media.Text, Time: time.Second, Payload: []byte(`{"text":"a","duration":2.5}`)}
	inMillis := media.Metadata{Kind: media.Text, Time: time.Second, Payload: []byte(`{"text":"a","duration":500}`)}
	plain := media.Metadata{Kind: media.Text, Time: time.Second, Payload: []byte(`"a"`)}
	other := media.Metadata{Kind: media.ID3, Payload: []byte("ID3")}
	for _, tt := range []struct {
		name   string
		pieces []media.Metadata
		msn    media.MSN
		want   string
	}{
		{"none", nil, 1, ""},
		{"in the segment until the next", []media.Metadata{textAt(0, "a"), textAt(500e6, "b"), textAt(time.Second, "")}, 1,
			"00:00:00.000 --> 00:00:00.500\na\n\n00:00:00.500 --> 00:00:01.000\nb"},
		{"cut at the end", []media.Metadata{textAt(1500e6, "a")}, 1, "00:00:01.500 --> 00:00:02.000\na"},
		{"goes on", []media.Metadata{textAt(1500e6, "a"), textAt(2500e6, "")}, 2, "00:00:02.000 --> 00:00:02.500\na"},
		{"ten seconds at most", []media.Metadata{textAt(1500e6, "a")}, 6, "00:00:10.000 --> 00:00:11.500\na"},
		{"and then no more", []media.Metadata{textAt(1500e6, "a")}, 7, ""},
		{"its own duration", []media.Metadata{long}, 2, "00:00:02.000 --> 00:00:03.500\na"},
		{"a duration in milliseconds", []media.Metadata{inMillis}, 1, "00:00:01.000 --> 00:00:01.500\na"},
		{"the next is sooner", []media.Metadata{long, textAt(3*time.Second, "b")}, 2,
			"00:00:02.000 --> 00:00:03.000\na\n\n00:00:03.000 --> 00:00:04.000\nb"},
		{"a string alone", []media.Metadata{plain, textAt(1200e6, "")}, 1, "00:00:01.000 --> 00:00:01.200\na"},
		{"at once", []media.Metadata{textAt(1e9, "a"), textAt(1e9, "b"), textAt(1100e6, "")}, 1, "00:00:01.000 --> 00:00:01.100\nb"},
		{"at the boundary", []media.Metadata{textAt(2*time.Second, "a")}, 1, ""},
		{"later", []media.Metadata{textAt(3*time.Second, "a")}, 1, ""},
		{"among others", []media.Metadata{other, textAt(0, "a"), other, other, textAt(500e6, ""), other, textAt(9e9, "z"), other}, 1,
			"00:00:00.000 --> 00:00:00.500\na"},
	} {
		_, got := cues(AppendSubtitles(nil, withTexts(0, 8, tt.pieces...), tt.msn, tt.msn))
		if d := cmp.Diff(tt.want, got); d != "" {
			t.Errorf("%s: %s", tt.name, d)
		}
	}
}

func TestSUB1_TimestampMapPastTheWrap(t *testing.T) {
	for begin, want := range map[time.Duration]string{
		0:                "MPEGTS:0,LOCAL:00:00:00.000",
		10 * time.Second: "MPEGTS:900000,LOCAL:00:00:10.000",
		// 26 h 30 min 43.717 s and a bit are 2^33 ticks.
		27 * time.Hour:                   fmt.Sprintf("MPEGTS:%d,LOCAL:27:00:00.000", 27*3600*90000-1<<33),
		123*time.Hour + 1234567890:       fmt.Sprintf("MPEGTS:%d,LOCAL:123:00:01.234", (123*3600*1000+1234)*90-4<<33),
		time.Hour + 23*time.Minute + 1e6: "MPEGTS:448200090,LOCAL:01:23:00.001",
	} {
		s := withTexts(begin, 2, textAt(begin, "a"))
		header, body := cues(AppendSubtitles(nil, s, 1, 1))
		if header != "WEBVTT\nX-TIMESTAMP-MAP="+want {
			t.Errorf("%v: %s", begin, header)
		}
		_, local, _ := strings.Cut(want, "LOCAL:")
		if !strings.HasPrefix(body, local+" --> ") {
			t.Errorf("%v: a cue at the begin is not LOCAL: %s", begin, body)
		}
	}
}

// A file is the same when its segment is listed and whatever comes later, and the files of all segments say together
// what one file of the recording says.
func TestSUB1_FilesNeverChange(t *testing.T) {
	const segments = 40
	var pieces []media.Metadata
	for i := range 60 {
		text := fmt.Sprint("line ", i)
		if i%7 == 3 {
			text = ""
		}
		pieces = append(pieces, textAt(time.Duration(i*i)*21*time.Millisecond, text),
			media.Metadata{Kind: media.SCTE35, Time: time.Duration(60-i) * time.Second})
	}
	whole := withTexts(0, segments, pieces...)
	shown := func(text []byte) map[int64]string { // by 10 ms
		at := map[int64]string{}
		_, body := cues(text)
		for cue := range strings.SplitSeq(body, "\n\n") {
			var from, to [4]int64
			line, words, _ := strings.Cut(cue, "\n")
			if _, err := fmt.Sscanf(line, "%d:%d:%d.%d --> %d:%d:%d.%d", &from[0], &from[1], &from[2], &from[3],
				&to[0], &to[1], &to[2], &to[3]); err != nil {
				continue
			}
			ms := func(v [4]int64) int64 { return ((v[0]*60+v[1])*60+v[2])*1000 + v[3] }
			for m := (ms(from) + 9) / 10; m < (ms(to)+9)/10; m++ {
				if at[m] != "" {
					t.Errorf("two cues at %d0 ms: %q and %q", m, at[m], words)
				}
				at[m] = words
			}
		}
		return at
	}
	together := map[int64]string{}
	for msn := media.MSN(1); msn <= segments; msn++ {
		final := AppendSubtitles(nil, whole, msn, msn)
		end := time.Duration(msn) * 2 * time.Second
		known := pieces
		for i := range pieces {
			if pieces[i].Kind == media.Text && pieces[i].Time >= end {
				known = pieces[:i]
				break
			}
		}
		if d := cmp.Diff(string(final), string(AppendSubtitles(nil, withTexts(0, int(msn), known...), msn, msn))); d != "" {
			t.Errorf("segment %d changed: %s", msn, d)
		}
		for at, words := range shown(final) {
			together[at] = words
		}
	}
	if d := cmp.Diff(shown(AppendSubtitles(nil, whole, 1, segments)), together); d != "" || len(together) < 4000 {
		t.Errorf("%d moments with text: %s", len(together), d)
	}
}

func TestSUB1_TextIsClean(t *testing.T) {
	for text, want := range map[string]string{
		"a & b <i>c</i> --> d":               "a &amp; b &lt;i&gt;c&lt;/i&gt; --&gt; d",
		"one\n\n\ntwo\r\n\r\nthree":          "one\ntwo\nthree",
		" \t one \r two\u2028three ":         "one\ntwo\nthree",
		"b\x00e\x1b[1ml\x07l\u200e":          "be[1mll\u200e",
		"bad \xff\xfe bytes":                 "bad  bytes",
		" \n\t\n":                            "",
		"WEBVTT":                             "WEBVTT",
		strings.Repeat("é", 900):             strings.Repeat("é", 512),
		strings.Repeat("é", 511) + "a" + "é": strings.Repeat("é", 511) + "a",
	} {
		if got := cleanText(text); got != want {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
	var pieces []media.Metadata
	for i := range 200 {
		pieces = append(pieces, textAt(time.Duration(i)*10*time.Millisecond, "x"))
	}
	if n := strings.Count(string(AppendSubtitles(nil, withTexts(0, 1, pieces...), 1, 1)), "-->"); n != maxCues {
		t.Errorf("%d cues in a segment", n)
	}
	for _, payload := range []string{"", "1", "{}", "[]", `{"text":1}`, `{"text":null}`, "null", `{"text":"a"`, "\xff"} {
		if TellsText([]byte(payload)) {
			t.Errorf("%q is taken for a text", payload)
		}
	}
	if s := withTexts(0, 1); string(AppendSubtitles(nil, s, 2, 2)) != "WEBVTT\n\n" {
		t.Error("a segment that is not there has cues")
	}
}

func FuzzSubtitles(f *testing.F) {
	for _, seed := range []string{`{"text":"a"}`, `"a --> b"`, `{"text":"a\n\nb","duration":1e300}`, `{"text":"\u2028","duration":-1}`} {
		f.Add([]byte(seed), int64(1e9))
	}
	f.Fuzz(func(t *testing.T, payload []byte, at int64) {
		text := string(AppendSubtitles(nil, withTexts(0, 3, media.Metadata{Kind: media.Text, Time: time.Duration(at), Payload: payload}), 2, 2))
		_, body := cues([]byte(text))
		if n := strings.Count(text, "-->"); n > 1 || n == 0 && body != "" || len(text) > 6*maxCueText {
			t.Errorf("%q", text)
		}
		if strings.Contains(body, "\n\n") || strings.ContainsAny(text, "\r\x00") {
			t.Errorf("the cue ends early: %q", text)
		}
	})
}

func BenchmarkSubtitles(b *testing.B) {
	var pieces []media.Metadata
	for i := range 65536 {
		pieces = append(pieces, textAt(time.Duration(i)*time.Second, "A line as people say it."))
	}
	s := withTexts(0, 32000, pieces...)
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendSubtitles(dst[:0], s, 31000, 31000)
	}
}
