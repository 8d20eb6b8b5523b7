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

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
)

// Publishers keeps the publishers. Of revisions, where a method takes them, the thing must be at one, else the error is
// media.ErrPrecondition; given none, any will do. What is not there is media.ErrNotFound, CreatePublisher's error
// media.ErrExists, DeletePublisher's media.ErrConflict while it has streams. Lists are in order of name, from the first
// after the given, and of at most 501 items; Streams without the publisher is media.ErrNotFound.
type Publishers interface {
	CreatePublisher(ctx context.Context, p media.Publisher) error
	Publisher(ctx context.Context, name string) (media.Publisher, error)
	Publishers(ctx context.Context, after string, limit int) ([]media.Publisher, error)
	UpdatePublisher(ctx context.Context, name string, patch media.SettingsPatch, revisions ...int64) (
		media.Publisher, error)
	DeletePublisher(ctx context.Context, name string, revisions ...int64) error
}

// Streams keeps the streams, with errors as Publishers has them.
type Streams interface {
	CreateStream(ctx context.Context, path media.StreamPath, overrides media.SettingsPatch) (media.Stream, error)
	Stream(ctx context.Context, path media.StreamPath) (media.Stream, error)
	Streams(ctx context.Context, publisher string, after string, limit int) ([]media.Stream, error)
	ChangeStream(ctx context.Context, path media.StreamPath, change media.StreamChange, revisions ...int64) (
		media.Stream, error)
	DeleteStream(ctx context.Context, path media.StreamPath, revisions ...int64) error
}

// Keys keeps the hashes of stream keys.
type Keys interface {
	AddKey(ctx context.Context, path media.StreamPath, label, key string) (media.StreamKey, error)
	// AddKeyUntil is AddKey of a key that expires; a zero time never comes.
	AddKeyUntil(ctx context.Context, path media.StreamPath, label, key string, until time.Time) (media.StreamKey, error)
	// RotateKey adds a key in the place of an old one, which goes on for the grace, or is removed without one.
	RotateKey(ctx context.Context, path media.StreamPath, r media.KeyRotation, key string) (
		added, old media.StreamKey, err error)
	Keys(ctx context.Context, path media.StreamPath) ([]media.StreamKey, error)
	RemoveKey(ctx context.Context, path media.StreamPath, id string) error
}

// Recordings keeps the rows of recordings. Recording gives a deleted one's row too, or media.ErrGone.
// ChangeRecording and RequestDelete answer media.ErrConflict with the reason, or media.ErrGone.
type Recordings interface {
	Recording(ctx context.Context, id media.RecordingID) (media.Recording, error)
	Recordings(ctx context.Context, filter media.RecordingFilter) (items []media.Recording, next string, err error)
	ChangeRecording(ctx context.Context, id media.RecordingID, change media.RecordingChange, revisions ...int64) (
		media.Recording, error)
	RequestDelete(ctx context.Context, id media.RecordingID, revisions ...int64) (media.Recording, error)
}

// Sources keeps where streams are fetched from, one per stream; what is not there is media.ErrNotFound.
type Sources interface {
	PutSource(ctx context.Context, source media.Source) (media.Source, error)
	Source(ctx context.Context, path media.StreamPath) (media.Source, error)
	DeleteSource(ctx context.Context, path media.StreamPath) error
}

