package media

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The scopes of API tokens.
const (
	ScopeAdmin = "admin" // everything, of every publisher
	ScopeRead  = "read"  // what a publisher has
	ScopeWrite = "write" // change it; includes ScopeRead
	ScopeSign  = "sign"  // make playback tokens
)

// Scopes lists every scope.
func Scopes() []string { return []string{ScopeAdmin, ScopeRead, ScopeWrite, ScopeSign} }

const (
	// MaxTokens is the most API tokens that there may be.
	MaxTokens = 10_000
	// MaxTokenLabel is the most characters of a token's label.
	MaxTokenLabel = 100
	// StartTokenLabel is the label of the token that the server was started with, or made at its first start.
	StartTokenLabel = "admin"
)

// Token is the record of an API token; the token itself is kept only as a hash.
type Token struct {
	ID    string
	Label string
	// Publisher is the only one that the token is for; empty is all, and only then may it have ScopeAdmin.
	Publisher  string
	Scopes     []string
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero is never
	LastUsedAt time.Time // to the minute; zero is never
}

// Admin says that the token may do everything.
func (t Token) Admin() bool { return slices.Contains(t.Scopes, ScopeAdmin) }

// Allows says whether the token has a scope, by itself or by a wider one.
func (t Token) Allows(scope string) bool {
	return t.Admin() || slices.Contains(t.Scopes, scope) || scope == ScopeRead && slices.Contains(t.Scopes, ScopeWrite)
}

// Expired says that the token is good no more.
func (t Token) Expired(now time.Time) bool { return !t.ExpiresAt.IsZero() && !now.Before(t.ExpiresAt) }

// Check says, as a *FieldError, what is wrong with a token that is to be made.
func (t Token) Check(now time.Time) error {
	switch {
	case utf8.RuneCountInString(t.Label) > MaxTokenLabel || strings.ContainsFunc(t.Label, unprintable):
		return &FieldError{Field: "label", Want: fmt.Sprintf("use at most %d printable characters", MaxTokenLabel)}
	case t.Label == StartTokenLabel:
		return &FieldError{
			Field: "label", Want: "admin is the label of the token that the server starts with: use another, " +
				"because that one's successor removes all of that label",
		}
	case len(t.Scopes) == 0:
		return &FieldError{Field: "scopes", Want: "use at least one of " + strings.Join(Scopes(), ", ")}
	}
	for i, scope := range t.Scopes {
		if !slices.Contains(Scopes(), scope) {
			return &FieldError{
				Field: "scopes", Want: fmt.Sprintf("%.40q is unknown: use %s", scope, strings.Join(Scopes(), ", ")),
			}
		}
		if slices.Contains(t.Scopes[:i], scope) {
			return &FieldError{Field: "scopes", Want: scope + " is there twice"}
		}
	}
	if t.Publisher != "" {
		if err := CheckPublisherName(t.Publisher); err != nil {
			return &FieldError{Field: "publisher", Want: err.Error()}
		}
		if t.Admin() {
			return &FieldError{
				Field: "scopes", Want: "a token of one publisher can't be admin: use read, write and sign, or leave the " +
					"publisher out",
			}
		}
	}
	if t.Expired(now) {
		return &FieldError{
			Field: "expires_at", Want: fmt.Sprintf("it must be in the future, and it is %s now, by this server's clock",
				now.UTC().Format(time.RFC3339)),
		}
	}
	return nil
}

func unprintable(r rune) bool { return r == utf8.RuneError || !unicode.IsPrint(r) }
