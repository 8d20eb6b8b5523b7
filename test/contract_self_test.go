package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// smallDocument is an OpenAPI document of one operation.
const smallDocument = `{
	"openapi": "3.1.0", "info": {"title": "small", "version": "1"},
	"paths": {"/things/{thing}": {"post": {
		"operationId": "make-thing", "summary": "Make a thing",
		"parameters": [
			{"name": "thing", "in": "path", "required": true, "schema": {"type": "string"}},
			{"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 9}},
			{"name": "If-Match", "in": "header", "schema": {"type": "string", "maxLength": 9}}
		],
		"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}}},
		"responses": {
			"201": {
				"description": "made", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Thing"}}},
				"headers": {"Location": {"required": true, "schema": {"type": "string"}}, "X-Count": {"schema": {"type": "integer"}}}
			},
			"204": {"description": "nothing"},
			"default": {
				"description": "refused", "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
			}
		}
	}}},
	"components": {"schemas": {
		"Thing": {
			"type": "object", "additionalProperties": false, "required": ["name", "part"],
			"properties": {
				"name": {"type": "string", "maxLength": 4}, "kind": {"type": "string", "enum": ["a", "b"]},
				"part": {"anyOf": [{"$ref": "#/components/schemas/Part"}, {"type": "null"}]},
				"tags": {"type": "array", "items": {"type": "string"}}, "since": {"type": ["string", "null"], "format": "date-time"}
			}
		},
		"Part": {
			"type": "object", "additionalProperties": false, "required": ["size"],
			"properties": {"size": {"type": "integer", "minimum": 0}}
		},
		"Problem": {"type": "object", "properties": {"status": {"type": "integer"}, "errors": {"type": "array", "items": {}}}}
	}}
}`

func smallOperation(t *testing.T) *operation {
	t.Helper()
	doc, err := parseDocument([]byte(smallDocument))
	if err != nil {
		t.Fatal(err)
	}
	op := doc.operation("make-thing")
	if err := doc.check(op); err != nil {
		t.Fatal(err)
	}
	return op
}

func TestContractSeesWhatIsNotAsDocumented(t *testing.T) {
	op := smallOperation(t)
	for what, c := range map[string]struct {
		status       int
		header, body string
		wrong        string // empty: nothing
	}{
		"right":               {201, "Location: /x", `{"name":"x","part":{"size":1},"since":null}`, ""},
		"null is allowed":     {201, "Location: /x", `{"name":"x","part":null}`, ""},
		"no body":             {204, "", "", ""},
		"a refusal":           {404, "Content-Type: application/problem+json", `{"status":404,"errors":[null]}`, ""},
		"status":              {200, "", `{}`, "200 is not documented"},
		"header":              {201, "Location: /x\nX-More: 1", `{"name":"x","part":null}`, "X-More"},
		"header's type":       {201, "Location: /x\nX-Count: many", `{"name":"x","part":null}`, "X-Count"},
		"missing header":      {201, "", `{"name":"x","part":null}`, "Location"},
		"content type":        {201, "Location: /x\nContent-Type: text/html", `{"name":"x","part":null}`, "text/html"},
		"no JSON":             {201, "Location: /x", `{`, "body"},
		"property":            {201, "Location: /x", `{"name":"x","part":null,"more":1}`, "more"},
		"missing property":    {201, "Location: /x", `{"name":"x"}`, "part"},
		"null":                {201, "Location: /x", `{"name":null,"part":null}`, "name"},
		"property of a part":  {201, "Location: /x", `{"name":"x","part":{"size":1,"more":1}}`, "part"},
		"enum":                {201, "Location: /x", `{"name":"x","part":null,"kind":"c"}`, "kind"},
		"list":                {201, "Location: /x", `{"name":"x","part":null,"tags":[1]}`, "tags"},
		"length":              {201, "Location: /x", `{"name":"longer","part":null}`, "name"},
		"format":              {201, "Location: /x", `{"name":"x","part":null,"since":"today"}`, "since"},
		"body of nothing":     {204, "", `{}`, "without a body"},
		"refusal's type":      {422, "", `{"status":422}`, "application/json"},
		"refusal's own type":  {422, "Content-Type: application/problem+json", `{"status":"422"}`, "status"},
		"refusal that breaks": {500, "Content-Type: application/problem+json", `{"status":`, "body"},
	} {
		a := answer{status: c.status, header: http.Header{"Content-Type": {"application/json"}}, body: []byte(c.body)}
		for line := range strings.Lines(c.header) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			a.header.Set(name, value)
		}
		err := op.conforms(a)
		if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v, want %q", what, err, c.wrong)
		}
	}
}

func TestContractSeesRefusalsThatNameNothing(t *testing.T) {
	right := `{"title":"T","status":422,"detail":"d","errors":[{"location":"body.name","message":"m"}]}`
	for what, c := range map[string]struct {
		status   int
		body     string
		location string
		ok       bool
	}{
		"right":         {422, right, "body.name", true},
		"a part of it":  {422, strings.Replace(right, "body.name", "body.name[0].x", 1), "body.name", true},
		"another value": {422, right, "body.kind", false},
		"a longer name": {422, strings.Replace(right, "body.name", "body.names", 1), "body.name", false},
		"success":       {200, right, "body.name", false},
		"a crash":       {500, right, "body.name", false},
		"no message":    {422, strings.Replace(right, `"m"`, `""`, 1), "body.name", false},
		"no detail":     {422, strings.Replace(right, `"d"`, `""`, 1), "body.name", false},
		"other status":  {404, right, "body.name", false},
		"no errors":     {422, `{"title":"T","status":422,"detail":"d"}`, "body.name", false},
		"no JSON":       {422, "bad", "body.name", false},
	} {
		a := answer{status: c.status, header: http.Header{"Content-Type": {"application/problem+json"}}, body: []byte(c.body)}
		if err := refuses(a, c.location); (err == nil) != c.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestContractMakesFaultsOfTheDocument(t *testing.T) {
	op := smallOperation(t)
	base := on("thing", "x").send(map[string]any{"name": "x", "part": map[string]any{"size": 1}})
	var forbidden []string
	for _, f := range op.faults(base) {
		r := base.clone()
		f.change(&r)
		if !f.odd {
			forbidden = append(forbidden, f.what)
		}
		if _, changed := base.body.(map[string]any)["part"].(map[string]any)["size"].(int); !changed {
			t.Fatalf("%s changed the right request", f.what)
		}
	}
	for _, want := range []string{
		"path.thing: of nothing", "query.limit: below the least", "query.limit: above the most", "query.limit: a word",
		"query.limit: a fraction", "header.If-Match: too long by one", "a query parameter that there is not",
		"body.name: null", "body.name: a number", "body.name: too long by one", "body.name is missing",
		"body.kind: a word", "body.part is missing", "body.tags: a word", "body.tags[0]: a number", "body.part: a word",
		"body.since: a word", "body." + unknownProperty + ": of no meaning", "body: no JSON", "no body",
		"Content-Type text/plain",
	} {
		if !slices.Contains(forbidden, want) {
			t.Errorf("no fault %q", want)
		}
	}
	for _, not := range []string{"body.since: null", "body.part: null"} {
		if slices.Contains(forbidden, not) {
			t.Errorf("%q is no fault", not)
		}
	}
}
