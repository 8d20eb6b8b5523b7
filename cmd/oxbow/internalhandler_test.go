package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestNodesTellEdgesThatTheyServe(t *testing.T) {
	teapot := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Asked", name) })
	}
	for _, c := range []struct {
		path, asked string
		status      int
	}{
		{"/healthz", "", http.StatusOK},
		{"/healthz/", "origin", http.StatusOK},
		{"/internal/v1/node/show", "control", http.StatusOK},
		{"/internal/v1/locate/acme/show", "", http.StatusNotFound},
		{"/acme/show/index.m3u8", "origin", http.StatusOK},
	} {
		rec := httptest.NewRecorder()
		internalHandler(teapot("control"), nil, teapot("origin")).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, c.path, nil))
		if rec.Code != c.status || rec.Header().Get("Asked") != c.asked {
			t.Errorf("%s: %d by %q", c.path, rec.Code, rec.Header().Get("Asked"))
		}
	}
}
