package catalog

import (
	"context"
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

// AddToken lets a token use the API and gives the token's id. A token that is there already keeps its id and label.
func (db *DB) AddToken(ctx context.Context, label, token string) (id string, err error) {
	return db.addToken(ctx, label, token, false)
}

// ReplaceToken is AddToken that also removes every other token of that label, so that a token given by the environment
// can be changed.
func (db *DB) ReplaceToken(ctx context.Context, label, token string) (id string, err error) {
	return db.addToken(ctx, label, token, true)
}

// firstTokenID is what makes one of two processes the first: ids are unique.
const firstTokenID = "00000000000000000000000000"

// AddFirstToken adds a token if there is none at all, and says whether it did: of several processes that start at a
// time one does.
func (db *DB) AddFirstToken(ctx context.Context, label, token string) (bool, error) {
	if err := checkSecret("token", label, token); err != nil {
		return false, fmt.Errorf("add first token: %w", err)
	}
	n, err := changed(ctx, db.writes, `
		INSERT INTO tokens (id, hash, label, created_at)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT)
		WHERE NOT EXISTS (SELECT 1 FROM tokens) ON CONFLICT DO NOTHING`,
		firstTokenID, hash(token), label, db.now().UnixMilli())
	if err != nil {
		return false, db.failed("add first token", err)
	}
	return n > 0, nil
}

func (db *DB) addToken(ctx context.Context, label, token string, alone bool) (id string, err error) {
	if err := checkSecret("token", label, token); err != nil {
		return "", fmt.Errorf("add token: %w", err)
	}
	err = db.write(ctx, func(tx *sql.Tx) error {
		_, err := changed(ctx, tx, `
			INSERT INTO tokens (id, hash, label, created_at) VALUES ($1, $2, $3, $4) ON CONFLICT (hash) DO NOTHING`,
			newID(), hash(token), label, db.now().UnixMilli())
		if err != nil {
			return err
		}
		if alone {
			if _, err := changed(ctx, tx, `DELETE FROM tokens WHERE label = $1 AND hash <> $2`,
				label, hash(token)); err != nil {
				return err
			}
		}
		return tx.QueryRowContext(ctx, `SELECT id FROM tokens WHERE hash = $1`, hash(token)).Scan(&id)
	})
	if err != nil {
		return "", db.failed("add token", err)
	}
	return id, nil
}

// CheckToken is nil for a token that may use the API, else media.ErrDenied.
func (db *DB) CheckToken(ctx context.Context, token string) error {
	var id string
	err := db.reads.QueryRowContext(ctx, `SELECT id FROM tokens WHERE hash = $1`, hash(token)).Scan(&id)
	if err != nil {
		return db.failed("check token", denied(err))
	}
	return nil
}

// HasTokens says whether any token is there.
func (db *DB) HasTokens(ctx context.Context) (bool, error) {
	var n int64
	if err := db.reads.QueryRowContext(ctx, `SELECT COUNT(*) FROM tokens`).Scan(&n); err != nil {
		return false, db.failed("count tokens", err)
	}
	return n > 0, nil
}

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
