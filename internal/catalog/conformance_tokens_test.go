package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// good wants a token to be taken, and gives its record.
func good(t *testing.T, db *DB, token string) media.Token {
	t.Helper()
	record, err := db.CheckToken(t.Context(), token)
	noError(t, err)
	return record
}

// bad wants a token to be nobody's.
func bad(t *testing.T, db *DB, token string) {
	t.Helper()
	record, err := db.CheckToken(t.Context(), token)
	wantError(t, err, media.ErrDenied)
	same(t, "record of an unknown token", media.Token{}, record)
}

func (s suite) testTokens(t *testing.T) {
	ctx := t.Context()
	db := s.fresh(t)
	has, err := db.HasTokens(ctx)
	noError(t, err)
	same(t, "has tokens", false, has)
	bad(t, db, "")

	id, err := db.AddToken(ctx, "admin", "token-1")
	noError(t, err)
	again, err := db.AddToken(ctx, "other label", "token-1")
	noError(t, err)
	same(t, "id of the same token", id, again)
	has, err = db.HasTokens(ctx)
	noError(t, err)
	same(t, "has tokens", true, has)
	same(t, "record", media.Token{
		ID: id, Label: "admin", Scopes: []string{media.ScopeAdmin}, CreatedAt: start, LastUsedAt: start,
	}, good(t, db, "token-1"))
	bad(t, db, "token-2")

	_, err = db.AddToken(ctx, "robot", "token-3")
	noError(t, err)
	_, err = db.ReplaceToken(ctx, "admin", "token-2")
	noError(t, err)
	bad(t, db, "token-1")
	good(t, db, "token-2")
	good(t, db, "token-3")
	_, err = db.AddToken(ctx, "", "")
	wantField(t, err, "token")
}

func (s suite) testTokenRecords(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	_, err := db.AddToken(ctx, "admin", "the admin's")
	noError(t, err)
	made, err := db.CreateToken(ctx, media.Token{
		Label: "studio", Publisher: "acme", Scopes: []string{media.ScopeSign, media.ScopeRead},
		ExpiresAt: start.Add(time.Hour),
	}, "studio's")
	noError(t, err)
	want := media.Token{
		ID: made.ID, Label: "studio", Publisher: "acme", Scopes: []string{media.ScopeRead, media.ScopeSign},
		CreatedAt: start, ExpiresAt: start.Add(time.Hour),
	}
	same(t, "created", want, made)
	robot, err := db.CreateToken(ctx, media.Token{Label: "robot", Scopes: []string{media.ScopeAdmin}}, "robot's")
	noError(t, err)

	list, err := db.Tokens(ctx, "acme", "", 0)
	noError(t, err)
	same(t, "tokens of acme", []media.Token{want}, list)
	list, err = db.Tokens(ctx, "", made.ID, 5)
	noError(t, err)
	same(t, "tokens after the studio's", []media.Token{robot}, list)

	// The use is kept to the minute.
	for _, c := range []struct{ at, used time.Duration }{
		{10 * time.Second, 10 * time.Second}, {69 * time.Second, 10 * time.Second}, {70 * time.Second, 70 * time.Second},
	} {
		db.now = func() time.Time { return start.Add(c.at) }
		good(t, db, "studio's")
		got, err := db.Token(ctx, made.ID)
		noError(t, err)
		same(t, fmt.Sprint("last use at ", c.at), start.Add(c.used), got.LastUsedAt)
	}

	// An expired one is known, and good for nothing; to the millisecond.
	db.now = func() time.Time { return start.Add(time.Hour - time.Millisecond) }
	good(t, db, "studio's")
	db.now = func() time.Time { return start.Add(time.Hour) }
	expired, err := db.CheckToken(ctx, "studio's")
	wantError(t, err, media.ErrDenied, "expired at 2026-11-20T13:00:00Z")
	same(t, "record of the expired", made.ID, expired.ID)

	// A process of the version before looks for the bare hash, and knows nothing of scopes and ends.
	for token, found := range map[string]bool{"studio's": false, "robot's": true, "the admin's": true} {
		var n int64
		noError(t, db.reads.QueryRowContext(ctx, `SELECT COUNT(*) FROM tokens WHERE hash = $1`, hash(token)).Scan(&n))
		same(t, "the version before takes "+token, found, n > 0)
	}

	// Tokens go with their publisher; others stay.
	noError(t, db.DeleteStream(ctx, show))
	noError(t, db.DeletePublisher(ctx, "acme"))
	bad(t, db, "studio's")
	_, err = db.Token(ctx, made.ID)
	wantError(t, err, media.ErrNotFound)
	noError(t, db.DeleteToken(ctx, robot.ID))
	bad(t, db, "robot's")
	wantError(t, db.DeleteToken(ctx, robot.ID), media.ErrNotFound)
	good(t, db, "the admin's")
}

