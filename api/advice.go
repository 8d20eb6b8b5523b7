package api

import "github.com/danielgtaylor/huma/v2"

// advise adds to what is wrong with a value's type what to do.
func advise(e *huma.ErrorDetail) {
	if _, ok := e.Value.(null); ok {
		e.Message = "null is no value: leave it out, and it stays as it is"
		return
	}
	switch e.Message {
	case "expected string":
		e.Message += `: write it in quotes, a duration like "90s"`
	case "expected integer":
		e.Message += ": write a whole number without quotes"
	case "expected boolean":
		e.Message += ": write true or false without quotes"
	}
}
