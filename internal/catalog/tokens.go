package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	tokenColumns = `id, label, publisher, scopes, created_at, expires_at, last_used_at`
	// tokenUseAge is how old what is known of a token's last use may get.
	tokenUseAge = time.Minute
	// tokenUseWait bounds the wait for the note of a use, which a check of the token does not depend on.
	tokenUseWait = time.Second
)

// narrowed begins the stored hash of every token that is less than an administrator's for ever. The version before
// does not look at scopes: it must not find them.
const narrowed = "narrowed:"

func scanToken(row scanner) (media.Token, error) {
	var t media.Token
	var publisher sql.Null[string]
	var scopes string
	err := row.Scan(&t.ID, &t.Label, &publisher, &scopes, at{&t.CreatedAt}, at{&t.ExpiresAt}, at{&t.LastUsedAt})
	t.Publisher, t.Scopes = publisher.V, strings.Fields(scopes)
	return t, err
}

// AddToken lets a token do everything and gives the token's id. One that is there already keeps its id and label.
// media.ErrConflict when it may do less.
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

// AddFirstToken adds an administrator's token if there is none that is good, and says whether it did: of several
// processes that start at a time one does.
func (db *DB) AddFirstToken(ctx context.Context, label, token string) (bool, error) {
	if err := checkSecret("token", label, token); err != nil {
		return false, fmt.Errorf("add first token: %w", err)
	}
	n, err := changed(ctx, db.writes, `
		INSERT INTO tokens (id, hash, label, created_at)
		SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT)
		WHERE NOT EXISTS (SELECT 1 FROM tokens WHERE scopes LIKE '%admin%' AND (expires_at IS NULL OR expires_at > $4))
		ON CONFLICT DO NOTHING`,
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
			INSERT INTO tokens (id, hash, label, created_at)
			SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT)
			WHERE NOT EXISTS (SELECT 1 FROM tokens WHERE hash = $5) ON CONFLICT (hash) DO NOTHING`,
			newID(), hash(token), label, db.now().UnixMilli(), narrowed+hash(token))
		if err != nil {
			return err
		}
		err = tx.QueryRowContext(ctx, `SELECT id FROM tokens WHERE hash = $1`, hash(token)).Scan(&id)
		if errors.Is(err, sql.ErrNoRows) {
			err = fmt.Errorf("%w: a token with fewer rights, or with an end, has the same text: choose another",
				media.ErrConflict)
		}
		if err != nil || !alone {
			return err
		}
		_, err = changed(ctx, tx, `DELETE FROM tokens WHERE label = $1 AND hash <> $2`, label, hash(token))
		return err
	})
	if err != nil {
		return "", db.failed("add token", err)
	}
	return id, nil
}

// CreateToken adds a token as the record says, and gives it its id and time. What is wrong with the record is a
// *media.FieldError, also a publisher that there is not; media.ErrExists when the token is in use, media.ErrLimit when
// there are as many as there may be.
func (db *DB) CreateToken(ctx context.Context, t media.Token, token string) (media.Token, error) {
	t.ID, t.CreatedAt, t.LastUsedAt = newID(), db.clock(), time.Time{}
	err := checkSecret("token", t.Label, token)
	if err == nil {
		err = t.Check(t.CreatedAt)
	}
	if err != nil {
		return media.Token{}, fmt.Errorf("create token: %w", err)
	}
	t.Scopes = slices.DeleteFunc(media.Scopes(), func(s string) bool { return !slices.Contains(t.Scopes, s) })
	if !t.ExpiresAt.IsZero() {
		t.ExpiresAt = time.UnixMilli(t.ExpiresAt.UnixMilli()).UTC()
	}
	stored := hash(token)
	if !t.Admin() || !t.ExpiresAt.IsZero() {
		stored = narrowed + stored
	}
	err = db.write(ctx, func(tx *sql.Tx) error {
		if t.Publisher != "" {
			if _, err := lockPublisher(ctx, tx, t.Publisher); errors.Is(err, media.ErrNotFound) {
				return &media.FieldError{
					Field: "publisher", Want: fmt.Sprintf("there is no publisher %s: create it first", t.Publisher),
				}
			} else if err != nil {
				return err
			}
		}
		var n, taken int64
		err := tx.QueryRowContext(ctx, `
			SELECT COUNT(*), COALESCE(SUM(CASE WHEN hash = $1 OR hash = $2 THEN 1 ELSE 0 END), 0) FROM tokens`,
			hash(token), narrowed+hash(token)).Scan(&n, &taken)
		switch {
		case err != nil:
			return err
		case taken > 0:
			return media.ErrExists
		case n >= media.MaxTokens:
			return fmt.Errorf("%w: there are %d tokens: delete those that have expired first", media.ErrLimit, n)
		}
		n, err = changed(ctx, tx, `
			INSERT INTO tokens (id, hash, label, created_at, publisher, scopes, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (hash) DO NOTHING`,
			t.ID, stored, t.Label, t.CreatedAt.UnixMilli(), sql.Null[string]{V: t.Publisher, Valid: t.Publisher != ""},
			strings.Join(t.Scopes, " "), millis(t.ExpiresAt))
		if err == nil && n == 0 {
			err = media.ErrExists
		}
		return err
	})
	if err != nil {
		return media.Token{}, db.failed("create token", err)
	}
	return t, nil
}

// CheckToken gives the record of a token that may use the API, and notes the use. One that nobody made is
// media.ErrDenied without a record; one that has expired is media.ErrDenied with its record.
func (db *DB) CheckToken(ctx context.Context, token string) (media.Token, error) {
	t, err := scanToken(db.reads.QueryRowContext(ctx, `
		SELECT `+tokenColumns+` FROM tokens WHERE hash = $1 OR hash = $2`, hash(token), narrowed+hash(token)))
	if err != nil {
		return media.Token{}, db.failed("check token", denied(err))
	}
	now := db.clock()
	if t.Expired(now) {
		return t, fmt.Errorf("check token %s: %w: it expired at %s", t.ID, media.ErrDenied,
			t.ExpiresAt.Format(time.RFC3339))
	}
	if now.Sub(t.LastUsedAt) >= tokenUseAge {
		db.noteUse(ctx, t.ID, now)
		t.LastUsedAt = now
	}
	return t, nil
}

// noteUse keeps when a token was used. The condition makes one write of many requests at a time.
func (db *DB) noteUse(ctx context.Context, id string, now time.Time) {
	ctx, cancel := context.WithTimeout(ctx, tokenUseWait)
	defer cancel()
	_, err := changed(ctx, db.writes, `
		UPDATE tokens SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at <= $3)`,
		now.UnixMilli(), id, now.Add(-tokenUseAge).UnixMilli())
	if err != nil {
		db.logger.DebugContext(ctx, "use of a token not noted", "token", id, "err", err)
	}
}

// Token gives the record of a token, or media.ErrNotFound.
func (db *DB) Token(ctx context.Context, id string) (media.Token, error) {
	t, err := scanToken(db.reads.QueryRowContext(ctx, `SELECT `+tokenColumns+` FROM tokens WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		err = media.ErrNotFound
	}
	if err != nil {
		return media.Token{}, db.failed("token "+shown(id), err)
	}
	return t, nil
}

