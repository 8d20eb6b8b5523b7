package api

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/rest.md anew")

// object is a JSON object of the OpenAPI document.
type object = map[string]any

// inside gives what is at a path of names; nil, of which all can be asked, where there is nothing.
func inside(v any, path ...string) object {
	for _, name := range path {
		m, _ := v.(object)
		v = m[name]
	}
	m, _ := v.(object)
	return m
}

func text(m object, name string) string {
	s, _ := m[name].(string)
	return s
}

// operationDoc is one operation of the document.
type operationDoc struct {
	object
	method, path, id string
}

// pathValues stand for the parameters in the examples' paths.
var pathValues = strings.NewReplacer("{publisher}", "acme", "{stream}", "show", "{recording}", "01kafzq7s8e5gv9mxw2ctrb4nd",
	"{id}", "01kafzq7s8e5gv9mxw2ctrb4ne", "{key}", "01kafzq7s8e5gv9mxw2ctrb4ne", "{node}", "ingest-1", "{event}", "ad-1",
	"{kid}", "web", "{webhook}", "01kafzq7s8e5gv9mxw2ctrb4ne")

// TestRESTDocIsCurrent holds docs/rest.md against the OpenAPI document.
func TestRESTDocIsCurrent(t *testing.T) {
	const name = "../docs/rest.md"
	want := restDoc(newFixture(t, nil).must(200, "GET", "/v1/openapi.json", "").json)
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != want {
		t.Errorf("docs/rest.md is stale (%v): go test ./api -run RESTDoc -update", err)
	}
}

// TestRESTDocExamplesAreTaken sends every body that docs/rest.md shows: what is sent may not be there, but is never out
// of form.
func TestRESTDocExamplesAreTaken(t *testing.T) {
	f := newFixture(t, nil)
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	f.must(201, "POST", "/v1/publishers/acme/streams", `{"name":"show"}`)
	doc := f.must(200, "GET", "/v1/openapi.json", "").json
	unused := maps.Clone(exampleBodies())
	for _, op := range slices.Concat(slices.Collect(maps.Values(byTag(doc)))...) {
		if inside(op.object, "requestBody") == nil {
			continue
		}
		body, ok := unused[op.id]
		if delete(unused, op.id); !ok {
			t.Errorf("%s has a body and no example: put one into exampleBodies", op.id)
			continue
		}
		answer := f.do(op.method, pathValues.Replace(op.path), body)
		if slices.Contains([]int{400, 415, 422}, answer.Code) && strings.Contains(answer.Body.String(), "body") {
			t.Errorf("%s %s is refused: %d %s", op.id, body, answer.Code, answer.Body)
		}
	}
	for id := range unused {
		t.Errorf("exampleBodies has %s, which takes no body", id)
	}
}

// byTag gives the operations of each group, by path and then as people read of methods.
func byTag(doc object) map[string][]operationDoc {
	groups := map[string][]operationDoc{}
	for _, path := range slices.Sorted(maps.Keys(inside(doc, "paths"))) {
		for _, method := range []string{"get", "post", "put", "patch", "delete"} {
			op := inside(doc, "paths", path, method)
			if op == nil {
				continue
			}
			list, _ := op["tags"].([]any)
			tag, _ := list[0].(string)
			groups[tag] = append(groups[tag], operationDoc{op, strings.ToUpper(method), path, text(op, "operationId")})
		}
	}
	return groups
}

const restIntro = `# REST reference

<!-- Written by "go test ./api -run RESTDoc -update" from the OpenAPI document. -->

Every operation of the REST API, by what it is about. [api.md](api.md) tells what all of them have in common: errors, pages,
revisions, how to create a thing once, limits. [access.md](access.md) is about tokens and their scopes. A running server has the
same at ` + "`/docs`" + `, where it can be tried, and at ` + "`/v1/openapi.json`" + ` for machines.

The examples use a function for the shell:

` + "```sh" + `
export OXBOW_TOKEN=TOKEN     # the first start of a server prints one
api() { curl -s -H "Authorization: Bearer $OXBOW_TOKEN" -H 'Content-Type: application/json' "$@"; }
` + "```" + `

Times are RFC 3339 (` + "`2026-11-20T10:38:00Z`" + `), durations a number and a unit (` + "`90s`, `5m`, `1h30m`" + `) or, where the name
ends in ` + "`_ms` or `_s`" + `, a number of these. Sizes are bytes, rates bits a second. A field marked with * must be there. What is
no field or parameter of an operation is refused.

## Errors of all

Every error is an [ErrorModel](#errormodel), ` + "`application/problem+json`" + `. An operation lists the statuses that it may come to.

| status | |
|---|---|
`

