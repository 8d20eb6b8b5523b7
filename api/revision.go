package api

import (
	"errors"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	maxIfMatch = 16        // entity tags
	noRevision = int64(-1) // which nothing is at
)

// IfMatch is a request's condition that what it changes is as its caller saw it: one of the entity tags of If-Match,
// compared strongly (RFC 9110, 13.1.1).
type IfMatch struct {
	Tags      string `header:"If-Match" doc:"Do it only if its ETag is still one of these, else 412; * is any"`
	revisions []int64
}

// Resolve implements huma.Resolver: the header may come in several lines.
func (m *IfMatch) Resolve(ctx huma.Context) []error {
	var lines []string
	ctx.EachHeader(func(name, value string) {
		if strings.EqualFold(name, "If-Match") {
			lines = append(lines, value)
		}
	})
	if len(lines) == 0 {
		return nil
	}
	var err error
	if m.revisions, err = parseIfMatch(strings.Join(lines, ",")); err != nil {
		return []error{&huma.ErrorDetail{Location: "header.If-Match", Message: err.Error()}}
	}
	return nil
}

var errIfMatch = errors.New(`use * or ETags as they came, like "7", with commas between them, 16 at most`)

// parseIfMatch gives the revisions that the header allows: none is any, for *. A tag that is weak, or no revision, can
// match nothing that there is.
func parseIfMatch(text string) ([]int64, error) {
	text = strings.Trim(text, " \t")
	if text == "*" {
		return nil, nil
	}
	revisions := []int64{noRevision}
	for {
		text = strings.TrimLeft(text, " \t,")
		if text == "" {
			break
		}
		rest, weak := strings.CutPrefix(text, "W/")
		tag, rest, ok := quoted(rest)
		if !ok || len(revisions) > maxIfMatch {
			return nil, errIfMatch
		}
		revision, err := strconv.ParseInt(tag, 10, 64)
		if err == nil && !weak && etag(revision) == `"`+tag+`"` {
			revisions = append(revisions, revision)
		} else {
			revisions = append(revisions, noRevision)
		}
		text = strings.TrimLeft(rest, " \t")
		if text != "" && text[0] != ',' {
			return nil, errIfMatch
		}
	}
	if len(revisions) == 1 {
		return nil, errIfMatch
	}
	return revisions, nil
}

// quoted cuts an opaque tag (RFC 9110, 8.8.3) off the text.
func quoted(text string) (tag, rest string, ok bool) {
	if text == "" || text[0] != '"' {
		return "", "", false
	}
	tag, rest, ok = strings.Cut(text[1:], `"`)
	for i := range len(tag) {
		if tag[i] < 0x21 || tag[i] == 0x7f {
			return "", "", false
		}
	}
	return tag, rest, ok
}

// etag is a revision as entity tag.
func etag(revision int64) string { return `"` + strconv.FormatInt(revision, 10) + `"` }

// located is at, but that a failed condition is the header's.
func located(location string, err error) error {
	if errors.Is(err, media.ErrPrecondition) {
		location = "header.If-Match"
	}
	return at(location, err)
}
