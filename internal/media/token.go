package media

import (
	"slices"
	"time"
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
