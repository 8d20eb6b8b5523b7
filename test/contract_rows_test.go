package test

import "net/http"

// contractRows are right requests to each operation of the document, by its id. What they need is set up when they are
// asked for. The first of a row is what the faults are made of.
func contractRows() map[string]func(w *world) []request {
	rows := make(map[string]func(w *world) []request)
	for _, part := range []map[string]func(w *world) []request{
		publisherRows(), streamRows(), liveRows(), recordingRows(), clusterRows(), accessRows(), outboxRows(), steeringRows(),
		viewingRows(),
	} {
		for id, row := range part {
			rows[id] = row
		}
	}
	return rows
}

func one(r request) []request { return []request{r} }

// settingsBody sets one of each kind of setting.
func settingsBody() map[string]any {
	return map[string]any{"archive_delay": "90s", "record": "on", "keep": false, "retention_count": 100}
}

func publisherRows() map[string]func(w *world) []request {
	return map[string]func(w *world) []request{
		"list-publishers": func(*world) []request { return []request{on(), on().with("limit", "1")} },
		"create-publisher": func(w *world) []request {
			body := settingsBody()
			body["name"] = w.name()
			return []request{on().send(body), on().send(map[string]any{"name": w.name()})}
		},
		"get-publisher": func(w *world) []request { return one(w.on()) },
		"change-publisher": func(w *world) []request {
			name := w.made("/v1/publishers", "name", map[string]any{"name": w.name()})
			return []request{
				on("publisher", name).send(settingsBody()),
				on("publisher", name).send(map[string]any{}),
				on("publisher", name).with("dry_run", "true").send(map[string]any{"retention": "1h"}),
				w.on().with("dry_run", "true").send(map[string]any{"retention_count": 1}),
			}
		},
		"delete-publisher": func(w *world) []request {
			return one(on("publisher", w.made("/v1/publishers", "name", map[string]any{"name": w.name()})))
		},
	}
}

func streamRows() map[string]func(w *world) []request {
	return map[string]func(w *world) []request{
		"list-streams": func(w *world) []request { return []request{w.on(), w.on().with("limit", "1")} },
		"create-stream": func(w *world) []request {
			body := settingsBody()
			body["name"], body["srt_passphrase"] = w.name(), "0123456789abc"
			return []request{w.on().send(body), w.on().send(map[string]any{"name": w.name()})}
		},
		"get-stream": func(w *world) []request { return one(w.on("stream", w.live)) },
		"change-stream": func(w *world) []request {
			stream := w.freshStream()
			return []request{
				w.on("stream", stream).send(settingsBody()),
				w.on("stream", stream).send(map[string]any{"srt_passphrase": ""}),
				w.on("stream", w.past).with("dry_run", "true").send(map[string]any{"retention": "1s"}),
			}
		},
		"delete-stream": func(w *world) []request { return one(w.on("stream", w.freshStream())) },

		"list-keys": func(w *world) []request { return one(w.on("stream", w.live)) },
		"create-key": func(w *world) []request {
			stream := w.freshStream()
			return []request{w.on("stream", stream).send(map[string]any{"label": "studio"}), w.on("stream", stream)}
		},
		"rotate-key": func(w *world) []request {
			stream := w.freshStream()
			return []request{
				w.on("stream", stream, "id", w.newKey(stream)).send(map[string]any{"grace": "1h"}),
				w.on("stream", stream, "id", w.newKey(stream)),
			}
		},
		"revoke-key": func(w *world) []request {
			stream := w.freshStream()
			return one(w.on("stream", stream, "id", w.newKey(stream)))
		},

		"put-source": func(w *world) []request { return one(w.on("stream", w.freshStream()).send(sourceBody())) },
		"get-source": func(w *world) []request { return one(w.on("stream", w.newSource())) },
		"delete-source": func(w *world) []request {
			return one(w.on("stream", w.newSource()))
		},
	}
}

