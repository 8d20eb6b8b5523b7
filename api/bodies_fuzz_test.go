package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// FuzzBeat: an edge that is listed has the name of its path, a URL that can be asked, and nothing below zero.
func FuzzBeat(f *testing.F) {
	for _, text := range []string{
		`{"id":"e","role":"edge","url":"http://e:1","started_at":"2026-11-22T10:00:00Z","edge":{"public_url":"https://e"}}`,
		`{"id":"other","role":"edge"}`, `{"id":"e","role":"ingest","edge":{}}`, `{"id":"e","role":"edge","url":"http://u:p@h","edge":{}}`,
		`{"id":"e","role":"edge","url":"http://e","started_at":"2026-11-22T10:00:00Z","edge":{},"load":{"viewers":-1}}`, `{}`, `[`,
		`{"id":"e","role":"edge","url":"http://e","started_at":"9999-12-31T23:59:59Z","edge":{"site":"` + strings.Repeat("s", 300) + `"}}`,
	} {
		f.Add([]byte(text), "e")
	}
	f.Fuzz(func(t *testing.T, text []byte, id string) {
		defer fuzztest.Bound(t, 2<<20)()
		node, err := readBeat(bytes.NewReader(text), id)
		if err != nil {
			if !errors.Is(err, media.ErrInvalid) && !errors.Is(err, media.ErrTooLarge) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		if node.ID != id || node.Role != media.RoleEdge || media.CheckBaseURL(node.URL) != nil || node.Cluster != "" ||
			node.Load.Viewers < 0 || node.Load.BitsOut < 0 || len(text) > maxBeat {
			t.Errorf("%q: %+v", text, node)
		}
		if _, err := json.Marshal(node); err != nil {
			t.Errorf("%q can't be told to others: %v", text, err)
		}
	})
}

// FuzzViewing: a report of viewers that is taken names streams, and counts what can be.
func FuzzViewing(f *testing.F) {
	for _, text := range []string{
		`{"run":"r","viewers":[{"stream":"acme/show","viewers":5}]}`, `{"run":"r","viewers":[{"stream":"../x","viewers":5}]}`,
		`{"run":"r","keep":true,"done":[{"stream":"acme/show","minute":60,"samples":[1,2]}]}`, `{"run":""}`,
		`{"run":"r","rows":[{"stream":"acme/show","minute":61}],"viewers":[{"stream":"acme/show","viewers":-1}]}`, `null`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) > 1<<20 {
			return
		}
		defer fuzztest.Bound(t, 2<<20+256*len(text))()
		report, err := readViewing(httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(text)))
		if err != nil {
			return
		}
		for _, v := range report.Viewers {
			if _, err := media.ParseStreamPath(v.Stream); err != nil || v.Viewers < 0 {
				t.Errorf("%q: %+v", text, v)
			}
		}
		for _, row := range append(report.Done, report.Rows...) {
			if _, err := media.ParseStreamPath(row.Stream); err != nil || row.Minute <= 0 || row.Minute%60 != 0 {
				t.Errorf("%q: %+v", text, row)
			}
		}
	})
}

// FuzzClipBound: a bound of a clip is a time that a recording may have, or an error that names its field.
func FuzzClipBound(f *testing.F) {
	for _, text := range []string{`12.5`, `"12.5"`, `-1`, `1e400`, `"NaN"`, `"Inf"`, `null`, `{}`, `"2026-11-20T10:38:00.5+02:00"`, `"0x1p5"`, `"`,
		`"0026-11-20T10:38:02.5+02:00"`} { // further away than a duration reaches
		f.Add([]byte(text))
	}
	start := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, text []byte) {
		var b clipBound
		if err := b.UnmarshalJSON(text); err != nil {
			return
		}
		d, err := b.after("start", start)
		var field *media.FieldError
		if err != nil && (!errors.As(err, &field) || field.Field != "start") {
			t.Errorf("%q: %v", text, err)
		}
		near := d > math.MinInt64 && d < math.MaxInt64
		if err == nil && (b.at.IsZero() && (d < 0 || d > 11*366*24*time.Hour) || near && d%time.Millisecond != 0) {
			t.Errorf("%q is %s", text, d)
		}
	})
}