// Tokens keeps the bearer tokens of the API. CheckToken's media.ErrDenied is of an unknown one without, of an expired
// one with its record. CreateToken's *media.FieldError is of the record; media.ErrLimit when there are too many.
type Tokens interface {
	CheckToken(ctx context.Context, token string) (media.Token, error)
	CreateToken(ctx context.Context, record media.Token, token string) (media.Token, error)
	Token(ctx context.Context, id string) (media.Token, error)
	Tokens(ctx context.Context, publisher, after string, limit int) ([]media.Token, error)
	DeleteToken(ctx context.Context, id string) error
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

	// Audit keeps who changed what; nil keeps nothing.
	Audit AuditLog
	// Archives lists the stores that archivers told of; nil is none, and settings may then name any.
	Archives func(ctx context.Context) ([]media.ArchiveStatus, error)
	// Publish tells the other nodes of what a request did; nil does nothing.
	Publish func(ctx context.Context, event media.Event) error

	// Webhooks keeps where events are sent; nil is no webhooks. TestWebhook sends one a test, and is needed with them.
	Webhooks    Webhooks
	TestWebhook func(ctx context.Context, w media.Webhook) media.DeliveryResult
	// Clips makes clips; it is needed.
	Clips Clips
	// Viewing keeps the history of what viewers saw; nil keeps none.
	Viewing Viewing
	// Replies keeps answers to requests with an Idempotency-Key; it is needed.
	Replies Replies
	// Playback keeps playback keys and policies; it is needed.
	Playback Playback
	// SteeringRules keeps where operators send viewers; nil is no rules.
	SteeringRules SteeringRules
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
	// Log is the catalog's log of events; nil is none.
	Log Log
	// EventLog is the registry's log of events, which edges follow; nil is none, and edges poll.
	EventLog EventLog
	// Purges keeps what edges are to forget; nil keeps nothing, and nothing is purged.
	Purges Purges
	// Register lists an edge that tells of itself, and Unregister takes it from the list. Nil: no edge can.
	Register   func(ctx context.Context, node media.Node) error
	Unregister func(ctx context.Context, id string) error
	// Drain has an ingest node give its streams up and stop; it does not wait. Nil: no node can be told.
	Drain func(ctx context.Context, node media.Node) error
	// SwitchFeed makes the feed (media.FeedPrimary, media.FeedBackup) of a live stream the one that is recorded.
	// media.ErrNotFound: nobody publishes the stream; media.ErrConflict says why not. Nil: nobody does.
	SwitchFeed func(ctx context.Context, path media.StreamPath, feed string) error
	// Sessions tells of the publishers that are connected; nil is of none.
	Sessions Sessions
	// Events keeps timed events with live recordings; nil is of no live ones.
	Events Events
	// Kick ends the connection of a stream that is gone; it does not wait. Nil does nothing.
	Kick func(path media.StreamPath)
	// RevokeKey drops who publishes a stream with the key of an id, live or standing by, on whichever node; it does not
	// wait. Nil does nothing.
	RevokeKey func(path media.StreamPath, id string)
	// Ready says why the process can not do its work, nil when it can; a nil func is always ready.
	Ready func(ctx context.Context) error
	// Services are what answers come from, by name: the registry's and the catalog's Ping. The server is not ready before
	// one of them has succeeded, and stays ready from then on, since it answers from what is left or remembered. Empty:
	// nothing is needed.
	Services map[string]func(ctx context.Context) error
	// CatalogBorn is when the catalog was made; nil: it has everything that there ever was.
	CatalogBorn func(ctx context.Context) (time.Time, error)
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
	// Rate is how many requests a second one token may make, and twice that at once; wrong tokens of one address are
	// bounded to a tenth. Zero is no bound.
	Rate float64
	// Tokens are what edges must show at Internal. Nil: nothing.
	Tokens *admission.Tokens
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
	// AuditKeep is how long the audit log is kept; zero is 400 days.
	AuditKeep time.Duration
	// LogFollowers bounds who follows the log here at a time; zero is 256. Tokens of one publisher together get an eighth.
	LogFollowers int
	// EventKeep is how long the log keeps events; zero is 30 days, less than zero for ever.
	EventKeep time.Duration
	// SteeringURL is the base URL at which players reach the public port here, for content steering; empty is no steering.
	SteeringURL string
	// SteeringTTL is how often players ask where to play from, in whole seconds; zero is 10 s.
	SteeringTTL time.Duration
	// SteeringRate is how many of them a second are answered with that; more are told to ask less often. Zero is 10,000.
	SteeringRate int64
	// Version is told in the OpenAPI document; empty is "dev".
	Version string
}

// Server answers the REST API, the pages and the directory service. New makes it; Run feeds its event stream.
type Server struct {
	cfg     Config
	deps    Deps
	log     *slog.Logger
	metrics *metrics
	assets  *assets
	builtin *template.Template
	// plainDocs is the page about the API that is served without a built one.
	plainDocs func() *asset
	listing   listing
	known     *knownTokens
	feed      *feed // nil without an EventLog
	follow    *logFeed
	limits    *limits
	policies  *policyMemo
	birth     catalogBirth
	edges     *edgeBook
	purged    purgeMemo
	steerer   *steerer
	viewing   *viewingNow
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
	cfg.AuditKeep = cmp.Or(cfg.AuditKeep, 400*24*time.Hour)
	cfg.LogFollowers = cmp.Or(cfg.LogFollowers, 256)
	cfg.EventKeep = cmp.Or(cfg.EventKeep, 30*24*time.Hour)
	cfg.SteeringTTL = cmp.Or(cfg.SteeringTTL, 10*time.Second)
	cfg.SteeringRate = cmp.Or(cfg.SteeringRate, 10_000)
	cfg.Version = cmp.Or(cfg.Version, "dev")
	if deps.Sessions == nil {
		deps.Sessions = noSessions{}
	}
	if deps.Audit == nil {
		deps.Audit = noAudit{}
	}
	if deps.Viewing == nil {
		deps.Viewing = noViewing{}
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
	if deps.Purges == nil {
		deps.Purges = noPurges{}
	}
	s := &Server{cfg: cfg, deps: deps, log: logger, metrics: newMetrics(registerer), builtin: parseBuiltin()}
	s.known = newKnownTokens()
	s.policies = newPolicyMemo(s.agePolicies)
	s.edges = newEdgeBook(deps.Nodes)
	s.steerer = newSteerer(cfg, deps, logger, registerer)
	s.viewing = newViewingNow()
	if deps.EventLog != nil {
		s.feed = newFeed(deps.EventLog, cfg.EventStreams, logger, s.metrics)
		s.feed.told = s.heard
	}
	s.limits = newLimits(cfg.Rate)
	if deps.Log != nil {
		s.follow = newLogFeed(deps.Log, cfg.LogFollowers, logger, registerer)
		if s.feed != nil { // who tells the nodes of something has logged it before
			s.feed.came = s.follow.look
		}
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
