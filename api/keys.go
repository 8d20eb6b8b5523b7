package api

import (
	"context"
	"crypto/rand"
	"encoding/base32"
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
	ID        string     `json:"id"`
	Label     string     `json:"label"`
	CreatedAt *time.Time `json:"created_at"`
}

func newKeyRow(k media.StreamKey) keyRow {
	return keyRow{ID: k.ID, Label: k.Label, CreatedAt: moment(k.CreatedAt)}
}

type keysOutput struct {
	Body list[keyRow]
}

type createdKeyOutput struct {
	Body struct {
		KeyRow
		Key string `json:"key" doc:"The stream key. It is shown this once"`
	}
}

type createKeyInput struct {
	StreamPath
	Body *struct {
		Label string `json:"label,omitempty" maxLength:"100" doc:"Who has the key: for people"`
	}
}

type keyInput struct {
	StreamPath
	ID string `path:"id" maxLength:"64"`
}

func (s *Server) keyRoutes(v1 huma.API) {
	const all = "/v1/publishers/{publisher}/streams/{stream}/keys"
	route(s, v1, http.MethodPost, all, "create-key", "Make another key for a stream", s.createKey)
	route(s, v1, http.MethodGet, all, "list-keys", "List a stream's keys", s.listKeys)
	route(s, v1, http.MethodDelete, all+"/{id}", "revoke-key", "Revoke a key and end the stream's connection", s.revokeKey)
}

func (s *Server) createKey(ctx context.Context, in *createKeyInput) (*createdKeyOutput, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	label := ""
	if in.Body != nil {
		label = in.Body.Label
	}
	key := newKey()
	row, err := s.deps.Keys.AddKey(ctx, path, label, key)
	if err != nil {
		return nil, at("path.stream", err)
	}
	out := &createdKeyOutput{}
	out.Body.KeyRow = newKeyRow(row)
	out.Body.Key = key
	return out, nil
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
	id := func(k media.StreamKey) string { return k.ID }
	return &keysOutput{Body: paged(keys, len(keys), id, newKeyRow)}, nil
}

func (s *Server) revokeKey(ctx context.Context, in *keyInput) (*nothing, error) {
	path, err := in.path()
	if err != nil {
		return nil, err
	}
	if err := s.deps.Keys.RemoveKey(ctx, path, in.ID); err != nil {
		return nil, at("path.id", err)
	}
	s.kick(path)
	return &nothing{}, nil
}
