package api

import (
	"encoding/json"
	"reflect"
	"regexp"
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

// TestEverySettingIsOnTheWire holds the wire's settings against media's: names, order, and none dropped between.
func TestEverySettingIsOnTheWire(t *testing.T) {
	names := func(typ reflect.Type) (list []string) {
		for f := range typ.Fields() {
			list = append(list, f.Tag.Get("json"))
		}
		return list
	}
	for ours, medias := range map[reflect.Type]reflect.Type{
		reflect.TypeFor[SettingsPatch](): reflect.TypeFor[media.SettingsPatch](),
		reflect.TypeFor[Settings]():      reflect.TypeFor[media.Settings](),
	} {
		if got, want := names(ours), names(medias); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", ours, got, want)
		}
	}
	var patch media.SettingsPatch
	v := reflect.ValueOf(&patch).Elem()
	for i := range v.NumField() {
		v.Field(i).Set(reflect.New(v.Field(i).Type().Elem()))
	}
	if got := newPatch(patch).media(); !reflect.DeepEqual(got, patch) {
		t.Errorf("a set patch comes back as %+v", got)
	}
	text, err := json.Marshal(newPatch(patch))
	if err != nil {
		t.Fatal(err)
	}
	var back SettingsPatch
	if err := json.Unmarshal(text, &back); err != nil || !reflect.DeepEqual(back.media(), patch) {
		t.Errorf("%s comes back as %+v, %v", text, back, err)
	}
}

// FuzzSpan holds the schema's pattern against the parser: what passes it parses, or is too long for any setting.
func FuzzSpan(f *testing.F) {
	for _, seed := range []string{
		"0", "90s", "5m", "1h30m", "1.5h", ".5s", "1.s", "300", "-1s", "+1s", "1d", "", "1µs", "99999999h", "1h 2m",
	} {
		f.Add(seed)
	}
	pattern := regexp.MustCompile((*span)(nil).Schema(nil).Pattern)
	f.Fuzz(func(t *testing.T, text string) {
		if !pattern.MatchString(text) {
			return
		}
		var s span
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want, err := time.ParseDuration(text)
		if err == nil && time.Duration(s) != want {
			t.Errorf("%q is %v, want %v", text, time.Duration(s), want)
		}
		if err != nil && (media.SettingsPatch{Retention: (*media.Span)(&s)}).Check() == nil {
			t.Errorf("%q passes as %v, but %v", text, time.Duration(s), err)
		}
	})
}
