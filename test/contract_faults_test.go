package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// fault is one thing that is wrong with a request that is right in all else.
type fault struct {
	what     string // for people
	location string // what the answer must name
	statuses []int  // empty is any 4xx
	// odd: the document does not forbid it, so the answer may be a success.
	odd    bool
	change func(r *request)
}

// unknownProperty and unknownParameter are names that no operation has.
const (
	unknownProperty  = "no_such_property"
	unknownParameter = "no_such_parameter"
)

// faults makes of what the document says of an operation all that can be wrong with a request to it.
func (op *operation) faults(base request) (list []fault) {
	for _, ref := range op.Parameters {
		p := ref.Value
		switch p.In {
		case openapi3.ParameterInPath:
			list = append(list, pathFaults(p)...)
		case openapi3.ParameterInQuery:
			list = append(list, queryFaults(p)...)
		case openapi3.ParameterInHeader:
			list = append(list, headerFaults(p)...)
		}
	}
	list = append(list, fault{
		what: "a query parameter that there is not", location: "query." + unknownParameter,
		change: func(r *request) { r.query.Set(unknownParameter, "1") },
	})
	if op.RequestBody != nil {
		list = append(list, op.bodyFaults(base)...)
	}
	return list
}

// pathFaults are names in the path that are out of form, and of nothing that there is.
func pathFaults(p *openapi3.Parameter) (list []fault) {
	location := "path." + p.Name
	set := func(what, value string, statuses ...int) {
		list = append(list, fault{
			what: location + ": " + what, location: location, statuses: statuses,
			change: func(r *request) { r.path[p.Name] = value },
		})
	}
	unknown := "0123456789abcdefghjkmnpqrs" // also a recording's id, in form
	set("of nothing", unknown, http.StatusNotFound)
	for what, value := range map[string]string{
		"blanks": " a b ", "capitals": "NOBODY", "control characters": "a\x01\n", "no UTF-8": "\xff\xfe",
		"other letters": "ünbekannt", "a slash": "a/b", "dots": "...", "too long": strings.Repeat("a", 2000),
		"SQL": "' OR 1=1 --", "markup": "<script>",
	} {
		set(what, value, http.StatusNotFound, http.StatusUnprocessableEntity)
	}
	return list
}

// queryFaults are values of a query's parameter that its schema forbids, and strange ones that it allows.
func queryFaults(p *openapi3.Parameter) (list []fault) {
	location := "query." + p.Name
	for what, text := range texts(p.Schema.Value) {
		list = append(list, fault{
			what: location + ": " + what, location: location,
			odd:    allows(p.Schema.Value, fromText(p.Schema.Value, text)) == nil,
			change: func(r *request) { r.query.Set(p.Name, text) },
		})
	}
	if p.Required {
		list = append(list, fault{
			what: location + " is missing", location: location, change: func(r *request) { r.query.Del(p.Name) },
		})
	}
	return list
}

func headerFaults(p *openapi3.Parameter) (list []fault) {
	location := "header." + p.Name
	for what, text := range texts(p.Schema.Value) {
		if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || strings.TrimSpace(text) == "" {
			continue // no client sends it, or none can tell it from nothing
		}
		list = append(list, fault{
			what: location + ": " + what, location: location,
			odd:    allows(p.Schema.Value, fromText(p.Schema.Value, text)) == nil,
			change: func(r *request) { r.header.Set(p.Name, text) },
		})
	}
	return list
}

// texts are what may be wrong with a parameter of the schema.
func texts(schema *openapi3.Schema) map[string]string {
	list := map[string]string{
		"a word": "word", "a fraction": "1.5", "a huge number": "99999999999999999999", "markup": "<b>", "blanks": "  ",
		"control characters": "\x01\x00\n", "no UTF-8": "\xff\xfe", "JSON": `{"a":1}`, "SQL": "' OR 1=1 --",
		"long text": strings.Repeat("x", 3000), "a day that there is not": "2026-02-30T10:00:00Z",
		"a negative number": "-7",
	}
	if schema.Min != nil {
		list["below the least"] = fmt.Sprint(int64(*schema.Min) - 1)
	}
	if schema.Max != nil {
		list["above the most"] = fmt.Sprint(int64(*schema.Max) + 1)
	}
	if schema.MaxLength != nil {
		list["too long by one"] = strings.Repeat("x", int(*schema.MaxLength)+1)
	}
	return list
}

