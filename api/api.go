package api

import (
	"cmp"
	"context"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Publishers keeps the publishers. What is not there is media.ErrNotFound, CreatePublisher's error media.ErrExists,
// DeletePublisher's media.ErrConflict while it has streams. Lists are in order of name,
// from the first after the given, and of at most 501 items; Streams without the publisher is media.ErrNotFound.
type Publishers interface {
	CreatePublisher(ctx context.Context, p media.Publisher) error
	Publisher(ctx context.Context, name string) (media.Publisher, error)
	Publishers(ctx context.Context, after string, limit int) ([]media.Publisher, error)
	UpdatePublisher(ctx context.Context, name string, patch media.SettingsPatch) (media.Publisher, error)
	DeletePublisher(ctx context.Context, name string) error
}

// Streams keeps the streams, with errors as Publishers has them.
type Streams interface {
	CreateStream(ctx context.Context, path media.StreamPath, overrides media.SettingsPatch) (media.Stream, error)
	Stream(ctx context.Context, path media.StreamPath) (media.Stream, error)
	Streams(ctx context.Context, publisher string, after string, limit int) ([]media.Stream, error)
	UpdateStream(ctx context.Context, path media.StreamPath, patch media.SettingsPatch) (media.Stream, error)
	SetSRTPassphrase(ctx context.Context, path media.StreamPath, passphrase string) (media.Stream, error)
	DeleteStream(ctx context.Context, path media.StreamPath) error
}

// Keys keeps the hashes of stream keys.
type Keys interface {
	AddKey(ctx context.Context, path media.StreamPath, label, key string) (media.StreamKey, error)
	Keys(ctx context.Context, path media.StreamPath) ([]media.StreamKey, error)
	RemoveKey(ctx context.Context, path media.StreamPath, id string) error
}

// Recordings keeps the rows of recordings. Recording gives a deleted one's row too, or media.ErrGone.
// SetKeep and RequestDelete answer media.ErrConflict with the reason, or media.ErrGone.
type Recordings interface {
	Recording(ctx context.Context, id media.RecordingID) (media.Recording, error)
	Recordings(ctx context.Context, filter media.RecordingFilter) (items []media.Recording, next string, err error)
	SetKeep(ctx context.Context, id media.RecordingID, keep bool) (media.Recording, error)
	RequestDelete(ctx context.Context, id media.RecordingID) (media.Recording, error)
}

// Sources keeps where streams are fetched from, one per stream; what is not there is media.ErrNotFound.
type Sources interface {
	PutSource(ctx context.Context, source media.Source) (media.Source, error)
	Source(ctx context.Context, path media.StreamPath) (media.Source, error)
	DeleteSource(ctx context.Context, path media.StreamPath) error
}

// Tokens checks the bearer tokens of the API. A wrong one is media.ErrDenied.
type Tokens interface {
	CheckToken(ctx context.Context, token string) error
}

// Deps is what the server works with. The first seven are needed; the catalog is all of them.
type Deps struct {
	Publishers Publishers
	Streams    Streams
	Keys       Keys
	Recordings Recordings
	Tokens     Tokens
	Sources    Sources
	Retention  Retention

	// Archives lists the stores that archivers told of; nil is none, and settings may then name any.
	Archives func(ctx context.Context) ([]media.ArchiveStatus, error)
	// Publish tells the other nodes of what a request did; nil does nothing.
	Publish func(ctx context.Context, event media.Event) error

	// Clips makes clips; it is needed.
	Clips Clips
	// Playback keeps playback keys and policies; it is needed.
	Playback Playback
	// SourceStatus says what a stream's source does; nil when nobody here knows.
	SourceStatus func(path media.StreamPath) media.SourceStatus
	// SourcesChanged is called after a source was set or removed; it does not wait. Nil does nothing.
	SourcesChanged func()
	// Wanted tells that a viewer asks for a stream, and says whether a source is about to bring it; it does not wait.
	// Nil is no sources.
	Wanted func(path media.StreamPath) bool

	// Nodes lists the nodes that are there; nil is none. Best is a registry.Memo's, which answers while the registry is
	// away.
	Nodes func(ctx context.Context) ([]media.Node, error)
	// Owner gives the lease on a stream. An error along with a lease says that it is remembered: it may have ended.
	// Nil: nobody owns anything.
	Owner func(ctx context.Context, path media.StreamPath) (lease media.Lease, ok bool, err error)
	// EventLog is the registry's log of events, which edges follow; nil is none, and edges poll.
	EventLog EventLog
	// Drain has an ingest node give its streams up and stop; it does not wait. Nil: no node can be told.
	Drain func(ctx context.Context, node media.Node) error
	// SwitchFeed makes the feed (media.FeedPrimary, media.FeedBackup) of a live stream the one that is recorded.
	// media.ErrNotFound: nobody publishes the stream; media.ErrConflict says why not. Nil: nobody does.
	SwitchFeed func(ctx context.Context, path media.StreamPath, feed string) error
	// Sessions tells of the publishers that are connected; nil is of none.
	Sessions Sessions
	// Events keeps timed events with live recordings; nil is of no live ones.
	Events Events
	// Kick ends the stream's connection, because the key it came with may be void; it does not wait. Nil does nothing.
	Kick func(path media.StreamPath)
	// Ready says why the process can not do its work, nil when it can; a nil func is always ready.
	Ready func(ctx context.Context) error
	// Services are what answers come from, by name: the registry's and the catalog's Ping. The server is not ready before
	// one of them has succeeded, and stays ready from then on, since it answers from what is left or remembered. Empty:
	// nothing is needed.
	Services map[string]func(ctx context.Context) error
	// Assets holds the built web page: index.html and what it names under assets/. Without index.html, or when nil, a
	// built-in page is served.
	Assets fs.FS
}

// Config tunes the server; its zero value works.
type Config struct {
	// PlaybackURL is put before the media URLs in answers, without a slash at the end. Empty: they are relative to the
	// host that answered.
	PlaybackURL string
	// AllowOrigins lists the origins whose pages may call /v1 from a browser; "*" is all, empty only our own.
	AllowOrigins []string
	// Timeout bounds the work for one request; zero is 10 s.
	Timeout time.Duration
	// MaxBody is the most bytes of a request's body; zero is 64 KiB.
	MaxBody int64
	// CatalogWait bounds what a lookup of the directory service waits for the catalog; zero is 1 s.
	CatalogWait time.Duration
	// ListingAge is how old the public listing may be; zero is 1 s.
	ListingAge time.Duration
	// ListingItems bounds each of the listing's two lists; zero is 100.
	ListingItems int
	// EventStreams bounds the edges that follow events here at a time; zero is 1,024.
	EventStreams int
	// Version is told in the OpenAPI document; empty is "dev".
	Version string
}

// Server answers the REST API, the pages and the directory service. New makes it; Run feeds its event stream.
type Server struct {
	cfg      Config
	deps     Deps
	log      *slog.Logger
	metrics  *metrics
	assets   *assets
	builtin  *template.Template
	listing  listing
	feed     *feed // nil without an EventLog
	policies *policyMemo
	// answered is set once one of deps.Services has succeeded.
	answered atomic.Bool
	// toldAway is when it was logged last that a service is away, in nanoseconds of Unix.
	toldAway atomic.Int64
	public   http.Handler
	inner    http.Handler
}

// New makes a server. It reads all of deps.Assets into memory.
func New(cfg Config, deps Deps, logger *slog.Logger, registerer prometheus.Registerer) *Server {
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	cfg.MaxBody = cmp.Or(cfg.MaxBody, 64<<10)
	cfg.CatalogWait = cmp.Or(cfg.CatalogWait, time.Second)
	cfg.ListingAge = cmp.Or(cfg.ListingAge, time.Second)
	cfg.ListingItems = cmp.Or(cfg.ListingItems, 100)
	cfg.EventStreams = cmp.Or(cfg.EventStreams, 1024)
	cfg.Version = cmp.Or(cfg.Version, "dev")
	if deps.Sessions == nil {
		deps.Sessions = noSessions{}
	}
	if deps.Events == nil {
		deps.Events = noEvents{}
	}
	if deps.Nodes == nil {
		deps.Nodes = func(context.Context) ([]media.Node, error) { return nil, nil }
	}
	if deps.Owner == nil {
		deps.Owner = func(context.Context, media.StreamPath) (media.Lease, bool, error) { return media.Lease{}, false, nil }
	}
	if deps.SwitchFeed == nil {
		deps.SwitchFeed = noFeeds
	}
	if deps.Drain == nil {
		deps.Drain = noDrain
	}
	s := &Server{cfg: cfg, deps: deps, log: logger, metrics: newMetrics(registerer), builtin: parseBuiltin()}
	s.policies = newPolicyMemo()
	if deps.EventLog != nil {
		s.feed = newFeed(deps.EventLog, cfg.EventStreams, logger, s.metrics)
	}
	s.assets = s.loadAssets()
	s.public = s.publicRoutes()
	s.inner = s.internalRoutes()
	return s
}

// Public serves /v1, the pages, /assets and health.
func (s *Server) Public() http.Handler { return s.public }

// Internal serves the directory service to edges. It is not for the open network.
func (s *Server) Internal() http.Handler { return s.inner }
