package hls

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// indexTag is a tag of a multivariant playlist with attributes, and the URI line behind it.
type indexTag struct {
	tag, uri string
	attrs    map[string]string
}

func parseIndex(t *testing.T, text []byte) []indexTag {
	t.Helper()
	var tags []indexTag
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		name, list, ok := strings.Cut(line, ":")
		switch {
		case !strings.HasPrefix(line, "#"):
			tags[len(tags)-1].uri = line
		case ok && strings.Contains(list, "="):
			tags = append(tags, indexTag{tag: name, attrs: attributes(t, list)})
		default:
			tags = append(tags, indexTag{tag: line})
		}
	}
	return tags
}

func named(tags []indexTag, tag string) []indexTag {
	return slices.DeleteFunc(slices.Clone(tags), func(x indexTag) bool { return x.tag != tag })
}

func TestMV9_LanguagesAreShortestTags(t *testing.T) {
	for tag, want := range map[string]string{
		"": "und", "de": "de", "DE": "de", "pt-BR": "pt-BR", "eng": "en", "ger": "de", "deu": "de", "fre": "fr", "fra": "fr",
		"chi": "zh", "zho-Hant": "zh-Hant", "ENG-us": "en-us", "nds": "nds", "mul": "mul", "mis": "mis", "zxx": "zxx",
		"und": "und", "qaa": "qaa", "gsw": "gsw", "x-pig": "x-pig", "x": "und", "de-": "und", "-de": "und", "d e": "und",
		"x\"\n#EXT": "und", "d1": "und", "de_DE": "und", strings.Repeat("a", 36): "und", "abcdefghi": "und", "haт": "und",
	} {
		if got := language(tag); got != want {
			t.Errorf("%q: %q, want %q", tag, got, want)
		}
	}
	for pair := range strings.FieldsSeq(languages) {
		if len(pair) != 5 || language(pair[:3]) != pair[3:] || language(pair[3:]) != pair[3:] {
			t.Errorf("%q: %q", pair, language(pair[:3]))
		}
	}
	for tag, want := range map[string]string{"de": "Deutsch", "vi": "Tiếng Việt", "pt-BR": "pt-BR", "und": "und", "gsw": "gsw"} {
		if got := languageName(tag); got != want {
			t.Errorf("%s: %q, want %q", tag, got, want)
		}
	}
}

// withIFrames gives a show whose every part of video begins with a random access point of 30 kB.
func withIFrames(tracks ...media.Track) *sim {
	s := newSim(lowConstants(), tracks...)
	s.run(4, false)
	for i := range s.snap.Renditions {
		if s.take().Tracks[i].Kind != media.Video {
			continue
		}
		for j := range s.snap.Renditions[i].Segments {
			seg := &s.snap.Renditions[i].Segments[j]
			seg.IFrames = nil
			for at := int64(0); at < seg.Duration; at += 45000 {
				seg.IFrames = append(seg.IFrames, media.IFrame{Time: uint32(at), Offset: uint32(5 * at), Size: 30_000})
			}
		}
	}
	s.snap.Measure()
	return s
}

func TestIFR1_MV15_MV16_IFrameVariants(t *testing.T) {
	hdr := videoTrack()
	hdr.Name, hdr.VideoRange, hdr.Width, hdr.Height = "video2", "HLG", 1920, 1080
	s := withIFrames(videoTrack(), hdr, audioTrack())
	tags := named(parseIndex(t, AppendMultivariant(nil, s.publish(), "live/")), "#EXT-X-I-FRAME-STREAM-INF")
	if len(tags) != 2 {
		t.Fatalf("%d I-frame variants", len(tags))
	}
	want := map[string]string{
		"BANDWIDTH": "480000", "AVERAGE-BANDWIDTH": "480000", "CODECS": `"avc1.64001f"`, "RESOLUTION": "1280x720",
		"VIDEO-RANGE": "SDR", "STABLE-VARIANT-ID": `"video.iframes"`, "URI": `"live/video.iframes.m3u8"`,
	}
	for name, value := range want {
		if got := tags[0].attrs[name]; got != value {
			t.Errorf("%s is %s, want %s", name, got, value)
		}
	}
	if len(tags[0].attrs) != len(want) || tags[1].attrs["VIDEO-RANGE"] != "HLG" {
		t.Errorf("%v", tags)
	}
	// A forced cut makes entries that could outlast the target duration.
	s.snap.Independent = false
	if text := AppendMultivariant(nil, s.publish(), ""); bytes.Contains(text, []byte("I-FRAME")) {
		t.Errorf("with forced cuts:\n%s", text)
	}
	if text := AppendMultivariant(nil, withIFrames(audioTrack()).publish(), ""); bytes.Contains(text, []byte("I-FRAME")) {
		t.Errorf("audio only:\n%s", text)
	}
}

