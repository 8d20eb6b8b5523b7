package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
)

// A playback token lasts that long: for longer ones there are keys that their owner signs with.
const (
	minTokenLife   = 10 * time.Second
	usualTokenLife = time.Hour
	maxTokenLife   = 30 * 24 * time.Hour
)

type createPlaybackTokenInput struct {
	PublisherPath
	Body *struct {
		Stream    string      `json:"stream,omitempty" maxLength:"63" doc:"Only this stream and its recordings; else all"`
		Recording string      `json:"recording,omitempty" maxLength:"26" doc:"Only this recording, by its own URL"`
		ExpiresIn *media.Span `json:"expires_in,omitempty" doc:"10s to 720h, else 1h; not past the end of its key"`
		NotBefore *time.Time  `json:"not_before,omitempty" doc:"Not good before that"`
		IP        string      `json:"ip,omitempty" maxLength:"64" doc:"Only this address, or prefix like 192.0.2.0/24"`
		Origin    string      `json:"origin,omitempty" maxLength:"300" doc:"Only pages of https://host[:port]"`
		KID       string      `json:"kid,omitempty" maxLength:"64" doc:"The key; else the newest that signs here"`
	}
}

type playbackTokenOutput struct {
	Body struct {
		Token     string     `json:"token" doc:"The token: a JSON Web Token"`
		KID       string     `json:"kid" doc:"The key that it is signed with"`
		ExpiresAt *time.Time `json:"expires_at" doc:"When it ends"`
		Prefix    string     `json:"prefix" doc:"Goes in front of the paths of what it opens"`
		URL       string     `json:"url" doc:"What players open; empty for a token of all that the publisher has"`
	}
}

func (s *Server) createPlaybackToken(ctx context.Context, in *createPlaybackTokenInput) (*playbackTokenOutput, error) {
	name, err := in.publisher()
	if err != nil {
		return nil, err
	}
	now := time.Now().Truncate(time.Second)
	claims, kid, path := playback.Claims{Publisher: name, IssuedAt: now, ExpiresAt: now.Add(usualTokenLife)}, "", ""
	if b := in.Body; b != nil {
		claims.Stream, claims.Recording, kid = b.Stream, media.RecordingID(b.Recording), b.KID
		claims.IP, claims.Origin = b.IP, b.Origin
		if b.ExpiresIn != nil {
			claims.ExpiresAt = now.Add(b.ExpiresIn.D())
			if d := b.ExpiresIn.D(); d < minTokenLife || d > maxTokenLife {
				return nil, &media.FieldError{Field: "expires_in", Want: fmt.Sprintf("%s is out of range: use 10s to 720h", d)}
			}
		}
		if b.NotBefore != nil {
			claims.NotBefore = *b.NotBefore
		}
		if path, err = s.opens(ctx, claims); err != nil {
			return nil, err
		}
	}
	key, err := s.signingKey(ctx, name, kid, now)
	if err != nil {
		return nil, err
	}
	if !key.ExpiresAt.IsZero() && key.ExpiresAt.Before(claims.ExpiresAt) {
		claims.ExpiresAt = key.ExpiresAt.Truncate(time.Second)
	}
	if !claims.NotBefore.Before(claims.ExpiresAt) {
		return nil, &media.FieldError{
			Field: "not_before", Want: "the token ends before that, at " + claims.ExpiresAt.UTC().Format(time.RFC3339),
		}
	}
	signer, err := playback.NewSigner(key)
	if err != nil {
		return nil, err
	}
	token, err := signer.Sign(claims)
	if err != nil {
		return nil, err
	}
	out := &playbackTokenOutput{}
	out.Body.Token, out.Body.KID, out.Body.ExpiresAt = token, key.ID, moment(claims.ExpiresAt)
	out.Body.Prefix = s.cfg.PlaybackURL + "/t/" + token
	if path != "" {
		out.Body.URL = out.Body.Prefix + path
	}
	return out, nil
}

// opens checks what a token is to be for, and gives the path that its viewer opens; empty for a whole publisher.
func (s *Server) opens(ctx context.Context, c playback.Claims) (string, error) {
	if c.IP != "" {
		if _, err := media.ParseViewerIP(c.IP); err != nil {
			return "", at("body.ip", err)
		}
	}
	if c.Origin != "" {
		if _, err := media.ParseOrigin(c.Origin); err != nil {
			return "", at("body.origin", err)
		}
	}
	path := media.StreamPath{Publisher: c.Publisher, Stream: c.Stream}
	switch {
	case c.Recording != "":
		r, err := s.recordingOfPublisher(ctx, c.Publisher, string(c.Recording))
		if err == nil && c.Stream != "" && r.Path != path {
			err = fmt.Errorf("%w: stream %.80s has no recording %s", media.ErrNotFound, c.Stream, c.Recording)
		}
		if err != nil {
			return "", at("body.recording", err)
		}
		return "/" + r.Path.String() + "/" + string(r.ID) + "/index.m3u8", nil
	case c.Stream != "":
		if _, err := s.deps.Streams.Stream(ctx, path); err != nil {
			return "", at("body.stream", err)
		}
		return "/" + path.String() + "/index.m3u8", nil
	}
	return "", nil
}

// recordingOfPublisher gives a recording; another publisher's is as unknown as one that there is not.
func (s *Server) recordingOfPublisher(ctx context.Context, publisher, text string) (media.Recording, error) {
	id, err := media.ParseRecordingID(text)
	if err != nil {
		return media.Recording{}, fmt.Errorf("%w: no recording has an id like that: %w", media.ErrNotFound, err)
	}
	r, err := s.deps.Recordings.Recording(ctx, id)
	if err == nil && r.Path.Publisher != publisher {
		err = fmt.Errorf("recording %s: %w", id, media.ErrNotFound)
	}
	return r, err
}

// signingKey gives the key of that id, or without one the newest that signs.
func (s *Server) signingKey(ctx context.Context, publisher, kid string, now time.Time) (media.PlaybackKey, error) {
	keys, err := s.deps.Playback.PlaybackKeys(ctx, publisher)
	if err != nil {
		return media.PlaybackKey{}, at("path.publisher", err)
	}
	over := func(k media.PlaybackKey) bool {
		return !k.ExpiresAt.IsZero() && k.ExpiresAt.Before(now.Add(minTokenLife))
	}
	for _, k := range slices.Backward(keys) {
		switch {
		case kid == "" && k.Signs() && !over(k):
			return k, nil
		case kid == "" || k.ID != kid:
		case !k.Signs():
			return k, &media.FieldError{Field: "kid", Want: "the server does not have the private key of " + kid +
				": sign with it where it is, or name another"}
		case over(k):
			return k, &media.FieldError{Field: "kid", Want: "the key " + kid + " has expired: make another"}
		default:
			return k, nil
		}
	}
	if kid != "" {
		return media.PlaybackKey{}, at("body.kid",
			fmt.Errorf("%w: publisher %s has no playback key %.80q", media.ErrNotFound, publisher, kid))
	}
	return media.PlaybackKey{}, at("path.publisher", fmt.Errorf(
		"%w: publisher %s has no playback key to sign with here: make one with %s /v1/publishers/%[2]s/playback-keys",
		media.ErrConflict, publisher, http.MethodPost))
}
