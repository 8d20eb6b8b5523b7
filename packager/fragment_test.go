package packager

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/bluenviron/mediacommon/v2/pkg/formats/fmp4"
)

func TestCMF8FlagsAndCMF3TimesOfAFragment(t *testing.T) {
	f := &fragment{video: true}
	for i, payload := range []string{"idr", "p", "bee"} {
		f.add(append(f.next(), payload...), sample{
			dts: 1<<33 + int64(i)*3000, duration: 3000, cto: int32(i-1) * 3000, sync: i == 0,
		})
	}
	b := f.cut(77, 2)
	flags := bytes.Index(b, []byte("trun")) + 4 + 4 + 8
	if got := binary.BigEndian.Uint32(b[flags+8:]); got != 0x02000000 {
		t.Errorf("CMF-8: flags of the IDR %08x", got)
	}
	if got := binary.BigEndian.Uint32(b[flags+16+8:]); got != 0x01010000 {
		t.Errorf("CMF-8: flags of the other %08x", got)
	}
	if got := binary.BigEndian.Uint32(b[bytes.Index(b, []byte("tfhd"))+4:]); got != 0x020000 {
		t.Errorf("CMF-4: tfhd flags %06x", got)
	}
	if got := b[bytes.Index(b, []byte("tfdt"))+4]; got != 1 {
		t.Errorf("CMF-3: tfdt version %d", got)
	}
	var parts fmp4.Parts
	if err := parts.Unmarshal(b); err != nil {
		t.Fatal(err)
	}
	tr := parts[0].Tracks[0]
	if parts[0].SequenceNumber != 77 || tr.BaseTime != 1<<33 || len(tr.Samples) != 2 {
		t.Fatalf("%+v", parts[0])
	}
	if string(tr.Samples[0].Payload) != "idr" || string(tr.Samples[1].Payload) != "p" || tr.Samples[0].PTSOffset != -3000 {
		t.Errorf("%+v %+v", tr.Samples[0], tr.Samples[1])
	}
	// What is left is the next part's.
	parts = nil
	if err := parts.Unmarshal(f.cut(78, 1)); err != nil {
		t.Fatal(err)
	}
	if tr := parts[0].Tracks[0]; string(tr.Samples[0].Payload) != "bee" || tr.BaseTime != 1<<33+6000 {
		t.Errorf("%+v", tr)
	}
}

func TestCMF1CMF2InitSection(t *testing.T) {
	for _, track := range []func() *format{
		func() *format { f, _ := newFormat(videoTrack()); return f },
		func() *format { f, _ := newFormat(audioTrack()); return f },
	} {
		f := track()
		b := appendInit(nil, f)
		if !bytes.Equal(b, appendInit(nil, f)) {
			t.Error("two init sections of a format differ")
		}
		var init fmp4.Init
		if err := init.Unmarshal(bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		if len(init.Tracks) != 1 || init.Tracks[0].TimeScale != uint32(f.track.Timescale) {
			t.Errorf("%+v", init.Tracks)
		}
		for _, brand := range []string{"iso6", "cmfc"} {
			if !bytes.Contains(b[:28], []byte(brand)) {
				t.Errorf("CMF-1: no brand %s in %q", brand, b[:28])
			}
		}
		for _, box := range []string{"mvex", "trex"} {
			if !bytes.Contains(b, []byte(box)) {
				t.Errorf("CMF-2: no %s", box)
			}
		}
	}
}
