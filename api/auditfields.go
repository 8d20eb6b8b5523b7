package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
)

const (
	maxAuditFields = 2 << 10 // bytes of what a row of the audit log says of a request's fields
	maxAuditValue  = 300     // of one of them
	maxAuditName   = 80
	maxAuditDepth  = 4 // of objects and lists
	redacted       = "redacted"
)

// auditFields are a request's fields for the audit log: the parameters of its query, and the top-level fields of its
// body.
type auditFields struct {
	query     url.Values
	body      []byte
	valueless bool // only names are told
}

// encode gives a JSON object of at most maxAuditFields bytes, without secrets, and the publisher that the fields name,
// if they do. What does not fit is counted under "...".
func (a auditFields) encode() (text json.RawMessage, publisher string) {
	fields := make(map[string]any)
	for name, values := range a.query {
		if len(values) == 1 {
			fields[name] = values[0]
		} else {
			fields[name] = values
		}
	}
	var body map[string]any
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.UseNumber()
	if err := decoder.Decode(&body); err == nil { // else it was refused, or there is none
		maps.Copy(fields, body)
	}
	publisher, _ = fields["publisher"].(string)

	const room = 30 // for what counts the rest
	out := []byte{'{'}
	names := slices.Sorted(maps.Keys(fields))
	for i, name := range names {
		field := encodeField(name, fields[name], a.valueless)
		if len(out)+len(field)+room > maxAuditFields {
			out = appendField(out, fmt.Appendf(nil, `"...":"%d more"`, len(names)-i))
			break
		}
		out = appendField(out, field)
	}
	return append(out, '}'), publisher
}

func appendField(out, field []byte) []byte {
	if len(out) > 1 {
		out = append(out, ',')
	}
	return append(out, field...)
}

// encodeField gives a field as JSON, its value cut to a length.
func encodeField(name string, value any, valueless bool) []byte {
	text := []byte("null")
	if !valueless {
		text = encodeJSON(redact(name, value, 0))
		if len(text) > maxAuditValue {
			text = encodeJSON(cut(string(text), maxAuditValue/2)) // quoting may double it
		}
	}
	return append(append(encodeJSON(cut(name, maxAuditName)), ':'), text...)
}

func encodeJSON(value any) []byte {
	text, err := json.Marshal(value)
	if err != nil {
		panic("BUG: audit field: " + err.Error())
	}
	return text
}

func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// redact gives a value without its secrets: what is named like one, and of URLs all but scheme and host. An empty one
// is told: it takes the secret away.
func redact(name string, value any, depth int) any {
	switch v := value.(type) {
	case string:
		switch {
		case v == "":
			return v
		case secretName(name):
			return redacted
		case strings.Contains(v, "://") || strings.HasSuffix(name, "url"):
			return redactURL(v)
		}
	case []string:
		return redact(name, anySlice(v), depth)
	case []any:
		if depth == maxAuditDepth {
			return "..."
		}
		list := make([]any, 0, len(v))
		for _, item := range v {
			list = append(list, redact(name, item, depth+1))
		}
		return list
	case map[string]any:
		switch {
		case secretName(name):
			return redacted
		case depth == maxAuditDepth:
			return "..."
		}
		object := make(map[string]any, len(v))
		for key, item := range v {
			object[cut(key, maxAuditName)] = redact(key, item, depth+1)
		}
		return object
	case json.Number:
		if secretName(name) {
			return redacted
		}
		if _, err := v.Float64(); err != nil {
			return v.String() // as text, since readers of JSON refuse a number that is so large
		}
	}
	return value
}

func anySlice(list []string) []any {
	out := make([]any, 0, len(list))
	for _, item := range list {
		out = append(out, item)
	}
	return out
}

// secretName says whether a field is named like a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"secret", "passphrase", "password", "passwd", "private", "authorization", "credential"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	for _, word := range []string{"key", "keys", "token", "jwk", "pem"} {
		if name == word || strings.HasSuffix(name, "_"+word) {
			return name != "public_key"
		}
	}
	return false
}

// redactURL leaves scheme and host: user, path and query may be secrets, or name streams that are.
func redactURL(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return redacted
	}
	out := u.Scheme + "://"
	if u.User != nil {
		out += redacted + "@"
	}
	out += u.Host
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		out += "/" + redacted
	}
	return out
}
