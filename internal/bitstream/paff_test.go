package bitstream

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

var update = flag.Bool("update", false, "write testdata/paff.h264 anew")

// bitWriter writes what bits reads.
type bitWriter struct {
	data []byte
	free int // bits of the last byte
}

func (w *bitWriter) put(v uint64, n int) *bitWriter {
	for n--; n >= 0; n-- {
		if w.free == 0 {
			w.data, w.free = append(w.data, 0), 8
		}
		w.free--
		w.data[len(w.data)-1] |= byte(v>>n&1) << w.free
	}
	return w
}

func (w *bitWriter) exp(values ...uint64) *bitWriter {
	for _, v := range values {
		n := 1
		for v+1 >= 1<<n {
			n++
		}
		w.put(0, n-1).put(v+1, n)
	}
	return w
}

// unit gives a NAL unit behind a start code.
func (w *bitWriter) unit(header byte) []byte {
	w.put(1, 1)
	unit, zeros := []byte{0, 0, 0, 1, header}, 0
	for _, b := range w.data {
		if zeros == 2 && b <= 3 {
			unit, zeros = append(unit, 3), 0
		}
		unit = append(unit, b)
		if zeros++; b != 0 {
			zeros = 0
		}
	}
	return unit
}

// paffFields is a stream of field pictures of 32x32 pixels at 25 frames a second, each behind a delimiter: an IDR
// picture whose second field is predicted from the first, then pairs of which every other is not used for reference.
func paffFields(frames int) (fields [][]byte) {
	var sps, pps bitWriter
	sps.put(77, 8).put(0, 8).put(30, 8).exp(0, 0, 0, 4, 2).put(0, 1).exp(1, 0).put(0, 1).put(0, 1).put(1, 1).put(0, 1)
	sps.put(1, 1).put(0, 4).put(1, 1).put(1, 32).put(50, 32).put(1, 1).put(0, 3).put(1, 1).put(1, 1).exp(0, 0, 10, 10, 0, 2)
	pps.exp(0, 0).put(0, 2).exp(0, 0, 0).put(0, 3).exp(0, 0, 0).put(1, 1).put(0, 2)
	sets := slices.Concat(sps.unit(0x67), pps.unit(0x68))
	number := uint64(0) // of the next frame
	for i := range frames {
		const reference, idr = 0x60, 5
		header := byte(1)
		if i%2 == 0 {
			header |= reference
		}
		for bottom := range uint64(2) {
			field := []byte{0, 0, 0, 1, 9, 0xf0}
			predicted := i == 0 && bottom == 1
			if i == 0 && bottom == 0 {
				header, field = reference|idr, append(field, sets...)
			} else if predicted {
				header = reference | 1
			}
			field = append(field, paffSlice(header, number, uint64(2*i)+bottom, bottom, predicted)...)
			fields = append(fields, field)
		}
		if header&reference != 0 {
			number = (number + 1) % 16
		}
	}
	return fields
}

func paffSlice(header byte, number, order, bottom uint64, predicted bool) []byte {
	var w bitWriter
	kind := uint64(7) // I
	if predicted {
		kind = 5 // P
	}
	w.exp(0, kind, 0).put(number, 4).put(1, 1).put(bottom, 1)
	if header&0x1f == avcIDR {
		w.exp(0)
	}
	w.put(order, 8)
	if predicted {
		w.put(0, 2) // no other number of references, nor order
	}
	switch {
	case header&0x1f == avcIDR:
		w.put(0, 2)
	case header&0x60 != 0:
		w.put(0, 1)
	}
	w.exp(0, 1) // quantiser, no deblocking
	if predicted {
		return w.exp(2).unit(header) // both macroblocks are as they were
	}
	for mb := range uint64(2) {
		w.exp(25) // I_PCM
		w.put(0, w.free)
		for i := range uint64(384) {
			w.put(16+(order*37+mb*7+bottom*50+i/16*uint64(3))%200, 8)
		}
	}
	return w.unit(header)
}

// The file that other packages' tests read is what is written here, and ffmpeg decodes it to whole frames.
func TestPAFFFile(t *testing.T) {
	const frames = 12
	want := slices.Concat(paffFields(frames)...)
	if *update {
		if err := os.WriteFile(filepath.Join("testdata", "paff.h264"), want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(testdata(t, "paff.h264"), want) {
		t.Error("testdata/paff.h264 is not what paffFields writes")
	}
	out := run(t, "ffmpeg", "-v", "warning", "-xerror", "-i", filepath.Join("testdata", "paff.h264"), "-fps_mode", "passthrough", "-f", "framemd5", "-")
	hashes := map[string]bool{}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "#") {
			hashes[line[strings.LastIndex(line, ",")+1:]] = true
		}
	}
	if len(hashes) != frames {
		t.Errorf("%d pictures:\n%s", len(hashes), out)
	}
}

// Each field says of which frame it is, and two of them in one access unit are a frame.
func TestAVCFields(t *testing.T) {
	const frames = 4
	var s AVC
	var first Field
	sample := func(fields ...[]byte) Unit {
		b, _ := ByteStream(nil, slices.Concat(fields...), 1<<20)
		u, err := s.Read(b, 1<<20, func(f Fault) { t.Error(f) })
		if err != nil || !u.Picture {
			t.Fatalf("%+v, %v", u, err)
		}
		return u
	}
	fields := paffFields(frames)
	for i, field := range fields {
		u := sample(field)
		if want := []Parity{Top, Bottom}[i%2]; u.Field.Parity != want || u.Sync != (i == 0) {
			t.Errorf("field %d: %+v, sync %v", i, u.Field, u.Sync)
		}
		if got := u.Field.Completes(first); got != (i%2 == 1) {
			t.Errorf("field %d completes the one before it: %v", i, got)
		}
		first = u.Field
	}
	if u := sample(fields[:2]...); u.Field != (Field{}) || !u.Sync {
		t.Errorf("%+v", u)
	}
	if idr := sample(fields[0]).Field; idr.Completes(sample(fields[1]).Field) {
		t.Error("an IDR picture completes a field")
	}
	if b, _ := ByteStream(nil, slices.Concat(fields...), 1<<20); FirstUnit(b, media.H264) >= len(b) {
		t.Error("fields are not taken apart")
	}
}
