package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humachi"

	"github.com/oxbow-video/oxbow/internal/media"
)

// unreadable stands for a text with a zero byte in what huma validates, as null does: no database has it, and it names
// nothing.
type unreadable struct{}

// MarshalJSON writes what the error repeats.
func (unreadable) MarshalJSON() ([]byte, error) { return []byte(`"..."`), nil }

const wantText = "use text in UTF-8, without zero bytes"

func plain(text string) bool { return utf8.ValidString(text) && strings.IndexByte(text, 0) < 0 }

// plainText refuses paths and queries that no database takes: PostgreSQL has neither zero bytes nor what is no UTF-8.
func (s *Server) plainText(ctx huma.Context, next func(huma.Context)) {
	op := ctx.Operation()
	var err error
	for _, p := range op.Parameters {
		if p.In == "path" && !plain(ctx.Param(p.Name)) {
			err = at("path."+p.Name, fmt.Errorf("%w: nothing has a name like that: %s", media.ErrNotFound, wantText))
			break
		}
	}
	if url := ctx.URL(); err == nil && (!plain(url.RawQuery) || strings.Contains(url.RawQuery, "%")) {
		for name, values := range url.Query() {
			for _, value := range values {
				if plain(name) && !plain(value) {
					err = at("query."+name, fmt.Errorf("%w: %s", media.ErrInvalid, wantText))
				}
			}
		}
	}
	if err != nil {
		_, w := humachi.Unwrap(ctx)
		writeProblem(w, s.problem(ctx.Context(), err))
		return
	}
	next(ctx)
}

// readBody reads a body for huma's validation. What would mean two things is refused: a name that is there twice in an
// object, also in other case, of which huma would validate one and the decoder take the other.
func readBody(data []byte, into *any) error {
	if !utf8.Valid(data) {
		return errors.New("the body is no UTF-8")
	}
	if err := json.Unmarshal(data, into); err != nil { // it bounds the depth
		return err
	}
	if name, twice := namedTwice(data); twice {
		return fmt.Errorf("%.40q is there twice", name)
	}
	*into = readable(*into)
	return nil
}

// readable puts unreadable in the place of texts with zero bytes, and null in that of nulls in objects.
func readable(value any) any {
	switch v := value.(type) {
	case string:
		if strings.IndexByte(v, 0) >= 0 {
			return unreadable{}
		}
	case []any:
		for i := range v {
			v[i] = readable(v[i])
		}
	case map[string]any:
		for name := range v {
			if v[name] = readable(v[name]); v[name] == nil {
				v[name] = null{}
			}
		}
	}
	return value
}

// namedTwice looks for a name that an object of good JSON has twice, as encoding/json takes names for the same.
func namedTwice(data []byte) (string, bool) {
	type level struct {
		names map[string]bool // nil in a list
		value bool            // a value comes next
	}
	var open []level
	for d := json.NewDecoder(bytes.NewReader(data)); ; {
		token, err := d.Token()
		if err != nil {
			return "", false
		}
		last := len(open) - 1
		switch t := token.(type) {
		case json.Delim:
			switch t {
			case '}', ']':
				open = open[:last]
				continue
			}
			if last >= 0 {
				open[last].value = false
			}
			l := level{}
			if t == '{' {
				l.names = map[string]bool{}
			}
			open = append(open, l)
			continue
		case string:
			if last >= 0 && open[last].names != nil && !open[last].value {
				name := strings.ToLower(strings.ToUpper(t))
				if open[last].names[name] {
					return t, true
				}
				open[last].names[name], open[last].value = true, true
				continue
			}
		}
		if last >= 0 {
			open[last].value = false
		}
	}
}

// bearerToken gives the token of a request, empty if it has none.
func bearerToken(h http.Header) string {
	scheme, text, _ := strings.Cut(h.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(text)
}

// jsonFormat is huma's JSON with nulls, and what readBody refuses, refused.
func jsonFormat() huma.Format {
	return huma.Format{
		Marshal: func(w io.Writer, v any) error {
			enc := json.NewEncoder(w)
			enc.SetEscapeHTML(false)
			return enc.Encode(v)
		},
		Unmarshal: func(data []byte, v any) error {
			if p, ok := v.(*any); ok {
				return readBody(data, p)
			}
			return json.Unmarshal(data, v)
		},
	}
}
