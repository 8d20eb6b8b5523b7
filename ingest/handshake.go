package ingest

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Sizes of the handshake (RTMP 1.0, section 5.2) and of its digest variant, which is Adobe's, unpublished and asked for
// by Flash's heirs: C1 holds an HMAC-SHA-256 of itself at a place that four of its bytes give.
const (
	rtmpVersion      = 3
	handshakeSize    = 1536
	digestSize       = 32
	digestRange      = 764 - digestSize - 4 // places of a digest in its half
	partialKeyClient = "Genuine Adobe Flash Player 001"
	partialKeyServer = "Genuine Adobe Flash Media Server 001"
	keyTail          = "\xf0\xee\xc2\x4a\x80\x68\xbe\xe8\x2e\x00\xd0\xd1\x02\x9e\x7e\x57" +
		"\x6e\xec\x5d\x2d\x29\x80\x6f\xab\x93\xb8\xe6\x36\xcf\xeb\x31\xae"
)

// serveHandshake answers C0 and C1 with S0, S1 and S2, and reads past C2. It gives the digest variant to a client whose
// C1 has a valid digest, and the simple one to all others.
func serveHandshake(r *bufio.Reader, w io.Writer) error {
	version, err := r.ReadByte()
	if err != nil {
		return err
	}
	if version != rtmpVersion {
		return fmt.Errorf("%w: RTMP version %d", media.ErrInvalid, version)
	}
	var c1 [handshakeSize]byte
	if _, err := io.ReadFull(r, c1[:]); err != nil {
		return torn(err)
	}
	answer := make([]byte, 1+2*handshakeSize)
	answer[0] = rtmpVersion
	s1, s2 := answer[1:1+handshakeSize], answer[1+handshakeSize:]
	if _, err := rand.Read(s1[8:]); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if digest, at := clientDigest(c1[:]); digest == nil {
		copy(s2, c1[:])
	} else {
		copy(s1[4:], []byte{4, 5, 0, 1}) // a server's version that knows digests
		// The place of our digest is in the same half as the client's.
		place := digestPlace(s1, at)
		copy(s1[place:], digestOf([]byte(partialKeyServer), s1, place))
		if _, err := rand.Read(s2); err != nil {
			return fmt.Errorf("handshake: %w", err)
		}
		key := hmacSHA256([]byte(partialKeyServer+keyTail), digest)
		copy(s2[handshakeSize-digestSize:], hmacSHA256(key, s2[:handshakeSize-digestSize]))
	}
	if _, err := w.Write(answer); err != nil {
		return err
	}
	_, err = r.Discard(handshakeSize) // C2: nobody's echo is checked, since encoders get it wrong
	return torn(err)
}

// clientDigest finds a valid digest in C1 and the offset whose four bytes gave its place; nil when there is none.
func clientDigest(c1 []byte) (digest []byte, at int) {
	if bytes.Equal(c1[4:8], []byte{0, 0, 0, 0}) {
		return nil, 0 // "zero" of the simple handshake
	}
	for _, at := range []int{8, 772} {
		place := digestPlace(c1, at)
		digest := c1[place : place+digestSize]
		if hmac.Equal(digest, digestOf([]byte(partialKeyClient), c1, place)) {
			return digest, at
		}
	}
	return nil, 0
}

func digestPlace(b []byte, at int) int {
	return at + 4 + (int(b[at])+int(b[at+1])+int(b[at+2])+int(b[at+3]))%digestRange
}

// digestOf sums all of b but the digest itself.
func digestOf(key, b []byte, place int) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b[:place])
	h.Write(b[place+digestSize:])
	return h.Sum(nil)
}

func hmacSHA256(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}
