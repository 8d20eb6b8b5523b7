package ingest

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// A splice_info_section with a time_signal, from SCTE 35 (2022), 14.1.
const testSplice = "/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfg=="

// testCaptions is cc_data of two pairs, and what is given of it.
const (
	testCaptions = "\x42\xff\xfc\x94\x20\xfd\x80\x80\xff"
	wantCaptions = "\xfc\x94\x20\xfd\x80\x80"
)

func event(name string, values ...any) []byte {
	return appendAMF0(appendAMF0(nil, name), values...)
}

func inBase64(b string) string { return base64.StdEncoding.EncodeToString([]byte(b)) }

// describeMetadata says what timed metadata came, binary in hexadecimal.
func describeMetadata(p *recPublication) string {
	var b strings.Builder
	for _, m := range p.metadata {
		payload := string(m.Payload)
		if m.Kind == media.SCTE35 || m.Kind == media.ID3 || m.Kind == media.Captions {
			payload = fmt.Sprintf("%x", payload)
		}
		fmt.Fprintf(&b, "%s@%v %s\n", m.Kind, m.PTS, payload)
	}
	return strings.TrimSpace(b.String())
}

var dataCases = []struct {
	name   string
	tags   []tag
	want   string
	repair string
}{
	{name: "onMetaData in the order of the wire", tags: []tag{
		data(event("@setDataFrame", "onMetaData", amfObject{
			{"width", 1280.0}, {"encoder", "x <1>\xff"}, {"a", []any{nil, true, amfDate(1000), math.Inf(1)}}, {"", amfObject{}},
		})),
	}, want: `metadata@0s {"width":1280,"encoder":"x \u003c1\u003e\ufffd","a":[null,true,"1970-01-01T00:00:01Z",null],"":{}}`},
	{name: "the time is the message's, on the media's clock", tags: []tag{
		video(0xfffffff0, videoConfig(testRecord)), video(0xfffffff0, videoUnit(0, idr(1))),
		{kind: typeDataAMF0, ms: 0x10, body: event("onTextData", amfObject{{"text", "hi"}})},
		{kind: typeDataAMF0, ms: 0xfffffff0, body: event("onCaption", "text")},
	}, want: "text@1193h2m47.312s {\"text\":\"hi\"}\ntext@1193h2m47.28s \"text\""},
	{name: "a time that is far from the media's is the media's", tags: []tag{
		video(60000, videoConfig(testRecord)), video(60000, videoUnit(0, idr(1))), data(event("onTextData", "a")),
		{kind: typeDataAMF0, ms: 50000, body: event("onTextData", "b")}, {kind: typeDataAMF0, ms: 70001, body: event("onTextData", "c")},
	}, want: "text@1m0s \"a\"\ntext@50s \"b\"\ntext@1m0s \"c\""},
	{name: "cue points", tags: []tag{
		data(event("onCuePoint", amfObject{{"name", "ad"}, {"parameters", amfObject{{"duration", 30.0}}}})),
		data(event("onCuePoint", amfObject{{"name", "scte35"}, {"parameters", amfObject{{"message", testSplice}}}})),
		data(event("onAdCue", amfObject{{"type", "scte35"}, {"cue", strings.TrimRight(testSplice, "=")}})),
		data(event("onAdCue", amfObject{{"type", "scte35"}, {"cue", "/DA0AAAAAAAAAAAA"}})),
		data(event("onAdCue", []any{"/x/", "/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfQ=="})),
	}, want: `cue_point@0s {"name":"ad","parameters":{"duration":30}}
scte35@0s fc3034000000000000fffff00506fe72bd0050001e021c435545494800008e7fcf0001a599b00808000000002ca0a18a3402009ac9d17e
scte35@0s fc3034000000000000fffff00506fe72bd0050001e021c435545494800008e7fcf0001a599b00808000000002ca0a18a3402009ac9d17e
cue_point@0s {"type":"scte35","cue":"/DA0AAAAAAAAAAAA"}
cue_point@0s ["/x/","/DA0AAAAAAAA///wBQb+cr0AUAAeAhxDVUVJSAAAjn/PAAGlmbAICAAAAAAsoKGKNAIAmsnRfQ=="]`},
	{name: "captions", tags: []tag{
		data(event("onCaptionInfo", amfObject{{"type", "708"}, {"data", inBase64("\xb5\x00\x31GA94\x03" + testCaptions)}})),
		data(event("onCaptionInfo", amfObject{{"type", "708"}, {"data", inBase64("GA94\x03" + testCaptions)}})),
		data(event("onCaptionInfo", amfObject{{"type", "708"}, {"data", inBase64(testCaptions)}})),
		data(event("onCaptionInfo", amfObject{{"type", "708"}, {"data", "R0E5NAY="}})),
		data(event("onCaptionInfo", amfObject{{"type", "708"}, {"data", "Xw=="}})),
		data(event("onCaptionInfo", amfObject{{"type", "WebVTT"}, {"data", "hi"}})),
	}, want: strings.Repeat(fmt.Sprintf("captions@0s %x\n", wantCaptions), 3) +
		`text@0s {"type":"708","data":"R0E5NAY="}
text@0s {"type":"708","data":"Xw=="}
text@0s {"type":"WebVTT","data":"hi"}`},
	{name: "ID3", tags: []tag{
		data(event("onUserDataEvent", amfObject{{"id3", inBase64("ID3\x04\x00\x00\x00\x00\x00\x01x")}})),
		data(event("onID3", amfObject{{"id3", inBase64("ID3\x04\x00\x00\x00\x00\x00\x02x")}, {"b", inBase64("ID3")}})),
	}, want: "id3@0s 49443304000000000001" + "78\ntext@0s {\"id3\":\"SUQzBAAAAAAAAng=\",\"b\":\"SUQz\"}"},
	{name: "colours of the pictures", tags: []tag{
		video(0, ex(0xd4, "hvc1", appendAMF0(nil, "colorInfo", amfObject{{"colorConfig", amfObject{{"transferCharacteristics", 16.0}}}}))),
	}, want: `metadata@0s {"colorInfo":{"colorConfig":{"transferCharacteristics":16}}}`},
	{name: "what is too large for JSON", tags: []tag{
		data(event("onTextData", amfObject{{"text", strings.Repeat("x", media.MaxMetadata)}})),
		data(event("onTextData", amfObject{{"text", strings.Repeat("\x01", media.MaxMetadata/2)}})),
		data(event("onTextData", []any{strings.Repeat("x", media.MaxMetadata/2), strings.Repeat("x", media.MaxMetadata/2)})),
	}, want: "", repair: repairBadMetadata},
	{name: "what has no name, or none that is known", tags: []tag{
		data(event("onFI", amfObject{{"tc", "1"}})), data(event("|RtmpSampleAccess", true, true)), data(event("onTextData")), data(event("onMetaData", 1.0)),
		data(appendAMF0(nil, 1.0, 2.0)), data(event("@clearDataFrame", "onMetaData")), video(0, ex(0x84, "hvc1", nil)),
	}, want: "", repair: repairBadMetadata},
}

