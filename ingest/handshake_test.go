package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestSimpleHandshake(t *testing.T) {
	c1 := bytes.Repeat([]byte{0, 0, 0, 0, 0, 0, 0, 0, 5, 6, 7, 8}, handshakeSize/12)
	copy(c1[4:], []byte{0, 0, 0, 0})
	in := bytes.NewBuffer(append(append([]byte{3}, c1...), make([]byte, handshakeSize)...))
	in.WriteString("next")
	var out bytes.Buffer
	src := bufio.NewReader(in)
	if err := serveHandshake(src, &out); err != nil {
		t.Fatal(err)
	}
	if s2 := out.Bytes()[1+handshakeSize:]; out.Bytes()[0] != 3 || !bytes.Equal(s2, c1) {
		t.Error("S2 is no echo")
	}
	if rest, _ := io.ReadAll(src); string(rest) != "next" {
		t.Errorf("%q is left", rest)
	}
}

// A client that signs its C1 gets a signed S1, at a place of the same scheme, and a signed S2.
func TestDigestHandshake(t *testing.T) {
	for _, at := range []int{8, 772} {
		c1 := bytes.Repeat([]byte{9, 0, 124, 2}, handshakeSize/4)
		place := digestPlace(c1, at)
		digest := digestOf([]byte(partialKeyClient), c1, place)
		copy(c1[place:], digest)
		in := bytes.NewReader(append(append([]byte{3}, c1...), make([]byte, handshakeSize)...))
		var out bytes.Buffer
		if err := serveHandshake(bufio.NewReader(in), &out); err != nil {
			t.Fatal(err)
		}
		s1, s2 := out.Bytes()[1:1+handshakeSize], out.Bytes()[1+handshakeSize:]
		place = digestPlace(s1, at)
		if !bytes.Equal(s1[place:place+digestSize], digestOf([]byte(partialKeyServer), s1, place)) {
			t.Errorf("scheme at %d: S1 is not signed", at)
		}
		key := hmacSHA256([]byte(partialKeyServer+keyTail), digest)
		if !bytes.Equal(s2[handshakeSize-digestSize:], hmacSHA256(key, s2[:handshakeSize-digestSize])) {
			t.Errorf("scheme at %d: S2 is not signed", at)
		}
		c1[100]++
		if got, _ := clientDigest(c1); got != nil {
			t.Error("a wrong digest was found valid")
		}
	}
}

func TestHandshakeFailures(t *testing.T) {
	for name, tt := range map[string]struct {
		in  []byte
		err error
	}{
		"nothing":    {nil, io.EOF},
		"version 6":  {[]byte{6}, media.ErrInvalid},
		"a torn C1":  {make([]byte, 100), media.ErrInvalid},
		"a torn C1b": {append([]byte{3}, make([]byte, 100)...), io.ErrUnexpectedEOF},
		"no C2":      {append([]byte{3}, make([]byte, handshakeSize)...), io.ErrUnexpectedEOF},
	} {
		if err := serveHandshake(bufio.NewReader(bytes.NewReader(tt.in)), io.Discard); !errors.Is(err, tt.err) {
			t.Errorf("%s: %v, want %v", name, err, tt.err)
		}
	}
}

// FuzzHandshake: whatever comes, no more than C0, C1 and C2 is read, and either all of S0, S1 and S2 is answered or
// nothing is. sign has C1 signed as Flash does, since chance would never find that.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte{3}, 0)
	f.Add(append([]byte{3}, make([]byte, 2*handshakeSize)...), 0)
	f.Add(append([]byte{3}, bytes.Repeat([]byte{9, 0, 124, 2}, handshakeSize/2)...), 8)
	f.Add(append([]byte{3}, bytes.Repeat([]byte{255, 255, 255, 255}, handshakeSize/2)...), 772)
	f.Add(append([]byte{6}, make([]byte, 3*handshakeSize)...), 0)
	f.Fuzz(func(t *testing.T, in []byte, sign int) {
		signed := (sign == 8 || sign == 772) && len(in) > handshakeSize
		if signed {
			in = bytes.Clone(in)
			c1 := in[1 : 1+handshakeSize]
			place := digestPlace(c1, sign)
			copy(c1[place:], digestOf([]byte(partialKeyClient), c1, place))
			digest, _ := clientDigest(c1)
			signed = digest != nil // unless its own version says that it has none
		}
		src, out := bufio.NewReader(bytes.NewReader(in)), bytes.Buffer{}
		err := serveHandshake(src, &out)
		rest, _ := io.ReadAll(src)
		switch n := out.Len(); {
		case err == nil && (n != 1+2*handshakeSize || len(rest) != len(in)-1-2*handshakeSize):
			t.Fatalf("%d bytes answered, %d of %d left", n, len(rest), len(in))
		case err != nil && n != 0 && n != 1+2*handshakeSize:
			t.Fatalf("%d bytes answered, and then %v", n, err)
		case n > 0 && signed == bytes.Equal(out.Bytes()[1+handshakeSize:], in[1:1+handshakeSize]):
			t.Fatalf("signed %v, and S2 is an echo or not", signed)
		}
	})
}
