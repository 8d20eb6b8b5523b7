package ingest

import (
	"encoding/base64"
	"fmt"
	"math"

	"github.com/oxbow-video/oxbow/internal/media"
)

// AMF3 markers (Action Message Format 3, section 3.1).
const (
	amf3Undefined = 0x00
	amf3Null      = 0x01
	amf3False     = 0x02
	amf3True      = 0x03
	amf3Integer   = 0x04
	amf3Double    = 0x05
	amf3String    = 0x06
	amf3XMLDoc    = 0x07
	amf3Date      = 0x08
	amf3Array     = 0x09
	amf3Object    = 0x0a
	amf3XML       = 0x0b
	amf3Bytes     = 0x0c
)

// amf3Traits are the names of an object's sealed members.
type amf3Traits struct {
	names   []string
	dynamic bool
}

// amf3Reader decodes the AMF3 value that an AMF0 value may change to (AMF0, section 3.1): to the types of decodeAMF0, a
// ByteArray to a string in base64. It resolves references to strings and traits; one to an object is nil, so that no
// value can hold itself. Externalizable objects, vectors and dictionaries are refused.
type amf3Reader struct {
	*amfReader
	strings []string
	traits  []amf3Traits
}

func (r *amf3Reader) value(depth int) (any, error) {
	marker, err := r.take(1)
	if err != nil {
		return nil, err
	}
	if err := r.count(depth); err != nil {
		return nil, err
	}
	switch marker[0] {
	case amf3Undefined, amf3Null:
		return nil, nil
	case amf3False, amf3True:
		return marker[0] == amf3True, nil
	case amf3Integer:
		n, err := r.u29()
		return float64(int32(n<<3) >> 3), err
	case amf3Double:
		return r.number()
	case amf3String:
		return r.text()
	case amf3XMLDoc, amf3XML, amf3Bytes:
		size, inline, err := r.size()
		if err != nil || !inline {
			return nil, err
		}
		b, err := r.take(size)
		if marker[0] == amf3Bytes {
			return base64.StdEncoding.EncodeToString(b), err
		}
		return string(b), err
	case amf3Date:
		_, inline, err := r.size()
		if err != nil || !inline {
			return nil, err
		}
		ms, err := r.number()
		return amfDate(ms), err
	case amf3Array:
		return r.array(depth)
	case amf3Object:
		return r.object(depth)
	default:
		return nil, fmt.Errorf("%w: AMF3 marker 0x%02x", media.ErrUnsupported, marker[0])
	}
}

// u29 reads an integer of up to four bytes (section 1.3.1).
func (r *amf3Reader) u29() (uint32, error) {
	var n uint32
	for i := range 4 {
		b, err := r.take(1)
		if err != nil {
			return 0, err
		}
		if i == 3 {
			return n<<8 | uint32(b[0]), nil
		}
		n = n<<7 | uint32(b[0]&0x7f)
		if b[0] < 0x80 {
			break
		}
	}
	return n, nil
}

// size reads a number whose last bit says that what it counts follows; else it is a reference.
func (r *amf3Reader) size() (size int, inline bool, err error) {
	n, err := r.u29()
	return int(n >> 1), n&1 == 1, err
}

func (r *amf3Reader) text() (string, error) {
	size, inline, err := r.size()
	if err != nil {
		return "", err
	}
	if !inline {
		if size >= len(r.strings) {
			return "", fmt.Errorf("%w: AMF3 string reference %d of %d", media.ErrInvalid, size, len(r.strings))
		}
		return r.strings[size], nil
	}
	b, err := r.take(size)
	if err != nil {
		return "", err
	}
	if size > 0 { // the empty string is never referred to
		r.strings = append(r.strings, string(b))
	}
	return string(b), nil
}

// name reads a member's name, which is no longer than one of AMF0.
func (r *amf3Reader) name() (string, error) {
	name, err := r.text()
	if err == nil && len(name) > math.MaxUint16 {
		err = fmt.Errorf("%w: AMF3 name of %d bytes", media.ErrTooLarge, len(name))
	}
	return name, err
}

// members reads names and values up to the empty name.
func (r *amf3Reader) members(object amfObject, depth int) (amfObject, error) {
	for {
		name, err := r.name()
		if err != nil || name == "" {
			return object, err
		}
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		object = append(object, amfProperty{name: name, value: v})
	}
}

// array reads an array: []any, or an object if it has names.
func (r *amf3Reader) array(depth int) (any, error) {
	size, inline, err := r.size()
	if err != nil || !inline {
		return nil, err
	}
	object, err := r.members(nil, depth)
	if err != nil {
		return nil, err
	}
	array := []any{}
	for range size { // bounded by count
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		array = append(array, v)
	}
	if object != nil {
		return object, nil
	}
	return array, nil
}

// object reads an object (section 3.12): its traits or a reference to them, then its members.
func (r *amf3Reader) object(depth int) (any, error) {
	n, inline, err := r.size()
	if err != nil || !inline {
		return nil, err
	}
	traits, err := r.traitsOf(n)
	if err != nil {
		return nil, err
	}
	object := amfObject{}
	for _, name := range traits.names {
		v, err := r.value(depth + 1)
		if err != nil {
			return nil, err
		}
		object = append(object, amfProperty{name: name, value: v})
	}
	if traits.dynamic {
		return r.members(object, depth)
	}
	return object, nil
}

func (r *amf3Reader) traitsOf(n int) (amf3Traits, error) {
	const inline, externalizable, dynamic = 1, 2, 4
	if n&inline == 0 {
		if n >>= 1; n < len(r.traits) {
			return r.traits[n], nil
		}
		return amf3Traits{}, fmt.Errorf("%w: AMF3 traits reference", media.ErrInvalid)
	}
	if n&externalizable != 0 {
		return amf3Traits{}, fmt.Errorf("%w: externalizable AMF3 object", media.ErrUnsupported)
	}
	traits := amf3Traits{dynamic: n&dynamic != 0}
	if _, err := r.text(); err != nil { // class name
		return amf3Traits{}, err
	}
	for range n >> 3 {
		name, err := r.name()
		if err != nil {
			return amf3Traits{}, err
		}
		if err := r.count(0); err != nil {
			return amf3Traits{}, err
		}
		traits.names = append(traits.names, name)
	}
	r.traits = append(r.traits, traits)
	return traits, nil
}
