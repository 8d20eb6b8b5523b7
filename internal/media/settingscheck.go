package media

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FieldError names the field whose value breaks a rule and says what would be right. It is an ErrInvalid.
type FieldError struct {
	Field string
	Want  string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Want }

// Unwrap makes errors.Is(err, ErrInvalid) true.
func (e *FieldError) Unwrap() error { return ErrInvalid }

// Check says which setting that the patch sets is out of its range, or which that it resets is none, as a *FieldError.
func (p SettingsPatch) Check() error {
	fields := settingFields(reflect.ValueOf(p))
	for _, s := range SettingsTable() {
		value := fields[s.Name]
		if value.IsNil() {
			continue
		}
		if want := s.wants(value.Elem()); want != "" {
			return &FieldError{Field: s.Name, Want: want}
		}
	}
	for _, name := range p.Reset {
		value, ok := fields[name]
		switch {
		case !ok:
			return &FieldError{Field: "reset", Want: unknownSetting(name)}
		case !value.IsNil():
			return &FieldError{Field: "reset", Want: fmt.Sprintf("%s is set and reset at once: leave one of them out", name)}
		}
	}
	return nil
}

// settingFields gives the fields of a Settings or a SettingsPatch by the settings' names.
func settingFields(v reflect.Value) map[string]reflect.Value {
	fields := make(map[string]reflect.Value, v.NumField())
	for i := range v.NumField() {
		if name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); name != "-" {
			fields[name] = v.Field(i)
		}
	}
	return fields
}

func unknownSetting(name string) string {
	return fmt.Sprintf("%.40q is no setting: did you mean %q?", name, nearestSetting(name))
}

// wants says what would be right where a value is wrong, else nothing.
func (s *Setting) wants(value reflect.Value) string {
	switch s.Kind {
	case KindDuration, KindInteger, KindBytes:
		n := value.Int()
		if n >= s.Low && n <= s.High || s.Zero != "" && n == 0 {
			return ""
		}
		return fmt.Sprintf("%s is out of range: use %s", s.shown(n), s.Range())
	case KindWord:
		if w := value.String(); !slices.Contains(s.Words, w) {
			return fmt.Sprintf("%.40q is unknown: use %s", w, s.Range())
		}
	case KindText:
		if t := value.String(); t != "" && s.check != nil {
			return s.check(t)
		}
	}
	return ""
}

// Range says what a value may be: "1s to 24h, or 0s for ever"; "on" or "off" in quotes. It is empty for a boolean and a
// text.
func (s *Setting) Range() string {
	if s.Kind == KindWord {
		quoted := make([]string, len(s.Words))
		for i, w := range s.Words {
			quoted[i] = strconv.Quote(w)
		}
		return strings.Join(quoted, " or ")
	}
	if s.High == 0 {
		return ""
	}
	low := s.Low
	if s.Zero != "" && s.Kind != KindDuration {
		low = max(low, 1)
	}
	text := s.bound(low) + " to " + s.bound(s.High)
	if s.Kind == KindBytes || s.Unit == bitsSecond {
		text += " " + s.Unit
	}
	if s.Zero != "" {
		text += ", or " + s.bound(0) + " " + s.Zero
	}
	return text
}

func (s *Setting) shown(n int64) string {
	if s.Kind == KindDuration {
		return time.Duration(n).String()
	}
	return strconv.FormatInt(n, 10)
}

func (s *Setting) bound(n int64) string {
	if s.Kind == KindDuration {
		text, _ := Span(n).MarshalText()
		return string(text)
	}
	return strconv.FormatInt(n, 10)
}

// Default gives the setting's value where nobody sets it, as JSON has it: a string, a bool or an int64.
func (s *Setting) Default() any {
	value := settingFields(reflect.ValueOf(DefaultSettings()))[s.Name]
	switch s.Kind {
	case KindDuration:
		return s.bound(value.Int())
	case KindInteger, KindBytes:
		return value.Int()
	case KindBool:
		return value.Bool()
	default:
		return value.String()
	}
}

// ParseSetting reads one setting's value as people write it: NAME=VALUE without the rest of JSON. Its errors are
// *FieldError, of an unknown name with the nearest that there is.
func ParseSetting(name, value string) (SettingsPatch, error) {
	s, ok := SettingNamed(name)
	if !ok {
		const most = 40
		return SettingsPatch{}, &FieldError{Field: fmt.Sprintf("%.*s", most, name), Want: unknownSetting(name)}
	}
	var p SettingsPatch
	text, want := s.encode(value)
	if want == "" {
		if err := json.Unmarshal(fmt.Appendf(nil, "{%q:%s}", name, text), &p); err != nil {
			want = err.Error()
		}
	}
	if want != "" {
		return SettingsPatch{}, &FieldError{Field: name, Want: want}
	}
	return p, p.Check()
}

// encode gives a value's JSON, or says what would be right.
func (s *Setting) encode(value string) (text, want string) {
	switch s.Kind {
	case KindDuration:
		if new(Span).UnmarshalText([]byte(value)) != nil {
			return "", fmt.Sprintf("%.40q is no duration: write it like 90s, 5m or 1h30m", value)
		}
	case KindBool:
		if value != "true" && value != "false" {
			return "", fmt.Sprintf("%.40q is neither true nor false", value)
		}
		return value, ""
	case KindInteger, KindBytes:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return "", fmt.Sprintf("%.40q is no whole number: use %s", value, s.Range())
		}
		return strconv.FormatInt(n, 10), ""
	}
	quoted, err := json.Marshal(value)
	if err != nil {
		return "", err.Error()
	}
	return string(quoted), ""
}
