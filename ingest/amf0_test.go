package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/bluenviron/gortmplib/pkg/amf0"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

var amfCases = []struct {
	name string
	data string
	want []any
	err  error
}{
	{"nothing", "", nil, nil},
	{"a number", "\x00\x3f\xf0\x00\x00\x00\x00\x00\x00", []any{1.0}, nil},
	{"booleans", "\x01\x00\x01\x01", []any{false, true}, nil},
	{"a string", "\x02\x00\x02hi", []any{"hi"}, nil},
	{"a long string", "\x0c\x00\x00\x00\x02hi", []any{"hi"}, nil},
	{"XML", "\x0f\x00\x00\x00\x04<a/>", []any{"<a/>"}, nil},
	{"null, undefined, unsupported", "\x05\x06\x0d", []any{nil, nil, nil}, nil},
	{"an object", "\x03\x00\x01a\x05\x00\x00\x09", []any{amfObject{{"a", nil}}}, nil},
	{"an empty name that ends nothing", "\x03\x00\x00\x05\x00\x00\x09", []any{amfObject{{"", nil}}}, nil},
	{"a typed object", "\x10\x00\x01C\x00\x01a\x05\x00\x00\x09", []any{amfObject{{"a", nil}}}, nil},
	{"an ECMA array with a wrong count", "\x08\x00\x00\x00\x63\x00\x01a\x05\x00\x00\x09\x05", []any{amfObject{{"a", nil}}, nil}, nil},
	{"an ECMA array without an end", "\x08\x00\x00\x00\x01\x00\x01a\x05", []any{amfObject{{"a", nil}}}, nil},
	{"a strict array", "\x0a\x00\x00\x00\x02\x05\x01\x01", []any{[]any{nil, true}}, nil},
	{"a date", "\x0b\x3f\xf0\x00\x00\x00\x00\x00\x00\x00\x00", []any{amfDate(1)}, nil},
	{"a torn number", "\x05\x00\x3f", []any{nil}, media.ErrInvalid},
	{"a torn string", "\x02\x00\x05hi", nil, media.ErrInvalid},
	{"a torn long string", "\x0c\xff\xff\xff\xffhi", nil, media.ErrInvalid},
	{"an object without an end", "\x03\x00\x01a\x05", nil, media.ErrInvalid},
	{"a reference", "\x07\x00\x00", nil, media.ErrUnsupported},
	{"AMF3: undefined, null, false, true", "\x11\x00\x11\x01\x11\x02\x11\x03", []any{nil, nil, false, true}, nil},
	{"AMF3: integers", "\x11\x04\x81\x00\x11\x04\xff\xff\xff\xff\x11\x04\xbf\xff\xff\xff", []any{128.0, -1.0, 268435455.0}, nil},
	{"AMF3: a double, a date, a date again", "\x11\x05\x3f\xf0\x00\x00\x00\x00\x00\x00\x11\x08\x01\x3f\xf0\x00\x00\x00\x00\x00\x00\x11\x08\x00", []any{1.0, amfDate(1), nil}, nil},
	{"AMF3: XML and bytes", "\x11\x07\x09<a/>\x11\x0b\x09<b/>\x11\x0c\x05\xfc\x30\x11\x0c\x00", []any{"<a/>", "<b/>", "/DA=", nil}, nil},
	{"AMF3: an array, and strings again", "\x11\x09\x07\x01\x06\x05hi\x06\x00\x06\x01", []any{[]any{"hi", "hi", ""}}, nil},
	{"AMF3: an array with names", "\x11\x09\x03\x03a\x04\x01\x01\x04\x02", []any{amfObject{{"a", 1.0}}}, nil},
	{"AMF3: objects of the same traits", "\x11\x09\x05\x01\x0a\x1b\x03C\x03a\x04\x01\x03b\x04\x02\x01\x0a\x01\x04\x03\x01",
		[]any{[]any{amfObject{{"a", 1.0}, {"b", 2.0}}, amfObject{{"a", 3.0}}}}, nil},
	{"AMF3: an object that holds itself", "\x11\x0a\x0b\x01\x03a\x0a\x00\x01", []any{amfObject{{"a", nil}}}, nil},
	{"AMF3: a string that was not", "\x11\x06\x04", nil, media.ErrInvalid},
	{"AMF3: traits that were not", "\x11\x0a\x05", nil, media.ErrInvalid},
	{"AMF3: an externalizable object", "\x11\x0a\x07\x01", nil, media.ErrUnsupported},
	{"AMF3: a vector", "\x11\x0d\x01", nil, media.ErrUnsupported},
	{"AMF3: an array that claims too much", "\x11\x09\xff\xff\xff\xff\x01\x01", nil, media.ErrInvalid},
	{"AMF3: too many traits", "\x11\x0a\xff\xff\xff\xfb\x01" + strings.Repeat("\x01", 5000), nil, media.ErrTooLarge},
	{"AMF3: too deep", "\x11" + strings.Repeat("\x09\x03\x01", 100), nil, media.ErrTooLarge},
	{"AMF3: torn", "\x11\x0a\x0b\x01\x03a", nil, media.ErrInvalid},
	{"a change to AMF3", "\x11\x04\x05\x05", []any{5.0, nil}, nil},
	{"an array that claims too much", "\x0a\x7f\xff\xff\xff\x05", nil, media.ErrTooLarge},
	{"too deep", strings.Repeat("\x03\x00\x01a", 100), nil, media.ErrTooLarge},
	{"arrays too deep", strings.Repeat("\x0a\x00\x00\x00\x01", 100), nil, media.ErrTooLarge},
}

