package api

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

const apiDescription = `Publishers, streams, keys, recordings, clips, live sessions and nodes of an Oxbow video CDN.

**Errors** are problem documents (RFC 9457). Every 4xx names in ` + "`errors[].location`" + ` the value at fault, like
` + "`body.archive_delay`, `query.limit`, `path.recording` or `header.If-Match`" + `. Unknown fields, unknown query
parameters and null are refused.

**Lists** come in pages: ` + "`next`" + ` is the cursor of the page that follows, empty on the last. Pass it as it came,
with the same filters. A page neither skips nor repeats what was there when the listing began.

**Revisions.** What can be changed has an ETag. A change with it in If-Match is made only if nobody made another one
meanwhile, else the answer is 412.

**Idempotency.** A POST with an Idempotency-Key is done once: the same request under the same key gets the first answer
again, for a day. What failed may be tried again under its key.

**Limits.** RateLimit-Limit, RateLimit-Remaining and RateLimit-Reset say what a token may still ask; 429 comes with
Retry-After.`

// complete adds to the document what follows from the methods, paths and parameters of its operations: tags, texts,
// errors and headers. What is told beside a type stays as it is.
func complete(doc *huma.OpenAPI) {
	doc.Info.Description = apiDescription
	doc.Servers = []*huma.Server{{URL: "/", Description: "The server that gave this document"}}
	if scheme := doc.Components.SecuritySchemes[bearer]; scheme != nil {
		scheme.Description = "An API token, without the word Bearer. The first start prints an admin's, or takes it from " +
			"OXBOW_ADMIN_TOKEN; POST /v1/tokens makes others, with fewer rights."
	}
	used := map[string]bool{}
	for path, item := range doc.Paths {
		for _, op := range operations(item) {
			op.Tags = []string{tagOf(path)}
			used[op.Tags[0]] = true
			if op.Description == "" {
				op.Description = operationTexts()[op.OperationID]
			}
			completeParameters(op)
			completeResponses(doc, op, path)
		}
	}
	for _, tag := range tags() {
		if used[tag.Name] {
			doc.Tags = append(doc.Tags, tag)
		}
	}
	completeProperties(doc.Components.Schemas.Map())
}

// operations gives those of a path, in the order in which people read of them.
func operations(item *huma.PathItem) []*huma.Operation {
	all := []*huma.Operation{item.Get, item.Post, item.Put, item.Patch, item.Delete}
	return slices.DeleteFunc(all, func(op *huma.Operation) bool { return op == nil })
}

// tags are the resources, in the order in which people meet them.
func tags() []*huma.Tag {
	var list []*huma.Tag
	for _, t := range [][2]string{
		{"publishers", "Tenants, and the settings of all their streams"},
		{"streams", "Named channels of a publisher"},
		{"keys", "Secrets that encoders publish with"},
		{"sources", "Where the server fetches a stream itself"},
		{"sessions", "Encoders that are connected now"},
		{"timed events", "Cues, metadata and text in a live show"},
		{"recordings", "Shows, while they are live and after"},
		{"clips", "Recordings of pieces of others"},
		{"retention", "What is going to be archived and deleted"},
		{"listing", "What everybody may see"},
		{"playback", "Keys and tokens of those who may watch"},
		{"webhooks", "Who is told of what happens"},
		{"events", "What happened"},
		{"tokens", "Who may use this API"},
		{"audit", "Who changed what"},
		{"nodes", "Processes of the cluster"},
		{"steering", "At which edges viewers are"},
		{"archives", "Stores that recordings are kept in"},
		{"viewing", "Who watches, and how well"},
		{"other", "All else"},
	} {
		list = append(list, &huma.Tag{Name: t[0], Description: t[1]})
	}
	return list
}

// tagOf gives the resource that a path is of: its last element that names one.
func tagOf(path string) string {
	resource := map[string]string{
		"publishers": "publishers", "streams": "streams", "keys": "keys", "source": "sources", "session": "sessions",
		"sessions": "sessions", "switch": "sessions", "recordings": "recordings", "clips": "clips",
		"retention": "retention", "listing": "listing", "playback-keys": "playback", "playback-tokens": "playback",
		"webhooks": "webhooks", "events": "events", "tokens": "tokens", "token": "tokens", "audit": "audit",
		"nodes": "nodes", "archives": "archives", "steering": "steering", "viewing": "viewing",
	}
	parts := strings.Split(path, "/")
	for i, part := range slices.Backward(parts) {
		tag, ok := resource[part]
		if ok && part == "events" && i > 2 {
			return "timed events" // of a stream
		}
		if ok {
			return tag
		}
	}
	return "other"
}

// completeParameters adds the header that every POST takes, and texts to parameters that have none.
func completeParameters(op *huma.Operation) {
	for _, p := range op.Parameters {
		if p.Description == "" {
			p.Description = propertyTexts()[p.Name]
		}
	}
	if op.Method != http.MethodPost || len(op.Security) == 0 {
		return
	}
	least, most := minReplyKey, maxReplyKey
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: idempotencyKey, In: "header",
		Description: "Do this once: the same request under the same key gets the first answer again, for a day",
		Schema: &huma.Schema{
			Type: huma.TypeString, MinLength: &least, MaxLength: &most, Pattern: "^[!-~]*$",
			Examples: []any{"5e1c9f0e-3f63-4d53-9d2e-6f1f0b0f5a11"},
		},
	})
}

