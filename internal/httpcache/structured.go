package httpcache

import (
	"strings"
)

// parseTargeted reads the lines of a targeted field, which is a dictionary (RFC 9213 section 2.1, RFC 8941 section
// 3.2). It is not ok when there is none, it is empty, is no dictionary, or has a known directive of another type.
func parseTargeted(lines []string) (d Directives, ok bool) {
	d = noDirectives()
	members, ok := parseDictionary(strings.Join(lines, ", "))
	if !ok || len(members) == 0 {
		return d, false
	}
	for name, m := range members {
		switch name {
		case "max-age", "s-maxage", "stale-while-revalidate", "stale-if-error":
			if m.kind != sfInteger || m.negative {
				return d, false
			}
			d.add(name, m.text)
		case "no-store", "public", "must-revalidate", "proxy-revalidate", "must-understand":
			if m.kind != sfBoolean {
				return d, false
			}
			if m.text == "1" {
				d.add(name, "")
			}
		case "no-cache", "private":
			switch {
			case m.kind == sfBoolean && m.text == "1":
				d.add(name, "")
			case m.kind == sfString:
				d.add(name, `"`+m.text+`"`)
			case m.kind != sfBoolean:
				return d, false
			}
		}
	}
	return d, true
}

// cdnDirectives reads CDN-Cache-Control.
func cdnDirectives(h map[string][]string) (Directives, bool) {
	lines := h["Cdn-Cache-Control"]
	if len(lines) == 0 {
		return noDirectives(), false
	}
	return parseTargeted(lines)
}

type sfKind uint8

const (
	sfBoolean sfKind = iota
	sfInteger
	sfDecimal
	sfString
	sfToken
	sfBytes
	sfList
)

// sfMember is a dictionary's value: text is its digits, its characters or, of a boolean, 1 or 0. Of a list only the
// kind is kept. Parameters are checked and dropped.
type sfMember struct {
	kind     sfKind
	text     string
	negative bool
}

// maxDictionary bounds a dictionary's text.
const maxDictionary = 8 << 10

// sfParser reads structured fields by the algorithms of RFC 8941 section 4.2.
type sfParser struct {
	s string
}

func parseDictionary(s string) (map[string]sfMember, bool) {
	if len(s) > maxDictionary {
		return nil, false
	}
	p := sfParser{s: strings.Trim(s, " ")}
	members := make(map[string]sfMember)
	for p.s != "" {
		name, ok := p.key()
		if !ok {
			return nil, false
		}
		m := sfMember{kind: sfBoolean, text: "1"}
		if p.take('=') {
			if m, ok = p.value(); !ok {
				return nil, false
			}
		}
		if !p.parameters() {
			return nil, false
		}
		members[name] = m // the last one counts
		p.s = strings.TrimLeft(p.s, " \t")
		if p.s == "" {
			return members, true
		}
		if !p.take(',') {
			return nil, false
		}
		if p.s = strings.TrimLeft(p.s, " \t"); p.s == "" {
			return nil, false // a comma at the end
		}
	}
	return members, true
}

func (p *sfParser) take(c byte) bool {
	if p.s == "" || p.s[0] != c {
		return false
	}
	p.s = p.s[1:]
	return true
}

// run takes the longest run of characters that are so.
func (p *sfParser) run(so func(c byte) bool) string {
	n := 0
	for n < len(p.s) && so(p.s[n]) {
		n++
	}
	taken := p.s[:n]
	p.s = p.s[n:]
	return taken
}

func isLower(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isAlpha(c byte) bool { return isLower(c | 0x20) }

// isToken says whether the character is a tchar (RFC 9110 section 5.6.2).
func isToken(c byte) bool {
	return isAlpha(c) || isDigit(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

func (p *sfParser) key() (string, bool) {
	if p.s == "" || !isLower(p.s[0]) && p.s[0] != '*' {
		return "", false
	}
	return p.run(func(c byte) bool {
		return isLower(c) || isDigit(c) || c == '_' || c == '-' || c == '.' || c == '*'
	}), true
}

func (p *sfParser) value() (sfMember, bool) {
	if !p.take('(') {
		return p.bare()
	}
	for p.s != "" {
		p.s = strings.TrimLeft(p.s, " ")
		if p.take(')') {
			return sfMember{kind: sfList}, true
		}
		if _, ok := p.bare(); !ok || !p.parameters() {
			return sfMember{}, false
		}
		if p.s == "" || p.s[0] != ' ' && p.s[0] != ')' {
			break
		}
	}
	return sfMember{}, false
}

func (p *sfParser) parameters() bool {
	for p.take(';') {
		p.s = strings.TrimLeft(p.s, " ")
		if _, ok := p.key(); !ok {
			return false
		}
		if p.take('=') {
			if _, ok := p.bare(); !ok {
				return false
			}
		}
	}
	return true
}

func (p *sfParser) bare() (sfMember, bool) {
	if p.s == "" {
		return sfMember{}, false
	}
	switch c := p.s[0]; {
	case c == '-' || isDigit(c):
		return p.number()
	case c == '"':
		return p.quoted()
	case c == '*' || isAlpha(c):
		return sfMember{kind: sfToken, text: p.run(func(c byte) bool { return isToken(c) || c == ':' || c == '/' })}, true
	case c == ':':
		p.s = p.s[1:]
		text := p.run(func(c byte) bool { return isAlpha(c) || isDigit(c) || c == '+' || c == '/' || c == '=' })
		return sfMember{kind: sfBytes, text: text}, p.take(':')
	case c == '?':
		p.s = p.s[1:]
		if p.take('1') {
			return sfMember{kind: sfBoolean, text: "1"}, true
		}
		return sfMember{kind: sfBoolean, text: "0"}, p.take('0')
	}
	return sfMember{}, false
}

func (p *sfParser) number() (sfMember, bool) {
	m := sfMember{kind: sfInteger, negative: p.take('-')}
	m.text = p.run(isDigit)
	if m.text == "" || len(m.text) > 15 {
		return m, false
	}
	if !p.take('.') {
		return m, true
	}
	m.kind = sfDecimal
	fraction := p.run(isDigit)
	return m, len(m.text) <= 12 && fraction != "" && len(fraction) <= 3
}

func (p *sfParser) quoted() (sfMember, bool) {
	var text strings.Builder
	for i := 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '"':
			p.s = p.s[i+1:]
			return sfMember{kind: sfString, text: text.String()}, true
		case c == '\\':
			i++
			if i == len(p.s) || p.s[i] != '"' && p.s[i] != '\\' {
				return sfMember{}, false
			}
			text.WriteByte(p.s[i])
		case c < 0x20 || c > 0x7e:
			return sfMember{}, false
		default:
			text.WriteByte(c)
		}
	}
	return sfMember{}, false
}
