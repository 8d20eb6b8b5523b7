package admission

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

const (
	// MaxTokens is how many tokens a file has at the most: the one that is shown, the one before it, the one that comes,
	// and one for a cluster that joins.
	MaxTokens = 4
	// MinToken is the least length of a token in a file, in bytes; a fixed one that is shorter is worth a warning.
	MinToken = 16
	// MaxToken is the greatest length of a token, in bytes.
	MaxToken = 512
	// optionalLine lets those in who show no token.
	optionalLine = "optional"
)

// Verdict is what comes of a request's Authorization.
type Verdict uint8

const (
	// Right is one of the tokens.
	Right Verdict = iota
	// Open is no token where none is needed.
	Open
	// Missing is no token where one is needed.
	Missing
	// Wrong is none of the tokens.
	Wrong
)

// Admits says that the request may go on.
func (v Verdict) Admits() bool { return v == Right || v == Open }

// Tokens are what a process shows and takes. A nil one has none: everybody is let in.
type Tokens struct {
	path     string // of the file; empty: they are fixed
	now      atomic.Pointer[tokens]
	refusals refusals
}

// tokens are never modified.
type tokens struct {
	shown    []string // the field's value
	sums     [][sha256.Size]byte
	optional bool
}

// Fixed gives a process's one token; without one (empty) everybody is let in.
func Fixed(token string) (*Tokens, error) {
	t := &Tokens{}
	if token == "" {
		t.now.Store(&tokens{})
		return t, nil
	}
	if err := check(token, 1); err != nil {
		return nil, err
	}
	t.now.Store(newTokens([]string{token}, false))
	return t, nil
}

func newTokens(list []string, optional bool) *tokens {
	t := &tokens{shown: []string{"Bearer " + list[0]}, optional: optional}
	for _, token := range list {
		sum, _ := sumOf(token)
		t.sums = append(t.sums, sum)
	}
	return t
}

// check says what is wrong with a token, without a piece of it.
func check(token string, least int) error {
	switch {
	case len(token) < least:
		return fmt.Errorf("a token of %d bytes is too short: use at least %d, like those of openssl rand -hex 32",
			len(token), least)
	case len(token) > MaxToken:
		return fmt.Errorf("a token of %d bytes is too long: use at most %d", len(token), MaxToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r < ' ' || r > '~' }):
		return errors.New("a token has a character beyond printable ASCII: use letters and digits")
	}
	return nil
}

// parse reads a file's text.
func parse(text []byte) (*tokens, error) {
	var list []string
	optional := false
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxFile+1)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			continue
		case line == optionalLine:
			optional = true
			continue
		}
		if err := check(line, MinToken); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if len(list) == MaxTokens {
			return nil, fmt.Errorf("line %d: there are more than %d tokens: remove those that no process shows any more",
				number, MaxTokens)
		}
		list = append(list, line)
	}
	switch {
	case lines.Err() != nil:
		return nil, lines.Err()
	case len(list) == 0:
		return nil, errors.New("there is no token in it: write one on a line, like that of openssl rand -hex 32")
	}
	return newTokens(list, optional), nil
}

// sumOf hashes a token, so that comparisons are of one length and tell nothing of the token's.
func sumOf(token string) (sum [sha256.Size]byte, ok bool) {
	var text [MaxToken]byte // on the stack, where the string's bytes would be copied to the heap
	if len(token) > len(text) {
		return sum, false
	}
	return sha256.Sum256(text[:copy(text[:], token)]), true
}

// Needed says whether who shows no token is refused.
func (t *Tokens) Needed() bool {
	now := t.load()
	return now != nil && len(now.sums) > 0 && !now.optional
}

// Known says whether there are any.
func (t *Tokens) Known() bool {
	now := t.load()
	return now != nil && len(now.sums) > 0
}

// Optional says that there are some, and that who shows none is let in all the same.
func (t *Tokens) Optional() bool {
	now := t.load()
	return now != nil && now.optional
}

// Shown is the Authorization field's value; nil without a token. It must not be modified.
func (t *Tokens) Shown() []string {
	if now := t.load(); now != nil {
		return now.shown
	}
	return nil
}

// Hide gives a text of somebody who was shown the token without it: whoever answers at a URL that was meant to be a
// node's may repeat what it was asked, and that is logged.
func (t *Tokens) Hide(text string) string {
	for _, shown := range t.Shown() {
		if _, token, ok := strings.Cut(shown, " "); ok && token != "" {
			text = strings.ReplaceAll(text, token, "redacted")
		}
	}
	return text
}

// load gives nil for nil.
func (t *Tokens) load() *tokens {
	if t == nil {
		return nil
	}
	return t.now.Load()
}

// Judge says what the lines of a request's Authorization field are worth.
func (t *Tokens) Judge(lines []string) Verdict {
	now := t.load()
	switch {
	case now == nil || len(now.sums) == 0:
		return Open
	case len(lines) == 0 && now.optional:
		return Open
	case len(lines) == 0:
		return Missing
	case len(lines) > 1: // which of them counts is anybody's guess
		return Wrong
	}
	scheme, token, _ := strings.Cut(lines[0], " ")
	sum, ok := sumOf(token)
	found := 0
	for i := range now.sums {
		found |= subtle.ConstantTimeCompare(sum[:], now.sums[i][:])
	}
	if ok && found == 1 && strings.EqualFold(scheme, "Bearer") {
		return Right
	}
	return Wrong
}

// MustFixed gives a test's one token.
func MustFixed(tb interface{ Fatal(args ...any) }, token string) *Tokens {
	t, err := Fixed(token)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}
