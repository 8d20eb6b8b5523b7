package media

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// mustEvent reads an event as storage has it.
func mustEvent(tb testing.TB, text string) TimedEvent {
	tb.Helper()
	e := TimedEvent{ID: "e"}
	const start = `"start_date":"2026-11-20T10:00:00Z"`
	if err := json.Unmarshal([]byte("{"+strings.TrimSuffix(start+","+text, ",")+"}"), &e); err != nil {
		tb.Fatal(err)
	}
	e.Round()
	return e
}

func TestDR1_SYN3_TimedEventNamesTheFieldThatIsWrong(t *testing.T) {
	var many []string
	for i := range MaxEventAttributes + 1 {
		many = append(many, fmt.Sprintf(`"X-%d":1`, i))
	}
	for _, c := range []struct{ text, field string }{
		{``, ""},
		{`"id":""`, "id"},
		{`"id":"a b"`, "id"},
		{`"id":"` + strings.Repeat("a", maxEventID+1) + `"`, "id"},
		{`"id":"scte35-splice-1"`, "id"},
		{`"id":"cue-1"`, "id"},
		{`"id":"Ad.1_~:x-2"`, ""},
		{`"class":"a\"b"`, "class"},
		{`"class":"a\nb"`, "class"},
		{`"class":"` + strings.Repeat("a", maxEventID+1) + `"`, "class"},
		{`"start_date":"1969-01-01T00:00:00Z"`, "start_date"},
		{`"duration_s":-1`, "duration_s"},
		{`"duration_s":31622401`, "duration_s"},
		{`"duration_s":0`, ""},
		{`"planned_duration_s":-0.5`, "planned_duration_s"},
		{`"end_date":"2026-11-20T09:59:59Z"`, "end_date"},
		{`"end_date":"2036-11-20T09:59:59Z"`, "end_date"},
		{`"end_date":"2026-11-20T10:00:01.5Z","duration_s":1.5`, ""},
		{`"end_date":"2026-11-20T11:00:01.5+01:00","duration_s":1.5001`, ""}, // to the millisecond
		{`"end_date":"2026-11-20T10:00:01.5Z","duration_s":2`, "duration_s"},
		{`"end_on_next":true`, "end_on_next"},
		{`"end_on_next":true,"class":"c"`, ""},
		{`"end_on_next":true,"class":"c","duration_s":1`, "duration_s"},
		{`"end_on_next":true,"class":"c","end_date":"2026-11-20T10:00:01Z"`, "end_date"},
		{`"cue":["PRE","ONCE"]`, ""},
		{`"cue":["PRE","POST"]`, "cue"},
		{`"cue":["ONCE","ONCE"]`, "cue"},
		{`"cue":["pre"]`, "cue"},
		{`"attributes":{"X-A":"text, =1","X-B-2":0.25,"X-C":{"hex":"0x0AFF"}}`, ""},
		{`"attributes":{"X-a":1}`, "attributes"},
		{`"attributes":{"ID":"x"}`, "attributes"},
		{`"attributes":{"X-":1}`, "attributes"},
		{`"attributes":{"X-` + strings.Repeat("A", maxAttributeName) + `":1}`, "attributes"},
		{`"attributes":{` + strings.Join(many, ",") + `}`, "attributes"},
		{`"attributes":{"X-A":"\""}`, "attributes.X-A"},
		{`"attributes":{"X-A":"` + strings.Repeat("a", maxAttribute+1) + `"}`, "attributes.X-A"},
		{`"attributes":{"X-A":-1}`, "attributes.X-A"},
		{`"attributes":{"X-A":1e16}`, "attributes.X-A"},
		{`"attributes":{"X-A":true}`, "attributes.X-A"},
		{`"attributes":{"X-A":null}`, "attributes.X-A"},
		{`"attributes":{"X-A":[1]}`, "attributes.X-A"},
		{`"attributes":{"X-A":{"hex":"0xABC"}}`, "attributes.X-A"},
		{`"attributes":{"X-A":{"hex":"0xab"}}`, "attributes.X-A"},
		{`"attributes":{"X-A":{"hex":"0xAB","x":1}}`, "attributes.X-A"},
		{`"attributes":{"X-A":{"hex":"0x` + strings.Repeat("AB", maxAttribute+1) + `"}}`, "attributes.X-A"},
		{`"attributes":{"SCTE35-OUT":"0xFC"}`, "attributes.SCTE35-OUT"},
		{`"attributes":{"SCTE35-OUT":{"hex":"0xFC"},"SCTE35-IN":{"hex":"0xFC"}}`, ""},
		{`"attributes":{"SCTE35-IN":{"hex":"0xFC"}}`, "attributes.SCTE35-IN"},
		{`"class":"com.apple.hls.interstitial"`, "attributes"},
		{`"class":"com.apple.hls.interstitial","attributes":{"X-ASSET-URI":"a","X-ASSET-LIST":"b"}`, "attributes"},
		{`"class":"com.apple.hls.interstitial","attributes":{"X-ASSET-LIST":"b"}`, ""},
	} {
		e := mustEvent(t, c.text)
		err := e.Check()
		var field *FieldError
		switch {
		case c.field == "":
			if err != nil {
				t.Errorf("%.100s: %v", c.text, err)
			}
		case !errors.As(err, &field) || field.Field != c.field || !errors.Is(err, ErrInvalid):
			t.Errorf("%.100s: %v, want an error of %s", c.text, err, c.field)
		}
	}
}

