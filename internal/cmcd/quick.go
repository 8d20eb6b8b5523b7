package cmcd

// quick reads the text that stands in a query without unescaping it first, if it is in the form in which players write
// it: keys of letters and hyphens, whole numbers, short tokens, strings whose content matters without escapes, and no
// blanks. It gives what the parser gives. False: the text has another form, good or not, and the Data is to be reset.
func (d *Data) quick(raw string) bool {
	if len(raw) > MaxText {
		return false
	}
	n := 1 // the next byte of text; 0 is no session
	for at, members := 0, 0; members < maxKeys; members++ {
		from := at
		for at < len(raw) && (letter(raw[at]) || raw[at] == '-') {
			at++
		}
		if at == from || at-from > longestKey || raw[from] == '-' {
			return false
		}
		key := raw[from:at]
		v := item{kind: kindBool, truth: true, count: 1}
		if at < len(raw) && escaped(raw[at:], '3', 'D') {
			v.kind, v.truth, v.count = kindNone, false, 0
			var size int
			if at += 3; at < len(raw) && raw[at] == '%' {
				size, n = d.quickString(raw[at:], key == "sid", &v, n)
			} else {
				size, n = d.quickBare(raw[at:], &v, n)
			}
			if size == 0 {
				return false
			}
			at += size
		}
		if !d.set(key, &v) {
			return false
		}
		if at == len(raw) {
			d.used = n
			return true
		}
		if !escaped(raw[at:], '2', 'C') {
			return false
		}
		at += 3
	}
	return false
}

// longestKey is that of the longest key that is known, and of all that quick reads.
const longestKey = 16

// escaped says that the text begins with an escaped character, of two upper-case digits.
func escaped(raw string, high, low byte) bool {
	return len(raw) >= 3 && raw[0] == '%' && raw[1] == high && raw[2] == low
}

// quickBare reads a whole number or a token; size 0 is neither.
func (d *Data) quickBare(raw string, v *item, n int) (size, next int) {
	const most = 15 // digits (RFC 8941, section 3.3.1); tokens that are known are far shorter
	if raw == "" {
		return 0, n
	}
	if digit(raw[0]) {
		number := int64(0)
		for size < len(raw) && digit(raw[size]) {
			if size == most {
				return 0, n
			}
			number = 10*number + int64(raw[size]-'0')
			size++
		}
		v.kind, v.least, v.most = kindNumber, number*1000, number*1000
		return size, n // what follows a number but a comma is for the parser
	}
	for size < len(raw) && letter(raw[size]) {
		if size == most {
			return 0, n
		}
		size++
	}
	v.kind, v.from, v.to = kindToken, n, n+copy(d.text[n:], raw[:size])
	return size, v.to
}

// quickString reads a string; size 0 is none. Its content is kept if that is wanted, and then has no escapes.
func (d *Data) quickString(raw string, keep bool, v *item, n int) (size, next int) {
	if !escaped(raw, '2', '2') {
		return 0, n
	}
	for at := 3; at < len(raw); at++ {
		switch c := raw[at]; {
		case c == '%':
			if escaped(raw[at:], '2', '2') {
				v.kind, v.from, v.to = kindString, n, n
				if keep {
					v.to += copy(d.text[n:], raw[3:at])
				}
				return at + 3, v.to
			}
			// Printable ASCII, and no backslash.
			if keep || at+2 >= len(raw) || raw[at+1] < '2' || raw[at+1] > '6' || nibble(raw[at+2]) > 15 ||
				raw[at+1] == '5' && raw[at+2]|0x20 == 'c' {
				return 0, n
			}
			at += 2
		case c == '+', c == '\\', c == '"', c < 0x20, c > 0x7e:
			return 0, n
		}
	}
	return 0, n
}
