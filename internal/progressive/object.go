package progressive

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	magic    = "oxbowsm\x01" // the last byte is the version
	sumBytes = 4
	// SamplesSuffix ends the name of a sample table's object.
	SamplesSuffix = ".samples"
)

// SamplesName is the name of the object with a track file's sample table, which archives have beside the file.
func SamplesName(path media.StreamPath, id media.RecordingID, take int, track string) string {
	name := reclog.TrackName(path, id, take, track)
	return name[:strings.LastIndexByte(name, '.')] + SamplesSuffix
}

// checksum is CRC-32C.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// Object gives the bytes of the table's object.
func (t *Table) Object() []byte {
	b := make([]byte, 0, len(magic)+len(t.blob)+16)
	b = append(b, magic...)
	b = binary.AppendUvarint(b, uint64(len(t.segments)))
	b = append(b, t.blob...)
	return binary.BigEndian.AppendUint32(b, checksum(b))
}

// ParseTable reads a sample table's object, which the table keeps. Every number is checked: ErrCorrupt, or
// ErrUnsupported for a format of a later version.
func ParseTable(data []byte) (*Table, error) {
	t, err := parseTable(data)
	if err != nil {
		return nil, fmt.Errorf("sample table: %w", err)
	}
	return t, nil
}

func parseTable(data []byte) (*Table, error) {
	switch {
	case len(data) > reclog.MaxIndex:
		return nil, fmt.Errorf("%w: %d bytes", media.ErrTooLarge, len(data))
	case len(data) < len(magic)+1+sumBytes || string(data[:len(magic)-1]) != magic[:len(magic)-1]:
		return nil, fmt.Errorf("%w: no sample table", media.ErrCorrupt)
	case data[len(magic)-1] != magic[len(magic)-1]:
		return nil, fmt.Errorf("%w: version %d", media.ErrUnsupported, data[len(magic)-1])
	}
	body := data[:len(data)-sumBytes]
	if checksum(body) != binary.BigEndian.Uint32(data[len(body):]) {
		return nil, fmt.Errorf("%w: wrong checksum", media.ErrCorrupt)
	}
	d := decoder{b: body[len(magic):]}
	count := d.uvarint(uint64(len(d.b)) / 3) // a segment takes more
	t := &Table{blob: slices.Clip(d.b), segments: make([]entry, 0, count)}
	var msn media.MSN
	for range count {
		msn += media.MSN(d.uvarint(uint64(reclog.MaxMSN - msn)))
		size := d.uvarint(uint64(len(d.b)))
		if d.bad || size > uint64(len(d.b)) || len(t.segments) > 0 && msn <= t.segments[len(t.segments)-1].msn {
			return nil, fmt.Errorf("%w: segment %d", media.ErrCorrupt, msn)
		}
		at := len(t.blob) - len(d.b)
		samples, ok := decode(d.b[:size], nil, nil)
		if !ok {
			return nil, fmt.Errorf("%w: samples of segment %d", media.ErrCorrupt, msn)
		}
		d.b = d.b[size:]
		t.segments = append(t.segments,
			entry{msn: msn, at: uint32(at), end: uint32(len(t.blob) - len(d.b)), samples: uint32(samples)})
		t.samples += int64(samples)
	}
	if d.bad || len(d.b) > 0 {
		return nil, fmt.Errorf("%w: bytes behind the last segment", media.ErrCorrupt)
	}
	return t, nil
}