func TestDR1_TimedEventIsOnlyAddedTo(t *testing.T) {
	known := mustEvent(t, `"class":"c","planned_duration_s":5,"attributes":{"X-A":1,"X-H":{"hex":"0xAB"}}`)
	before := fmt.Sprint(known)
	for _, c := range []struct{ text, added, field string }{
		{``, "", ""},
		{`"planned_duration_s":5,"attributes":{"X-A":1,"X-H":{"hex":"0xAB"}}`, "", ""},
		{`"duration_s":4`, `"duration_s":4`, ""},
		{`"duration_s":4,"attributes":{"X-A":1,"X-B":"b"}`, `"duration_s":4,"attributes":{"X-B":"b"}`, ""},
		{`"end_date":"2026-11-20T10:00:04Z"`, `"end_date":"2026-11-20T10:00:04Z"`, ""},
		{`"class":"another"`, "", ""}, // not what it is asked for
		{`"planned_duration_s":6`, "", "planned_duration_s"},
		{`"attributes":{"X-A":"1"}`, "", "attributes.X-A"},
		{`"attributes":{"X-H":{"hex":"0xAC"}}`, "", "attributes.X-H"},
		{`"end_date":"2026-11-20T09:00:00Z"`, "", "end_date"},
		{`"attributes":{"x":1}`, "", "attributes"},
	} {
		whole, added, changed, err := known.Add(mustEvent(t, c.text))
		var field *FieldError
		if c.field != "" {
			if !errors.As(err, &field) || field.Field != c.field {
				t.Errorf("%s: %v", c.text, err)
			}
			continue
		}
		if err != nil || changed != (c.added != "") {
			t.Errorf("%s: changed is %v, %v", c.text, changed, err)
			continue
		}
		got, err := json.Marshal(added)
		if err != nil {
			t.Fatal(err)
		}
		want, err := json.Marshal(mustEvent(t, strings.TrimSuffix(`"class":"c",`+c.added, ",")))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Errorf("%s: added %s, want %s", c.text, got, want)
		}
		if _, _, again, err := whole.Add(added); err != nil || again {
			t.Errorf("%s: added twice: %v, %v", c.text, again, err)
		}
	}
	if fmt.Sprint(known) != before {
		t.Error("what was known was modified")
	}
	ended, _, _, err := known.Add(mustEvent(t, `"duration_s":4`))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, _, err = ended.Add(mustEvent(t, `"end_date":"2026-11-20T10:00:05Z"`)); err == nil {
		t.Error("an end that contradicts the duration is taken")
	}
	if _, _, _, err = ended.Add(mustEvent(t, `"end_date":"2026-11-20T10:00:04Z"`)); err != nil {
		t.Error(err)
	}
}
