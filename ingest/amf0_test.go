package ingest

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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

// FuzzAMF0: no input panics or makes more values than the limit, and what is decoded survives a round trip.
func FuzzAMF0(f *testing.F) {
	for _, tt := range amfCases {
		f.Add([]byte(tt.data))
	}
	f.Add(appendAMF0(nil, "connect", 1.0, amfObject{{"app", "live"}, {"a", []any{amfDate(3), strings.Repeat("x", 70000)}}}))
	f.Fuzz(func(t *testing.T, data []byte) {
		values, err := decodeAMF0(data)
		if n := count(values); n > amfMaxValues {
			t.Fatalf("%d values", n)
		}
		encoded := appendAMF0(nil, values...)
		again, err2 := decodeAMF0(encoded)
		if err2 != nil {
			t.Fatalf("%v (first: %v)", err2, err)
		}
		sameNaN := cmp.Comparer(func(a, b float64) bool { return math.Float64bits(a) == math.Float64bits(b) })
		if diff := cmp.Diff(values, again, cmp.AllowUnexported(amfProperty{}), sameNaN, cmpopts.EquateEmpty(),
			cmp.Comparer(func(a, b amfDate) bool { return math.Float64bits(float64(a)) == math.Float64bits(float64(b)) })); diff != "" {
			t.Fatal(diff)
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
