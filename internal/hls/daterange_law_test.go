package hls

import (
	"bytes"
	"encoding/json"
	"fmt"
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
