package ingest

import (
	"bytes"
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4/seekablebuffer"

	"github.com/oxbow-video/oxbow/internal/media"
)

// lightSEI is an SEI unit of H.264 with MaxCLL 1000 and MaxFALL 400, turnSEI one that turns the picture 90 degrees
// against the clock.
func lightSEI() []byte { return []byte{6, 144, 4, 3, 232, 1, 144, 0x80} }
func turnSEI() []byte  { return []byte{6, 47, 3, 0x08, 0x00, 0x10, 0x80} }

var testLight = media.ContentLight{Max: 1000, Average: 400}

// What the first picture says is known before it goes on; what comes later sets the tracks anew.
func TestMV4_MV16_DisplayOfFLV(t *testing.T) {
	p := &recPublication{rec: newRecorder()}
	d, l := newTestDemuxer(t, p)
	err := d.feed(data(onlyVideo), video(0, videoConfig(testRecord)), video(0, videoUnit(0, lightSEI(), idr(1))),
		video(40, videoUnit(0, slice(1))), video(80, videoUnit(0, turnSEI(), idr(2))), video(120, videoUnit(0, lightSEI(), idr(3))))
	if err != nil {
		t.Fatal(err)
	}
	var got []media.Display
	for _, set := range p.tracks {
		got = append(got, set[0].Display)
	}
	if len(got) != 2 || got[0] != (media.Display{Light: testLight}) || got[1] != (media.Display{Light: testLight, Rotation: 270}) {
		t.Errorf("%+v", got)
	}
	if !bytes.Contains(p.frames[0].Payload, lightSEI()) || !bytes.Contains(p.frames[2].Payload, turnSEI()) {
		t.Error("the messages did not stay in the pictures")
	}
	if n := repairs(l, repairRepeatedConfig); n != 0 {
		t.Errorf("%d configurations were repeated", n)
	}
}

