package media

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/settings.md anew")

// TestEverySettingIsInTheTable holds Settings, SettingsPatch, Apply and the table against each other: names, order and
// types.
func TestEverySettingIsInTheTable(t *testing.T) {
	table := SettingsTable()
	whole, patch := reflect.TypeFor[Settings](), reflect.TypeFor[SettingsPatch]()
	if whole.NumField() != len(table) || patch.NumField() != len(table)+1 {
		t.Fatalf("%d settings in the table, %d in Settings, %d in SettingsPatch with Reset", len(table), whole.NumField(),
			patch.NumField())
	}
	for i, s := range table {
		if got := whole.Field(i).Tag.Get("json"); got != s.Name {
			t.Errorf("field %d of Settings is %q, want %q", i, got, s.Name)
		}
		if got := patch.Field(i).Tag.Get("json"); got != s.Name+",omitempty" {
			t.Errorf("field %d of SettingsPatch is %q, want %q", i, got, s.Name)
		}
		if whole.Field(i).Type != patch.Field(i).Type.Elem() {
			t.Errorf("%s is %v, and %v in the patch", s.Name, whole.Field(i).Type, patch.Field(i).Type)
		}
		want := map[SettingKind]reflect.Kind{
			KindDuration: reflect.Int64, KindBool: reflect.Bool, KindBytes: reflect.Int64, KindWord: reflect.String,
			KindText: reflect.String,
		}[s.Kind]
		if got := whole.Field(i).Type.Kind(); s.Kind == KindInteger && got != reflect.Int && got != reflect.Int64 ||
			s.Kind != KindInteger && got != want {
			t.Errorf("%s, a %s, is a %v", s.Name, s.Kind, got)
		}
		if s.Doc == "" || strings.HasSuffix(s.Doc, ".") {
			t.Errorf("%s: doc %q", s.Name, s.Doc)
		}
		one := reflect.New(patch).Elem()
		value := reflect.New(whole.Field(i).Type)
		switch value.Elem().Kind() {
		case reflect.Bool:
			value.Elem().SetBool(!reflect.ValueOf(DefaultSettings()).Field(i).Bool())
		case reflect.String:
			value.Elem().SetString("other")
		default:
			value.Elem().SetInt(77)
		}
		one.Field(i).Set(value)
		applied := reflect.ValueOf(DefaultSettings().Apply(one.Interface().(SettingsPatch)))
		if !applied.Field(i).Equal(value.Elem()) {
			t.Errorf("Apply leaves %s out", s.Name)
		}
	}
}

func TestParseSettingReadsEveryDefault(t *testing.T) {
	for _, s := range SettingsTable() {
		p, err := ParseSetting(s.Name, fmt.Sprint(s.Default()))
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		text, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var set map[string]any
		if err := json.Unmarshal(text, &set); err != nil || len(set) != 1 || fmt.Sprint(set[s.Name]) != fmt.Sprint(s.Default()) {
			t.Errorf("%s=%v sets %s", s.Name, s.Default(), text)
		}
		if DefaultSettings().Apply(p) != DefaultSettings() {
			t.Errorf("%s=%v is not the default", s.Name, s.Default())
		}
	}
}

func TestParseSettingSaysWhatIsWrong(t *testing.T) {
	for _, c := range []struct{ name, value, field, want string }{
		{"retentoin", "1h", "retentoin", `did you mean "retention"?`},
		{"archive-mode", "x", "archive-mode", `did you mean "archive_mode"?`},
		{"", "x", "", "is no setting"},
		{strings.Repeat("x", 9000), "x", strings.Repeat("x", 40), "is no setting"},
		{"Reset", "keep", "Reset", "is no setting"},
		{"retention", "30d", "retention", "like 90s, 5m or 1h30m"},
		{"retention", "1ms", "retention", "use 1s to 876000h, or 0s for ever"},
		{"retention", "99999999h", "retention", "out of range"},
		{"keep", "yes", "keep", "neither true nor false"},
		{"max_bitrate", "5M", "max_bitrate", "use 10000 to 1000000000 bits per second, or 0 for no limit"},
		{"max_streams", "", "max_streams", "use 1 to 1000000, or 0 for no limit"},
		{"retention_bytes", "99999999999999999999", "retention_bytes", "no whole number"},
		{"record", "no", "record", `use "on" or "off"`},
		{"archive", "s3://x", "archive", "a-z 0-9"},
		{"captions", "CC9=en", "captions", "CC4"},
	} {
		p, err := ParseSetting(c.name, c.value)
		var bad *FieldError
		if !errors.As(err, &bad) || bad.Field != c.field || !strings.Contains(bad.Want, c.want) {
			t.Errorf("%.20s=%s: %+v, %v; want %s: %s", c.name, c.value, p, err, c.field, c.want)
		}
	}
}

