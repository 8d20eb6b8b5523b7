package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// settingFaults are values of settings that are out of their ranges. The document has the ranges as words, so they are
// made of the table of settings.
func (op *operation) settingFaults(base request) (list []fault) {
	if op.RequestBody == nil {
		return nil
	}
	content := op.RequestBody.Value.Content["application/json"]
	if content == nil || content.Schema.Value.Properties["archive_delay"] == nil {
		return nil
	}
	set := func(what, location string, values map[string]any) {
		list = append(list, fault{
			what: what, location: location, statuses: []int{http.StatusUnprocessableEntity},
			change: func(r *request) {
				body, _ := r.body.(map[string]any)
				for name, value := range values {
					body[name] = value
				}
			},
		})
	}
	for _, s := range media.SettingsTable() {
		location := "body." + s.Name
		if content.Schema.Value.Properties[s.Name] == nil {
			set(location+" is of another level", location, map[string]any{s.Name: s.Default()})
			continue
		}
		for what, value := range outOfRange(s) {
			set(location+" "+what, location, map[string]any{s.Name: value})
		}
		if content.Schema.Value.Properties["reset"] != nil {
			set(location+" is set and reset", "body.reset", map[string]any{
				s.Name: s.Default(), "reset": []string{s.Name},
			})
		}
	}
	return list
}

// outOfRange are values that a setting refuses, by what is wrong with them.
func outOfRange(s media.Setting) map[string]any {
	values := make(map[string]any)
	switch s.Kind {
	case media.KindDuration, media.KindInteger, media.KindBytes:
		for what, n := range map[string]int64{
			"is below its least": s.Low - 1, "is above its most": s.High + 1, "is negative": -1,
		} {
			if s.Zero != "" && n == 0 {
				continue
			}
			values[what] = wire(s, n)
		}
	case media.KindWord:
		values["is none of its words"], values["is in capitals"] = "no-such-word", strings.ToUpper(s.Words[0])
	case media.KindText:
		values["is out of form"] = " ! "
	case media.KindBool:
		values["is a word"] = "on"
	}
	return values
}

// wire gives a number's value as JSON has it.
func wire(s media.Setting, n int64) any {
	if s.Kind == media.KindDuration {
		return time.Duration(n).String()
	}
	return n
}

// settingRows add to the changes of publishers and streams the ends of all ranges, and the words.
func settingRows() map[string]func(w *world) []request {
	rows := make(map[string]func(w *world) []request)
	publisher, stream := publisherRows()["change-publisher"], streamRows()["change-stream"]
	rows["change-publisher"] = func(w *world) []request {
		rights := publisher(w)
		return append(rights, settingRights(on("publisher", rights[0].path["publisher"]), media.LevelPublisher)...)
	}
	rows["change-stream"] = func(w *world) []request {
		rights := stream(w)
		return append(rights, settingRights(w.on("stream", rights[0].path["stream"]), media.LevelStream)...)
	}
	return rows
}

// settingRights set each setting of a level to what is just allowed, and look for it in the answer; the last resets
// all.
func settingRights(of request, level media.SettingLevel) (list []request) {
	var names []string
	for _, s := range media.SettingsTable() {
		if s.Level != media.LevelBoth && s.Level != level {
			continue
		}
		names = append(names, s.Name)
		for _, value := range justAllowed(s) {
			r := of.clone().send(map[string]any{s.Name: value})
			r.holds = func(a answer) error { return hasSetting(a, s, value) }
			list = append(list, r)
		}
	}
	return append(list, of.clone().send(map[string]any{"reset": names}))
}

// justAllowed are the ends of a setting's range, and all of its words.
func justAllowed(s media.Setting) (values []any) {
	switch s.Kind {
	case media.KindDuration, media.KindInteger, media.KindBytes:
		ends := []int64{s.Low, s.High}
		if s.Zero != "" {
			ends = append(ends, 0)
		}
		for _, n := range slices.Compact(ends) {
			values = append(values, wire(s, n))
		}
	case media.KindWord:
		for _, word := range s.Words {
			values = append(values, word)
		}
	case media.KindBool:
		values = []any{true, false}
	case media.KindText:
		values = []any{""}
	}
	return values
}

// hasSetting says what is wrong with the setting's own value in the answer to its change.
func hasSetting(a answer, s media.Setting, want any) error {
	var row map[string]any
	if err := json.Unmarshal(a.body, &row); err != nil {
		return fmt.Errorf("settings: %w", err)
	}
	got := row[s.Name]
	if overrides, of := row["overrides"].(map[string]any); of { // a stream's
		got = overrides[s.Name]
	}
	if s.Kind == media.KindDuration {
		gotText, _ := got.(string)
		wantText, _ := want.(string)
		is, err := time.ParseDuration(gotText)
		if wanted, _ := time.ParseDuration(wantText); err != nil || is != wanted {
			return fmt.Errorf("%s is %v, want %v", s.Name, got, want)
		}
		return nil
	}
	if n, ok := want.(int64); ok {
		want = float64(n)
	}
	if !reflect.DeepEqual(got, want) {
		return fmt.Errorf("%s is %v, want %v", s.Name, got, want)
	}
	return nil
}
