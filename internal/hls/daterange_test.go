package hls

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/oxbow-video/oxbow/internal/media"
)

var rangeEpoch = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// piece is one of metadata, so many seconds behind the epoch.
func metadataAt(number int, kind media.MetadataKind, at float64, payload []byte) media.Metadata {
	return media.Metadata{
		Number: int64(number), Take: 1, Kind: kind, Time: media.Seconds(at), Date: rangeEpoch.Add(media.Seconds(at)),
		Payload: payload,
	}
}

// tagsOf folds pieces.
func tagsOf(pieces ...media.Metadata) (tags []dateRange) {
	var d dateRanges
	for i := range pieces {
		tags = append(tags, d.add(&pieces[i])...)
	}
	return tags
}

func textOf(tags []dateRange) string {
	var b strings.Builder
	for _, t := range tags {
		b.Write(t.text)
	}
	return b.String()
}

// makeSection frames a command and descriptors.
func makeSection(command byte, body []byte, descriptors ...[]byte) []byte {
	loop := slices.Concat(descriptors...)
	b := []byte{0xfc, 0x30, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xf0 | byte(len(body)>>8), byte(len(body)), command}
	b = append(b, body...)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(loop))), loop...)
	binary.BigEndian.PutUint16(b[1:], 0x3000|uint16(len(b)+4-3))
	return binary.BigEndian.AppendUint32(b, sectionCRC(b))
}

// makeInsert makes a splice_insert; seconds is the break's duration, 0 for none, below 0 with auto_return.
func makeInsert(event uint32, out bool, seconds int) []byte {
	flags := byte(0x40 | 0x0f) // the whole programme
	if out {
		flags |= 0x80
	}
	if seconds != 0 {
		flags |= 0x20
	}
	b := binary.BigEndian.AppendUint32(nil, event)
	b = append(b, 0x7f, flags, 0xfe, 0, 1, 2, 3)
	if seconds != 0 {
		auto := byte(0x7e)
		if seconds < 0 {
			auto, seconds = 0xfe, -seconds
		}
		b = binary.BigEndian.AppendUint32(append(b, auto), uint32(seconds*90000))
	}
	return makeSection(spliceInsert, append(b, 0, 1, 0, 0))
}

func cancelInsert(event uint32) []byte {
	return makeSection(spliceInsert, append(binary.BigEndian.AppendUint32(nil, event), 0xff))
}

// makeSegmentation makes a segmentation_descriptor.
func makeSegmentation(kind byte, event uint32, seconds int) []byte {
	b := binary.BigEndian.AppendUint32([]byte("CUEI"), event)
	flags := byte(0xbf)
	if seconds > 0 {
		flags |= 0x40
	}
	b = append(b, 0x7f, flags)
	if seconds > 0 {
		b = binary.BigEndian.AppendUint32(append(b, 0), uint32(seconds*90000))
	}
	b = append(b, 0x0c, 2, 'i', 'd', kind, 1, 1)
	return append([]byte{2, byte(len(b))}, b...)
}

func cancelSegmentation(event uint32) []byte {
	b := append(binary.BigEndian.AppendUint32([]byte("CUEI"), event), 0xff)
	return append([]byte{2, byte(len(b))}, b...)
}

// makeSignal makes a time_signal.
func makeSignal(descriptors ...[]byte) []byte {
	return makeSection(timeSignal, []byte{0xfe, 0, 1, 2, 3}, descriptors...)
}

