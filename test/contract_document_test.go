package test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// document is the OpenAPI document of a running server: what its answers are held against.
type document struct {
	*openapi3.T
	ops []*operation // by path and method
}

// operation is one of the document.
type operation struct {
	*openapi3.Operation
	method, path string
}

// loadDocument fetches the server's document and checks the document itself.
func loadDocument(tb testing.TB, server *oxbow) *document {
	tb.Helper()
	status, text, header := fetch(server.url("/v1/openapi.json"), nil)
	if status != http.StatusOK || header.Get("Content-Type") != "application/openapi+json" {
		tb.Fatalf("GET /v1/openapi.json: %d %s", status, header.Get("Content-Type"))
	}
	doc, err := parseDocument(text)
	if err != nil {
		tb.Fatal(err)
	}
	return doc
}

func parseDocument(text []byte) (*document, error) {
	parsed, err := openapi3.NewLoader().LoadFromData(text)
	if err != nil {
		return nil, fmt.Errorf("OpenAPI document: %w", err)
	}
	if !parsed.IsOpenAPI31OrLater() {
		return nil, fmt.Errorf("OpenAPI document of version %s, want 3.1", parsed.OpenAPI)
	}
	// JSON Schema (2020-12, 6.5) lets a schema have keywords of its own; the validator asks to be told of them.
	if err := parsed.Validate(context.Background(), openapi3.AllowExtraSiblingFields("patternDescription"),
		openapi3.EnableExamplesValidation(), openapi3.EnableSchemaDefaultsValidation(),
		openapi3.EnableMultiError()); err != nil {
		return nil, fmt.Errorf("OpenAPI document: %w", err)
	}
	for _, schema := range parsed.Components.Schemas {
		permitNull(schema.Value, make(map[*openapi3.Schema]bool))
	}
	doc := &document{T: parsed}
	for path, item := range parsed.Paths.Map() {
		for method, op := range item.Operations() {
			doc.ops = append(doc.ops, &operation{Operation: op, method: method, path: path})
		}
	}
	slices.SortFunc(doc.ops, func(a, b *operation) int {
		return strings.Compare(a.path+" "+a.method, b.path+" "+b.method)
	})
	return doc, nil
}

// permitNull has the validator let a null pass a schema without a type, as JSON Schema does; by itself it holds such a
// schema to be one of OpenAPI 3.0.
func permitNull(schema *openapi3.Schema, seen map[*openapi3.Schema]bool) {
	if schema == nil || seen[schema] {
		return
	}
	seen[schema] = true
	if schema.Type == nil && len(schema.Enum)+len(schema.OneOf)+len(schema.AnyOf)+len(schema.AllOf) == 0 {
		schema.Type = &openapi3.Types{"null", "boolean", "object", "array", "number", "string", "integer"}
	}
	for _, property := range schema.Properties {
		permitNull(property.Value, seen)
	}
	for _, of := range []*openapi3.SchemaRef{schema.Items, schema.AdditionalProperties.Schema} {
		if of != nil {
			permitNull(of.Value, seen)
		}
	}
}

// operation gives the one of the id, nil when the document has none.
func (d *document) operation(id string) *operation {
	for _, op := range d.ops {
		if op.OperationID == id {
			return op
		}
	}
	return nil
}

// open says whether an operation needs no token.
func (d *document) open(op *operation) bool {
	needs := d.Security
	if op.Security != nil {
		needs = *op.Security
	}
	return len(needs) == 0
}

// check says what is wrong with what the document says of an operation, beside what makes it no OpenAPI.
func (d *document) check(op *operation) error {
	var wrong []error
	if op.Summary == "" {
		wrong = append(wrong, errors.New("it has no summary"))
	}
	if success := slices.DeleteFunc(op.Responses.Keys(), func(s string) bool { return s[0] != '2' }); len(success) == 0 {
		wrong = append(wrong, errors.New("it documents no success"))
	}
	for status, response := range op.Responses.Map() {
		if status[0] == '2' || status[0] == '3' {
			continue
		}
		if problem := response.Value.Content["application/problem+json"]; problem == nil || problem.Schema == nil ||
			len(response.Value.Content) != 1 {
			wrong = append(wrong, fmt.Errorf("response %s is no application/problem+json with a schema", status))
		}
	}
	return errors.Join(wrong...)
}

