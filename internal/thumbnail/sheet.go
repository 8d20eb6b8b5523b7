package thumbnail

import (
	"fmt"
	"image"
	"strings"
	"time"
)

// SheetSide is how many tiles a sheet has in a row, and how many rows.
const SheetSide = 10

// SheetTiles is how many tiles a sheet has.
const SheetTiles = SheetSide * SheetSide

// Sheet is a picture of small pictures, in rows.
type Sheet struct {
	cell  image.Point
	image *Picture
	used  int
}

// NewSheet makes an empty one, black, for tiles of up to that size.
func NewSheet(width, height int) *Sheet {
	s := &Sheet{cell: image.Pt((width+1)&^1, (height+1)&^1)}
	s.image = newPicture(s.cell.X*SheetSide, s.cell.Y*SheetSide)
	for i := range s.image.Cb {
		s.image.Cb[i], s.image.Cr[i] = 128, 128
	}
	return s
}

// Len is how many tiles it has.
func (s *Sheet) Len() int { return s.used }

// Add puts the next tile in, cut to the cell, and gives where it is.
func (s *Sheet) Add(tile *Picture) image.Rectangle {
	at := image.Pt(s.used%SheetSide*s.cell.X, s.used/SheetSide*s.cell.Y)
	s.used++
	size := image.Pt(min(s.cell.X, tile.Rect.Dx()), min(s.cell.Y, tile.Rect.Dy()))
	for y := range size.Y {
		copy(s.image.Y[s.image.YOffset(at.X, at.Y+y):][:size.X], tile.Y[tile.YOffset(0, y):])
	}
	for y := 0; y < size.Y; y += 2 {
		n := (size.X + 1) / 2
		to, from := s.image.COffset(at.X, at.Y+y), tile.COffset(0, y)
		copy(s.image.Cb[to:to+n], tile.Cb[from:])
		copy(s.image.Cr[to:to+n], tile.Cr[from:])
	}
	return image.Rectangle{Min: at, Max: at.Add(size)}
}

// JPEG gives the rows and columns that are in use as a file.
func (s *Sheet) JPEG(quality int) ([]byte, error) {
	used := image.Rect(0, 0, min(s.used, SheetSide)*s.cell.X, (s.used+SheetSide-1)/SheetSide*s.cell.Y)
	part, ok := s.image.SubImage(used).(*image.YCbCr)
	if !ok {
		panic("BUG: part of a YCbCr image is none")
	}
	return (&Picture{*part}).JPEG(quality)
}

// Cue says which tile stands for a span of the show.
type Cue struct {
	From, To time.Duration
	File     string // of the sheet, beside the track
	At       image.Rectangle
}

// Track writes the cues as a WebVTT file: the payload of each is the sheet's relative URL with a media fragment
// (Media Fragments URI 1.0, 4.2.2), as players read it.
func Track(cues []Cue) []byte {
	var b strings.Builder
	b.WriteString("WEBVTT\n")
	for _, c := range cues {
		fmt.Fprintf(&b, "\n%s --> %s\n%s#xywh=%d,%d,%d,%d\n", timestamp(c.From), timestamp(c.To), c.File,
			c.At.Min.X, c.At.Min.Y, c.At.Dx(), c.At.Dy())
	}
	return []byte(b.String())
}

// timestamp is a WebVTT timestamp with hours.
func timestamp(d time.Duration) string {
	ms := d.Milliseconds()
	return fmt.Sprintf("%02d:%02d:%02d.%03d", ms/3_600_000, ms/60_000%60, ms/1000%60, ms%1000)
}