// captionTap is a sink that hands captions on as the demuxer gave them.
type captionTap struct {
	*lineup
	out Publication
}

func (t captionTap) metadata(m *media.TimedMetadata) error {
	if m.Kind == media.Captions {
		return t.out.WriteMetadata(m)
	}
	return t.lineup.metadata(m)
}

func TestTimedMetadata(t *testing.T) {
	for _, tt := range dataCases {
		t.Run(tt.name, func(t *testing.T) {
			p := &recPublication{rec: newRecorder()}
			d, l := newTestDemuxer(t, p)
			d.sink = captionTap{l, p}
			if err := d.feed(tt.tags...); err != nil {
				t.Fatal(err)
			}
			if got := describeMetadata(p); got != strings.TrimSpace(tt.want) {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if tt.repair != "" && repairs(l, tt.repair) == 0 {
				t.Errorf("no %s was counted", tt.repair)
			}
		})
	}
}

// Captions stay in the pictures, and of several renditions' the first one's are told.
func TestCC1_CaptionsOfPictures(t *testing.T) {
	message := "\xb5\x00\x31GA94\x03" + testCaptions
	sei := append([]byte{6, 4, byte(len(message))}, message...)
	sei = append(sei, 0x80)
	p := &recPublication{rec: newRecorder()}
	d, l := newTestDemuxer(t, p)
	d.sink = captionTap{l, p}
	err := d.feed(video(0, ex(0x90, "avc1", testRecord)), video(0, ex(0x96, "\x00avc1\x01", testRecord)),
		video(40, videoUnit(80, sei, idr(1))), video(40, ex(0x96, "\x03avc1\x01", unitsOf(sei, idr(1)))))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describeMetadata(p), fmt.Sprintf("captions@120ms %x", wantCaptions); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := l.flush(); err != nil {
		t.Fatal(err)
	}
	if n := len(p.frames); n != 2 || !bytes.Contains(p.frames[0].Payload, sei) || !bytes.Contains(p.frames[1].Payload, sei) {
		t.Errorf("CC-1: %d frames, not all with their captions", n)
	}
}

// An aggregate's messages keep their distances, from its own time on.
func TestAggregate(t *testing.T) {
	part := func(kind byte, ms uint32, body []byte) []byte {
		head := []byte{kind, byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body)), byte(ms >> 16), byte(ms >> 8), byte(ms), byte(ms >> 24), 0, 0, 0}
		return binary.BigEndian.AppendUint32(join(head, body), uint32(len(head)+len(body)))
	}
	s := MustServe(t, Config{}, newRecorder())
	c := MustDial(t, s.addr)
	c.publish(s.rec.key)
	whole := join(
		part(typeDataAMF0, 500, onlyVideo), part(typeVideo, 500, videoConfig(testRecord)), part(typeVideo, 500, videoUnit(0, idr(1))),
		part(99, 510, []byte{1}), part(typeAggregate, 510, part(typeVideo, 510, videoUnit(0, idr(9)))), part(typeVideo, 540, videoUnit(0, slice(1))),
	)
	c.send(typeAggregate, 1, 1000, whole[:len(whole)-4]) // some leave the last back pointer out
	c.send(typeAggregate, 1, 2000, part(typeVideo, 0, videoUnit(0, slice(2)))[:15])
	c.command(0, "deleteStream", 4.0, nil, 1.0)
	p := s.rec.publication(t, 0)
	if got, want := describeTracks(p), "video:h264 | video@1s video@1.04s"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