func restDoc(doc object) string {
	var b strings.Builder
	b.WriteString(restIntro)
	groups, statuses := byTag(doc), map[string]string{}
	tags, _ := doc["tags"].([]any)
	for _, list := range groups {
		for _, op := range list {
			for code, answer := range inside(op.object, "responses") {
				if code[0] >= '4' && code != "default" { // that is huma's own, for what it does not know
					statuses[code] = text(inside(answer), "description")
				}
			}
		}
	}
	for _, code := range slices.Sorted(maps.Keys(statuses)) {
		fmt.Fprintf(&b, "| %s | %s |\n", code, statuses[code])
	}
	b.WriteString("\n## Operations\n")
	for _, tag := range tags {
		name := text(inside(tag), "name")
		fmt.Fprintf(&b, "\n**[%s](#%s)**: %s\n\n| | | |\n|---|---|---|\n", name, anchor(name), text(inside(tag), "description"))
		for _, op := range groups[name] {
			fmt.Fprintf(&b, "| [%s](#%s) | `%s %s` | %s |\n", op.id, op.id, op.method, op.path, text(op.object, "summary"))
		}
	}
	for _, tag := range tags {
		name := text(inside(tag), "name")
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n", name, text(inside(tag), "description"))
		for _, op := range groups[name] {
			writeOperation(&b, doc, op)
		}
	}
	writeSchemas(&b, doc)
	return b.String()
}

// anchor is what links call a heading.
func anchor(heading string) string { return strings.ReplaceAll(strings.ToLower(heading), " ", "-") }

func writeOperation(b *strings.Builder, doc object, op operationDoc) {
	fmt.Fprintf(b, "\n### %s\n\n`%s %s`\n\n%s. %s\n", op.id, op.method, op.path, text(op.object, "summary"),
		oneLine(text(op.object, "description")))
	parameters, _ := op.object["parameters"].([]any)
	if len(parameters) > 0 {
		b.WriteString("\n| parameter | in | kind | |\n|---|---|---|---|\n")
		for _, v := range parameters {
			p := inside(v)
			must := p["required"] == true && text(p, "in") != "path"
			fmt.Fprintf(b, "| `%s`%s | %s | %s | %s |\n", text(p, "name"), star(must), text(p, "in"),
				kindOf(inside(p, "schema")), cell(text(p, "description")))
		}
	}
	if schema := inside(op.object, "requestBody", "content", "application/json", "schema"); schema != nil {
		b.WriteString("\nBody:\n\n")
		writeFields(b, resolve(doc, schema))
	}
	call := "api"
	if op.method != "GET" {
		call += " -X " + op.method
	}
	call += " localhost:8080" + pathValues.Replace(op.path)
	if body, ok := exampleBodies()[op.id]; ok {
		call += " -d '" + body + "'"
	}
	fmt.Fprintf(b, "\n```sh\n%s\n```\n\n%s\n", call, answersOf(op))
}

// answersOf is a line of what an operation answers.
func answersOf(op operationDoc) string {
	var good, bad []string
	for _, code := range slices.Sorted(maps.Keys(inside(op.object, "responses"))) {
		if code == "default" {
			continue
		}
		if code[0] >= '4' {
			bad = append(bad, code)
			continue
		}
		what := "nothing"
		for _, kind := range slices.Sorted(maps.Keys(inside(op.object, "responses", code, "content"))) {
			schema := inside(op.object, "responses", code, "content", kind, "schema")
			if what = kindOf(schema); kind != "application/json" {
				what = "`" + kind + "`"
			}
		}
		told := code + " " + what
		if headers := slices.Sorted(maps.Keys(inside(op.object, "responses", code, "headers"))); len(headers) > 0 {
			told += " with `" + strings.Join(headers, "`, `") + "`"
		}
		good = append(good, told)
	}
	return "Answers: " + strings.Join(good, "; ") + ". Errors: " + strings.Join(bad, ", ") + "."
}
