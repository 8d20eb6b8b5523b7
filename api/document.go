package api

import (
	"maps"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// StreamRow is streamRow under a name that huma sees where a larger answer embeds it: of an embedded type without a
// capital it documents nothing.
type StreamRow = streamRow

// PublisherRow is publisherRow for larger answers, as StreamRow is.
type PublisherRow = publisherRow

// KeyRow is keyRow for larger answers, as StreamRow is.
type KeyRow = keyRow

// PlaybackKeyRow is playbackKeyRow for larger answers, as StreamRow is.
type PlaybackKeyRow = playbackKeyRow

// TokenRow is tokenRow for larger answers, as StreamRow is.
type TokenRow = tokenRow

// TransformSchema says what huma can't say of a pointer to an object: that it may be null.
func (*recordingRow) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return mayBeNull(s, "progress", "clip")
}

// mayBeNull marks properties that are references to objects.
func mayBeNull(s *huma.Schema, properties ...string) *huma.Schema {
	for _, name := range properties {
		if p := s.Properties[name]; p != nil && p.Ref != "" {
			s.Properties[name] = &huma.Schema{
				Description: p.Description, AnyOf: []*huma.Schema{{Ref: p.Ref}, {Type: "null"}},
			}
		}
	}
	return s
}

// documentAnswers adds to the document the answers that the routes do not tell of themselves: to a dry run, where the
// work itself is answered otherwise, and the headers of refusals.
func documentAnswers(doc *huma.OpenAPI) {
	for _, path := range doc.Paths {
		for _, op := range operations(path) {
			documentDryRun(op)
			for status, response := range op.Responses {
				documentRefusal(status, response)
			}
		}
	}
}

func documentDryRun(op *huma.Operation) {
	seen, done := strconv.Itoa(http.StatusOK), op.Responses[strconv.Itoa(http.StatusAccepted)]
	if done == nil || op.Responses[seen] != nil {
		return
	}
	for _, p := range op.Parameters {
		if p.Name == "dry_run" && p.In == "query" {
			op.Responses[seen] = &huma.Response{
				Description: "What would come of it: dry_run was set", Headers: done.Headers, Content: done.Content,
			}
		}
	}
}

// documentRefusal adds the headers that tell a client when to come again, and with what.
func documentRefusal(status string, r *huma.Response) {
	if status < "400" { // "default" is greater
		return
	}
	headers := maps.Clone(r.Headers)
	if headers == nil {
		headers = make(map[string]*huma.Param)
	}
	for _, header := range []struct {
		name, description, kind string
		of                      []int
	}{
		{"Retry-After", "Seconds to wait before the next try", huma.TypeInteger,
			[]int{http.StatusTooManyRequests, http.StatusServiceUnavailable}},
		{"WWW-Authenticate", "How to prove who asks (RFC 9110, 11.6.1)", huma.TypeString,
			[]int{http.StatusUnauthorized, http.StatusForbidden}},
	} {
		for _, of := range header.of {
			if _, has := headers[header.name]; !has && (status == "default" || status == strconv.Itoa(of)) {
				headers[header.name] = &huma.Param{
					Description: header.description, Schema: &huma.Schema{Type: header.kind},
				}
			}
		}
	}
	if len(headers) > 0 {
		r.Headers = headers
	}
}
