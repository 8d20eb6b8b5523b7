package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

const (
	maxText  = 2000 // bytes of a text that is shown whole
	maxCell  = 200  // bytes of a value in a table
	maxDepth = 16   // of the JSON that is shown
)

// object is a JSON object in the order in which it came.
type object []field

type field struct {
	name  string
	value any // object, []any, string, json.Number, bool or nil
}

var errShape = errors.New("the answer is JSON of another shape than this command knows: are both as new?")

// decodeObject reads one JSON object.
func decodeObject(text []byte) (object, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	v, err := decodeValue(dec, 0)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok {
		return nil, errShape
	}
	return o, nil
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	if depth > maxDepth {
		return nil, errShape
	}
	switch token {
	case json.Delim('{'):
		o := object{}
		for dec.More() {
			name, err := dec.Token()
			if err != nil {
				return nil, err
			}
			text, ok := name.(string)
			if !ok {
				return nil, errShape
			}
			value, err := decodeValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			o = append(o, field{text, value})
		}
		_, err = dec.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for dec.More() {
			value, err := decodeValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = dec.Token()
		return list, err
	}
	return token, nil
}

// get gives the value at a path of names with dots; nil where there is none.
func (o object) get(path string) any {
	name, rest, deeper := strings.Cut(path, ".")
	for _, f := range o {
		if f.name != name {
			continue
		}
		if !deeper {
			return f.value
		}
		inner, _ := f.value.(object)
		return inner.get(rest)
	}
	return nil
}

// text gives a value that is a string; empty where it is not.
func (o object) text(path string) string {
	s, _ := o.get(path).(string)
	return s
}

// human writes a value for people: what it means follows from the field's name, by the API's conventions.
func human(name string, value any) string {
	switch v := value.(type) {
	case nil:
		return "-"
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case json.Number:
		return clean(humanNumber(name, v), maxCell)
	case string:
		if v == "" {
			return "-"
		}
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil && isMoment(name) {
			return t.Local().Format(time.DateTime)
		}
		return clean(v, maxText)
	case []any:
		texts := make([]string, 0, len(v))
		for _, item := range v {
			texts = append(texts, human(name, item))
		}
		if len(texts) == 0 {
			return "-"
		}
		return strings.Join(texts, ", ")
	case object:
		texts := make([]string, 0, len(v))
		for _, f := range v {
			texts = append(texts, clean(f.name, maxCell)+"="+human(f.name, f.value))
		}
		if len(texts) == 0 {
			return "-"
		}
		return strings.Join(texts, " ")
	}
	return clean(fmt.Sprint(value), maxText)
}

// isMoment says whether a field of this name is a time of day.
func isMoment(name string) bool {
	name = name[strings.LastIndexByte(name, '.')+1:]
	switch name {
	case "at", "time", "since", "until", "due", "not_before", "next_retry":
		return true
	}
	for _, suffix := range []string{"_at", "_due", "_since", "_until", "_success", "_failure"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

func humanNumber(name string, n json.Number) string {
	value, err := n.Float64()
	name = name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case err != nil:
		return n.String()
	case strings.HasSuffix(name, "_ms"):
		return humanSpan(time.Duration(value * float64(time.Millisecond)))
	case name == "bytes", strings.HasSuffix(name, "_bytes"):
		return humanBytes(value)
	case strings.HasSuffix(name, "_bps"), name == "bits_in", name == "bits_out", name == "max_bitrate":
		return humanRate(value)
	case name == "bits_capacity":
		if value == 0 {
			return "-"
		}
		return humanRate(value)
	case name == "share", strings.HasSuffix(name, "_share"), strings.HasSuffix(name, "_ratio"):
		return humanShare(value)
	case name == "load":
		return strconv.FormatFloat(value, 'f', 2, 64)
	}
	return n.String()
}

// humanSpan writes "1h2m3s": to the second, from a second on.
func humanSpan(d time.Duration) string {
	if d.Abs() >= time.Second {
		d = d.Round(time.Second)
	}
	return d.String()
}

func humanBytes(n float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for ; i < len(units)-1 && n >= 1024; i++ {
		n /= 1024
	}
	return scaled(n, i > 0) + " " + units[i]
}

// humanShare writes a part of one in percent.
func humanShare(part float64) string {
	return strconv.FormatFloat(math.Round(1000*part)/10, 'f', -1, 64) + "%"
}

func humanRate(n float64) string {
	units := []string{"bit/s", "kbit/s", "Mbit/s", "Gbit/s"}
	i := 0
	for ; i < len(units)-1 && n >= 1000; i++ {
		n /= 1000
	}
	return scaled(n, i > 0) + " " + units[i]
}

func scaled(n float64, decimal bool) string {
	if decimal && n < 100 {
		return strconv.FormatFloat(n, 'f', 1, 64)
	}
	return strconv.FormatFloat(n, 'f', 0, 64)
}

// lines gives a text of more than one line, like PEM, for a terminal.
func lines(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	for i := range all {
		all[i] = clean(all[i], maxText)
	}
	return strings.Join(all, "\n")
}

// clean gives a text for a terminal: without control characters, which could move its cursor or set its title, and with
// at most limit bytes. Encoders choose some of what is shown.
func clean(text string, limit int) string {
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, text)
}