func mustBase64(tb testing.TB, text string) []byte {
	tb.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func event(text string) []byte { return []byte(text) }

// rangeScenes are sequences of pieces whose tags are golden.
func rangeScenes(tb testing.TB) map[string][]media.Metadata {
	const scte, cue, id3, api = media.SCTE35, media.CuePoint, media.ID3, media.DateRange
	out, in := makeInsert(7, true, 30), makeInsert(7, false, 0)
	opportunity := makeSignal(makeSegmentation(0x34, 9, 60), makeSegmentation(0x30, 10, 30))
	next := makeSignal(makeSegmentation(0x31, 10, 0), makeSegmentation(0x30, 11, 30))
	encrypted := makeSection(spliceInsert, bytes.Repeat([]byte{0xa5}, 20))
	encrypted[4] |= 0x80
	encrypted = binary.BigEndian.AppendUint32(encrypted[:len(encrypted)-4], sectionCRC(encrypted[:len(encrypted)-4]))
	return map[string][]media.Metadata{
		"splice_insert": {
			metadataAt(1, scte, 8, out), metadataAt(2, scte, 8, out), metadataAt(3, scte, 8, makeInsert(7, true, 31)), // the cue again
			metadataAt(4, scte, 37.5, in), metadataAt(5, scte, 37.5, in),
			metadataAt(6, scte, 100, out), metadataAt(7, scte, 130, in), // the event's number again
			metadataAt(8, scte, 200, in), // of no range
		},
		"splice_insert_auto_return": {metadataAt(1, scte, 8, makeInsert(1, true, -30)), metadataAt(2, scte, 60, makeInsert(1, true, -30))},
		"splice_cancel": {
			metadataAt(1, scte, 20, out), metadataAt(2, scte, 12, cancelInsert(7)), metadataAt(3, scte, 12, cancelInsert(8)),
			metadataAt(4, scte, 40, makeSignal(makeSegmentation(0x30, 5, 0))), metadataAt(5, scte, 40, makeSignal(cancelSegmentation(5))),
		},
		"splice_in_early": {metadataAt(1, scte, 20, out), metadataAt(2, scte, 12, in)},
		"splice_others": {
			metadataAt(1, scte, 1, makeSection(spliceNull, nil)), metadataAt(2, scte, 2, makeSection(bandwidthReservation, nil)),
			metadataAt(3, scte, 3, makeSection(0xff, []byte("priv"))), metadataAt(4, scte, 4, makeSection(0xff, []byte("priv"))),
			metadataAt(5, scte, 5, encrypted), metadataAt(6, scte, 6, makeSignal()),
			metadataAt(7, scte, 7, makeSection(spliceInsert, []byte{0, 0, 0})), // cut short
			metadataAt(8, scte, 8, out[:len(out)-1]), metadataAt(9, scte, 9, append([]byte{0xfb}, out[1:]...)),
		},
		"segmentation": {
			metadataAt(1, scte, 10, opportunity), metadataAt(2, scte, 10, opportunity), metadataAt(3, scte, 40, next),
			metadataAt(4, scte, 70, makeSignal(makeSegmentation(0x31, 11, 0), makeSegmentation(0x35, 9, 0))),
			metadataAt(5, scte, 80, makeSignal(makeSegmentation(0x10, 3, 600))),
			metadataAt(6, scte, 90, makeSignal(makeSegmentation(0x01, 3, 0))),
			metadataAt(7, scte, 680, makeSignal(makeSegmentation(0x12, 3, 0))),
		},
		"standard_samples": {
			// SCTE 35, 14.1 and 14.2.
			metadataAt(1, scte, 1, mustBase64(tb, "/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfg==")),
			metadataAt(2, scte, 9, mustBase64(tb, "/DAvAAAAAAAA///wFAVIAACPf+/+c2nALv4AUsz1AAAAAAAKAAhDVUVJAAABNWLbowo=")),
		},
		"cue_points": {
			metadataAt(1, cue, 1, event(`{"name":"goal","type":"event","time":2.5,"parameters":{"team":"A \"1\"","minute":12,"own":false,"deep":{"x":1}}}`)),
			metadataAt(2, cue, 1.5, event(`{"name":"goal","type":"event","time":2.5,"parameters":{"team":"A \"1\"","minute":12,"own":false,"deep":{"x":1}}}`)),
			metadataAt(3, cue, 4, event(`{"type":"SpliceOut","id":"ad1","duration":30.5,"elapsed":-1,"big":1e300,"tiny":1e-9,"ünï":"é\r\nü","":"x"}`)),
			metadataAt(4, cue, 5, event(`{"a b":1,"a-b":2,"list":[1],"nothing":null}`)),
			metadataAt(5, cue, 6, event(`[1]`)), metadataAt(6, cue, 7, event(`{`)), metadataAt(7, cue, 8, event(`null`)),
		},
		"id3": {
			metadataAt(1, id3, 1, []byte("ID3\x04\x00\x00\x00\x00\x00\x02hi")), metadataAt(2, id3, 2, []byte("ID4\x04\x00\x00\x00\x00\x00\x02hi")),
			metadataAt(3, id3, 3, append([]byte("ID3\x04\x00\x00\x00\x00\x10\x00"), make([]byte, 2<<10)...)),
			metadataAt(4, media.Text, 3, event(`{"text":"no range"}`)),
		},
		"api_events": {
			metadataAt(1, api, 5, event(`{"id":"ad-1","class":"com.apple.hls.interstitial","start_date":"2026-11-20T10:00:05.0004Z",
				"cue":["PRE","ONCE"],"attributes":{"X-ASSET-URI":"https://ads/a.m3u8?x=1,2","X-RESUME-OFFSET":0,"X-COM-ID":{"hex":"0x0AFF"}}}`)),
			metadataAt(2, api, 5, event(`{"id":"ad-1","start_date":"2026-11-20T10:00:05Z","duration_s":15.25}`)),
			metadataAt(3, api, 5, event(`{"id":"ad-1","start_date":"2026-11-20T10:00:05Z","duration_s":16}`)), // another
			metadataAt(4, api, 5, event(`{"id":"ad-1","start_date":"2026-11-20T10:00:05Z","end_date":"2026-11-20T10:00:20.25Z"}`)),
			metadataAt(5, api, 30, event(`{"id":"song","class":"com.example.song","start_date":"2026-11-20T11:00:30+01:00","end_on_next":true}`)),
			metadataAt(6, api, 31, event(`{"id":"x","start_date":"2026-11-20T10:00:31Z","planned_duration_s":0.1,"attributes":{"SCTE35-OUT":{"hex":"0xFC"}}}`)),
			metadataAt(7, api, 32, event(`{"id":"y","start_date":"2026-11-20T10:00:31Z","end_date":"2026-11-20T10:00:30Z"}`)), // ends too early
			metadataAt(8, api, 32, event(`{"id":"z","start_date":"2026-11-20T10:00:31Z","attributes":{"Y":1}}`)),
		},
	}
}

func TestDR1_SYN3_GoldenDateRanges(t *testing.T) {
	for name, pieces := range rangeScenes(t) {
		t.Run(name, func(t *testing.T) {
			tags := tagsOf(pieces...)
			checkRanges(t, tags)
			golden(t, "daterange_"+name+".txt", []byte(textOf(tags)))
		})
	}
}

// TestDR1_RangesEndWhereTheirTagsSay looks at what decides which tags leave a playlist.
func TestDR1_RangesEndWhereTheirTagsSay(t *testing.T) {
	at := func(s float64) time.Time { return rangeEpoch.Add(media.Seconds(s)) }
	for name, want := range map[string][]time.Time{
		"splice_insert_auto_return": {at(38), at(90)},
		"splice_in_early":           {{}, at(20)},
		"splice_insert":             {{}, at(37.5), {}, at(130), at(200)},
		"api_events":                {{}, at(20.25), at(20.25), {}, {}},
		"id3":                       {at(1)},
	} {
		tags := tagsOf(rangeScenes(t)[name]...)
		var ends []time.Time
		for _, tag := range tags {
			ends = append(ends, tag.end)
		}
		if !slices.EqualFunc(ends, want, time.Time.Equal) {
			t.Errorf("%s: ends are %v, want %v", name, ends, want)
		}
	}
}

func TestDR1_EndOnNextEndsWithTheNextOfItsClass(t *testing.T) {
	song := func(number int, id, class string, at float64) media.Metadata {
		start := rangeEpoch.Add(media.Seconds(at)).Format(time.RFC3339Nano)
		return metadataAt(number, media.DateRange, at,
			fmt.Appendf(nil, `{"id":%q,"class":%q,"start_date":%q,"end_on_next":true}`, id, class, start))
	}
	pieces := []media.Metadata{
		song(1, "a", "song", 10), song(2, "news", "news", 20), song(3, "b", "song", 30), song(4, "b2", "song", 30),
		song(5, "d", "song", 100), song(6, "c", "song", 50), // told late
	}
	tags := tagsOf(pieces...)
	checkRanges(t, tags)
	got := make(map[string]float64)
	for _, tag := range tags {
		got[tag.id] = 0
		if !tag.end.IsZero() {
			got[tag.id] = tag.end.Sub(rangeEpoch).Seconds()
		}
	}
	if want := map[string]float64{"a": 30, "news": 0, "b": 100, "b2": 100, "c": 100, "d": 0}; !maps.Equal(got, want) {
		t.Errorf("ends are %v, want %v", got, want)
	}
}

var (
	rangeAttribute = regexp.MustCompile(`^([A-Z0-9-]+)=("[^"]*"|0x[0-9A-F]+|[0-9]+(?:\.[0-9]+)?|YES)(?:,|$)`)
	rangeDate      = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)
)

