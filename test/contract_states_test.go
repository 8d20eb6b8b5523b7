package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// sickArchive is the store of the contract's server that nobody answers for.
const sickArchive = "sick"

// The further states of recordings that the contract has answers of.
const (
	stateFailed      = "failed" // its archiving: the row is ended, with an error
	stateInterrupted = "interrupted"
	stateKept        = "kept" // with name and labels
)

// moreStates makes recordings in the states that the world has not by itself, and waits for them.
func (w *world) moreStates() {
	w.tb.Helper()
	failed, away := w.name(), w.name()
	for stream, settings := range map[string]map[string]any{
		failed: {"archive": sickArchive},
		away:   {"reconnect_window": "30m", "end_on_unpublish": false},
	} {
		publish(w.tb, "-i", w.source, "-c", "copy", "-f", "flv", "rtmp://"+w.rtmp+"/live/"+w.newStream(stream, settings))
	}
	w.more = map[string]string{stateKept: w.newClip()}
	w.must(http.MethodPatch, "/v1/recordings/"+w.more[stateKept],
		map[string]any{"keep": true, "name": "the goal", "labels": map[string]string{"team": "home"}}, nil)
	for state, stream := range map[string]string{stateFailed: failed, stateInterrupted: away} {
		eventually(w.tb, contractWait, "the recording of "+stream+" is "+state, func() bool {
			rows := w.recordings(w.publisher, stream)
			if len(rows) == 0 {
				return false
			}
			w.more[state] = rows[0].ID
			status, text := w.call(http.MethodGet, "/v1/recordings/"+rows[0].ID, nil)
			return inState(state, answer{status: status, body: text}) == nil
		})
	}
}

// inState says why the answer is no recording in one of the further states.
func inState(state string, a answer) error {
	var row struct {
		State     string
		Keep      bool
		Attempts  int
		LastError string `json:"last_error"`
		Labels    map[string]string
	}
	if err := json.Unmarshal(a.body, &row); err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	is := map[string]bool{
		stateFailed:      row.Attempts > 0 && row.LastError != "",
		stateInterrupted: row.State == stateInterrupted,
		stateKept:        row.Keep && row.Labels["team"] == "home",
	}
	if !is[state] {
		return fmt.Errorf("%+v is not %s", row, state)
	}
	return nil
}

// framesConform says what is wrong with the begin of server-sent events.
func framesConform(a answer) error {
	if cache := a.header.Get("Cache-Control"); !strings.Contains(cache, "no-store") {
		return fmt.Errorf("Cache-Control %q, want no-store", cache)
	}
	for line := range bytes.Lines(a.body) {
		name, _, colon := strings.Cut(strings.TrimSuffix(string(line), "\n"), ":")
		if name != "" && (!colon || !slices.Contains([]string{"id", "event", "data", "retry"}, name)) {
			return fmt.Errorf("%q is no field of an event", line)
		}
	}
	return nil
}

// firstEvent says what is wrong with the begin of the log that is followed: the first event of it is not as the list of
// the log documents its items.
func (w *world) firstEvent(a answer) error {
	fields := make(map[string]string)
	for line := range strings.Lines(string(a.body)) {
		if name, value, ok := strings.Cut(line, ":"); ok && fields[name] == "" {
			fields[name] = strings.TrimSpace(value)
		}
	}
	var event struct {
		ID        json.Number
		Type      string
		Publisher string
	}
	var value any
	if err := json.Unmarshal([]byte(fields["data"]), &event); err != nil {
		return fmt.Errorf("data of the first event: %w", err)
	}
	if err := json.Unmarshal([]byte(fields["data"]), &value); err != nil {
		return fmt.Errorf("data of the first event: %w", err)
	}
	if fields["id"] != event.ID.String() || fields["event"] != event.Type || event.Publisher != w.publisher {
		return fmt.Errorf("id %q, event %q of %+v", fields["id"], fields["event"], event)
	}
	list := w.doc.operation("list-log").Responses.Status(http.StatusOK).Value.Content["application/json"].Schema.Value
	return allows(list.Properties["items"].Value.Items.Value, value)
}