// liveRows are those about a show that is live.
func liveRows() map[string]func(w *world) []request {
	return map[string]func(w *world) []request{
		"list-sessions": func(w *world) []request {
			return []request{on(), on().with("publisher", w.publisher), on().with("limit", "1")}
		},
		"get-session": func(w *world) []request { return one(w.on("stream", w.live)) },
		"end-session": func(w *world) []request {
			return one(w.on("stream", w.liveStream()).with("reason", "the hall closes"))
		},
		"switch-feed": func(w *world) []request {
			r := w.on("stream", w.liveStream("?backup=1")).send(map[string]any{"feed": "backup"})
			r.patient = true // the backup stands by when it has sent a key frame
			return one(r)
		},
		"list-events": func(w *world) []request {
			return []request{w.on("stream", w.live), w.on("stream", w.live).with("limit", "1")}
		},
		"add-event": func(w *world) []request {
			return []request{
				w.on("stream", w.live).send(map[string]any{
					"id": w.name(), "class": "com.example.goal", "duration_s": 1.5, "planned_duration_s": 2,
					"attributes": map[string]any{"X-TEAM": "home", "X-SCORE": 1},
				}),
				w.on("stream", w.live).send(map[string]any{}),
			}
		},
		"get-event": func(w *world) []request { return one(w.on("stream", w.live, "id", w.newEvent())) },
		"complete-event": func(w *world) []request {
			return one(w.on("stream", w.live, "id", w.newEvent()).send(map[string]any{"duration_s": 2}))
		},
	}
}

func recordingRows() map[string]func(w *world) []request {
	return map[string]func(w *world) []request{
		"get-listing": func(*world) []request { return one(on()) },
		"list-recordings": func(w *world) []request {
			return []request{
				on(), on().with("publisher", w.publisher).with("state", "live").with("state", "ended"),
				on().with("since", "2026-01-01T00:00:00Z").with("until", "2036-01-01T00:00:00Z").with("limit", "1"),
				on().with("state", "deleted").with("state", "deleting"), on().with("limit", "1000"),
			}
		},
		"get-recording": func(w *world) []request {
			rights := []request{
				on("recording", w.archivedID), on("recording", w.liveID), on("recording", w.endedID),
				on("recording", w.newClip()),
			}
			for state, id := range w.more {
				r := on("recording", id)
				r.holds = func(a answer) error { return inState(state, a) }
				rights = append(rights, r)
			}
			return rights
		},
		"change-recording": func(w *world) []request { return changeRecording(w) },
		"delete-recording": func(w *world) []request {
			clip := w.newClip()
			w.waitState(clip, "archived", contractWait)
			return []request{
				on("recording", clip).with("dry_run", "true").answered(http.StatusOK),
				on("recording", clip).answered(http.StatusAccepted),
			}
		},
		"delete-recordings": func(w *world) []request {
			filter := on().with("publisher", w.publisher).with("stream", w.ended).with("state", "ended").with("limit", "1")
			return []request{
				filter.with("dry_run", "true").answered(http.StatusOK),
				filter.with("before", "2026-01-01T00:00:00Z").answered(http.StatusAccepted),
			}
		},
		"list-clips": func(w *world) []request {
			w.newClip()
			return []request{on("recording", w.archivedID), on("recording", w.archivedID).with("limit", "1")}
		},
		"create-clip": func(w *world) []request {
			return []request{
				on("recording", w.archivedID).send(map[string]any{"start": 0, "end": 1.5, "name": "the goal"}),
				on("recording", w.endedID).send(map[string]any{"start": "0", "end": "1"}),
			}
		},
		"list-retention": func(w *world) []request {
			return []request{on(), on().with("publisher", w.publisher).with("limit", "1")}
		},
	}
}

func changeRecording(w *world) []request {
	return []request{
		on("recording", w.archivedID).send(map[string]any{"keep": true}),
		on("recording", w.archivedID).send(map[string]any{"keep": false}),
	}
}

func clusterRows() map[string]func(w *world) []request {
	return map[string]func(w *world) []request{
		"list-nodes": func(*world) []request { return []request{on(), on().with("role", "ingest")} },
		// One process that does everything is no node: there is none to get, and none to drain.
		"get-node":      func(*world) []request { return one(on("id", "nobody").answered(http.StatusNotFound)) },
		"drain-node":    func(*world) []request { return one(on("id", "nobody").answered(http.StatusNotFound)) },
		"list-archives": func(*world) []request { return one(on()) },

		"purge-publisher": func(w *world) []request { return one(w.on()) },
		"purge-stream":    func(w *world) []request { return one(w.on("stream", w.live)) },
		"purge-recording": func(w *world) []request { return one(on("recording", w.archivedID)) },
	}
}
