package api

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/oxbow-video/oxbow/internal/media"
)

// reply is an answer as it is kept.
type reply struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

func (r *reply) send(w http.ResponseWriter) {
	for name, values := range r.Header {
		w.Header()[name] = values
	}
	w.WriteHeader(max(r.Status, http.StatusOK))
	_, _ = w.Write(r.Body) // the client may have left
}

// Write keeps a piece of the body.
func (r *reply) Write(p []byte) (int, error) {
	r.Body = append(r.Body, p...)
	return len(p), nil
}

// sealed has what follows from an idempotency key. Who reads the catalog has the hash alone: nothing follows from it.
type sealed struct {
	hash string
	key  []byte
}

func newSealed(caller, key string) *sealed {
	sum := sha256.Sum256([]byte("oxbow idempotency key\x00" + caller + "\x00" + key))
	return &sealed{hash: hex.EncodeToString(sum[:]), key: []byte(key)}
}

// derived gives 32 bytes for a purpose.
func (s *sealed) derived(purpose string) []byte {
	secret, err := hkdf.Key(sha256.New, s.key, []byte(s.hash), "oxbow "+purpose, 32)
	if err != nil {
		panic("BUG: derive key: " + err.Error())
	}
	return secret
}

// fingerprint is of a request, and keyed: bodies may hold secrets that are short enough to be guessed.
func (s *sealed) fingerprint(method, uri string, body []byte) string {
	mac := hmac.New(sha256.New, s.derived("request"))
	mac.Write([]byte(method + " " + uri + "\n"))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *sealed) aead() cipher.AEAD {
	block, err := aes.NewCipher(s.derived("answer"))
	if err != nil {
		panic("BUG: AES: " + err.Error())
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("BUG: GCM: " + err.Error())
	}
	return aead
}

func (s *sealed) seal(r *reply) string {
	text, err := json.Marshal(r)
	if err != nil {
		panic("BUG: answer: " + err.Error())
	}
	return base64.RawStdEncoding.EncodeToString(s.aead().Seal(nil, nil, text, []byte(s.hash)))
}

func (s *sealed) open(answer string) (*reply, error) {
	box, err := base64.RawStdEncoding.DecodeString(answer)
	if err != nil {
		return nil, fmt.Errorf("kept answer: %w: %w", media.ErrCorrupt, err)
	}
	text, err := s.aead().Open(nil, nil, box, []byte(s.hash))
	if err != nil {
		return nil, fmt.Errorf("kept answer: %w: %w", media.ErrCorrupt, err)
	}
	var r reply
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("kept answer: %w: %w", media.ErrCorrupt, err)
	}
	return &r, nil
}
