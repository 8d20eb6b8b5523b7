package ingest

import (
	"encoding/json"
	"math"
	"time"
)

// appendJSON writes a decoded AMF0 value as JSON, objects in the order of the wire. ok is false past the limit in
// bytes. Numbers that JSON lacks are null.
func appendJSON(dst []byte, value any, limit int) (_ []byte, ok bool) {
	switch v := value.(type) {
	case amfObject:
		dst = append(dst, '{')
		for i, p := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, ok = appendJSON(dst, p.name, limit); !ok {
				return nil, false
			}
			dst = append(dst, ':')
			if dst, ok = appendJSON(dst, p.value, limit); !ok {
				return nil, false
			}
		}
		dst = append(dst, '}')
	case []any:
		dst = append(dst, '[')
		for i, x := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, ok = appendJSON(dst, x, limit); !ok {
				return nil, false
			}
		}
		dst = append(dst, ']')
	case amfDate:
		if math.Abs(float64(v)) > 1<<53 || math.IsNaN(float64(v)) {
			return append(dst, "null"...), len(dst)+4 <= limit
		}
		return appendJSON(dst, time.UnixMilli(int64(v)).UTC().Format(time.RFC3339Nano), limit)
	case string:
		if len(v) > limit {
			return nil, false
		}
		return appendScalar(dst, v, limit)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return appendScalar(dst, nil, limit)
		}
		return appendScalar(dst, v, limit)
	default: // bool, nil
		return appendScalar(dst, v, limit)
	}
	return dst, len(dst) <= limit
}

func appendScalar(dst []byte, value any, limit int) ([]byte, bool) {
	text, err := json.Marshal(value)
	if err != nil || len(dst)+len(text) > limit {
		return nil, false
	}
	return append(dst, text...), true
}
