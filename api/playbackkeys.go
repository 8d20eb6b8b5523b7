package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
)

// Playback keeps playback keys, and tells edges who may watch. What is not there is media.ErrNotFound, AddPlaybackKey's
// errors media.ErrExists and media.ErrLimit. PlaybackVersion grows with whatever changes PlaybackPolicies.
type Playback interface {
	AddPlaybackKey(ctx context.Context, k media.PlaybackKey) (media.PlaybackKey, error)
	PlaybackKeys(ctx context.Context, publisher string) ([]media.PlaybackKey, error)
	RemovePlaybackKey(ctx context.Context, publisher, kid string) error
	PlaybackVersion(ctx context.Context) (int64, error)
	PlaybackPolicies(ctx context.Context) (media.PlaybackPolicies, error)
}

// playbackKeyRow is a key in answers: nothing that signs.
type playbackKeyRow struct {
	ID        string     `json:"kid" doc:"Goes into the header of the tokens that are signed with the key"`
	Algorithm string     `json:"algorithm" enum:"HS256,EdDSA" doc:"The alg of its tokens"`
	Label     string     `json:"label" doc:"Who has the key: for people"`
	Signs     bool       `json:"signs" doc:"Whether the server can sign tokens with it"`
	PublicKey string     `json:"public_key,omitempty" doc:"The public key of EdDSA, in PEM"`
	CreatedAt *time.Time `json:"created_at" doc:"When it was made, or given to the server"`
	ExpiresAt *time.Time `json:"expires_at" doc:"When its tokens stop to be good, whatever they say; null is never"`
}

func newPlaybackKeyRow(k media.PlaybackKey) playbackKeyRow {
	row := playbackKeyRow{
		ID: k.ID, Algorithm: k.Algorithm, Label: k.Label, Signs: k.Signs(),
		CreatedAt: moment(k.CreatedAt), ExpiresAt: moment(k.ExpiresAt),
	}
	if k.Algorithm == media.PlaybackEdDSA {
		row.PublicKey, _ = playback.PublicPEM(k.Key) // of what is no key there is none
	}
	return row
}

type playbackKeysOutput struct {
	Body list[playbackKeyRow]
}

type playbackKeyOutput struct {
	Body playbackKeyRow
}

type createdPlaybackKeyOutput struct {
	Location string `header:"Location"`
	Body     struct {
		PlaybackKeyRow
		Secret     string `json:"secret,omitempty" doc:"HS256's, used as text, not decoded. It is shown this once"`
		PrivateKey string `json:"private_key,omitempty" doc:"EdDSA's, in PEM. It is shown this once"`
	}
}

