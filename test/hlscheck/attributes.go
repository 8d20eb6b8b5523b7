package hlscheck

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// attribute is one NAME=value of a tag.
type attribute struct {
	name   string
	value  string // without quotes
	quoted bool
}

// attributes are those of one tag, in order.
type attributes []attribute

var (
	attributeName = regexp.MustCompile(`^[A-Z0-9-]+$`)
	integerValue  = regexp.MustCompile(`^[0-9]{1,20}$`)
	decimalValue  = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	signedValue   = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)
	hexValue      = regexp.MustCompile(`^0[xX][0-9A-F]+$`)
	sizeValue     = regexp.MustCompile(`^[0-9]+x[0-9]+$`)
	enumValue     = regexp.MustCompile(`^[^", \t]+$`)
)

// parseAttributes reads an attribute list (d§4.2) and says what is wrong with it, "" if nothing is.
func parseAttributes(text string) (list attributes, fault string) {
	for rest := text; ; {
		name, after, ok := strings.Cut(rest, "=")
		if !ok || !attributeName.MatchString(name) {
			return list, "no attribute at " + strconv.Quote(rest)
		}
		if list.has(name) {
			return list, "attribute " + name + " twice"
		}
		a := attribute{name: name}
		if strings.HasPrefix(after, `"`) {
			a.quoted = true
			if a.value, rest, ok = strings.Cut(after[1:], `"`); !ok {
				return list, "quote of " + name + " not closed"
			}
		} else {
			end := strings.IndexByte(after, ',')
			if end < 0 {
				end = len(after)
			}
			a.value, rest = after[:end], after[end:]
			if !enumValue.MatchString(a.value) {
				return list, "value of " + name + " is " + strconv.Quote(a.value)
			}
		}
		list = append(list, a)
		if rest == "" {
			return list, ""
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return list, "no comma after " + name
		}
	}
}

func (l attributes) find(name string) (attribute, bool) {
	i := slices.IndexFunc(l, func(a attribute) bool { return a.name == name })
	if i < 0 {
		return attribute{}, false
	}
	return l[i], true
}

func (l attributes) has(name string) bool { _, ok := l.find(name); return ok }

func (l attributes) text(name string) string { a, _ := l.find(name); return a.value }

// number is -1 where the attribute is absent or none.
func (l attributes) number(name string) int64 {
	n, err := strconv.ParseInt(l.text(name), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

func (l attributes) seconds(name string) time.Duration { return seconds(l.text(name)) }

// seconds reads decimal seconds; 0 where they are none.
func seconds(text string) time.Duration {
	if !signedValue.MatchString(text) {
		return 0
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || v > 1e9 || v < -1e9 {
		return 0
	}
	return time.Duration(v*1e9 + 0.5)
}

// form is how an attribute's value must be written.
type form byte

const (
	quoted  form = 'q'
	integer form = 'i'
	decimal form = 'd'
	signed  form = 's'
	enum    form = 'e'
	hex     form = 'x'
	size    form = 'r'
)

// obeys says whether the value is written in the form.
func (a attribute) obeys(f form) bool {
	if a.quoted || f == quoted {
		return a.quoted && f == quoted
	}
	switch f {
	case integer:
		return integerValue.MatchString(a.value)
	case decimal:
		return decimalValue.MatchString(a.value)
	case signed:
		return signedValue.MatchString(a.value)
	case hex:
		return hexValue.MatchString(a.value)
	case size:
		return sizeValue.MatchString(a.value)
	default:
		return true
	}
}
