package test

import "net/http"

// steeringRows are those about where viewers are steered.
func steeringRows() map[string]func(w *world) []request {
	rule := func() map[string]any {
		return map[string]any{
			"choices": []map[string]any{{"edge": "one", "percent": 40}, {"region": "eu", "percent": 60}},
			"reason":  "maintenance", "expires_at": "2036-01-01T00:00:00Z",
		}
	}
	return map[string]func(w *world) []request{
		"get-steering":        func(*world) []request { return one(on()) },
		"list-steering-rules": func(*world) []request { return one(on()) },
		"put-steering-rule": func(w *world) []request {
			return []request{
				on().with("publisher", w.publisher).with("stream", w.freshStream()).send(rule()),
				on().with("publisher", w.publisher).send(map[string]any{"choices": []map[string]any{{"edge": "one"}}}),
			}
		},
		"delete-steering-rule": func(w *world) []request {
			stream := w.freshStream()
			w.must(http.MethodPut, "/v1/steering/rules?publisher="+w.publisher+"&stream="+stream, rule(), nil)
			return one(on().with("publisher", w.publisher).with("stream", stream))
		},
	}
}