func TestAMF0(t *testing.T) {
	for _, tt := range amfCases {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decodeAMF0([]byte(tt.data))
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(amfProperty{}), cmpopts.EquateEmpty()); diff != "" {
				t.Error(diff)
			}
		})
	}
	many, err := decodeAMF0(bytes.Repeat([]byte{amfNull}, amfMaxValues+1))
	if !errors.Is(err, media.ErrTooLarge) || len(many) != amfMaxValues {
		t.Errorf("%d values and %v", len(many), err)
	}
}

func TestAMF0NamesOfAnyCase(t *testing.T) {
	object := amfObject{{"tcurl", "low"}, {"APP", "high"}, {"app", "exact"}}
	if object.text("tcUrl") != "low" || object.text("app") != "exact" || object.text("none") != "" {
		t.Errorf("%v", object)
	}
}

// What another implementation reads, ours reads alike, and so it does what ours writes.
func TestAMF0LikeGortmplib(t *testing.T) {
	theirs := amf0.Data{
		"onMetaData", 1.5, true, nil,
		amf0.Object{{Key: "a", Value: "b"}, {Key: "c", Value: amf0.StrictArray{1.0, "x", amf0.ECMAArray{{Key: "d", Value: false}}}}},
	}
	data, err := theirs.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	ours, err := decodeAMF0(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(fromGortmplib(theirs), ours, cmp.AllowUnexported(amfProperty{})); diff != "" {
		t.Error(diff)
	}
	again, err := amf0.Unmarshal(appendAMF0(nil, ours...))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ours, fromGortmplib(again), cmp.AllowUnexported(amfProperty{})); diff != "" {
		t.Error(diff)
	}
}

// fromGortmplib gives values in our types.
func fromGortmplib(values []any) (ours []any) {
	object := func(entries []amf0.ObjectEntry) amfObject {
		o := amfObject{}
		for _, e := range entries {
			o = append(o, amfProperty{name: e.Key, value: fromGortmplib([]any{e.Value})[0]})
		}
		return o
	}
	for _, v := range values {
		switch v := v.(type) {
		case amf0.Object:
			ours = append(ours, object(v))
		case amf0.ECMAArray:
			ours = append(ours, object(v))
		case amf0.StrictArray:
			ours = append(ours, append([]any{}, fromGortmplib(v)...))
		case amf0.Undefined:
			ours = append(ours, nil)
		default:
			ours = append(ours, v)
		}
	}
	return ours
}

// FuzzAMF0LikeGortmplib: what both read, both read alike.
func FuzzAMF0LikeGortmplib(f *testing.F) {
	for _, tt := range amfCases {
		f.Add([]byte(tt.data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<10 {
			return // they have no limit of depth
		}
		ours, err := decodeAMF0(data)
		if err != nil || bytes.Contains(data, []byte{0, 0}) { // an empty name ends an object for them
			return
		}
		theirs, err := amf0.Unmarshal(data)
		if err != nil {
			return
		}
		if theirs := fromGortmplib(theirs); !sameAMF(theirs, ours) {
			t.Fatalf("%#v, theirs %#v", ours, theirs)
		}
	})
}

// FuzzAMF0: no input panics or makes more values than the limit, and what is decoded survives a round trip.
func FuzzAMF0(f *testing.F) {
	for _, tt := range amfCases {
		f.Add([]byte(tt.data))
	}
	f.Add(appendAMF0(nil, "connect", 1.0, amfObject{{"app", "live"}, {"a", []any{amfDate(3), strings.Repeat("x", 70000)}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		defer fuzztest.Bound(t, 4<<20+512*len(data))()
		values, err := decodeAMF0(data)
		if n := count(values); n > amfMaxValues {
			t.Fatalf("%d values", n)
		}
		if text, ok := appendJSON(nil, values, media.MaxMetadata); ok && (!json.Valid(text) || len(text) > media.MaxMetadata) {
			t.Fatalf("%d bytes of JSON: %s", len(text), text)
		}
		encoded := appendAMF0(nil, values...)
		again, err2 := decodeAMF0(encoded)
		if err2 != nil {
			t.Fatalf("%v (first: %v)", err2, err)
		}
		if !sameAMF(values, again) {
			t.Fatalf("%#v, and again %#v", values, again)
		}
	})
}

func count(values []any) int {
	n := len(values)
	for _, v := range values {
		switch v := v.(type) {
		case []any:
			n += count(v)
		case amfObject:
			for _, p := range v {
				n += count([]any{p.value})
			}
		}
	}
	return n
}

// sameAMF is equality, with NaN like NaN. What compares for people takes time that doubles with each level of nesting.
func sameAMF(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Float64bits(a) == math.Float64bits(b)
	case amfDate:
		b, ok := b.(amfDate)
		return ok && math.Float64bits(float64(a)) == math.Float64bits(float64(b))
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, sameAMF)
	case amfObject:
		b, ok := b.(amfObject)
		return ok && slices.EqualFunc(a, b, func(a, b amfProperty) bool {
			return a.name == b.name && sameAMF(a.value, b.value)
		})
	}
	return a == b
}
