package test

import "net/http"

// accessRows are those about who may do and see what, and what was done.
func accessRows() map[string]func(w *world) []request {
	return map[string]func(w *world) []request{
		"create-token": func(w *world) []request {
			return []request{
				on().send(map[string]any{
					"label": w.name(), "publisher": w.publisher, "scopes": []string{"read", "write", "sign"},
					"expires_at": "2036-01-01T00:00:00Z",
				}),
				on().send(map[string]any{"label": w.name(), "scopes": []string{"admin"}}),
			}
		},
		"list-tokens":   func(w *world) []request { w.newToken("read"); return []request{on(), on().with("limit", "1")} },
		"get-token":     func(w *world) []request { _, id := w.newToken("read"); return one(on("id", id)) },
		"revoke-token":  func(w *world) []request { _, id := w.newToken("read"); return one(on("id", id)) },
		"get-own-token": func(*world) []request { return one(on()) },
		"list-audit": func(w *world) []request {
			return []request{
				on(), on().with("publisher", w.publisher).with("operation", "create-stream").with("limit", "1"),
				on().with("since", "2026-01-01T00:00:00Z").with("until", "2036-01-01T00:00:00Z"),
			}
		},

		"create-playback-key": func(w *world) []request {
			return []request{
				w.on().send(map[string]any{"algorithm": "HS256", "label": "site", "expires_at": "2036-01-01T00:00:00Z"}),
				w.on().send(map[string]any{"algorithm": "EdDSA"}), w.on(),
			}
		},
		"list-playback-keys": func(w *world) []request { w.newPlaybackKey(); return one(w.on()) },
		"get-playback-key":   func(w *world) []request { return one(w.on("kid", w.newPlaybackKey())) },
		"revoke-playback-key": func(w *world) []request {
			return one(w.on("kid", w.newPlaybackKey()))
		},
		"create-playback-token": func(w *world) []request {
			kid := w.newPlaybackKey()
			return []request{
				w.on().send(map[string]any{"stream": w.live, "expires_in": "1h", "kid": kid}),
				w.on().send(map[string]any{"stream": w.past, "recording": w.archivedID, "expires_in": "1h", "kid": kid}),
			}
		},
	}
}

// newToken makes a token of the API for the publisher.
func (w *world) newToken(scopes ...string) (token, id string) {
	w.tb.Helper()
	var made struct{ Token, ID string }
	w.must(http.MethodPost, "/v1/tokens",
		map[string]any{"label": w.name(), "publisher": w.publisher, "scopes": scopes}, &made)
	if made.Token == "" || made.ID == "" {
		w.tb.Fatalf("POST /v1/tokens: no token or no id in %+v", made)
	}
	return made.Token, made.ID
}

// newPlaybackKey makes a key whose secret the server has.
func (w *world) newPlaybackKey() (kid string) {
	w.tb.Helper()
	return w.made("/v1/publishers/"+w.publisher+"/playback-keys", "kid", map[string]any{"algorithm": "HS256"})
}

// outboxRows are those about the log of events, and those who are told of them.
func outboxRows() map[string]func(w *world) []request {
	webhook := func(w *world, url string) map[string]any {
		return map[string]any{
			"publisher": w.publisher, "url": url, "events": []string{"recording.ended"}, "label": w.name(), "enabled": false,
		}
	}
	one := func(w *world) request { // nobody listens there
		return on("webhook", w.made("/v1/webhooks", "id", webhook(w, "http://127.0.0.1:9/")))
	}
	return map[string]func(w *world) []request{
		"list-log": func(w *world) []request {
			return []request{
				on().with("publisher", w.publisher).with("order", "asc").with("after", "1").with("limit", "5"), on(),
				on().with("type", "recording.ended").with("since", "2026-01-01T00:00:00Z"),
			}
		},
		"follow-log": func(w *world) []request {
			events := on().with("publisher", w.publisher).with("after", "0")
			events.holds = w.firstEvent
			return []request{on(), events}
		},

		"create-webhook": func(w *world) []request {
			return []request{on().send(webhook(w, "https://receiver.example/"+w.publisher))}
		},
		"list-webhooks": func(w *world) []request { one(w); return []request{on(), on().with("limit", "1")} },
		"get-webhook":   func(w *world) []request { return []request{one(w)} },
		"update-webhook": func(w *world) []request {
			return []request{one(w).send(map[string]any{"label": w.name(), "events": []string{"recording.archived"}})}
		},
		"rotate-webhook": func(w *world) []request {
			return []request{one(w).send(map[string]any{"overlap": "1h"}), one(w)}
		},
		"delete-webhook":  func(w *world) []request { return []request{one(w)} },
		"list-deliveries": func(w *world) []request { return []request{one(w)} },
		"replay-events": func(w *world) []request {
			body := webhook(w, "http://127.0.0.1:9/")
			body["enabled"] = true
			return []request{on("webhook", w.made("/v1/webhooks", "id", body)).send(
				map[string]any{"since": "2026-01-01T00:00:00Z", "until": "2036-01-01T00:00:00Z"})}
		},
		"test-webhook": func(w *world) []request { return []request{one(w)} },
	}
}