// attributesOf parses a tag strictly (SYN-3).
func attributesOf(tb rapid.TB, tag *dateRange) map[string]string {
	text := string(tag.text)
	line, is := strings.CutSuffix(text, "\n")
	rest, tagged := strings.CutPrefix(line, "#EXT-X-DATERANGE:")
	if !is || !tagged || !utf8.ValidString(line) || strings.ContainsFunc(line, unicode.IsControl) {
		tb.Fatalf("SYN-1: not one line of a tag: %q", text)
	}
	attributes := make(map[string]string)
	for rest != "" {
		m := rangeAttribute.FindStringSubmatch(rest)
		if m == nil || strings.HasSuffix(m[0], ",") && len(m[0]) == len(rest) {
			tb.Fatalf("SYN-3: %q in %q", rest, text)
		}
		if _, twice := attributes[m[1]]; twice {
			tb.Fatalf("SYN-3: %s twice in %q", m[1], text)
		}
		quoted := strings.HasPrefix(m[2], `"`)
		switch name := m[1]; {
		case slices.Contains([]string{"ID", "CLASS", "CUE", "START-DATE", "END-DATE"}, name) != quoted && !strings.HasPrefix(name, "X-"):
			tb.Fatalf("SYN-3: type of %s in %q", name, text)
		case strings.HasSuffix(name, "-DATE") && !strings.HasPrefix(name, "X-") && !rangeDate.MatchString(strings.Trim(m[2], `"`)):
			tb.Fatalf("SYN-3: %s in %q", name, text)
		case strings.HasPrefix(name, "SCTE35-") && !strings.HasPrefix(m[2], "0x"):
			tb.Fatalf("SYN-3: %s in %q", name, text)
		case name == "DURATION" || name == "PLANNED-DURATION":
			if strings.ContainsAny(m[2], "xY") {
				tb.Fatalf("SYN-3: %s in %q", name, text)
			}
		}
		attributes[m[1]] = m[2]
		rest = rest[len(m[0]):]
	}
	return attributes
}