// completeResponses adds the errors that an operation can come to, and the headers of its answers.
func completeResponses(doc *huma.OpenAPI, op *huma.Operation, path string) {
	has := func(in, name string) bool {
		return slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.In == in && p.Name == name })
	}
	statuses := []int{http.StatusUnprocessableEntity, http.StatusInternalServerError, http.StatusServiceUnavailable}
	add := func(when bool, more ...int) {
		if when {
			statuses = append(statuses, more...)
		}
	}
	add(len(op.Security) > 0, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests)
	add(strings.Contains(path, "{") || has("query", "publisher"), http.StatusNotFound)
	add(strings.Contains(path, "{recording}"), http.StatusGone)
	add(op.Method != http.MethodGet, http.StatusConflict)
	add(has("header", "If-Match"), http.StatusPreconditionFailed)
	add(op.RequestBody != nil, http.StatusBadRequest, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge,
		http.StatusUnsupportedMediaType)
	for _, status := range statuses {
		code := strconv.Itoa(status)
		if op.Responses[code] == nil {
			op.Responses[code] = problemResponse(doc, status)
		}
	}
	if accepted := op.Responses["202"]; accepted != nil && has("query", "dry_run") && op.Responses["200"] == nil {
		op.Responses["200"] = &huma.Response{
			Description: "What would come of it", Content: accepted.Content, Headers: accepted.Headers,
		}
	}
	if has("header", idempotencyKey) {
		tellReplay(op)
	}
	texts := map[string]string{
		"Location": "Where it is now", "ETag": "Its revision, for If-Match", "Cache-Control": "How long it is good for",
	}
	for _, r := range op.Responses {
		for name, header := range r.Headers {
			if header.Description == "" {
				header.Description = texts[name]
			}
		}
	}
}

// tellReplay documents the header of an answer that is given again.
func tellReplay(op *huma.Operation) {
	for code, r := range op.Responses {
		if code[0] != '2' {
			continue
		}
		if r.Headers == nil {
			r.Headers = map[string]*huma.Param{}
		}
		r.Headers[replayed] = &huma.Param{
			Description: "true where it is the answer to an earlier request under the key",
			Schema:      &huma.Schema{Type: huma.TypeString, Enum: []any{"true"}},
		}
	}
}

// problemResponse is an answer with a problem document.
func problemResponse(doc *huma.OpenAPI, status int) *huma.Response {
	meaning := map[int]string{
		http.StatusBadRequest:            "The body is missing or no JSON",
		http.StatusUnauthorized:          "No token, or one that this server does not know",
		http.StatusForbidden:             "The token may not do this",
		http.StatusNotFound:              "There is no such thing, or not for this token",
		http.StatusRequestTimeout:        "The body did not arrive in time",
		http.StatusConflict:              "What is there stands in the way: the text says what to do",
		http.StatusGone:                  "It was deleted",
		http.StatusPreconditionFailed:    "It is at none of the revisions of If-Match",
		http.StatusRequestEntityTooLarge: "The body is too large",
		http.StatusUnsupportedMediaType:  "The body's Content-Type is not application/json",
		http.StatusUnprocessableEntity:   "A value is out of form or range: errors[].location names it",
		http.StatusTooManyRequests:       "Too many requests: wait as long as Retry-After says",
		http.StatusInternalServerError:   "An error of the server, whose log says more",
		http.StatusServiceUnavailable:    "A service that this needs is away: try again in a moment",
	}
	r := &huma.Response{
		Description: meaning[status],
		Content: map[string]*huma.MediaType{"application/problem+json": {
			Schema: &huma.Schema{Ref: "#/components/schemas/ErrorModel"},
		}},
	}
	header := func(name, text string) {
		if r.Headers == nil {
			r.Headers = map[string]*huma.Param{}
		}
		r.Headers[name] = &huma.Param{Description: text, Schema: &huma.Schema{Type: huma.TypeString}}
	}
	switch status {
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		header("Retry-After", "Seconds to wait")
	case http.StatusUnauthorized:
		header("WWW-Authenticate", "How to authenticate")
	}
	if doc.Components.Schemas.Map()["ErrorModel"] == nil {
		panic("BUG: OpenAPI document: there is no schema ErrorModel")
	}
	return r
}

// completeProperties gives properties that have no text the one that is common to their name, and those of settings in
// force the one of the setting.
func completeProperties(schemas map[string]*huma.Schema) {
	texts := propertyTexts()
	settings := schemas["SettingsPatch"]
	for _, schema := range schemas {
		for name, property := range schema.Properties {
			if property.Description != "" || property.Ref != "" {
				continue
			}
			property.Description = texts[name]
			if settings != nil && settings.Properties[name] != nil && schema.Properties["dvr_window"] != nil {
				property.Description = settings.Properties[name].Description
			}
		}
	}
}
