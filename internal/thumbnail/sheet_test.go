package thumbnail

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"
	"time"
)

// plain is a picture of one brightness.
func plain(width, height int, luma byte) *Picture {
	p := newPicture(width, height)
	for i := range p.Y {
		p.Y[i] = luma
	}
	for i := range p.Cb {
		p.Cb[i], p.Cr[i] = 128, 128
	}
	return p
}

func TestSheetPutsTilesInRows(t *testing.T) {
	s := NewSheet(16, 9)
	var at []image.Rectangle
	for i := range 12 {
		at = append(at, s.Add(plain(16, 9, byte(20*i))))
	}
	if last := s.Add(plain(40, 40, 250)); last != image.Rect(32, 10, 48, 20) {
		t.Errorf("a tile that is too large is at %v", last)
	}
	if at[0] != image.Rect(0, 0, 16, 9) || at[9] != image.Rect(144, 0, 160, 9) || at[11] != image.Rect(16, 10, 32, 19) {
		t.Errorf("tiles are at %v", at)
	}
	file, err := s.JPEG(90)
	if err != nil {
		t.Fatal(err)
	}
	sheet, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if sheet.Bounds() != image.Rect(0, 0, 160, 20) {
		t.Errorf("the sheet is %v", sheet.Bounds())
	}
	for i, r := range at {
		middle := r.Min.Add(r.Size().Div(2))
		if luma, _, _, _ := sheet.At(middle.X, middle.Y).RGBA(); int(luma>>8)-20*i > 12 || 20*i-int(luma>>8) > 12 {
			t.Errorf("tile %d has brightness %d, want %d", i, luma>>8, 20*i)
		}
	}
}

func TestTrackIsWebVTTWithMediaFragments(t *testing.T) {
	got := string(Track([]Cue{
		{From: 0, To: 5 * time.Second, File: "sprite-1.jpg", At: image.Rect(0, 0, 160, 90)},
		{From: 5 * time.Second, To: 25*time.Hour + 61*time.Second + time.Millisecond, File: "sprite-2.jpg", At: image.Rect(160, 90, 320, 180)},
	}))
	want := "WEBVTT\n\n00:00:00.000 --> 00:00:05.000\nsprite-1.jpg#xywh=0,0,160,90\n" +
		"\n00:00:05.000 --> 25:01:01.001\nsprite-2.jpg#xywh=160,90,160,90\n"
	if got != want {
		t.Errorf("got\n%s", got)
	}
}

func TestBestIsNotBlack(t *testing.T) {
	striped := plain(16, 16, 0)
	for i := range striped.Y {
		striped.Y[i] = byte(i % 2 * 200)
	}
	dim := plain(16, 16, 10)
	dim.Y[0] = 60
	for name, tt := range map[string]struct {
		in   []*Picture
		want *Picture
	}{
		"the first that shows something": {[]*Picture{nil, plain(16, 16, 0), striped, plain(16, 16, 255)}, striped},
		"the least bad":                  {[]*Picture{plain(16, 16, 0), dim, nil}, dim},
		"none":                           {[]*Picture{nil, nil}, nil},
	} {
		if got := Best(tt.in); got != tt.want {
			t.Errorf("%s: another picture", name)
		}
	}
}
