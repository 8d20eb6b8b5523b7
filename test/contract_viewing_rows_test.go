package test

import (
	"net/http"
	"time"
)

// viewingRows are those about who watches.
func viewingRows() map[string]func(w *world) []request {
	since := func() string { return time.Now().Add(-2 * time.Hour).UTC().Format(time.RFC3339) }
	return map[string]func(w *world) []request{
		"list-viewing": func(w *world) []request {
			return []request{on(), on().with("publisher", w.publisher).with("limit", "1")}
		},
		"get-stream-viewing": func(w *world) []request {
			return []request{
				w.on("stream", w.live), w.on("stream", w.live).with("since", since()).with("step", "5m"),
				w.on("stream", w.live).with("since", "2026-01-01T00:00:00Z").with("until", "2026-03-01T00:00:00Z").with("step", "1m").
					answered(http.StatusUnprocessableEntity),
			}
		},
		"get-recording-viewing": func(w *world) []request {
			return []request{on("recording", w.archivedID), on("recording", w.archivedID).with("since", since())}
		},
	}
}
