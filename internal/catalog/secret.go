package catalog

import (
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	maxSecret = 512 // bytes of a key or token
	maxLabel  = 200 // characters
)

// hash is how a secret is stored and found.
func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func denied(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return media.ErrDenied
	}
	return err
}

func checkSecret(field, label, secret string) error {
	switch {
	case secret == "" || len(secret) > maxSecret:
		return &media.FieldError{Field: field, Want: fmt.Sprintf("%d bytes: use 1 to %d", len(secret), maxSecret)}
	case utf8.RuneCountInString(label) > maxLabel || strings.ContainsFunc(label, unprintable):
		return &media.FieldError{Field: "label", Want: fmt.Sprintf("use at most %d printable characters", maxLabel)}
	}
	return nil
}

func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
