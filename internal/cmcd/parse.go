package cmcd

// parser reads a dictionary of RFC 8941, section 4.2.2.
type parser struct {
	text []byte
	at   int
}

// kind is the type of a bare item (RFC 8941, section 3.3).
type kind uint8

const (
	kindNone kind = iota
	kindNumber
	kindString
	kindToken
	kindBool
)

// item is a member's value: of a list that of the items which counts.
type item struct {
	kind kind
	list bool
	// least and most are of a list's numbers, or both the one number, in thousandths.
	least, most int64
	count       int  // of items
	from, to    int  // of a string without its quotes, or of a token: the first
	truth       bool // of a boolean
}

func (p *parser) dictionary(d *Data) bool {
	p.spaces()
	for n := 0; p.at < len(p.text); n++ {
		if n == maxKeys {
			return false
		}
		from := p.at
		if !p.key() {
			return false
		}
		key := p.text[from:p.at]
		v := item{kind: kindBool, truth: true, count: 1}
		if p.take('=') {
			if !p.member(&v) {
				return false
			}
		} else if !p.parameters() {
			return false
		}
		if len(key) <= longestKey && !d.set(string(key), &v) {
			return false
		}
		p.spaces()
		if p.at == len(p.text) {
			return true
		}
		if !p.take(',') {
			return false
		}
		p.spaces()
		if p.at == len(p.text) {
			return false // a comma at the end
		}
	}
	return true
}

func (p *parser) take(c byte) bool {
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) spaces() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

// key passes a key. Keys of players' own have capitals and dots (com.example-myKey), which RFC 8941 has not.
func (p *parser) key() bool {
	from := p.at
	for p.at < len(p.text) && inKey(p.text[p.at]) {
		p.at++
	}
	return p.at > from && p.at-from <= MaxSession && !digit(p.text[from])
}

func inKey(c byte) bool { return letter(c) || digit(c) || c == '-' || c == '_' || c == '.' || c == '*' }

func letter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

func digit(c byte) bool { return c >= '0' && c <= '9' }

// member passes an item or an inner list, with its parameters.
func (p *parser) member(v *item) bool {
	if !p.take('(') {
		return p.bare(v) && p.parameters()
	}
	*v = item{list: true}
	for {
		p.spaces()
		if p.take(')') {
			return p.parameters()
		}
		var one item
		if !p.bare(&one) || !p.parameters() {
			return false
		}
		switch {
		case v.count == 0:
			*v = one
			v.list = true
		case one.kind != v.kind:
			return false
		default:
			v.least, v.most = min(v.least, one.least), max(v.most, one.most)
		}
		v.count++
		if p.at < len(p.text) && p.text[p.at] != ' ' && p.text[p.at] != ')' {
			return false
		}
	}
}

// parameters passes those behind an item.
func (p *parser) parameters() bool {
	for p.take(';') {
		p.spaces()
		if !p.key() {
			return false
		}
		var v item
		if p.take('=') && !p.bare(&v) {
			return false
		}
	}
	return true
}

func (p *parser) bare(v *item) bool {
	v.list, v.count = false, 0
	if p.at == len(p.text) {
		return false
	}
	switch c := p.text[p.at]; {
	case digit(c) || c == '-':
		return p.number(v)
	case c == '"':
		return p.quoted(v)
	case c == '?':
		v.kind = kindBool
		p.at++
		v.truth = p.take('1')
		return v.truth || p.take('0')
	case letter(c) || c == '*':
		v.kind, v.from = kindToken, p.at
		for p.at < len(p.text) && inToken(p.text[p.at]) {
			p.at++
		}
		v.to = p.at
		return true
	}
	return false
}

// inToken is RFC 7230's tchar, and : and / (RFC 8941, section 3.3.4).
func inToken(c byte) bool {
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~', ':', '/':
		return true
	}
	return letter(c) || digit(c)
}

// number passes an integer or a decimal (RFC 8941, sections 3.3.1 and 3.3.2).
func (p *parser) number(v *item) bool {
	minus := p.take('-')
	from, n := p.at, int64(0)
	for ; p.at < len(p.text) && digit(p.text[p.at]); p.at++ {
		if p.at-from == 15 {
			return false
		}
		n = 10*n + int64(p.text[p.at]-'0')
	}
	if p.at == from {
		return false
	}
	n *= 1000
	if p.take('.') {
		from := p.at
		for unit := int64(100); p.at < len(p.text) && digit(p.text[p.at]); unit /= 10 {
			n += unit * int64(p.text[p.at]-'0') // past three digits it is zero: some players send more
			p.at++
		}
		if p.at == from || p.at-from > 15 {
			return false
		}
	}
	if minus {
		n = -n
	}
	v.kind, v.least, v.most = kindNumber, n, n
	return true
}

func (p *parser) quoted(v *item) bool {
	p.at++
	v.kind, v.from = kindString, p.at
	for ; p.at < len(p.text); p.at++ {
		switch c := p.text[p.at]; {
		case c == '"':
			v.to = p.at
			p.at++
			return true
		case c == '\\':
			if p.at++; p.at == len(p.text) || p.text[p.at] != '"' && p.text[p.at] != '\\' {
				return false
			}
		case c < 0x20 || c > 0x7e:
			return false
		}
	}
	return false
}
