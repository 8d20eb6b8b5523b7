package api

import (
	"errors"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// advise says what to do where huma says what is wrong in the words of its library.
func advise(e *huma.ErrorDetail) {
	if _, ok := e.Value.(null); ok {
		e.Message = "null is no value: leave it out, and it stays as it is"
		return
	}
	if _, ok := e.Value.(unreadable); ok {
		e.Message = wantText
		return
	}
	switch {
	case strings.HasPrefix(e.Message, "expected value to be one of"):
		adviseWord(e)
	case e.Message == "expected string":
		e.Message += `: write it in quotes, a duration like "90s"`
	case e.Message == "expected integer":
		e.Message += ": write a whole number without quotes"
	case e.Message == "expected boolean":
		e.Message += ": write true or false without quotes"
	case e.Message == "invalid boolean":
		e.Message = "use true or false"
	case strings.HasPrefix(e.Message, "invalid date/time"), strings.HasPrefix(e.Message, "expected string to be RFC 3339"):
		e.Message = "use a date and time with its offset, like 2026-11-20T10:38:00Z"
	case strings.HasPrefix(e.Message, "expected value to match exactly one schema"): // the bounds of a clip
		e.Message = wantBound
	}
}

// adviseWord has media say what a setting's word, or the name of one, should have been.
func adviseWord(e *huma.ErrorDetail) {
	value, _ := e.Value.(string)
	name := strings.TrimPrefix(e.Location, "body.")
	_, err := media.ParseSetting(name, value)
	if strings.HasPrefix(name, "reset[") {
		err = media.SettingsPatch{Reset: []string{value}}.Check()
	} else if _, ok := media.SettingNamed(name); !ok {
		return
	}
	if field := (*media.FieldError)(nil); errors.As(err, &field) {
		e.Message = field.Want
	}
}
