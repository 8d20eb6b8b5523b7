package reclog

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// metadataKind is the form of a kind, also of one that a later version brings.
var metadataKind = regexp.MustCompile(`^[a-z0-9_]{1,32}$`)

// maxNumber is the most that a piece may have as its number: holes of many crashes included.
const maxNumber = 1 << 40

// appendMetadataLine writes a piece's line, newline included. A payload that is a JSON object or array stands as it is
// if that leaves the line whole; any other is base64.
func appendMetadataLine(b []byte, m *media.Metadata) []byte {
	b = append(b, `{"number":`...)
	b = strconv.AppendInt(b, m.Number, 10)
	b = append(b, `,"kind":"`...)
	b = append(b, m.Kind...)
	b = append(b, `","time_ns":`...)
	b = strconv.AppendInt(b, int64(m.Time), 10)
	b = append(b, `,"date":"`...)
	b = m.Date.UTC().AppendFormat(b, dateForm)
	b = append(b, `","payload":`...)
	at := len(b)
	if isObject(m.Payload) {
		b = append(append(b, m.Payload...), '}')
		// The nesting has a limit, which the line itself takes one of.
		if json.Valid(b[bytes.LastIndexByte(b[:at], '\n')+1:]) {
			return append(b, '\n')
		}
		b = b[:at]
	}
	b = append(b, '"')
	b = base64.StdEncoding.AppendEncode(b, m.Payload)
	return append(b, '"', '}', '\n')
}

// isObject says that a payload may be JSON which keeps its bytes inside a line: its ends are brackets, and no newline.
func isObject(b []byte) bool {
	if len(b) < 2 || bytes.ContainsAny(b, "\r\n") {
		return false
	}
	begin, end := b[0], b[len(b)-1]
	return (begin == '{' && end == '}' || begin == '[' && end == ']') && json.Valid(b)
}

// metadataLine is a line as encoding/json reads it.
type metadataLine struct {
	Number  int64           `json:"number"`
	Kind    string          `json:"kind"`
	Time    int64           `json:"time_ns"`
	Date    time.Time       `json:"date"`
	Payload json.RawMessage `json:"payload"`
}

// parseMetadataLine reads a line without its newline.
func parseMetadataLine(line []byte, m *media.Metadata) error {
	if len(line) >= MaxMetadataLine {
		return fmt.Errorf("line of %d bytes", len(line))
	}
	var l metadataLine
	if err := json.Unmarshal(line, &l); err != nil {
		return err
	}
	*m = media.Metadata{
		Number: l.Number, Kind: media.MetadataKind(l.Kind), Time: time.Duration(l.Time),
		Date: l.Date.UTC().Truncate(time.Millisecond),
	}
	switch {
	case len(l.Payload) == 0:
		return fmt.Errorf("no payload")
	case l.Payload[0] == '"':
		if err := json.Unmarshal(l.Payload, &m.Payload); err != nil {
			return err
		}
	case l.Payload[0] == '{' || l.Payload[0] == '[':
		m.Payload = l.Payload
	default:
		return fmt.Errorf("payload %.20q", l.Payload)
	}
	return checkMetadata(m)
}

// checkMetadata says which bound a piece breaks, whoever made it.
func checkMetadata(m *media.Metadata) error {
	switch {
	case m.Number < 1 || m.Number > maxNumber:
		return fmt.Errorf("number %d", m.Number)
	case !metadataKind.MatchString(string(m.Kind)):
		return fmt.Errorf("kind %.40q", m.Kind)
	case m.Time < 0:
		return fmt.Errorf("time %v", m.Time)
	case m.Date.Year() < 1 || m.Date.Year() > 9999:
		return fmt.Errorf("date in year %d", m.Date.Year())
	case len(m.Payload) > media.MaxMetadata:
		return fmt.Errorf("payload of %d bytes", len(m.Payload))
	}
	return nil
}

// metadataSum is what the pieces of a recording come to, so far.
type metadataSum struct {
	number int64 // the newest one's
	count  int
	bytes  int64
}

// admit takes a piece in, or says why not.
func (s *metadataSum) admit(m *media.Metadata) error {
	size := int64(len(m.Payload))
	switch {
	case m.Number <= s.number:
		return fmt.Errorf("%w: number %d follows %d", media.ErrInvalid, m.Number, s.number)
	case s.count >= MaxMetadata || s.bytes+size > MaxMetadataBytes:
		return fmt.Errorf("%w: %d pieces, %d bytes", media.ErrTooLarge, s.count, s.bytes)
	}
	s.number, s.count, s.bytes = m.Number, s.count+1, s.bytes+size
	return nil
}

// metadataScan is what a file of metadata says.
type metadataScan struct {
	pieces []media.Metadata
	// text is the good lines.
	text []byte
	// bad are the lines between good ones that do not parse or do not follow.
	bad []Damage
	// end is where the last good line ends; what lies behind is torn.
	end int
}

// parseMetadata reads a take's file; told is what the takes before came to, and is brought on.
func parseMetadata(data []byte, take int, told *metadataSum) metadataScan {
	var out metadataScan
	var bad []Damage // not known yet whether they are the torn tail
	for pos := 0; pos < len(data); {
		n := bytes.IndexByte(data[pos:], '\n')
		if n < 0 {
			break
		}
		at := pos
		pos += n + 1
		var m media.Metadata
		err := parseMetadataLine(data[at:at+n], &m)
		if err == nil {
			err = told.admit(&m)
		}
		if err != nil {
			if len(bad) < maxDamage {
				bad = append(bad, Damage{File: metadataPath(take), Offset: int64(at), Reason: err.Error()})
			}
			continue
		}
		out.bad, bad = append(out.bad, bad...), nil
		out.bad = out.bad[:min(len(out.bad), maxDamage)]
		m.Take = take
		out.pieces = append(out.pieces, m)
		out.text = append(out.text, data[at:pos]...)
		out.end = pos
	}
	return out
}
