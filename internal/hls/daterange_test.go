package hls

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

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