// checkRanges holds tags against DR-1.
func checkRanges(tb rapid.TB, tags []dateRange) {
	all := make(map[string]map[string]string)
	for i := range tags {
		tag := &tags[i]
		if len(tag.text) == 0 { // an end that END-ON-NEXT told
			if whole := all[tag.id]; whole["END-ON-NEXT"] != "YES" || !tag.end.After(tag.start) {
				tb.Fatalf("DR-1: %s ends at %v: %v", tag.id, tag.end, whole)
			}
			continue
		}
		attributes := attributesOf(tb, tag)
		if attributes["ID"] != `"`+tag.id+`"` || tag.id == "" {
			tb.Fatalf("DR-1: ID %q in %q", tag.id, tag.text)
		}
		whole, again := all[tag.id]
		if !again {
			whole = make(map[string]string)
			all[tag.id] = whole
		}
		added := false
		for name, value := range attributes {
			old, told := whole[name]
			if told && old != value {
				tb.Fatalf("DR-1: %s of %s changes from %s to %s", name, tag.id, old, value)
			}
			added = added || !told
			whole[name] = value
		}
		if !added {
			tb.Fatalf("DR-1: %q tells nothing new", tag.text)
		}
		checkRange(tb, tag, whole)
	}
}

// checkRange looks at all attributes of a range together.
func checkRange(tb rapid.TB, tag *dateRange, whole map[string]string) {
	date := func(name string) time.Time {
		at, err := time.Parse(time.RFC3339, strings.Trim(whole[name], `"`))
		if err != nil {
			tb.Fatalf("DR-1: %s of %q: %v", name, tag.text, err)
		}
		return at
	}
	start := date("START-DATE")
	if !start.Equal(tag.start) {
		tb.Fatalf("DR-1: start %v of %q", tag.start, tag.text)
	}
	end, ended := tag.end, whole["END-DATE"] != ""
	if ended {
		if end = date("END-DATE"); end.Before(start) || !end.Equal(tag.end) {
			tb.Fatalf("DR-1: ends at %v, said %v: %q", end, tag.end, tag.text)
		}
	}
	if text := whole["DURATION"]; text != "" {
		length, err := time.ParseDuration(text + "s")
		if err != nil || !start.Add(length).Equal(end) {
			tb.Fatalf("DR-1: DURATION %s ends at %v: %q", text, end, tag.text)
		}
	}
	if whole["END-ON-NEXT"] != "" && (whole["CLASS"] == "" || ended || whole["DURATION"] != "") {
		tb.Fatalf("DR-1: END-ON-NEXT of %v", whole)
	}
	if cue := whole["CUE"]; strings.Contains(cue, "PRE") && strings.Contains(cue, "POST") {
		tb.Fatalf("DR-1: CUE %s", cue)
	}
	if whole["SCTE35-IN"] != "" && whole["SCTE35-OUT"] == "" {
		tb.Fatalf("DR-1: SCTE35-IN without SCTE35-OUT: %q", tag.text)
	}
}