func TestSUB1_CC1_SYN2_SYN5_GroupsOfText(t *testing.T) {
	s := withIFrames(videoTrack(), audioTrack())
	s.snap.Subtitles = "ger"
	s.snap.Captions = []media.Caption{{ID: "CC1", Language: "en"}, {ID: "CC2", Language: "en"}, {ID: "CC3"}}
	tags := parseIndex(t, AppendMultivariant(nil, s.publish(), ""))
	var lines []string
	for _, tag := range named(tags, "#EXT-X-MEDIA")[1:] {
		lines = append(lines, fmt.Sprint(tag.attrs))
	}
	want := []string{
		`map[AUTOSELECT:YES DEFAULT:NO FORCED:NO GROUP-ID:"subs" LANGUAGE:"de" NAME:"Deutsch" STABLE-RENDITION-ID:"subtitles" ` +
			`TYPE:SUBTITLES URI:"subtitles.m3u8"]`,
		`map[AUTOSELECT:YES DEFAULT:NO GROUP-ID:"cc" INSTREAM-ID:"CC1" LANGUAGE:"en" NAME:"English" TYPE:CLOSED-CAPTIONS]`,
		`map[AUTOSELECT:YES DEFAULT:NO GROUP-ID:"cc" INSTREAM-ID:"CC2" LANGUAGE:"en" NAME:"English 2" TYPE:CLOSED-CAPTIONS]`,
		`map[AUTOSELECT:YES DEFAULT:NO GROUP-ID:"cc" INSTREAM-ID:"CC3" LANGUAGE:"und" NAME:"CC3" TYPE:CLOSED-CAPTIONS]`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	inf := named(tags, "#EXT-X-STREAM-INF")[0].attrs
	if inf["SUBTITLES"] != `"subs"` || inf["CLOSED-CAPTIONS"] != `"cc"` || strings.Contains(inf["CODECS"], "wvtt") {
		t.Errorf("%v", inf)
	}
	if tags[1].tag != "#EXT-X-VERSION:6" {
		t.Errorf("version %s", tags[1].tag)
	}
	s.snap.Captions = append(s.snap.Captions, media.Caption{ID: "SERVICE1", Language: "en"})
	if tags = parseIndex(t, AppendMultivariant(nil, s.publish(), "")); tags[1].tag != "#EXT-X-VERSION:7" {
		t.Errorf("SERVICE1 needs version 7: %s", tags[1].tag)
	}
	// A show without pictures has no captions in them, and says so of every variant.
	second := audioTrack()
	second.Name, second.Codec = "audio2", media.Opus
	sound := newSim(lowConstants(), audioTrack(), second)
	sound.run(2, false)
	sound.snap.Captions = s.snap.Captions
	tags = named(parseIndex(t, AppendMultivariant(nil, sound.publish(), "")), "#EXT-X-STREAM-INF")
	for _, tag := range tags {
		if tag.attrs["CLOSED-CAPTIONS"] != "NONE" {
			t.Errorf("%v", tag)
		}
	}
}

// ladder is a show of three sizes, the largest in two codecs, with sound in two codecs and languages.
func ladder() *sim {
	var tracks []media.Track
	for i, height := range []int{1080, 1080, 720, 360} {
		tr := videoTrack()
		tr.Name, tr.Width, tr.Height = fmt.Sprintf("video%d", i+1), height*16/9, height
		if i == 1 {
			tr.Codec, tr.CodecString = media.HEVC, "hvc1.1.6.L120.B0"
		}
		tracks = append(tracks, tr)
	}
	english, german, opus := audioTrack(), audioTrack(), audioTrack()
	english.Language = "eng"
	german.Name, german.Language = "audio2", "ger"
	opus.Name, opus.Language, opus.Codec, opus.CodecString, opus.Channels = "audio3", "en", media.Opus, "Opus", 6
	s := newSim(lowConstants(), append(tracks, english, german, opus)...)
	for i, rate := range []int64{6_000_000, 4_500_000, 1_900_000, 800_000} {
		s.snap.Renditions[i].Bandwidth, s.snap.Renditions[i].AverageBandwidth = rate, rate*9/10
	}
	s.run(2, false)
	return s
}

func TestMV17_MV18_MV19_OrderScoresAndStableIDs(t *testing.T) {
	tags := parseIndex(t, AppendMultivariant(nil, ladder().publish(), ""))
	var got []string
	for _, tag := range named(tags, "#EXT-X-STREAM-INF") {
		got = append(got, fmt.Sprintf("%s %s %s %s", tag.attrs["BANDWIDTH"], tag.attrs["SCORE"], tag.attrs["STABLE-VARIANT-ID"],
			tag.attrs["AUDIO"]))
	}
	want := []string{
		`2040000 3 "video3" "audio-aac"`, // nearest to 2 Mb/s
		`940000 1 "video4" "audio-aac"`, `940000 2 "video4" "audio-opus"`, `2040000 4 "video3" "audio-opus"`,
		`4640000 7 "video2" "audio-aac"`, `4640000 8 "video2" "audio-opus"`, // HEVC beats H.264 of its size
		`6140000 5 "video1" "audio-aac"`, `6140000 6 "video1" "audio-opus"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	stable := regexp.MustCompile(`^"[a-zA-Z0-9+/=._-]+"$`)
	for _, tag := range tags {
		for _, name := range []string{"STABLE-VARIANT-ID", "STABLE-RENDITION-ID"} {
			if id, ok := tag.attrs[name]; ok && !stable.MatchString(id) {
				t.Errorf("%s is %s", name, id)
			}
		}
	}
	plain := newSim(lowConstants(), videoTrack(), audioTrack())
	plain.run(1, false)
	if text := AppendMultivariant(nil, plain.publish(), ""); bytes.Contains(text, []byte("SCORE")) {
		t.Errorf("MV-19: scores without a choice:\n%s", text)
	}
}

func TestMV3_MV8_MV13_GroupsHaveTheSameMembers(t *testing.T) {
	tags := parseIndex(t, AppendMultivariant(nil, ladder().publish(), ""))
	members := make(map[string][]string)
	for _, tag := range named(tags, "#EXT-X-MEDIA") {
		id := tag.attrs["GROUP-ID"]
		members[id] = append(members[id], tag.attrs["NAME"]+tag.attrs["LANGUAGE"]+tag.attrs["DEFAULT"])
		if tag.attrs["URI"] == "" {
			t.Errorf("MV-13: %v has no playlist of its own", tag)
		}
	}
	want := []string{`"English""en"YES`, `"Deutsch""de"NO`}
	if len(members) != 2 || !slices.Equal(members[`"audio-aac"`], want) || !slices.Equal(members[`"audio-opus"`], want) {
		t.Errorf("%v", members)
	}
	for _, tag := range named(tags, "#EXT-X-STREAM-INF") {
		codecs := strings.Split(strings.Trim(tag.attrs["CODECS"], `"`), ",")
		if opus := tag.attrs["AUDIO"] == `"audio-opus"`; slices.Contains(codecs, "Opus") != opus ||
			!slices.Contains(codecs, "mp4a.40.2") {
			t.Errorf("MV-3: %v of %s", codecs, tag.attrs["AUDIO"])
		}
	}
}

func TestDEF1_NoVariablesInAnyPlaylist(t *testing.T) {
	s := ladder()
	s.snap.Subtitles = "en"
	v := s.publish()
	texts := Static(v, "")
	texts["index"] = AppendMultivariant(nil, v, "")
	texts["live"] = AppendMedia(nil, v, Playlist{Kind: Sliding}, SkipNone, nil)
	for name, text := range texts {
		if bytes.Contains(text, []byte("EXT-X-DEFINE")) || bytes.Contains(text, []byte("{$")) {
			t.Errorf("%s:\n%s", name, text)
		}
	}
}

func TestMV1_MV7_MV14_RateIsOfTheDensestRun(t *testing.T) {
	type seg struct {
		bytes int64
		ms    time.Duration
	}
	tests := []struct {
		name          string
		segments      []seg // of no bytes is a gap
		peak, average int64
	}{
		{"constant", []seg{{1000, 2000}, {1000, 2000}, {1000, 2000}}, 4000, 4000},
		{"a short one alone is no run", []seg{{1000, 2000}, {1000, 200}, {1000, 2000}}, 7273, 5715},
		{"all runs that end in one", []seg{{1000, 1000}, {100, 1000}, {2000, 1000}, {100, 1000}}, 16000, 6400},
		{"over one and a half is no run", []seg{{1000, 2000}, {3000, 2000}, {1000, 2000}}, 12000, 6667},
		{"not over a gap", []seg{{1000, 2000}, {500, 500}, {0, 2000}, {500, 500}, {1000, 2000}}, 4800, 4800},
		{"shorter than a run", []seg{{100, 400}}, 2000, 2000},
		{"longer than a run", []seg{{1000, 4000}}, 2000, 2000},
		{"nothing", nil, 0, 0},
	}
	for _, tt := range tests {
		m := Rate{Target: 2 * time.Second}
		for _, s := range tt.segments {
			if s.bytes == 0 {
				m.Gap()
				continue
			}
			m.Add(s.bytes, s.ms*time.Millisecond)
		}
		if m.Peak() != tt.peak || m.Average() != tt.average {
			t.Errorf("%s: %d %d, want %d %d", tt.name, m.Peak(), m.Average(), tt.peak, tt.average)
		}
	}
}

func TestClipIndexNamesTheClipEverywhere(t *testing.T) {
	s := ladder()
	s.run(8, false)
	s.snap.Subtitles = "en"
	v := s.publish()
	e, _, err := v.Resolve(mustClip(t, "start=5&end=-4s"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(AppendClip(nil, v, "x/", e))
	const query = ".m3u8?start=2026-11-20T10:38:05.823Z&end=2026-11-20T10:38:16.823Z"
	if n := strings.Count(text, ".m3u8"); n != 8+4+1 || strings.Count(text, query) != n {
		t.Errorf("%d URIs:\n%s", n, text)
	}
	if strings.Contains(text, "#EXT-X-START") { // ffmpeg takes such a playlist for a variant of itself
		t.Errorf("a start:\n%s", text)
	}
}