// everyAnswer are the headers of HTTP itself, and those that any answer may have: they need no word of the document.
func everyAnswer(header string) bool {
	return slices.Contains([]string{
		"Content-Type", "Content-Length", "Date", "Connection", "Transfer-Encoding", "Cache-Control", "Vary",
		"Content-Security-Policy", "Referrer-Policy", "X-Content-Type-Options", "X-Accel-Buffering",
	}, header) || strings.HasPrefix(header, "Access-Control-") || strings.HasPrefix(strings.ToLower(header), "ratelimit") ||
		strings.HasPrefix(strings.ToLower(header), "x-ratelimit")
}

// conforms says in what an answer differs from what the document says of its operation.
func (op *operation) conforms(a answer) error {
	ref := op.Responses.Status(a.status)
	if ref == nil && a.status >= http.StatusBadRequest {
		ref = op.Responses.Default()
	}
	if ref == nil {
		return fmt.Errorf("status %d is not documented: it has %v", a.status, op.Responses.Keys())
	}
	response := ref.Value
	var wrong []error
	for name := range a.header {
		documented := false
		for told := range response.Headers {
			documented = documented || http.CanonicalHeaderKey(told) == name
		}
		if !documented && !everyAnswer(name) {
			wrong = append(wrong, fmt.Errorf("header %s of status %d is not documented", name, a.status))
		}
	}
	for name, header := range response.Headers {
		if header.Value.Required && a.header.Get(name) == "" {
			wrong = append(wrong, fmt.Errorf("header %s is required and missing", name))
		}
		if text := a.header.Get(name); text != "" && header.Value.Schema != nil {
			if err := allows(header.Value.Schema.Value, fromText(header.Value.Schema.Value, text)); err != nil {
				wrong = append(wrong, fmt.Errorf("header %s: %w", name, err))
			}
		}
	}
	return errors.Join(append(wrong, bodyConforms(response, a))...)
}

func bodyConforms(response *openapi3.Response, a answer) error {
	if len(response.Content) == 0 {
		if len(a.body) > 0 {
			return fmt.Errorf("status %d is documented without a body", a.status)
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("Content-Type %q: %w", a.header.Get("Content-Type"), err)
	}
	content := response.Content[kind]
	if content == nil {
		return fmt.Errorf("Content-Type %s of status %d is not documented", kind, a.status)
	}
	if kind == "text/event-stream" {
		return framesConform(a)
	}
	if content.Schema == nil {
		return fmt.Errorf("the body of status %d has no schema", a.status)
	}
	var value any
	if err := json.Unmarshal(a.body, &value); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	if err := allows(content.Schema.Value, value); err != nil {
		return fmt.Errorf("the body is not as documented: %w", err)
	}
	return nil
}

// allows says why a schema refuses a value, nil when it does not.
func allows(schema *openapi3.Schema, value any) error {
	return schema.VisitJSON(value, openapi3.EnableJSONSchema2020(), openapi3.EnableFormatValidation(),
		openapi3.MultiErrors(), openapi3.SetSchemaErrorMessageCustomizer(func(e *openapi3.SchemaError) string {
			return fmt.Sprintf("at /%s: %s", strings.Join(e.JSONPointer(), "/"), e.Reason) // without the schema's text
		}))
}

// fromText reads a header's or parameter's text as its schema's type.
func fromText(schema *openapi3.Schema, text string) any {
	for _, kind := range []string{openapi3.TypeInteger, openapi3.TypeNumber, openapi3.TypeBoolean} {
		var value any
		if schema.Type.Includes(kind) && json.Unmarshal([]byte(text), &value) == nil {
			return value
		}
	}
	if schema.Type.Includes(openapi3.TypeArray) {
		return []any{text}
	}
	return text
}
