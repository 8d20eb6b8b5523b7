package operator

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// emptyLists is an API that has the publisher acme with the stream acme/show, and nothing of either.
func emptyLists(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodDelete:
			_, _ = io.WriteString(w, `{"deleted": 0, "bytes": 0, "items": [], "left": []}`)
		case r.URL.Path == "/v1/publishers/acme", r.URL.Path == "/v1/publishers/acme/streams/show":
			_, _ = io.WriteString(w, "{}")
		case strings.HasPrefix(r.URL.Path, "/v1/publishers/closed"):
			w.WriteHeader(http.StatusForbidden)
		case strings.HasPrefix(r.URL.Path, "/v1/publishers/"):
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"detail": "`+strings.TrimPrefix(r.URL.Path, "/v1/publishers/")+` is not there"}`)
		case q.Get("publisher") == "gone": // it was deleted, and left something
			_, _ = io.WriteString(w, `{"items": [{"id": "1", "recording": "1", "publisher": "gone", "stream": "show"}]}`)
		default:
			_, _ = io.WriteString(w, `{"items": []}`)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// A list of nothing tells a name that there is not from one that has nothing.
func TestEmptyListsTellNamesThatThereAreNot(t *testing.T) {
	api := emptyLists(t)
	page := Paging{Limit: 50}
	lists := func(publisher, stream string) map[string]interface{ Run(c *Call) error } {
		scope := scopeName{Publisher: publisher, Stream: stream}
		return map[string]interface{ Run(c *Call) error }{
			"recording list":   &ListRecordings{Scope: scope, Kind: "all", Paging: page},
			"recording delete": &DeleteRecording{Of: scope, DryRun: true},
			"session list":     &ListSessions{Scope: scope, Paging: page},
			"event list":       &ListEvents{EventSelection: EventSelection{Scope: scope}, Paging: page},
			"retention plan":   &ListPlan{Scope: scope, Paging: page},
			"token list":       &ListTokens{Publisher: publisher, Paging: page},
			"webhook list":     &ListWebhooks{Publisher: publisher, Paging: page},
			"audit":            &ListAudit{Publisher: publisher, Paging: page},
			"viewers":          &ShowViewers{Of: publisher, Limit: 50},
		}
	}
	for _, c := range []struct {
		publisher, stream string
		missing           bool
	}{
		{"acme", "", false}, {"acme", "show", false}, {"", "", false}, {"gone", "show", false}, {"closed", "show", false},
		{"acne", "", true}, {"acne", "show", true},
	} {
		for name, list := range lists(c.publisher, c.stream) {
			if name == "recording delete" && (c.publisher == "" || c.publisher == "gone") {
				continue // it refuses to delete everything, and has no answer here for what is left
			}
			for _, json := range []bool{false, true} {
				call := newCalled(t, api, func(c *Connection) { c.JSON = json })
				err := list.Run(call.Call)
				var refused *APIError
				if got := errors.As(err, &refused); got != c.missing || !got && err != nil {
					t.Errorf("%s of %q %q: %v", name, c.publisher, c.stream, err)
				}
				if c.missing && (call.out.Len() > 0 || !strings.HasPrefix(err.Error(), "acne")) {
					t.Errorf("%s of %q %q tells %q, %v", name, c.publisher, c.stream, &call.out, err)
				}
				if empty := call.out.String() == "[]\n"; json && !c.missing && c.publisher != "gone" && !empty {
					t.Errorf("%s of %q %q prints %q", name, c.publisher, c.stream, &call.out)
				}
			}
		}
	}
	// A stream that is not there, of a publisher that is.
	call := newCalled(t, api, nil)
	err := (&ListRecordings{Scope: scopeName{Publisher: "acme", Stream: "shwo"}, Kind: "all", Paging: page}).Run(call.Call)
	if err == nil || !strings.Contains(err.Error(), "shwo is not there") || call.out.Len() > 0 {
		t.Errorf("%v, %q", err, &call.out)
	}
}
