package api

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

const firstKeyLabel = "first"

// newKey makes a stream key.
func newKey() string { return newSecret("ox_") }

// newSecret makes a key or token: 128 random bits in 26 characters that survive URLs, voices and copying by hand.
func newSecret(prefix string) string {
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // never fails: crypto/rand ends the program instead
	return prefix + strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(bits[:]))
}

// keyRow is a key in answers: all but the key.
type keyRow struct {
	ID         string     `json:"id"`
	Label      string     `json:"label"`
	CreatedAt  *time.Time `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at" doc:"Until when it works; null is for ever"`
	LastUsedAt *time.Time `json:"last_used_at" doc:"When a publish was last begun with it, to a minute; null is never"`
}

func newKeyRow(k media.StreamKey) keyRow {
	return keyRow{
		ID: k.ID, Label: k.Label, CreatedAt: moment(k.CreatedAt), ExpiresAt: moment(k.ExpiresAt),
		LastUsedAt: moment(k.LastUsedAt),
	}
}

// listedKeyRow is a key in the list.
type listedKeyRow struct {
	KeyRow
	InUse *bool `json:"in_use" doc:"A publisher that came with it is connected now; null: a node did not say"`
}

type keysOutput struct {
	Body list[listedKeyRow]
}

type createdKeyOutput struct {
	Body struct {
		KeyRow
		Key string `json:"key" doc:"The stream key. It is shown this once"`
	}
}

type rotatedKeyOutput struct {
	Body struct {
		KeyRow
		Key       string     `json:"key" doc:"The new stream key. It is shown this once"`
		Replaces  string     `json:"replaces" doc:"The old key's id"`
		OldExpiry *time.Time `json:"replaces_until" doc:"Until when the old one works; null: it is revoked"`
	}
}

type createKeyInput struct {
	StreamPath
	Body *struct {
		Label     string     `json:"label,omitempty" maxLength:"100" doc:"Who has the key: for people"`
		ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"Until when it works; left out, for ever"`
	}
}

// KeyPath names a key of a stream.
type KeyPath struct {
	StreamPath
	ID string `path:"id" maxLength:"64" doc:"The key's id"`
}

type rotateKeyInput struct {
	KeyPath
	Body *struct {
		Grace     *media.Span `json:"grace,omitempty" doc:"How long the old key works on, up to 720h; left out, not at all"`
		Label     *string     `json:"label,omitempty" maxLength:"100" doc:"The new key's; left out, the old one's"`
		ExpiresAt *time.Time  `json:"expires_at,omitempty" doc:"Until when the new one works; left out, for ever"`
	}
}

func (s *Server) keyRoutes(v1 huma.API) {
	const all = "/v1/publishers/{publisher}/streams/{stream}/keys"
	route(s, v1, http.MethodPost, all, "create-key", "Make another key for a stream", s.createKey)
	route(s, v1, http.MethodGet, all, "list-keys", "List a stream's keys", s.listKeys)
	route(s, v1, http.MethodPost, all+"/{id}/rotate", "rotate-key",
		"Make a key in the place of another, which works on for a grace", s.rotateKey)
	route(s, v1, http.MethodDelete, all+"/{id}", "revoke-key", "Revoke a key and drop who publishes with it", s.revokeKey)
}

func (s *Server) createKey(ctx context.Context, in *createKeyInput) (*createdKeyOutput, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	label, until := "", time.Time{}
	if in.Body != nil {
		if label = in.Body.Label; in.Body.ExpiresAt != nil {
			until = *in.Body.ExpiresAt
		}
	}
	key := newKey()
	row, err := s.deps.Keys.AddKeyUntil(ctx, path, label, key, until)
	if err != nil {
		return nil, keyError(err, "path.stream")
	}
	out := &createdKeyOutput{}
	out.Body.KeyRow = newKeyRow(row)
	out.Body.Key = key
	return out, nil
}

// keyError is at, but for what names its own field.
func keyError(err error, location string) error {
	if errors.Is(err, media.ErrInvalid) {
		return err
	}
	return at(location, err)
}

func (s *Server) listKeys(ctx context.Context, in *StreamPath) (*keysOutput, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	keys, err := s.deps.Keys.Keys(ctx, path)
	if err != nil {
		return nil, at("path.stream", err)
	}
	used, sure := s.keysInUse(ctx, path)
	row := func(k media.StreamKey) listedKeyRow {
		listed := listedKeyRow{KeyRow: newKeyRow(k)}
		if used[k.ID] || sure {
			listed.InUse = new(used[k.ID])
		}
		return listed
	}
	id := func(k media.StreamKey) string { return k.ID }
	return &keysOutput{Body: paged(keys, len(keys), id, row)}, nil
}

// keysInUse gives the ids of the keys that a stream's publishers came with; sure says that all nodes answered.
func (s *Server) keysInUse(ctx context.Context, path media.StreamPath) (used map[string]bool, sure bool) {
	reports, err := s.deps.Sessions.Sessions(ctx)
	used = map[string]bool{}
	for _, r := range reports {
		if r.Publisher == path.Publisher && r.Stream == path.Stream {
			used[r.KeyID] = true
		}
	}
	return used, err == nil
}

func (s *Server) rotateKey(ctx context.Context, in *rotateKeyInput) (*rotatedKeyOutput, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	rotation := media.KeyRotation{ID: in.ID}
	if in.Body != nil {
		rotation.Label = in.Body.Label
		if in.Body.Grace != nil {
			rotation.Grace = in.Body.Grace.D()
		}
		if in.Body.ExpiresAt != nil {
			rotation.ExpiresAt = *in.Body.ExpiresAt
		}
	}
	key := newKey()
	added, old, err := s.deps.Keys.RotateKey(ctx, path, rotation, key)
	if err != nil {
		return nil, keyError(err, "path.id")
	}
	out := &rotatedKeyOutput{}
	out.Body.KeyRow, out.Body.Key, out.Body.Replaces = newKeyRow(added), key, old.ID
	if rotation.Grace > 0 {
		out.Body.OldExpiry = moment(old.ExpiresAt)
	} else {
		s.dropKey(path, old.ID)
	}
	return out, nil
}

func (s *Server) revokeKey(ctx context.Context, in *KeyPath) (*nothing, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	if err := s.deps.Keys.RemoveKey(ctx, path, in.ID); err != nil {
		return nil, at("path.id", err)
	}
	s.dropKey(path, in.ID)
	return &nothing{}, nil
}

// dropKey drops who publishes with a key that was revoked.
func (s *Server) dropKey(path media.StreamPath, id string) {
	if s.deps.RevokeKey != nil {
		s.deps.RevokeKey(path, id)
	}
}