// drawPiece draws the payload of a piece of one kind.
func drawPiece(t *rapid.T) (media.MetadataKind, []byte) {
	number := rapid.Uint32Range(0, 3)
	seconds := rapid.SampledFrom([]int{0, 1, 30, 3600})
	segment := rapid.Custom(func(t *rapid.T) []byte {
		if rapid.IntRange(0, 9).Draw(t, "cancel") == 0 {
			return cancelSegmentation(number.Draw(t, "event"))
		}
		kind := rapid.SampledFrom([]byte{0, 1, 0x10, 0x11, 0x12, 0x22, 0x23, 0x30, 0x31, 0x34, 0x35, 0x50, 0x51, 0xff}).Draw(t, "kind")
		return makeSegmentation(kind, number.Draw(t, "event"), seconds.Draw(t, "seconds"))
	})
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"X-A", "duration", "a\"b\n", "PRE", "e1", "e2"}))
	switch rapid.IntRange(0, 6).Draw(t, "what") {
	case 0:
		auto := rapid.SampledFrom([]int{1, -1}).Draw(t, "auto")
		return media.SCTE35, makeInsert(number.Draw(t, "event"), rapid.Bool().Draw(t, "out"), auto*seconds.Draw(t, "seconds"))
	case 1:
		return media.SCTE35, cancelInsert(number.Draw(t, "event"))
	case 2:
		return media.SCTE35, makeSignal(rapid.SliceOfN(segment, 0, 4).Draw(t, "descriptors")...)
	case 3:
		return media.SCTE35, makeSection(rapid.Byte().Draw(t, "command"), rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "body"))
	case 4:
		return media.ID3, append([]byte("ID3"), rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "tag")...)
	case 5:
		value := rapid.OneOf(text.AsAny(), rapid.Float64().AsAny(), rapid.Bool().AsAny(),
			rapid.MapOfN(text, rapid.Float64().AsAny(), 0, 3).AsAny())
		b, err := json.Marshal(rapid.MapOfN(text, value, 0, 20).Draw(t, "cue"))
		if err != nil {
			t.Fatal(err)
		}
		return media.CuePoint, b
	}
	e := map[string]any{
		"id":         rapid.SampledFrom([]string{"e1", "e2", "e3", "scte35-splice-0", "bad id", ""}).Draw(t, "id"),
		"start_date": rangeEpoch.Add(time.Duration(rapid.IntRange(0, 3).Draw(t, "start")) * 1000500 * time.Microsecond),
	}
	for _, field := range []struct {
		name  string
		value *rapid.Generator[any]
	}{
		{"class", rapid.SampledFrom([]string{"a", "b", media.Interstitial, "\""}).AsAny()},
		{"duration_s", rapid.SampledFrom([]float64{0, 1, 1.0005, 1e9, -1}).AsAny()},
		{"planned_duration_s", rapid.SampledFrom([]float64{0, 1e-7, 31e6}).AsAny()},
		{"end_date", rapid.Just[any](rangeEpoch.Add(2 * time.Second))},
		{"end_on_next", rapid.Bool().AsAny()},
		{"cue", rapid.SliceOfN(rapid.SampledFrom([]string{"PRE", "POST", "ONCE"}), 0, 3).AsAny()},
		{"attributes", rapid.MapOfN(
			rapid.SampledFrom([]string{"X-A", "X-ASSET-URI", "X-ASSET-LIST", "SCTE35-IN", "SCTE35-OUT", "ID", "x"}),
			rapid.OneOf(text.AsAny(), rapid.Float64().AsAny(), rapid.Just[any](map[string]any{"hex": "0xFC"})), 0, 3).AsAny()},
	} {
		if rapid.Bool().Draw(t, "has "+field.name) {
			e[field.name] = field.value.Draw(t, field.name)
		}
	}
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return media.DateRange, b
}

