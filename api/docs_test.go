package api

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestPlainDocsListEveryOperation(t *testing.T) {
	f := newFixture(t, nil)
	for _, path := range []string{"/docs", "/docs/"} {
		a := f.send(f.Public(), "GET", path, "")
		if a.Code != 200 || a.Header().Get("Content-Type") != "text/html; charset=utf-8" {
			t.Fatalf("%s: %d %v", path, a.Code, a.Header())
		}
		if csp := a.Header().Get("Content-Security-Policy"); strings.Contains(csp, "unsafe") || !strings.Contains(csp, "'none'") {
			t.Errorf("policy is %s", csp)
		}
		page := a.Body.String()
		paths, _ := f.must(200, "GET", "/v1/openapi.json", "").json["paths"].(map[string]any)
		n := 0
		for path, item := range paths {
			for method, op := range item.(map[string]any) {
				n++
				id, _ := op.(map[string]any)["operationId"].(string)
				if strings.Count(page, `<li id="`+id+`">`) != 1 || !strings.Contains(page, strings.ToUpper(method)+" "+path) {
					t.Errorf("%s %s (%s) is not listed once", method, path, id)
				}
			}
		}
		if n < 30 {
			t.Errorf("%d operations", n)
		}
		for _, inline := range []string{"<script", "<style", "style=", "onclick", "http://", "https://"} {
			if strings.Contains(page, inline) {
				t.Errorf("the page has %s", inline)
			}
		}
	}
}

func TestBuiltDocsAreServed(t *testing.T) {
	f := newFixture(t, func(_ *Config, deps *Deps) {
		deps.Assets = fstest.MapFS{
			"index.html":                  {Data: []byte("index")},
			"docs.html":                   {Data: []byte("built docs")},
			"assets/swagger-ui-bundle.js": {Data: []byte(strings.Repeat("x", 1000))},
		}
	})
	if a := f.send(f.Public(), "GET", "/docs", ""); a.Code != 200 || a.Body.String() != "built docs" {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
	a := f.send(f.Public(), "GET", "/assets/swagger-ui-bundle.js", "", "Accept-Encoding", "gzip")
	if a.Code != 200 || a.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("script: %d %v", a.Code, a.Header())
	}
}
