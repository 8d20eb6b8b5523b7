package bitstream

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// pairs makes cc_data of byte pairs in a field of CEA-608, with odd parity.
func pairs(field byte, text string) (data []byte) {
	for i := 0; i+1 < len(text); i += 2 {
		data = append(data, 0xfc|field)
		for _, c := range []byte(text[i : i+2]) {
			ones := 0
			for n := c; n != 0; n &= n - 1 {
				ones++
			}
			data = append(data, c|byte(1-ones&1)<<7)
		}
	}
	return data
}

// dtvcc makes cc_data of one packet of CEA-708 that holds the service blocks.
func dtvcc(blocks ...string) []byte {
	body := strings.Join(blocks, "")
	if len(body)%2 == 0 {
		body += "\x00"
	}
	data := []byte{0xff, byte(len(body)+1) / 2, body[0]}
	for i := 1; i < len(body); i += 2 {
		data = append(data, 0xfe, body[i], body[i+1])
	}
	return data
}

// block makes a service block.
func block(service byte, text string) string {
	if service < 7 {
		return string([]byte{service<<5 | byte(len(text))}) + text
	}
	return string([]byte{7<<5 | byte(len(text)), service}) + text
}

func captionCases() map[string]struct {
	data []byte
	want string
} {
	type result = struct {
		data []byte
		want string
	}
	join := func(b ...[]byte) []byte { return bytes.Join(b, nil) }
	return map[string]result{
		"nothing":                    {nil, ""},
		"padding":                    {pairs(0, "\x00\x00\x00\x00"), ""},
		"roll-up in CC1":             {pairs(0, "\x14\x25\x14\x25\x14\x70HI"), "CC1"},
		"pop-on in CC2":              {pairs(0, "\x1c\x20\x1c\x70HI\x1c\x2f"), "CC2"},
		"field 2 is CC3 and CC4":     {join(pairs(1, "\x15\x29HI"), pairs(1, "\x1d\x25HI")), "CC3 CC4"},
		"field 2 with codes of 1":    {pairs(1, "\x14\x25HI"), "CC3"},
		"special character":          {pairs(0, "\x14\x25\x11\x37"), "CC1"},
		"extended character":         {pairs(0, "\x14\x25\x13\x20"), "CC1"},
		"mid-row is no character":    {pairs(0, "\x14\x25\x11\x2e"), ""},
		"control codes alone":        {pairs(0, "\x14\x25\x14\x2c\x14\x20\x14\x2f"), ""},
		"text mode":                  {pairs(0, "\x14\x2aHI\x1c\x2bHI"), ""},
		"characters without a mode":  {pairs(0, "HIHI"), ""},
		"XDS behind captions":        {pairs(1, "\x01\x03HI\x0f\x1d"), ""},
		"XDS, then captions":         {pairs(1, "\x01\x03HI\x0f\x1d\x15\x25HI"), "CC3"},
		"captions, then XDS alone":   {pairs(1, "\x15\x25\x01\x03HI"), ""},
		"not valid":                  {[]byte{0xf8, 0x14, 0x25, 0xf8, 'H', 'I'}, ""},
		"torn triplet":               {append(pairs(0, "\x14\x25"), 0xfc, 'H'), ""},
		"service 1":                  {dtvcc(block(1, "Hi")), "SERVICE1"},
		"service 63":                 {dtvcc(block(63, "Hi")), "SERVICE63"},
		"two services":               {dtvcc(block(2, "Hi"), block(1, "Ho")), "SERVICE1 SERVICE2"},
		"commands alone":             {dtvcc(block(1, "\x98ABCDEF\x90AB\x91ABC\x92AB\x97ABCD\x88A\x80\x8dA\x8e")), ""},
		"commands and a character":   {dtvcc(block(1, "\x98ABCDEFx")), "SERVICE1"},
		"blanks":                     {dtvcc(block(1, "\x0c  \x03")), ""},
		"two-byte character":         {dtvcc(block(3, "\x18\xac\x00")), "SERVICE3"},
		"extended set":               {dtvcc(block(1, "\x10\x39")), "SERVICE1"},
		"extended control":           {dtvcc(block(1, "\x10\x12AB\x10\x84ABCD\x10\x08A\x10\x00")), ""},
		"extended set torn":          {dtvcc(block(1, "\x10")), ""},
		"variable control":           {dtvcc(block(1, "\x10\x90ABC")), ""},
		"C0 with one and two":        {dtvcc(block(1, "\x11A\x19AB")), ""},
		"null block":                 {dtvcc("\x00" + block(1, "Hi")), ""},
		"block past its packet":      {dtvcc("\x3fHi"), ""},
		"extended number too low":    {dtvcc("\xe2\x03Hi"), ""},
		"torn packet":                {dtvcc(block(1, "Hi there"))[:6], ""},
		"data without a start":       {[]byte{0xfe, 0x22, 'H', 0xfe, 'I', 0}, ""},
		"packet of 128 bytes":        {append([]byte{0xff, 0, 0x22}, bytes.Repeat([]byte{0xfe, 'H', 'H'}, 63)...), ""},
		"608 and 708 in one picture": {join(pairs(0, "\x14\x25HI"), dtvcc(block(1, "Hi"))), "CC1 SERVICE1"},
	}
}

func TestCC1_CaptionScan(t *testing.T) {
	for name, c := range captionCases() {
		var s CaptionScan
		more := s.Read(0, c.data)
		more = s.Flush() || more
		if got := strings.Join(s.Seen(), " "); got != c.want || more != (c.want != "") {
			t.Errorf("%s: %q, %v, want %q", name, got, more, c.want)
		}
	}
}

// Captions go on over pictures in the order in which they are shown, not in that of decoding.
func TestCC1_CaptionScanReorders(t *testing.T) {
	packet := dtvcc(block(5, strings.Repeat("Hi", 12)))
	frame := func(n int) time.Duration { return time.Duration(n) * 33 * time.Millisecond }
	var s CaptionScan
	var more bool
	for round := range 4 * captionDelay {
		for _, n := range []int{0, 3, 1, 2} {
			var part []byte
			if third := len(packet) / 9 * 3; n < 3 {
				part = packet[n*third : min((n+1)*third, len(packet))]
				if n == 2 {
					part = packet[n*third:]
				}
			}
			buf := bytes.Clone(part)
			more = s.Read(frame(4*round+n), buf) || more
			clear(buf) // it is borrowed
		}
	}
	if got := strings.Join(s.Seen(), " "); got != "SERVICE5" || !more {
		t.Errorf("%q, %v", got, more)
	}
	if len(s.waiting) > captionDelay {
		t.Errorf("%d units wait", len(s.waiting))
	}
	// A clock that goes back does not stop it.
	for range 3 {
		s.Read(-time.Hour, pairs(0, "\x14\x25HI"))
	}
	s.Flush()
	if got := strings.Join(s.Seen(), " "); got != "SERVICE5 CC1" {
		t.Errorf("after the clock went back: %q", got)
	}
}

func FuzzCaptionScan(f *testing.F) {
	for _, c := range captionCases() {
		f.Add(c.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var s CaptionScan
		for i := 0; i < len(data); i += 60 {
			s.Read(time.Duration(i%7), data[i:min(i+60, len(data))])
		}
		s.Flush()
		if len(s.Seen()) > 67 || len(s.packet) > 130 {
			t.Errorf("%d captions, %d bytes", len(s.Seen()), len(s.packet))
		}
	})
}
