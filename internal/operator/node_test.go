package operator

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// drainedNode is an API with the node edge-2 among others, which is as the states say one after the other, from its drain
// on.
func drainedNode(t *testing.T, states ...string) string {
	t.Helper()
	var at atomic.Int64
	at.Store(-1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch {
		case r.Method == http.MethodPost:
			at.Store(0)
			w.WriteHeader(http.StatusAccepted)
		case r.URL.Path == "/v1/nodes":
			_, _ = fmt.Fprint(w, `{"items": [{"id": "edge-1"}, {"id": "edge-2"}]}`)
		case at.Load() < 0:
			_, _ = fmt.Fprint(w, `{"id": "edge-2", "started_at": "2026-11-22T10:00:00Z"}`)
		default:
			state := states[min(int(at.Add(1))-1, len(states)-1)]
			if state == "" {
				w.WriteHeader(http.StatusNotFound)
				return
			}
			_, _ = fmt.Fprintf(w, `{"id": "edge-2", "started_at": %q}`, state)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// A drain is over when the process is, also where a supervisor started the next one before anybody looked.
func TestDrainWaitsForTheProcessNotForTheName(t *testing.T) {
	const before, after = "2026-11-22T10:00:00Z", "2026-11-22T10:05:00Z"
	for says, states := range map[string][]string{
		"node edge-2 has stopped\n":                        {before, ""},
		"node edge-2 has stopped, and was started again\n": {before, after},
	} {
		call := newCalled(t, drainedNode(t, states...), nil)
		if err := (&DrainNode{ID: "edge-2", Wait: true}).Run(call.Call); err != nil {
			t.Fatal(err)
		}
		if got := call.errs.String(); !strings.HasSuffix(got, says) {
			t.Errorf("%q, want %q at its end", got, says)
		}
	}
	call := newCalled(t, drainedNode(t, before), nil)
	if err := (&DrainNode{ID: "edge-2"}).Run(call.Call); err != nil {
		t.Fatal(err)
	}
	if got := call.out.String(); !strings.Contains(got, "may start it again") {
		t.Errorf("it tells %q", got)
	}
}
