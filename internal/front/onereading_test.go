package front

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestAChunkedRequestIsItsConnectionsLast(t *testing.T) {
	server := httptest.NewServer(OneReading(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})))
	defer server.Close()
	for _, sized := range []bool{true, false} {
		var body io.Reader = strings.NewReader("body")
		if !sized {
			body = io.MultiReader(body)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		if string(text) != "body" || err != nil || resp.Close == sized {
			t.Errorf("sized %t: %q, close %t: %v", sized, text, resp.Close, err)
		}
		_ = resp.Body.Close()
	}
}
