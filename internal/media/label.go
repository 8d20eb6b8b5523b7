package media

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxLabels is the most labels of one recording.
	MaxLabels = 32
	// MaxLabelName is the most characters of a label's name.
	MaxLabelName = 63
	// MaxLabelValue is the most characters of a label's value.
	MaxLabelValue = 200
	// MaxLabelFilters is the most labels that one filter may name.
	MaxLabelFilters = 8
)

// Labels are what people sort recordings by: values by name.
type Labels map[string]string

// Check says as a *FieldError what is out of form.
func (l Labels) Check() error {
	if len(l) > MaxLabels {
		return &FieldError{Field: "labels", Want: fmt.Sprintf("there are %d: use %d at most", len(l), MaxLabels)}
	}
	for name, value := range l {
		if err := checkLabelName(name); err != nil {
			return &FieldError{Field: "labels", Want: err.Error()}
		}
		if err := checkLabelValue(value); err != nil {
			return &FieldError{Field: "labels", Want: fmt.Sprintf("label %s: %s", name, err)}
		}
	}
	return nil
}

func checkLabelName(name string) error {
	ok := name != "" && len(name) <= MaxLabelName
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		ok = ok && (letter || i > 0 && (c == '_' || c == '.' || c == '-'))
	}
	if !ok {
		return fmt.Errorf("%w: %.80q is no label's name: use 1 to %d of a-z 0-9 _ . -, the first a letter or digit",
			ErrBadName, name, MaxLabelName)
	}
	return nil
}

func checkLabelValue(value string) error {
	if utf8.RuneCountInString(value) > MaxLabelValue || strings.ContainsFunc(value, unprintable) {
		return fmt.Errorf("%w value: use at most %d printable characters", ErrInvalid, MaxLabelValue)
	}
	return nil
}

// LabelFilter selects recordings by a label: any value of it, or the one.
type LabelFilter struct {
	Name  string
	Value string
	Any   bool
}

// ParseLabelFilter reads NAME, which is any value, or NAME=VALUE.
func ParseLabelFilter(text string) (LabelFilter, error) {
	name, value, valued := strings.Cut(text, "=")
	f := LabelFilter{Name: name, Value: value, Any: !valued}
	if err := checkLabelName(name); err != nil {
		return LabelFilter{}, err
	}
	if err := checkLabelValue(value); err != nil {
		return LabelFilter{}, err
	}
	return f, nil
}

// RecordingChange is what is to be set of a recording. What is nil stays as it is; Labels replace all that are there.
type RecordingChange struct {
	Keep   *bool
	Name   *string
	Labels Labels
}

// Check says as a *FieldError what is out of form, or that there is nothing to set.
func (c RecordingChange) Check() error {
	if c.Keep == nil && c.Name == nil && c.Labels == nil {
		return &FieldError{Field: "keep", Want: "there is nothing to change: give keep, name or labels"}
	}
	if c.Name != nil {
		if err := CheckTitle(*c.Name); err != nil {
			return err
		}
	}
	return c.Labels.Check()
}

// CheckTitle says as a *FieldError what is wrong with what people call a recording.
func CheckTitle(name string) error {
	switch {
	case len(name) > MaxClipName:
		return &FieldError{Field: "name", Want: fmt.Sprintf("it has %d bytes: use %d at most", len(name), MaxClipName)}
	case strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name):
		return &FieldError{Field: "name", Want: "use text without control characters"}
	}
	return nil
}
