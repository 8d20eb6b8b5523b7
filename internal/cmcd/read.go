package cmcd

import "strings"

// field is the name of the query's field, with what is behind it.
const field = "CMCD="

// ReadQuery reads the report in a raw query; without one the Data is Empty.
func (d *Data) ReadQuery(raw string) error {
	d.reset()
	at := find(raw)
	if at < 0 {
		return nil
	}
	raw = raw[at+len(field):]
	if end := strings.IndexByte(raw, '&'); end >= 0 {
		raw = raw[:end]
	}
	if d.quick(raw) {
		return nil
	}
	d.reset()
	if err := d.unescape(raw); err != nil {
		d.reset()
		return err
	}
	return d.parsed(d.text[:d.used])
}

// InQuery says that there is a report in a raw query.
func InQuery(raw string) bool { return find(raw) >= 0 }

// find gives where the query's field is, or -1.
func find(raw string) int {
	for at := 0; len(raw)-at >= len(field); {
		if raw[at:at+len(field)] == field {
			return at
		}
		next := strings.IndexByte(raw[at:], '&')
		if next < 0 {
			break
		}
		at += next + 1
	}
	return -1
}

// unescape puts the text that stands in a query into the buffer.
func (d *Data) unescape(raw string) error {
	n := 0
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		switch c {
		case '+':
			c = ' '
		case '%':
			if i+2 >= len(raw) {
				return ErrMalformed
			}
			high, low := nibble(raw[i+1]), nibble(raw[i+2])
			if high > 15 || low > 15 {
				return ErrMalformed
			}
			c = high<<4 | low
			i += 2
		}
		if n == MaxText {
			return ErrMalformed
		}
		d.text[n] = c
		n++
	}
	d.used = n
	return nil
}

func nibble(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}

// Headers are the fields of a request that carry a report.
func Headers() [4]string {
	return [...]string{"Cmcd-Object", "Cmcd-Request", "Cmcd-Session", "Cmcd-Status"} // as net/http writes them
}

// ReadHeaders reads the report in the values of Headers, in whatever order; all empty, the Data is Empty.
func (d *Data) ReadHeaders(values [4]string) error {
	d.reset()
	n := 0
	for _, value := range values {
		if value == "" {
			continue
		}
		if n+1+len(value) > MaxText {
			d.reset()
			return ErrMalformed
		}
		if n > 0 {
			d.text[n] = ','
			n++
		}
		n += copy(d.text[n:], value)
	}
	if n == 0 {
		return nil
	}
	d.used = n
	return d.parsed(d.text[:n])
}

func (d *Data) parsed(text []byte) error {
	p := parser{text: text}
	if !p.dictionary(d) {
		d.reset()
		return ErrMalformed
	}
	return nil
}