func TestResetTakesSettingsOut(t *testing.T) {
	yes, age := true, Span(3600e9)
	p := SettingsPatch{Keep: &yes, Retention: &age}
	if got := p.Merge(SettingsPatch{Reset: []string{"keep"}}); got.Keep != nil || got.Retention != &age || got.Reset != nil {
		t.Errorf("got %+v", got)
	}
	if p.Keep == nil {
		t.Error("Merge changed what it was called on")
	}
	for _, c := range []struct {
		patch SettingsPatch
		want  string
	}{
		{SettingsPatch{Reset: []string{"kep"}}, `did you mean "keep"?`},
		{SettingsPatch{Reset: []string{"keep"}, Keep: &yes}, "set and reset"},
	} {
		var bad *FieldError
		if err := c.patch.Check(); !errors.As(err, &bad) || bad.Field != "reset" || !strings.Contains(bad.Want, c.want) {
			t.Errorf("%+v: %v", c.patch, err)
		}
	}
	if err := (SettingsPatch{Reset: []string{"keep", "group"}}).Check(); err != nil {
		t.Error(err)
	}
}

// TestSettingsDocIsCurrent holds docs/settings.md against the table.
func TestSettingsDocIsCurrent(t *testing.T) {
	const name = "../../docs/settings.md"
	want := settingsDoc()
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(name)
	if err != nil || string(got) != want {
		t.Errorf("docs/settings.md is stale (%v): go test ./internal/media -run SettingsDoc -update", err)
	}
}

func settingsDoc() string {
	var b strings.Builder
	b.WriteString(`# Settings

<!-- Written by "go test ./internal/media -run SettingsDoc -update" from internal/media/settingstable.go. -->

A publisher's settings hold for its streams; each of a stream's own, an override, holds over its publisher's. What nobody
sets is its default. They are fields of ` + "`POST` and `PATCH /v1/publishers` and `.../streams`" + `, and NAME=VALUE of
` + "`oxbow publisher set` and `oxbow stream set`" + `. Durations are written like 90s, 5m or 1h30m. What is out of its range,
and what is no setting, is refused (422) by its name. ` + "`oxbow settings`" + ` prints this table, and
` + "`oxbow settings NAME`" + ` explains one.

` + "`{\"reset\":[\"retention\",\"keep\"]}`" + ` in a ` + "`PATCH`" + ` drops overrides of a stream, or has a publisher go back to the
defaults; it goes with other settings, and with ` + "`?dry_run=true`" + `.

| setting | kind | default | range | a change holds | |
|---|---|---|---|---|---|
`)
	for _, s := range SettingsTable() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", s.Name, s.Kind, shownDefault(&s), shownRange(&s), s.Effect, told(&s))
	}
	b.WriteString("\nWhat becomes of recordings by them is in [retention.md](retention.md), and of archives in " +
		"[archive.md](archive.md).\n")
	return b.String()
}

func shownDefault(s *Setting) string {
	if s.Default() == "" {
		return "`\"\"`"
	}
	return fmt.Sprintf("`%v`", s.Default())
}

func shownRange(s *Setting) string {
	switch {
	case s.Kind == KindWord:
		return "`" + strings.Join(s.Words, "`, `") + "`"
	case s.Kind == KindText && s.Zero != "":
		return "`\"\"`: " + s.Zero
	case s.Unit != "" && !strings.Contains(s.Range(), s.Unit):
		return strings.Replace(s.Range(), ", or", " "+s.Unit+", or", 1)
	}
	return s.Range()
}

func told(s *Setting) string {
	text := strings.ReplaceAll(s.Doc, "|", "\\|")
	if s.Level == LevelStream {
		text += "; a stream's alone"
	}
	return text
}

func BenchmarkSettingsCheck(b *testing.B) {
	b.ReportAllocs()
	age := Span(3600e9)
	for b.Loop() {
		if err := (SettingsPatch{Retention: &age}).Check(); err != nil {
			b.Fatal(err)
		}
	}
}
