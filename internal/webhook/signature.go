package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"
)

// The headers of what is sent.
const (
	HeaderWebhook   = "Oxbow-Webhook-Id"
	HeaderDelivery  = "Oxbow-Delivery-Id"
	HeaderEvent     = "Oxbow-Event-Id"
	HeaderType      = "Oxbow-Event-Type"
	HeaderSignature = "Oxbow-Signature"
)

// Sign gives the header Oxbow-Signature: t=UNIX,v1=HEX, and one v1 more for each secret more. HEX is HMAC-SHA256 under
// the secret of UNIX, a dot, and the body.
func Sign(now time.Time, body []byte, secrets ...string) string {
	unix := strconv.FormatInt(now.Unix(), 10)
	var header strings.Builder
	header.WriteString("t=" + unix)
	for _, secret := range secrets {
		header.WriteString(",v1=" + hex.EncodeToString(sum(secret, unix, body)))
	}
	return header.String()
}

func sum(secret, unix string, body []byte) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(unix))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}

// What Verify refuses.
var (
	ErrSignature = errors.New("signature is wrong or missing")
	ErrStale     = errors.New("signature is of another time")
)

const (
	maxSignature  = 1024 // bytes of the header
	maxSignatures = 8    // that are tried
)

// Verify is what a receiver does: it is nil when one of the header's signatures is that of the secret over the body,
// made within tolerance of now. It is the reference of the examples in docs/webhooks.md.
func Verify(secret, header string, body []byte, now time.Time, tolerance time.Duration) error {
	if len(header) > maxSignature {
		return ErrSignature
	}
	unix, signatures := "", [][]byte(nil)
	for field := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch name {
		case "t":
			unix = value
		case "v1":
			signature, err := hex.DecodeString(value)
			if err == nil && len(signatures) < maxSignatures {
				signatures = append(signatures, signature)
			}
		}
	}
	seconds, err := strconv.ParseInt(unix, 10, 64)
	if err != nil {
		return ErrSignature
	}
	want, right := sum(secret, unix, body), false
	for _, signature := range signatures {
		right = hmac.Equal(signature, want) || right
	}
	if !right {
		return ErrSignature
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return ErrStale
	}
	return nil
}
