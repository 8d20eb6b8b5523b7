package api

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// rebuiltFor is how long a catalog is taken for one that may lack what is older than itself: so long there is time to
	// bring that back. Later, a look-up of what never was is to cost nothing beside the catalog again.
	rebuiltFor = 7 * 24 * time.Hour
	// bornMemo is how long it is remembered when the catalog was made: another one may be put in its place.
	bornMemo = 5 * time.Second
)

// catalogBirth remembers when the catalog was made.
type catalogBirth struct {
	mu    sync.Mutex
	at    time.Time
	asked time.Time
	// tried is when somebody who must not wait asked last.
	tried time.Time
}

// born gives when the catalog was made, and whether it may lack what is older; zero when nobody can say.
func (s *Server) born(ctx context.Context) (at time.Time, lacks bool) {
	if s.deps.CatalogBorn == nil {
		return at, false
	}
	s.birth.mu.Lock()
	at, asked := s.birth.at, s.birth.asked
	s.birth.mu.Unlock()
	if time.Since(asked) > bornMemo {
		var err error
		if at, err = s.deps.CatalogBorn(ctx); err != nil {
			return time.Time{}, false
		}
		s.birth.mu.Lock()
		s.birth.at, s.birth.asked = at, time.Now()
		s.birth.mu.Unlock()
	}
	return at, time.Since(at) < rebuiltFor
}

// unrestored is of a young catalog that is asked for what is older than itself. Nil: it knows. An error that says that
// nothing is known has edges go on with what they know; a publisher that is not there yet may have been one whose
// viewers need tokens, so that nobody else is let in before.
func (s *Server) unrestored(ctx context.Context, path media.StreamPath, id media.RecordingID, missing bool) error {
	at, lacks := s.born(ctx)
	if !lacks || !id.Time().Before(at) {
		return nil
	}
	_, err := s.deps.Publishers.Publisher(ctx, path.Publisher)
	switch {
	case errors.Is(err, media.ErrNotFound):
		return fmt.Errorf("recording %s of %s: %w", id, path.Publisher, errNoPublisher)
	case err != nil:
		return err
	case missing:
		return fmt.Errorf("recording %s is older than the catalog: %w", id, errUnrestored)
	}
	return nil
}

// ownerless is an error for what is live of a publisher that was lost with the catalog before this one. Whether its
// viewers need tokens is lost, too, so that edges which do not know show it to nobody; those that do go on with that.
// The catalog is not asked about what is younger than itself, nor once it is old, nor waited for.
func (s *Server) ownerless(ctx context.Context, grows media.Recording) error {
	s.birth.mu.Lock()
	at, known := s.birth.at, !s.birth.asked.IsZero()
	hopeless := !known && time.Since(s.birth.tried) < bornMemo
	if !hopeless {
		s.birth.tried = time.Now()
	}
	s.birth.mu.Unlock()
	if hopeless || known && (time.Since(at) >= rebuiltFor || !grows.ID.Time().Before(at)) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.CatalogWait)
	defer cancel()
	if err := s.unrestored(ctx, grows.Path, grows.ID, false); errors.Is(err, errNoPublisher) {
		return err
	}
	return nil // it is there, or the catalog is away, which ends nothing that is live
}

var (
	// errUnrestored is of a recording that the catalog may have lost: where it is can be guessed.
	errUnrestored = fmt.Errorf("oxbow reindex brings it back: %w", media.ErrUnavailable)
	// errNoPublisher is of one whose publisher is lost.
	errNoPublisher = fmt.Errorf("the catalog is younger, and has no such publisher yet: %w", media.ErrUnavailable)
)

// agePolicies tells edges when the catalog was made, and, of one that may have taken another's place, of whom they may
// forget that viewers need tokens.
func (s *Server) agePolicies(ctx context.Context, policies *media.PlaybackPolicies) error {
	at, lacks := s.born(ctx)
	if at.IsZero() && s.deps.CatalogBorn != nil {
		return fmt.Errorf("when the catalog was made: %w", media.ErrUnavailable)
	}
	policies.Born = at
	for after := ""; lacks; {
		some, err := s.deps.Publishers.Publishers(ctx, after, pageOfPublishers)
		if err != nil {
			return err
		}
		for _, p := range some {
			if _, signed := policies.Publishers[p.Name]; !signed {
				policies.Public = append(policies.Public, p.Name)
			}
			after = p.Name
		}
		lacks = len(some) == pageOfPublishers
	}
	return nil
}

// pageOfPublishers is how many are read at a time.
const pageOfPublishers = 500
