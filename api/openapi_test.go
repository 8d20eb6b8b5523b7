package api

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestDocumentTellsEverything wants a text for whatever the OpenAPI document has, and the errors of every operation.
func TestDocumentTellsEverything(t *testing.T) {
	f := newFixture(t, nil)
	doc := f.must(200, "GET", "/v1/openapi.json", "").json
	part := func(v any, path ...string) map[string]any {
		for _, name := range path {
			m, _ := v.(map[string]any)
			v = m[name]
		}
		m, _ := v.(map[string]any)
		return m
	}
	text := func(m map[string]any) string { s, _ := m["description"].(string); return s }
	known := map[any]bool{}
	tagList, _ := doc["tags"].([]any)
	for _, tag := range tagList {
		known[part(tag)["name"]] = text(part(tag)) != ""
	}
	unused := map[any]bool{}
	for id := range operationTexts() {
		unused[id] = true
	}
	for path, item := range part(doc, "paths") {
		for method, v := range part(item) {
			op, name := part(v), method+" "+path
			told, _, _ := strings.Cut(text(op), "Needs the scope ")
			delete(unused, op["operationId"])
			id, _ := op["operationId"].(string)
			if own := operationTexts()[id]; !strings.HasPrefix(text(op), own) {
				t.Errorf("%s has a text of its own: take %s out of operationTexts", name, id)
			}
			if told == "" || op["summary"] == "" {
				t.Errorf("%s (%s) has no description: put one into operationTexts", name, op["operationId"])
			}
			if list, _ := op["tags"].([]any); len(list) != 1 || !known[list[0]] || list[0] == "other" {
				t.Errorf("%s has the tags %v: name its resource in tagOf and tags", name, list)
			}
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				if text(part(p)) == "" {
					t.Errorf("%s: parameter %s has no description", name, part(p)["name"])
				}
			}
			for status, r := range part(op, "responses") {
				if text(part(r)) == "" {
					t.Errorf("%s: answer %s has no description", name, status)
				}
				for header, h := range part(r, "headers") {
					if text(part(h)) == "" {
						t.Errorf("%s: header %s of answer %s has no description", name, header, status)
					}
				}
			}
			want := []string{"422", "500", "503"}
			if op["security"] != nil {
				want = append(want, "401", "403", "429")
			}
			if method == "patch" {
				want = append(want, "400", "404", "409", "413", "415")
			}
			for _, status := range want {
				if part(op, "responses", status) == nil {
					t.Errorf("%s does not tell of %s", name, status)
				}
			}
		}
	}
	for id := range unused {
		t.Errorf("operationTexts has %v, and there is no such operation", id)
	}
	for name, schema := range part(doc, "components", "schemas") {
		for property, v := range part(schema, "properties") {
			if p := part(v); text(p) == "" && p["$ref"] == nil {
				t.Errorf("property %s of %s has no description: give it a doc tag", property, name)
			}
		}
	}
}

func TestEveryCreationTakesAnIdempotencyKey(t *testing.T) {
	f := newFixture(t, nil)
	n := 0
	paths, _ := f.must(200, "GET", "/v1/openapi.json", "").json["paths"].(map[string]any)
	for path, item := range paths {
		op, ok := item.(map[string]any)["post"].(map[string]any)
		if !ok {
			continue
		}
		n++
		list, _ := op["parameters"].([]any)
		if !slices.ContainsFunc(list, func(p any) bool { return p.(map[string]any)["name"] == idempotencyKey }) {
			t.Errorf("POST %s does not say so: %s", path, fmt.Sprint(list...))
		}
	}
	if n < 5 {
		t.Errorf("%d operations are POSTs", n)
	}
}
