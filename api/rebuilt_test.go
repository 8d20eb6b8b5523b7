package api

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// What is live of a publisher that was lost with its catalog is shown to no edge that has to ask: whether its viewers
// need tokens is not known. A catalog that is away, or older than the show, keeps nobody out.
func TestWhatIsLiveOfALostPublisher(t *testing.T) {
	id := media.RecordingID(strings.ToLower(ulid.MustNew(ulid.Timestamp(time.Now().Add(-2*time.Hour)), rand.Reader).String()))
	acme := media.StreamPath{Publisher: "acme", Stream: "show"}
	for name, row := range map[string]struct {
		born       time.Time
		publishers []string
		away       bool // the catalog
		forgotten  bool // by the registry, which says what it said last
		want       error
		asked      int // of two look-ups
	}{
		"an old catalog":           {born: id.Time().Add(-8 * 24 * time.Hour), asked: 1},
		"one older than the show":  {born: id.Time().Add(-time.Hour), asked: 1},
		"without the publisher":    {born: id.Time().Add(time.Second), want: media.ErrUnavailable, asked: 1},
		"with the publisher":       {born: id.Time().Add(time.Second), publishers: []string{"acme"}, asked: 1},
		"away":                     {away: true, asked: 1},
		"without both, remembered": {born: id.Time().Add(time.Second), forgotten: true, want: media.ErrUnavailable, asked: 1},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			s := New(Config{}, Deps{
				Publishers: namedPublishers{names: row.publishers}, Recordings: rowCatalog{},
				Publish: func(context.Context, media.Event) error { return nil },
				CatalogBorn: func(context.Context) (time.Time, error) {
					if asked++; row.away {
						return time.Time{}, media.ErrUnavailable
					}
					return row.born, nil
				},
				Nodes: func(context.Context) ([]media.Node, error) { return []media.Node{ingestNode("a")}, nil },
				Owner: func(context.Context, media.StreamPath) (media.Lease, bool, error) {
					lease := media.Lease{Node: "a", Recording: id, Feed: media.FeedPrimary}
					if row.forgotten {
						return lease, true, media.ErrUnavailable
					}
					return lease, true, nil
				},
			}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
			for _, of := range []media.RecordingID{"", id} {
				loc, err := s.locate(t.Context(), acme, of)
				if !errors.Is(err, row.want) || (err != nil) != (row.want != nil) {
					t.Errorf("%q: %v, want %v", of, err, row.want)
				}
				if err == nil && (loc.Recording != id || loc.State != media.Live || loc.Archived) {
					t.Errorf("%q: %+v", of, loc)
				}
			}
			if asked != row.asked {
				t.Errorf("the catalog was asked %d times when it was made, want %d", asked, row.asked)
			}
		})
	}
}