func TestMV16_DisplayOfColorInfo(t *testing.T) {
	mdcv := amfObject{
		{"redX", 0.708}, {"redY", 0.292}, {"greenX", 0.17}, {"greenY", 0.797}, {"blueX", 0.131}, {"blueY", 0.046},
		{"whitePointX", 0.3127}, {"whitePointY", 0.329}, {"maxLuminance", 1000.0}, {"minLuminance", 0.005},
	}
	want := media.Display{Light: testLight, Mastering: media.Mastering{
		Primaries: [3][2]uint16{{8500, 39850}, {6550, 2300}, {35400, 14600}}, White: [2]uint16{15635, 16450}, Max: 10_000_000, Min: 50,
	}}
	cll := amfObject{{"maxFall", 400.0}, {"maxCLL", 1000.0}}
	info := func(object amfObject) tag {
		return video(0, ex(0xd4, "avc1", appendAMF0(nil, "colorInfo", object)))
	}
	p := &recPublication{rec: newRecorder()}
	d, _ := newTestDemuxer(t, p)
	err := d.feed(data(onlyVideo), info(amfObject{{"hdrCll", cll}}), video(0, ex(0x90, "avc1", testRecord)),
		info(amfObject{{"hdrCll", cll}, {"hdrMdcv", mdcv}}), video(0, ex(0xa3, "avc1", unitsOf(idr(1)))))
	if err != nil {
		t.Fatal(err)
	}
	if len(p.tracks) != 1 || p.tracks[0][0].Display != want {
		t.Errorf("%+v", p.tracks)
	}
	for name, info := range map[string]amfObject{
		"no numbers":    {{"hdrCll", amfObject{{"maxFall", "400"}, {"maxCLL", 1000.0}}}},
		"half":          {{"hdrCll", amfObject{{"maxCLL", 1000.0}}}, {"hdrMdcv", mdcv[:9]}},
		"out of range":  {{"hdrCll", amfObject{{"maxFall", -1.0}, {"maxCLL", 1e9}}}, {"hdrMdcv", append(amfObject{{"redX", 2.0}}, mdcv[1:]...)}},
		"not a number":  {{"hdrCll", amfObject{{"maxFall", math.NaN()}, {"maxCLL", math.Inf(1)}}}},
		"other objects": {{"hdrCll", 1.0}, {"hdrMdcv", "x"}},
	} {
		if got := displayOf(info); got != (media.Display{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestMV4_MV16_DisplayOfTS(t *testing.T) {
	var m tsMux
	m.pat(0x100)
	m.pmt(0x100, 1, 0, tsTypeH264, 0x101)
	m.pes(0x101, 7200, 3600, annexB(lightSEI(), []byte{0x41, 0x88, 1})) // before there is a configuration
	m.pes(0x101, 10800, 7200, annexB(testSPS, testPPS, turnSEI(), []byte{0x65, 0x88, 1}))
	got, _, _ := demuxTS(t, m.out)
	if want := (media.Display{Light: testLight, Rotation: 270}); len(got.tracks) != 1 || got.tracks[0].Display != want {
		t.Errorf("%+v", got.tracks)
	}
}

// A pulled file's boxes say the turn and the light; its pictures may say more of the light.
func TestMV4_MV16_DisplayOfFMP4(t *testing.T) {
	init, segment := mustMP4(t)
	at := bytes.Index(init, []byte("tkhd")) + 4
	matrix := init[at+40:]
	if binary.BigEndian.Uint32(matrix) != 1<<16 || binary.BigEndian.Uint32(matrix[32:]) != 1<<30 {
		t.Fatalf("no matrix: % x", matrix[:36])
	}
	const one, minus = 1 << 16, 1<<32 - 1<<16
	for want, m := range map[int][4]uint32{0: {one, 0, 0, one}, 90: {0, one, minus, 0}, 180: {minus, 0, 0, minus}, 270: {0, minus, one, 0}} {
		for i, place := range []int{0, 4, 12, 16} {
			binary.BigEndian.PutUint32(matrix[place:], m[i])
		}
		q := &hlsQueue{number: -1, maxFrame: 1 << 20}
		if err := q.load(hlsChunk{init: init, data: segment}); err != nil {
			t.Fatal(err)
		}
		told := false
		for _, e := range q.events {
			if e.track != nil && e.track.Codec == media.H264 {
				told = true
				if e.track.Display.Rotation != want {
					t.Errorf("turned by %d, want %d", e.track.Display.Rotation, want)
				}
			}
		}
		if !told {
			t.Fatal("no video")
		}
	}
	for i, place := range []int{0, 4, 12, 16} { // mirrored
		binary.BigEndian.PutUint32(matrix[place:], [4]uint32{minus, 0, 0, one}[i])
	}
	if got := rotationOf(init[at+16 : at+84]); got != 0 {
		t.Errorf("mirrored: %d", got)
	}
	var track fmp4Track
	boxes := append([]byte{0, 0, 0, 12, 'c', 'l', 'l', 'i', 3, 232, 1, 144, 0, 0, 0, 32, 'm', 'd', 'c', 'v'}, make([]byte, 24)...)
	boxes[12+8+17] = 1 // a luminance
	if err := track.readLight(boxes); err != nil || track.stated.Light != testLight || track.stated.Mastering.Max != 1<<16 {
		t.Errorf("%+v, %v", track.stated, err)
	}
	if track.readLight(boxes[:20]) == nil {
		t.Error("torn boxes were taken")
	}
}

func TestCC1_CaptionsOfFMP4(t *testing.T) {
	init, _ := mustMP4(t)
	caption := []byte{6, 4, 17, 0xb5, 0, 0x31, 'G', 'A', '9', '4', 3, 0x42, 0xff, 0xfc, 0x94, 0x20, 0xfc, 0xc8, 0x49, 0xff, 0x80}
	p := fmp4.Part{Tracks: []*fmp4.PartTrack{
		{ID: 1, BaseTime: 90000, Samples: []*fmp4.Sample{{Duration: 3600, PTSOffset: 7200, Payload: unitsOf(caption, idr(1))}}},
	}}
	var body seekablebuffer.Buffer
	if err := p.Marshal(&body); err != nil {
		t.Fatal(err)
	}
	q := &hlsQueue{number: -1, maxFrame: 1 << 20}
	if err := q.load(hlsChunk{init: init, data: body.Bytes()}); err != nil {
		t.Fatal(err)
	}
	said, kept := 0, false
	for _, e := range q.events {
		if m := e.metadata; m != nil && m.Kind == media.Captions && len(m.Payload) == 6 && m.PTS == 1080*time.Millisecond {
			said++
		}
		kept = kept || e.frame != nil && bytes.Contains(e.frame.Payload, caption)
	}
	if said != 1 || !kept {
		t.Errorf("captions were told %d times; kept in the picture: %v", said, kept)
	}
}
