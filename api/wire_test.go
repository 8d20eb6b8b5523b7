package api

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func openAPI(t *testing.T, f *fixture) map[string]any {
	t.Helper()
	a := f.send(f.Public(), "GET", "/v1/openapi.json", "")
	if a.Code != 200 || a.Header().Get("Content-Type") != "application/openapi+json" {
		t.Fatalf("got %d %s", a.Code, a.Header())
	}
	return a.json
}

func TestOpenAPITellsDurationsAsStrings(t *testing.T) {
	doc := openAPI(t, newFixture(t, nil))
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	for _, name := range []string{"SettingsPatch", "CreatePublisherInputBody", "PublisherRow", "StreamRow"} {
		schema, ok := schemas[name].(map[string]any)
		if !ok {
			var names []string
			for n := range schemas {
				names = append(names, n)
			}
			t.Fatalf("no schema %s in %v", name, names)
		}
		delay, _ := schema["properties"].(map[string]any)["archive_delay"].(map[string]any)
		if delay["type"] != "string" || delay["pattern"] == nil {
			t.Errorf("%s: archive_delay is %v", name, delay)
		}
	}
}

// TestOpenAPITellsOfEverySetting holds the schemas against media's table: each setting is there with its words, and
// in answers with its default.
func TestOpenAPITellsOfEverySetting(t *testing.T) {
	doc := openAPI(t, newFixture(t, nil))
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	found := 0
	for name, schema := range schemas {
		properties, _ := schema.(map[string]any)["properties"].(map[string]any)
		if properties["archive_delay"] == nil {
			continue
		}
		found++
		required, _ := schema.(map[string]any)["required"].([]any)
		answer := slices.Contains(required, any("archive_delay"))
		for _, s := range media.SettingsTable() {
			p, _ := properties[s.Name].(map[string]any)
			text, _ := p["description"].(string)
			words, _ := p["enum"].([]any)
			if !strings.HasPrefix(text, s.Doc) || len(words) != len(s.Words) {
				t.Errorf("%s: %s is %v", name, s.Name, p)
			}
			want := any(nil)
			if answer {
				want = s.Default()
			}
			if fmt.Sprint(p["default"]) != fmt.Sprint(want) {
				t.Errorf("%s: the default of %s is %v, want %v", name, s.Name, p["default"], want)
			}
		}
	}
	if found < 7 { // to be created, to be changed, in answers; of publishers and of streams; and overrides
		t.Errorf("only %d schemas have settings", found)
	}
}

// TestSettingsOnTheWireAreMedias sets every setting to its default and reads it back.
func TestSettingsOnTheWireAreMedias(t *testing.T) {
	f := newFixture(t, nil)
	body := map[string]any{"name": "all"}
	for _, s := range media.SettingsTable() {
		body[s.Name] = s.Default()
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	a := f.must(201, "POST", "/v1/publishers", string(text))
	for name, want := range body {
		if got := a.json[name]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestResetTakesSettingsBack(t *testing.T) {
	f := newFixture(t, nil)
	const one, stream = "/v1/publishers/acme", "/v1/publishers/acme/streams/show"
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	f.must(201, "POST", one+"/streams", `{"name":"show"}`)
	f.must(200, "PATCH", one, `{"retention":"48h","latency":"standard"}`)
	f.must(200, "PATCH", stream, `{"retention":"1h","keep":true,"dvr_window":"5m"}`)
	a := f.must(200, "PATCH", stream+"?dry_run=true", `{"reset":["retention"]}`)
	if a.json["retention"] != "48h" {
		t.Errorf("a dry run shows retention %v", a.json["retention"])
	}
	if a := f.must(200, "GET", stream, ""); a.json["retention"] != "1h" {
		t.Errorf("a dry run changed retention to %v", a.json["retention"])
	}
	a = f.must(200, "PATCH", stream, `{"reset":["retention","keep","archive"],"listed":true}`)
	own := a.json["overrides"].(map[string]any)
	if len(own) != 2 || own["dvr_window"] != "5m" || own["listed"] != true || a.json["retention"] != "48h" ||
		a.json["keep"] != false {
		t.Errorf("got %s", a.Body)
	}
	a = f.must(200, "PATCH", one, `{"reset":["retention"]}`)
	if a.json["retention"] != "0s" || a.json["latency"] != "standard" {
		t.Errorf("got %s", a.Body)
	}
	if a := f.must(200, "GET", stream, ""); a.json["retention"] != "0s" || a.json["latency"] != "standard" {
		t.Errorf("got %s", a.Body)
	}
}

// FuzzSpan holds the schema's pattern against the parser: what passes it parses, or is too long for any setting.
func FuzzSpan(f *testing.F) {
	for _, seed := range []string{
		"0", "90s", "5m", "1h30m", "1.5h", ".5s", "1.s", "300", "-1s", "+1s", "1d", "", "1µs", "99999999h", "1h 2m",
	} {
		f.Add(seed)
	}
	pattern := regexp.MustCompile(span{}.Schema(nil).Pattern)
	f.Fuzz(func(t *testing.T, text string) {
		if !pattern.MatchString(text) {
			return
		}
		var s media.Span
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want, err := time.ParseDuration(text)
		if err == nil && s.D() != want {
			t.Errorf("%q is %v, want %v", text, s.D(), want)
		}
		if err != nil && (media.SettingsPatch{Retention: &s}).Check() == nil {
			t.Errorf("%q passes as %v, but %v", text, s.D(), err)
		}
	})
}