const tokensOfQuery = `SELECT ` + tokenColumns + ` FROM tokens WHERE publisher = $1 AND id > $2 ORDER BY id LIMIT $3`

// Tokens lists the tokens of a publisher, or of all with an empty name, oldest first, from the first after an id. Limit
// is 1 to 1000; zero means 50.
func (db *DB) Tokens(ctx context.Context, publisher, after string, limit int) ([]media.Token, error) {
	limit, err := pageLimit(limit)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", err)
	}
	query, args := tokensOfQuery, []any{publisher, after, limit}
	if publisher == "" {
		query = `SELECT ` + tokenColumns + ` FROM tokens WHERE id > $1 ORDER BY id LIMIT $2`
		args = args[1:]
	}
	list, err := all(ctx, db.reads, scanToken, query, args...)
	if err != nil {
		return nil, db.failed("list tokens", err)
	}
	return list, nil
}

// DeleteToken has a token be unknown from now on. media.ErrNotFound.
func (db *DB) DeleteToken(ctx context.Context, id string) error {
	n, err := changed(ctx, db.writes, `DELETE FROM tokens WHERE id = $1`, id)
	if err == nil && n == 0 {
		err = media.ErrNotFound
	}
	if err != nil {
		return db.failed("delete token "+shown(id), err)
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