func (s suite) testTokenRefusals(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	read := []string{media.ScopeRead}
	for _, c := range []struct {
		field string
		token media.Token
	}{
		{"label", media.Token{Label: strings.Repeat("x", 101), Scopes: read}},
		{"label", media.Token{Label: "a\nb", Scopes: read}},
		{"label", media.Token{Label: "admin", Scopes: read}},
		{"scopes", media.Token{}},
		{"scopes", media.Token{Scopes: []string{media.ScopeRead, "root"}}},
		{"scopes", media.Token{Scopes: []string{media.ScopeAdmin}, Publisher: "acme"}},
		{"publisher", media.Token{Scopes: read, Publisher: "A"}},
		{"publisher", media.Token{Scopes: read, Publisher: "nobody"}},
		{"expires_at", media.Token{Scopes: read, ExpiresAt: start}},
		{"expires_at", media.Token{Scopes: read, ExpiresAt: start.Add(-time.Hour)}},
	} {
		_, err := db.CreateToken(ctx, c.token, "text")
		wantField(t, err, c.field)
	}
	_, err := db.CreateToken(ctx, media.Token{Scopes: read}, "")
	wantField(t, err, "token")
	_, err = db.CreateToken(ctx, media.Token{Scopes: read}, "reader's")
	noError(t, err)
	for _, record := range []media.Token{{Scopes: read}, {Scopes: []string{media.ScopeAdmin}}} {
		_, err = db.CreateToken(ctx, record, "reader's")
		wantError(t, err, media.ErrExists)
	}
	// What the environment says is an administrator's is none that may less.
	_, err = db.ReplaceToken(ctx, "admin", "reader's")
	wantError(t, err, media.ErrConflict, "choose another")

	// Readers are no administrators: the first one is still to be made, and again when it has expired.
	added, err := db.AddFirstToken(ctx, "admin", "first")
	noError(t, err)
	same(t, "added beside a reader", true, added)
	noError(t, db.DeleteToken(ctx, firstTokenID))
	_, err = db.CreateToken(ctx, media.Token{Scopes: []string{media.ScopeAdmin}, ExpiresAt: start.Add(time.Hour)}, "guest")
	noError(t, err)
	for _, c := range []struct {
		at    time.Duration
		added bool
	}{{0, false}, {time.Hour, true}} {
		db.now = func() time.Time { return start.Add(c.at) }
		added, err = db.AddFirstToken(ctx, "admin", "first again")
		noError(t, err)
		same(t, fmt.Sprint("added after ", c.at), c.added, added)
	}

	fill := `INSERT INTO tokens (id, hash, label, created_at) VALUES `
	for n := range 100 {
		rows := make([]string, 0, 100)
		for m := range 100 {
			rows = append(rows, fmt.Sprintf(`('t%d', 'h%[1]d', '', 0)`, 100*n+m))
		}
		_, err := changed(ctx, db.writes, fill+strings.Join(rows, ","))
		noError(t, err)
	}
	_, err = db.CreateToken(ctx, media.Token{Scopes: read}, "one too many")
	wantError(t, err, media.ErrLimit, "delete")
}
