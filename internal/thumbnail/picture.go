package thumbnail

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"image"
	colour "image/color" //nolint:misspell // its name
	"image/jpeg"
	"io"
	"math"
)

// errOutput: ffmpeg gave what was not asked for.
var errOutput = errors.New("unexpected output")

// Picture is a decoded picture, 4:2:0 in full range as JPEG has it.
type Picture struct{ image.YCbCr }

func newPicture(width, height int) *Picture {
	return &Picture{*image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)}
}

// readPPM reads a picture of the form "P6\nWIDTH HEIGHT\n255\n" and three bytes a pixel. io.EOF is before its first
// byte.
func readPPM(in *bufio.Reader, maxWidth, maxHeight int) (*Picture, error) {
	magic := make([]byte, 2)
	if _, err := io.ReadFull(in, magic); err != nil {
		return nil, err
	}
	if string(magic) != "P6" {
		return nil, fmt.Errorf("%w: no picture but %q", errOutput, magic)
	}
	var numbers [3]int
	for i := range numbers {
		n, err := readNumber(in)
		if err != nil {
			return nil, err
		}
		numbers[i] = n
	}
	width, height := numbers[0], numbers[1]
	if width < 1 || height < 1 || width > maxWidth+1 || height > maxHeight+1 || numbers[2] != 255 {
		return nil, fmt.Errorf("%w: a picture of %dx%d pixels up to %d", errOutput, width, height, numbers[2])
	}
	p := newPicture(width, height)
	rows := make([]byte, 2*3*width)
	for y := 0; y < height; y += 2 {
		n := min(2, height-y)
		if _, err := io.ReadFull(in, rows[:n*3*width]); err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		p.setRows(y, rows[:n*3*width], width)
	}
	return p, nil
}

// readNumber reads blanks, digits and one blank.
func readNumber(in *bufio.Reader) (int, error) {
	n, digits := 0, 0
	for {
		c, err := in.ReadByte()
		if err != nil {
			return 0, io.ErrUnexpectedEOF
		}
		switch blank := c == ' ' || c == '\n' || c == '\t' || c == '\r'; {
		case blank && digits > 0:
			return n, nil
		case blank:
		case c >= '0' && c <= '9' && digits < 6:
			n, digits = 10*n+int(c-'0'), digits+1
		default:
			return 0, fmt.Errorf("%w: %q in the head of a picture", errOutput, c)
		}
	}
}

// setRows takes one row of RGB pixels, or two, of which four share their colour.
func (p *Picture) setRows(y int, rgb []byte, width int) {
	rows := len(rgb) / (3 * width)
	for x := 0; x < width; x += 2 {
		var cb, cr, n int
		for dy := range rows {
			for dx := range min(2, width-x) {
				at := 3 * (dy*width + x + dx)
				luma, b, r := colour.RGBToYCbCr(rgb[at], rgb[at+1], rgb[at+2])
				p.Y[p.YOffset(x+dx, y+dy)] = luma
				cb, cr, n = cb+int(b), cr+int(r), n+1
			}
		}
		at := p.COffset(x, y)
		p.Cb[at], p.Cr[at] = uint8((cb+n/2)/n), uint8((cr+n/2)/n)
	}
}

// JPEG gives the picture as a file; quality is 1 to 100.
func (p *Picture) JPEG(quality int) ([]byte, error) {
	var out bytes.Buffer
	if err := jpeg.Encode(&out, &p.YCbCr, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("encode JPEG: %w", err)
	}
	return out.Bytes(), nil
}

// Contrast is the standard deviation of the brightness, 0 to 128: near zero for a black picture, or any of one colour.
func (p *Picture) Contrast() float64 {
	var sum, squares float64
	n := 0
	for y := range p.Rect.Dy() {
		for _, v := range p.Y[y*p.YStride : y*p.YStride+p.Rect.Dx()] {
			sum += float64(v)
			squares += float64(v) * float64(v)
		}
		n += p.Rect.Dx()
	}
	mean := sum / float64(n)
	return math.Sqrt(max(0, squares/float64(n)-mean*mean))
}

// enoughContrast is that of a picture that shows something.
const enoughContrast = 20

// Shows says that the picture is not of one colour, or nearly so.
func (p *Picture) Shows() bool { return p.Contrast() >= enoughContrast }

// Best gives the first picture that shows something, or that with the most contrast; nil pictures are passed over.
func Best(pictures []*Picture) *Picture {
	var best *Picture
	most := -1.0
	for _, p := range pictures {
		if p == nil {
			continue
		}
		if c := min(p.Contrast(), enoughContrast); c > most {
			best, most = p, c
		}
	}
	return best
}
