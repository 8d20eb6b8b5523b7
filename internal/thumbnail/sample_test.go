package thumbnail

import (
	"bufio"
	"bytes"
	"testing"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
)

// goodPart is a part of one sample with events before it, as header writes it.
func goodPart() []byte {
	s := sample{track: 1, data: []byte("sample")}
	part := []byte("\x00\x00\x00\x0cemsgtell")
	return append(append(part, s.header(0)...), s.data...)
}

func TestFirstSampleBehindEvents(t *testing.T) {
	s, err := firstSample(goodPart())
	if err != nil || string(s.data) != "sample" || s.track != 1 {
		t.Errorf("got %+v, %v", s, err)
	}
}

func FuzzFirstSample(f *testing.F) {
	f.Add(goodPart())
	f.Add([]byte("\x00\x00\x00\x01moof\x00\x00\x00\x00\x00\x00\x00\x10"))
	f.Add(goodPart()[:60])
	f.Fuzz(func(t *testing.T, data []byte) {
		defer fuzztest.Bound(t, 4<<20+64*len(data))()
		s, err := firstSample(data)
		if err == nil && (len(s.data) == 0 || len(s.data) > len(data)) {
			t.Errorf("a sample of %d bytes of %d", len(s.data), len(data))
		}
	})
}

func FuzzReadPPM(f *testing.F) {
	f.Add([]byte("P6\n2 2\n255\nabcdefghijkl"))
	f.Add([]byte("P6\n100000 1\n255\n"))
	f.Add([]byte("P6 1 1 255 abc"))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer fuzztest.Bound(t, 16<<20+64*len(data))()
		p, err := readPPM(bufio.NewReader(bytes.NewReader(data)), 160, 90)
		if err == nil && (p.Rect.Dx() > 161 || p.Rect.Dy() > 91 || 3*p.Rect.Dx()*p.Rect.Dy() > len(data)) {
			t.Errorf("a picture of %v out of %d bytes", p.Rect, len(data))
		}
	})
}
