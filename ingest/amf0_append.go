package ingest

import (
	"encoding/binary"
	"fmt"
	"math"
)

// appendAMF0 encodes values of the types that decodeAMF0 gives.
func appendAMF0(dst []byte, values ...any) []byte {
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			dst = append(dst, amfNull)
		case float64:
			dst = append(dst, amfNumber)
			dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(v))
		case bool:
			dst = append(dst, amfBoolean, 0)
			if v {
				dst[len(dst)-1] = 1
			}
		case string:
			if len(v) > math.MaxUint16 {
				dst = append(dst, amfLongString)
				dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
				dst = append(dst, v...)
				break
			}
			dst = append(dst, amfString)
			dst = appendAMF0Name(dst, v)
		case amfDate:
			dst = append(dst, amfDateMarker)
			dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(float64(v)))
			dst = append(dst, 0, 0)
		case amfObject:
			dst = append(dst, amfObjectStart)
			for _, p := range v {
				dst = appendAMF0Name(dst, p.name)
				dst = appendAMF0(dst, p.value)
			}
			dst = append(dst, 0, 0, amfObjectEnd)
		case []any:
			dst = append(dst, amfStrictArray)
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(v)))
			dst = appendAMF0(dst, v...)
		default:
			panic(fmt.Sprintf("BUG: no AMF0 form for %T", v))
		}
	}
	return dst
}

func appendAMF0Name(dst []byte, s string) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(s)))
	return append(dst, s...)
}