// TestDR1_AnyPiecesMakeLawfulRanges feeds sequences of pieces that need not make sense.
func TestDR1_AnyPiecesMakeLawfulRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pieces []media.Metadata
		for i := range rapid.IntRange(1, 40).Draw(t, "pieces") {
			kind, payload := drawPiece(t)
			at := float64(rapid.IntRange(0, 400).Draw(t, "at")) / 4
			pieces = append(pieces, metadataAt(i+1, kind, at, payload))
		}
		tags := tagsOf(pieces...)
		checkRanges(t, tags)
		var d dateRanges // a second fold, as another rendition or process makes it
		for i := range pieces {
			for _, tag := range d.add(&pieces[i]) {
				if !bytes.Equal(tag.text, tags[0].text) {
					t.Fatalf("DR-1: %q and %q", tag.text, tags[0].text)
				}
				tags = tags[1:]
			}
		}
	})
}

func TestDR1_RepeatedEventsCostNoMore(t *testing.T) {
	var d dateRanges
	ids := make(map[string]bool)
	const n = 20000
	for i := range n {
		m := metadataAt(i+1, media.SCTE35, float64(i)*60, makeInsert(1, true, -30))
		added := d.add(&m)
		if len(added) != 1 || ids[added[0].id] {
			t.Fatalf("event %d: %v", i, added)
		}
		ids[added[0].id] = true
	}
	if last := fmt.Sprintf("scte35-splice-1.%d", n); !ids[last] {
		t.Errorf("no %s", last)
	}
}

func FuzzParseSplice(f *testing.F) {
	for _, pieces := range rangeScenes(f) {
		for _, p := range pieces {
			if p.Kind == media.SCTE35 {
				f.Add(p.Payload[:max(0, len(p.Payload)-4)])
			}
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := parseSplice(b); ok && sectionCRC(b[:3+int(b[1]&0x0f)<<8+int(b[2])]) != 0 {
			t.Fatal("a wrong checksum was taken")
		}
		if len(b) < 3 || len(b) > 4000 { // the same with the right length and checksum
			return
		}
		s := slices.Clone(b)
		s[0], s[1], s[2] = 0xfc, 0x30|byte((len(s)+1)>>8), byte(len(s)+1)
		s = binary.BigEndian.AppendUint32(s, sectionCRC(s))
		info, ok := parseSplice(s)
		if ok && (len(info.splices) > maxSplices || !bytes.Equal(info.section, s)) {
			t.Fatalf("%+v", info)
		}
		checkRanges(t, tagsOf(metadataAt(1, media.SCTE35, 1, s), metadataAt(2, media.SCTE35, 40, s), metadataAt(3, media.SCTE35, 2, s)))
	})
}

func FuzzDateRangeJSON(f *testing.F) {
	for _, pieces := range rangeScenes(f) {
		for _, p := range pieces {
			if p.Kind == media.CuePoint || p.Kind == media.DateRange {
				f.Add(p.Payload, p.Payload)
			}
		}
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		checkRanges(t, tagsOf(
			metadataAt(1, media.CuePoint, 1, a), metadataAt(2, media.CuePoint, 2, b),
			metadataAt(3, media.DateRange, 1, a), metadataAt(4, media.DateRange, 2, b), metadataAt(5, media.ID3, 3, b)))
	})
}

func BenchmarkDateRange(b *testing.B) {
	section := makeSignal(makeSegmentation(0x31, 10, 0), makeSegmentation(0x30, 11, 30))
	b.ReportAllocs()
	for b.Loop() {
		var d dateRanges
		for i := range 100 {
			m := metadataAt(i+1, media.SCTE35, float64(i*60), section)
			d.add(&m)
		}
	}
}