// bodyFaults are what may be wrong with the body.
func (op *operation) bodyFaults(base request) (list []fault) {
	content := op.RequestBody.Value.Content["application/json"]
	if content == nil {
		return nil
	}
	schema := content.Schema.Value
	raw := func(what, text, location string, statuses ...int) {
		list = append(list, fault{
			what: "body: " + what, location: location, statuses: statuses,
			change: func(r *request) { r.body = []byte(text) },
		})
	}
	raw("JSON that breaks off", `{"a":`, "body")
	raw("no JSON", "name=show", "body")
	raw("JSON with more behind it", `{} {}`, "body")
	raw("a number past all", `{"a":1e400}`, "body")
	raw("a list", "[]", "body")
	raw("a text", `"text"`, "body")
	raw("null", "null", "body")
	raw("64 KiB and more", `{"`+unknownProperty+`":"`+strings.Repeat("x", 1<<17)+`"}`, "body",
		http.StatusRequestEntityTooLarge)
	raw("deep JSON", strings.Repeat("[", 20000), "body")
	for _, kind := range []string{"text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense"} {
		list = append(list, fault{
			what: "Content-Type " + kind, location: "header.Content-Type", statuses: []int{http.StatusUnsupportedMediaType},
			change: func(r *request) {
				r.header.Set("Content-Type", kind)
				if r.body == nil {
					r.body = map[string]any{}
				}
			},
		})
	}
	if op.RequestBody.Value.Required {
		list = append(list, fault{what: "no body", location: "body", change: func(r *request) { r.body = nil }})
	}
	value, _ := base.clone().body.(map[string]any)
	for _, f := range objectFaults(schema, value) {
		list = append(list, fault{
			what: "body" + f.what, location: "body" + f.location, odd: f.odd,
			change: func(r *request) { r.body = f.value },
		})
	}
	return list
}

// wrongValue is a value that differs from a right one in what the location says.
type wrongValue struct {
	what, location string
	odd            bool
	value          any
}

// objectFaults are those of an object: each property's, the properties that there are not, and the missing ones. The
// value is a right one.
func objectFaults(schema *openapi3.Schema, value map[string]any) (list []wrongValue) {
	changed := func(name string, v any) map[string]any {
		object := maps.Clone(value)
		if object == nil {
			object = make(map[string]any)
		}
		object[name] = v
		return object
	}
	for _, name := range slices.Sorted(maps.Keys(schema.Properties)) {
		for _, f := range valueFaults(schema.Properties[name].Value, value[name]) {
			list = append(list, wrongValue{"." + name + f.what, "." + name + f.location, f.odd, changed(name, f.value)})
		}
	}
	if extra := schema.AdditionalProperties; extra.Has != nil && !*extra.Has {
		list = append(list, wrongValue{
			"." + unknownProperty + ": of no meaning", "." + unknownProperty, false, changed(unknownProperty, 1),
		})
	} else if extra.Schema != nil {
		for _, f := range valueFaults(extra.Schema.Value, nil) { // the name may be at fault too
			list = append(list, wrongValue{".name" + f.what, "", f.odd, changed("name", f.value)})
		}
	}
	for _, name := range schema.Required {
		missing := changed(name, nil)
		delete(missing, name)
		list = append(list, wrongValue{"." + name + " is missing", "." + name, false, missing})
	}
	return list
}

// valueFaults are the values that a schema refuses, and strange ones that it allows.
func valueFaults(schema *openapi3.Schema, value any) (list []wrongValue) {
	for what, v := range candidates(schema) {
		refused := allows(schema, v) != nil
		if _, text := v.(string); refused || text {
			list = append(list, wrongValue{what: ": " + what, odd: !refused, value: v})
		}
	}
	switch {
	case len(schema.Properties) > 0:
		object, _ := value.(map[string]any)
		if object == nil && len(schema.Required) > 0 {
			break // there is no right one to change: the row should have it
		}
		list = append(list, objectFaults(schema, object)...)
	case schema.AdditionalProperties.Schema != nil:
		object, _ := value.(map[string]any)
		list = append(list, objectFaults(schema, object)...)
	case schema.Items != nil:
		for _, f := range valueFaults(schema.Items.Value, nil) {
			location := "[0]" + f.location
			if f.odd { // what the document allows may be refused as a whole
				location = ""
			}
			list = append(list, wrongValue{"[0]" + f.what, location, f.odd, []any{f.value}})
		}
	}
	return list
}

// candidates are values of which a schema refuses some.
func candidates(schema *openapi3.Schema) map[string]any {
	list := map[string]any{
		"null": nil, "a number": 7, "a fraction": 1.5, "a boolean": true, "a list": []any{1}, "an object": map[string]any{"a": 1},
		"a word": "no-such-word", "an empty text": "", "blanks": "  ", "control characters": "\x01\x00\n",
		"other signs": "ünbekannt 💥", "SQL": "' OR 1=1 --", "long text": strings.Repeat("x", 3000),
		"a huge number": json.Number("99999999999999999999"), "a negative number": -7,
		"a day that there is not": "2026-02-30T10:00:00Z",
	}
	if schema.Min != nil {
		list["below the least"] = *schema.Min - 1
	}
	if schema.Max != nil {
		list["above the most"] = *schema.Max + 1
	}
	if schema.MaxLength != nil {
		list["too long by one"] = strings.Repeat("x", int(*schema.MaxLength)+1)
	}
	if schema.MaxItems != nil {
		list["too many"] = slices.Repeat([]any{"x"}, int(*schema.MaxItems)+1)
	}
	return list
}
