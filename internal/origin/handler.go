package origin

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// Config is a Handler's. The zero value serves.
type Config struct {
	// MaxWaiters bounds the requests that are held at a time; those above get 503. Zero is 20,000.
	MaxWaiters int
	// CacheBytes bounds the memory for indexes and playlists of recordings read from storage. Zero is 256 MiB.
	CacheBytes int64
	// Revalidate is how long a stored recording's state is believed before its manifest is looked at again; fifteen
	// times as long once it is archived. Zero is 2 s.
	Revalidate time.Duration
	// LoadTimeout bounds the reading of a recording's manifest and indexes. Zero is 10 s.
	LoadTimeout time.Duration
	// ReadTimeout bounds the wait for anything that is read from storage: a whole recording of a volume, each file of a
	// store. One that is late makes the next wait shorter, of a store many. Zero is 4 s, below what an edge waits for an
	// answer.
	ReadTimeout time.Duration
	// StartTimeout bounds the wait for a new show's first playlist. Zero is 10 s.
	StartTimeout time.Duration
	// DemandTimeout bounds the wait for a stream that a source is about to bring to be live; StartTimeout follows. Zero
	// is 4 s: both together stay below the 15 s that an edge waits and the 20 s that hls.js does.
	DemandTimeout time.Duration
	// MaxDownloads bounds the files that are being sent at a time; those above get 503. Zero is 256.
	MaxDownloads int
	// DownloadBytes bounds the memory for what is known of files that were downloaded lately: about four bytes a sample.
	// Those that are being sent may take four times as much; above that others get 503. Zero is 128 MiB.
	DownloadBytes int64
	// Wanted is told of every request for a stream or a growing recording's playlist, and says whether a source is about
	// to bring the stream. It must not wait. Nil is no sources.
	Wanted func(path media.StreamPath) bool
	// Gone says that a recording was deleted on purpose (410). Nil: storage and the latest func say so by
	// media.ErrGone.
	Gone func(ctx context.Context, path media.StreamPath, id media.RecordingID) (bool, error)
}

func (c Config) withDefaults() Config {
	if c.MaxWaiters == 0 {
		c.MaxWaiters = 20_000
	}
	if c.CacheBytes == 0 {
		c.CacheBytes = 256 << 20
	}
	if c.Revalidate == 0 {
		c.Revalidate = 2 * time.Second
	}
	if c.LoadTimeout == 0 {
		c.LoadTimeout = 10 * time.Second
	}
	if c.ReadTimeout == 0 {
		c.ReadTimeout = 4 * time.Second
	}
	if c.MaxDownloads == 0 {
		c.MaxDownloads = 256
	}
	if c.DownloadBytes == 0 {
		c.DownloadBytes = 128 << 20
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 10 * time.Second
	}
	if c.DemandTimeout == 0 {
		c.DemandTimeout = 4 * time.Second
	}
	return c
}

// Live knows the shows of this process.
type Live interface {
	// Current gives the recording of a stream that grows now.
	Current(path media.StreamPath) (media.RecordingID, bool)
	// Show gives a recording that grows, or ended a short while ago. Its dynamic type is a pointer.
	Show(path media.StreamPath, id media.RecordingID) (Show, bool)
}

// Show is one recording while it grows.
type Show interface {
	// Snapshot gives the newest version and a channel that is closed when a newer one is there; a nil snapshot before
	// the first playlist may be served. Versions never go back. What storage lacks has a negative offset.
	Snapshot() (*hls.Snapshot, <-chan struct{})
	// Part gives a part's bytes, if memory still has them. They never change. MSN 0, part 0 is the take's init section.
	Part(take int, track string, msn media.MSN, index int) ([]byte, bool)
}

// Handler serves recordings over HTTP.
type Handler struct {
	cfg     Config
	files   reclog.Files
	live    Live
	logger  *slog.Logger
	metrics *metrics

	compressor hls.Compressor
	latest     *cache[media.StreamPath, media.RecordingID]
	stored     *cache[ref, *recording]
	gone       *cache[ref, bool]
	waiters    atomic.Int64
	readings   *readings
	downloads  *downloads
	headers    headers

	mu struct {
		sync.Mutex
		shows map[ref]*recording
	}
}

// New makes a handler over a storage of recordings and, unless live is nil, the shows of this process. Latest gives the
// newest recording of a stream: media.ErrNotFound, media.ErrGone or media.ErrUnavailable if it can't.
func New(
	cfg Config, files reclog.Files, live Live,
	latest func(ctx context.Context, path media.StreamPath) (media.RecordingID, error),
	logger *slog.Logger, reg prometheus.Registerer,
) *Handler {
	h := &Handler{
		cfg: cfg.withDefaults(), files: files, live: live, logger: logger, metrics: newMetrics(reg), headers: newHeaders(),
	}
	h.mu.shows = make(map[ref]*recording)
	h.readings = newReadings(h.cfg.ReadTimeout, h.metrics.late, logger)
	if h.remote() {
		h.readings.bearable = remoteLate
	}
	h.downloads = h.newDownloads(files)
	h.stored = newCache(h.cfg.CacheBytes, h.cfg.LoadTimeout, h.load)
	h.gone = newCache(1<<20, h.cfg.LoadTimeout, h.isGone)
	h.latest = newCache(1<<20, h.cfg.LoadTimeout, func(
		ctx context.Context, path media.StreamPath, _ media.RecordingID, _ bool,
	) fetched[media.RecordingID] {
		id, err := latest(ctx, path)
		return fetched[media.RecordingID]{value: id, err: err, cost: smallCost, ttl: time.Second}
	})
	return h
}

// smallCost is about what a cache needs for an entry without a recording.
const smallCost = 512

// Busy gives the number of requests that are under way, and the bytes of bodies sent so far.
func (h *Handler) Busy() (requests int, sent int64) {
	return int(h.metrics.underway.Load()), h.metrics.sent.Load()
}

// ServeHTTP answers one request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.metrics.underway.Add(1)
	defer h.metrics.underway.Add(-1)
	x := &exchange{h: h, w: w, r: r, kind: kindNone}
	x.setCommon()
	switch r.Method {
	case http.MethodGet, http.MethodHead:
	case http.MethodOptions:
		x.preflight()
		return
	default:
		w.Header()["Allow"] = h.headers.methods
		x.fail(errMethod)
		return
	}
	// A path with escapes is none of ours: each thing has one spelling, so that caches hold it once.
	if r.URL.RawPath != "" || strings.IndexByte(r.URL.Path, '%') >= 0 {
		x.fail(media.ErrNotFound)
		return
	}
	t, err := parsePath(r.URL.Path)
	if err != nil {
		x.fail(err)
		return
	}
	x.kind = t.kind
	switch t.kind {
	case kindStream, kindRecording:
		err = x.multivariant(t)
	case kindSliding, kindWhole, kindIFrames, kindSubtitles:
		err = x.playlist(t)
	case kindDownload:
		err = x.download(t)
	case kindInit:
		err = x.media(t, x.init)
	case kindSegment:
		err = x.media(t, x.segment)
	case kindPart:
		err = x.media(t, x.part)
	case kindSubtitle:
		err = x.late(t, x.subtitle)
	case kindPicture, kindPoster:
		err = x.picture(t)
	}
	if err != nil {
		x.fail(err)
	}
}