type createPlaybackKeyInput struct {
	PublisherPath
	Body *struct {
		Label     string     `json:"label,omitempty" maxLength:"100" doc:"Who has the key: for people"`
		ID        string     `json:"kid,omitempty" maxLength:"64" doc:"1 to 64 of a-z A-Z 0-9 . _ -; without it one is made"`
		Algorithm string     `json:"algorithm,omitempty" enum:"HS256,EdDSA" doc:"Else HS256, with a public_key EdDSA"`
		PublicKey string     `json:"public_key,omitempty" maxLength:"1024" doc:"Ed25519, as PEM or the x of a JWK"`
		ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"When its tokens stop to be good, whatever they say"`
	}
}

// PlaybackKeyPath names a playback key.
type PlaybackKeyPath struct {
	PublisherPath
	KID string `path:"kid" maxLength:"64" doc:"The key's kid"`
}

func (s *Server) playbackRoutes(v1 huma.API) {
	const all = "/v1/publishers/{publisher}/playback-keys"
	route(s, v1, http.MethodPost, all, "create-playback-key", "Make a playback key, or register a public one",
		s.createPlaybackKey)
	route(s, v1, http.MethodGet, all, "list-playback-keys", "List a publisher's playback keys", s.listPlaybackKeys)
	route(s, v1, http.MethodGet, all+"/{kid}", "get-playback-key", "Get a playback key", s.getPlaybackKey)
	route(s, v1, http.MethodDelete, all+"/{kid}", "revoke-playback-key",
		"Revoke a playback key: its tokens stop within seconds", s.revokePlaybackKey)
	route(s, v1, http.MethodPost, "/v1/publishers/{publisher}/playback-tokens", "create-playback-token",
		"Sign a playback token", s.createPlaybackToken, scope(media.ScopeSign))
}

func (s *Server) createPlaybackKey(ctx context.Context, in *createPlaybackKeyInput) (*createdPlaybackKeyOutput, error) {
	name, err := in.publisher()
	if err != nil {
		return nil, err
	}
	k := media.PlaybackKey{Publisher: name, Algorithm: media.PlaybackHS256}
	public := ""
	if b := in.Body; b != nil {
		k.ID, k.Label, public = b.ID, b.Label, b.PublicKey
		if b.ExpiresAt != nil {
			k.ExpiresAt = *b.ExpiresAt
		}
		switch {
		case b.Algorithm != "":
			k.Algorithm = b.Algorithm
		case public != "":
			k.Algorithm = media.PlaybackEdDSA
		}
	}
	made := &createdPlaybackKeyOutput{}
	switch {
	case k.Algorithm == media.PlaybackHS256 && public != "":
		return nil, &media.FieldError{Field: "public_key", Want: "HS256 has none: use the algorithm EdDSA, or leave it out"}
	case k.Algorithm == media.PlaybackHS256:
		k.Key = playback.NewSecret()
		made.Body.Secret = string(k.Key)
	case public != "":
		k.Key, err = playback.ParsePublic(public)
	default:
		if k.Key, k.Private, err = playback.NewPair(); err == nil {
			made.Body.PrivateKey, err = playback.PrivatePEM(k.Private)
		}
	}
	if err == nil {
		k, err = s.deps.Playback.AddPlaybackKey(ctx, k)
	}
	switch {
	case statusOf(err) == http.StatusConflict && in.Body != nil && in.Body.ID != "":
		return nil, at("body.kid", err)
	case statusOf(err) == http.StatusUnprocessableEntity:
		return nil, err // it names its field
	case err != nil:
		return nil, at("path.publisher", err)
	}
	s.tellPlayback(ctx, name)
	made.Location = "/v1/publishers/" + name + "/playback-keys/" + k.ID
	made.Body.PlaybackKeyRow = newPlaybackKeyRow(k)
	return made, nil
}

// playbackKeys gives those of the publisher in a path.
func (s *Server) playbackKeys(ctx context.Context, in PublisherPath) ([]media.PlaybackKey, error) {
	name, err := in.publisher()
	if err != nil {
		return nil, err
	}
	keys, err := s.deps.Playback.PlaybackKeys(ctx, name)
	return keys, at("path.publisher", err)
}

func (s *Server) listPlaybackKeys(ctx context.Context, in *PublisherPath) (*playbackKeysOutput, error) {
	keys, err := s.playbackKeys(ctx, *in)
	if err != nil {
		return nil, err
	}
	id := func(k media.PlaybackKey) string { return k.ID }
	return &playbackKeysOutput{Body: paged(keys, len(keys), id, newPlaybackKeyRow)}, nil
}

func (s *Server) getPlaybackKey(ctx context.Context, in *PlaybackKeyPath) (*playbackKeyOutput, error) {
	keys, err := s.playbackKeys(ctx, in.PublisherPath)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if k.ID == in.KID {
			return &playbackKeyOutput{Body: newPlaybackKeyRow(k)}, nil
		}
	}
	return nil, at("path.kid", fmt.Errorf("%w: publisher %s has no playback key %.80q", media.ErrNotFound,
		in.Publisher, in.KID))
}

func (s *Server) revokePlaybackKey(ctx context.Context, in *PlaybackKeyPath) (*nothing, error) {
	name, err := in.publisher()
	if err != nil {
		return nil, err
	}
	if err := s.deps.Playback.RemovePlaybackKey(ctx, name, in.KID); err != nil {
		return nil, at("path.kid", err)
	}
	s.tellPlayback(ctx, name)
	return &nothing{}, nil
}

// tellPlayback has all edges ask now who may watch. One that is not reached asks within seconds.
func (s *Server) tellPlayback(ctx context.Context, publisher string) {
	if s.deps.Publish == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), publishTimeout)
	defer cancel()
	event := media.Event{Type: media.EventPlayback, Time: time.Now(), Publisher: publisher}
	if err := s.deps.Publish(ctx, event); err != nil {
		s.log.WarnContext(ctx, "event lost", "event", event.Type, "publisher", publisher, "err", err)
	}
}
