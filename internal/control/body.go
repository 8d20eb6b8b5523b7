package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	maxRequest = 64 << 10
	maxReason  = 200 // bytes of what a publisher is told
)

type endRequest struct {
	Reason string `json:"reason"`
}

type feedRequest struct {
	Feed string `json:"feed"`
}

// check says what is wrong with a reason: it goes into protocols that take a line of text.
func (r endRequest) check() error {
	if len(r.Reason) > maxReason {
		return &media.FieldError{Field: "reason", Want: fmt.Sprintf("must be at most %d bytes", maxReason)}
	}
	return nil
}

func (r feedRequest) check() error {
	if r.Feed != media.FeedPrimary && r.Feed != media.FeedBackup {
		return &media.FieldError{Field: "feed", Want: "must be primary or backup"}
	}
	return nil
}

// readBody reads one JSON value of at most maxRequest bytes, and nothing after it. Fields that v does not have are
// media.ErrInvalid.
func readBody(body io.Reader, v any) error {
	raw, err := io.ReadAll(io.LimitReader(body, maxRequest+1))
	if err != nil {
		return fmt.Errorf("body: %w: %w", media.ErrInvalid, err)
	}
	if len(raw) > maxRequest {
		return fmt.Errorf("body of more than %d bytes: %w", maxRequest, media.ErrTooLarge)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("body: %w: %w", media.ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("body: %w: there is more after the JSON value", media.ErrInvalid)
	}
	return nil
}
