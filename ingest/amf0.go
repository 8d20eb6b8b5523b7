package ingest

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// AMF0 markers (Action Message Format 0, section 2.1).
const (
	amfNumber      = 0x00
	amfBoolean     = 0x01
	amfString      = 0x02
	amfObjectStart = 0x03
	amfNull        = 0x05
	amfUndefined   = 0x06
	amfReference   = 0x07
	amfECMAArray   = 0x08
	amfObjectEnd   = 0x09
	amfStrictArray = 0x0a
	amfDateMarker  = 0x0b
	amfLongString  = 0x0c
	amfUnsupported = 0x0d
	amfXML         = 0x0f
	amfTypedObject = 0x10
	amfToAMF3      = 0x11
)

// Limits of one AMF0 message; its size is limited where its chunks are read.
const (
	amfMaxDepth  = 16
	amfMaxValues = 4096
)

// amfObject is an object, a typed object or an ECMA array, in the order of the wire.
type amfObject []amfProperty

type amfProperty struct {
	name  string
	value any
}

// amfDate is milliseconds since 1970 in UTC.
type amfDate float64

// get finds a property by its name, in any case: some encoders write "tcurl".
func (o amfObject) get(name string) any {
	for _, p := range o {
		if p.name == name {
			return p.value
		}
	}
	for _, p := range o {
		if strings.EqualFold(p.name, name) {
			return p.value
		}
	}
	return nil
}

func (o amfObject) text(name string) string {
	s, _ := o.get(name).(string)
	return s
}

// amfReader decodes AMF0 values: float64, bool, string, nil (null, undefined, unsupported), amfObject, []any, amfDate.
type amfReader struct {
	rest   []byte
	values int
}

// decodeAMF0 reads the values of a message. On an error it gives those before it too: what follows a command's name and
// transaction is often of no interest.
func decodeAMF0(data []byte) ([]any, error) {
	r := amfReader{rest: data}
	var values []any
	for len(r.rest) > 0 {
		v, err := r.value(0)
		if err != nil {
			return values, fmt.Errorf("AMF0 value %d: %w", len(values), err)
		}
		values = append(values, v)
	}
	return values, nil
}

func (r *amfReader) value(depth int) (any, error) {
	marker, err := r.take(1)
	if err != nil {
		return nil, err
	}
	if err := r.count(depth); err != nil {
		return nil, err
	}
	switch marker[0] {
	case amfNumber:
		return r.number()
	case amfBoolean:
		b, err := r.take(1)
		if err != nil {
			return nil, err
		}
		return b[0] != 0, nil
	case amfString:
		return r.text()
	case amfLongString, amfXML:
		return r.longText()
	case amfNull, amfUndefined, amfUnsupported:
		return nil, nil
	case amfDateMarker:
		ms, err := r.number()
		if err != nil {
			return nil, err
		}
		_, err = r.take(2) // time zone: reserved, "should be 0"
		return amfDate(ms), err
	case amfTypedObject:
		if _, err := r.text(); err != nil { // class name
			return nil, err
		}
		return r.object(depth, false)
	case amfObjectStart:
		return r.object(depth, false)
	case amfECMAArray:
		if _, err := r.take(4); err != nil { // count: a hint that encoders get wrong
			return nil, err
		}
		return r.object(depth, true)
	case amfStrictArray:
		return r.array(depth)
	case amfToAMF3:
		return (&amf3Reader{amfReader: r}).value(depth)
	case amfReference:
		return nil, fmt.Errorf("%w: AMF0 reference", media.ErrUnsupported)
	default:
		return nil, fmt.Errorf("%w: AMF0 marker 0x%02x", media.ErrInvalid, marker[0])
	}
}

// count counts a value against the limits.
func (r *amfReader) count(depth int) error {
	if r.values++; r.values > amfMaxValues {
		return fmt.Errorf("%w: more than %d AMF values in a message", media.ErrTooLarge, amfMaxValues)
	}
	if depth > amfMaxDepth {
		return fmt.Errorf("%w: AMF values nested deeper than %d", media.ErrTooLarge, amfMaxDepth)
	}
	return nil
}

func (r *amfReader) take(n int) ([]byte, error) {
	if n > len(r.rest) {
		return nil, fmt.Errorf("%w: AMF0 value is torn", media.ErrInvalid)
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b, nil
}

func (r *amfReader) number() (float64, error) {
	b, err := r.take(8)
	if err != nil {
		return 0, err
	}
	return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
}

func (r *amfReader) text() (string, error) {
	b, err := r.take(2)
	if err != nil {
		return "", err
	}
	b, err = r.take(int(binary.BigEndian.Uint16(b)))
	return string(b), err
}

func (r *amfReader) longText() (string, error) {
	b, err := r.take(4)
	if err != nil {
		return "", err
	}
	n := binary.BigEndian.Uint32(b)
	if uint64(n) > uint64(len(r.rest)) {
		return "", fmt.Errorf("%w: AMF0 long string is torn", media.ErrInvalid)
	}
	b, err = r.take(int(n))
	return string(b), err
}

// object reads properties up to the object's end. An ECMA array may also end with the message: some encoders leave the
// end marker out.
func (r *amfReader) object(depth int, mayBeOpen bool) (amfObject, error) {
	object := amfObject{}
	for {
		if mayBeOpen && len(r.rest) == 0 {
			return object, nil
		}
		name, err := r.text()
		if err != nil {
			return nil, err
		}
		if name == "" && len(r.rest) > 0 && r.rest[0] == amfObjectEnd {
			r.rest = r.rest[1:]
			return object, nil
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		object = append(object, amfProperty{name: name, value: v})
	}
}

func (r *amfReader) array(depth int) ([]any, error) {
	b, err := r.take(4)
	if err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(b)
	// Every value has at least its marker.
	if uint64(n) > uint64(len(r.rest)) || n > amfMaxValues {
		return nil, fmt.Errorf("%w: AMF0 array claims %d values", media.ErrTooLarge, n)
	}
	array := []any{}
	for range n {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
	}
	return array, nil
}
