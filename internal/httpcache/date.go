package httpcache

import (
	"strings"
	"time"
)

const days, months = "Mon Tue Wed Thu Fri Sat Sun", "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec"

const longDays = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday"

// ParseDate reads an HTTP date in any of its three forms (RFC 9110 section 5.6.7), to the letter but for case. The
// standard library's parser takes other zones for GMT, and neither wrong case nor a year of RFC 850 beyond 2068.
func ParseDate(s string, now time.Time) (time.Time, bool) {
	p := dateParser{s: s}
	var day, month, year int
	var clock time.Duration
	if name, rest, comma := strings.Cut(s, ","); !comma { // Sun Nov  6 08:49:37 1994
		p.name(days)
		p.text(" ")
		month = p.name(months)
		p.text(" ")
		day = p.paddedDay()
		p.text(" ")
		clock = p.clock()
		p.text(" ")
		year = p.digits(4)
	} else if p.s = rest; len(name) == 3 { // Sun, 06 Nov 1994 08:49:37 GMT
		p.bad = index(days, name) < 0
		p.text(" ")
		day = p.digits(2)
		p.text(" ")
		month = p.name(months)
		p.text(" ")
		year = p.digits(4)
		p.text(" ")
		clock = p.clock()
		p.text(" GMT")
	} else { // Sunday, 06-Nov-94 08:49:37 GMT
		p.bad = index(longDays, name) < 0
		p.text(" ")
		day = p.digits(2)
		p.text("-")
		month = p.name(months)
		p.text("-")
		year = century(p.digits(2), now.UTC().Year())
		p.text(" ")
		clock = p.clock()
		p.text(" GMT")
	}
	if p.bad || p.s != "" {
		return time.Time{}, false
	}
	t := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if t.Day() != day || day == 0 {
		return time.Time{}, false // no such day in that month
	}
	return t.Add(clock), true
}

// century gives the year of two digits: no more than 50 years from now.
func century(two, now int) int {
	year := now - now%100 + two
	if year > now+50 {
		year -= 100
	}
	return year
}

// index gives the place of a name, from 1, in a list of names with blanks between them, or -1.
func index(list, name string) int {
	at := 0
	for word := range strings.SplitSeq(list, " ") {
		at++
		if strings.EqualFold(word, name) {
			return at
		}
	}
	return -1
}

// dateParser takes a date apart from its beginning.
type dateParser struct {
	s   string
	bad bool
}

func (p *dateParser) take(n int) string {
	if len(p.s) < n {
		p.bad = true
		return ""
	}
	taken := p.s[:n]
	p.s = p.s[n:]
	return taken
}

func (p *dateParser) text(want string) {
	if !strings.EqualFold(p.take(len(want)), want) {
		p.bad = true
	}
}

// name takes a name of three letters.
func (p *dateParser) name(list string) int {
	i := index(list, p.take(3))
	if i < 0 {
		p.bad = true
	}
	return i
}

func (p *dateParser) digits(n int) int {
	v := 0
	for _, c := range []byte(p.take(n)) {
		if !isDigit(c) {
			p.bad = true
		}
		v = 10*v + int(c-'0')
	}
	return v
}

// paddedDay takes a day whose first digit may be a blank.
func (p *dateParser) paddedDay() int {
	if strings.HasPrefix(p.s, " ") {
		p.s = p.s[1:]
		return p.digits(1)
	}
	return p.digits(2)
}

func (p *dateParser) clock() time.Duration {
	hour := p.digits(2)
	p.text(":")
	minute := p.digits(2)
	p.text(":")
	second := p.digits(2)
	if hour > 23 || minute > 59 || second > 60 {
		p.bad = true
	}
	return time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
}
