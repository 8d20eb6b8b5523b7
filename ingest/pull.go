package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Sources keeps the sources that streams are pulled from.
type Sources interface {
	// EnabledSources gives every source that is enabled.
	EnabledSources(ctx context.Context) ([]media.Source, error)
	// Stream gives a stream with its settings in force.
	Stream(ctx context.Context, path media.StreamPath) (media.Stream, error)
}

// Ends of a pull that are not the server's fault.
var (
	errElsewhere     = errors.New("the stream is published by another")
	errEnded         = errors.New("the source's show has ended, and no other has begun")
	errUnwatched     = errors.New("nobody watches any more")
	errSourceRemoved = errors.New("the source was removed or disabled")
	errSourceChanged = errors.New("the source was changed")
	errSource        = errors.New("the source failed") // in a way that no other error names better
)

const (
	// sourcesPoll is how often the sources are read again, in case that nobody told of a change.
	sourcesPoll = 30 * time.Second
	// connectTimeout bounds the time from the first packet to a source until its media may begin.
	connectTimeout = 15 * time.Second
)

// Puller fetches streams from their sources and publishes them as if they were pushed: same lease, same seats, same
// pipeline. A push takes a stream over from its source; the source then stands by, and never takes it back from
// whoever is live.
type Puller struct {
	server  *Server
	sources Sources
	// owned says whether anybody publishes a stream now, on whichever node; nil asks this node only.
	owned func(ctx context.Context, path media.StreamPath) (bool, error)
	// connect reaches a source. Tests change it.
	connect func(ctx context.Context, source media.Source) (feed, error)
	logger  *slog.Logger
	wake    chan struct{} // holds one token when the sources must be read again

	mu struct {
		sync.RWMutex
		pulls map[media.StreamPath]*pull
	}
}

// feed is a source that was reached. It is used by one goroutine.
type feed interface {
	// run gives its media to the session until the source says goodbye, which is nil, or ctx ends.
	run(ctx context.Context, out *session) error
	// ended names the show that the source had ended when it was reached, or ended in run, to know it again; empty while
	// it is live, and of protocols that do not go on showing what has ended.
	ended() string
	// close ends the connection. It is called once, after run or instead of it.
	close()
}

// Puller makes a Puller that publishes through the server. owned says whether anybody publishes a stream now, on
// whichever node; nil asks this node only.
func (s *Server) Puller(
	sources Sources, owned func(ctx context.Context, path media.StreamPath) (bool, error),
) *Puller {
	p := &Puller{server: s, sources: sources, owned: owned, logger: s.logger, wake: make(chan struct{}, 1)}
	p.connect = p.dial
	p.mu.pulls = make(map[media.StreamPath]*pull)
	return p
}

// Run pulls the enabled sources until ctx ends, which is no error: all goroutines have left when it returns.
func (p *Puller) Run(ctx context.Context) error {
	// Sources are let go with errClosing, whatever ended ctx.
	life, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	unhook := context.AfterFunc(ctx, func() { stop(errClosing) })
	defer unhook()
	defer p.settle(life, nil) // waits for them
	defer stop(errClosing)
	tick := time.NewTicker(sourcesPoll)
	defer tick.Stop()
	for away := false; ; {
		if err := p.Sync(life); ctx.Err() == nil && (err != nil) != away {
			away = err != nil
			p.logger.Warn("read sources", "away", away, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-tick.C:
		}
	}
}

// Changed has the sources read again soon.
func (p *Puller) Changed() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Sync reads the sources once, and starts, restarts and stops pulls by them.
func (p *Puller) Sync(ctx context.Context) error {
	ask, cancel := context.WithTimeout(ctx, p.server.cfg.ServiceTimeout)
	defer cancel()
	list, err := p.sources.EnabledSources(ask)
	if err != nil {
		return err
	}
	p.settle(ctx, list)
	return nil
}

// settle makes the pulls those of the list. It waits for those that it stops: they are quick to leave.
func (p *Puller) settle(ctx context.Context, list []media.Source) {
	wanted := make(map[media.StreamPath]media.Source, len(list))
	for _, source := range list {
		wanted[source.Path] = source
	}
	var leaving []*pull
	p.mu.Lock()
	for path, q := range p.mu.pulls {
		source, ok := wanted[path]
		if ok && sameSource(q.source, source) {
			delete(wanted, path)
			continue
		}
		cause := errSourceRemoved
		if ok {
			cause = errSourceChanged
		}
		q.stop(cause)
		leaving = append(leaving, q)
	}
	p.mu.Unlock()
	for _, q := range leaving {
		<-q.done
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, q := range leaving {
		delete(p.mu.pulls, q.source.Path)
	}
	if ctx.Err() != nil {
		return
	}
	for path, source := range wanted {
		p.mu.pulls[path] = p.start(ctx, source)
	}
}

func sameSource(a, b media.Source) bool {
	return a.URL == b.URL && a.Mode == b.Mode && a.IdleTimeout == b.IdleTimeout
}

func (p *Puller) start(ctx context.Context, source media.Source) *pull {
	ctx, stop := context.WithCancelCause(ctx)
	q := &pull{
		puller: p, source: source, stop: stop, done: make(chan struct{}), demand: make(chan struct{}, 1),
		logger: p.logger.With("publisher", source.Path.Publisher, "stream", source.Path.Stream,
			"source", source.Redacted()),
	}
	q.mu.status = media.SourceStatus{State: media.SourceOff, Since: time.Now()}
	p.server.metrics.sources.WithLabelValues(string(media.SourceOff)).Inc()
	go func() {
		defer close(q.done)
		defer stop(nil)
		q.run(ctx)
		p.server.metrics.sources.WithLabelValues(string(q.status().State)).Dec()
	}()
	return q
}

func (p *Puller) pull(path media.StreamPath) *pull {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.mu.pulls[path]
}

// Status says what a stream's source does.
func (p *Puller) Status(path media.StreamPath) media.SourceStatus {
	if q := p.pull(path); q != nil {
		return q.status()
	}
	return media.SourceStatus{State: media.SourceOff}
}

// Wanted tells that somebody watches a stream, and says whether a source is about to bring it, or does. It is cheap,
// and does not wait.
func (p *Puller) Wanted(path media.StreamPath) bool {
	q := p.pull(path)
	return q != nil && q.wanted()
}

// taken says whether somebody publishes the stream. Between the answer and the source's own lease a push may come: it
// is sent away once then, and when its encoder comes back it is the source that yields.
func (p *Puller) taken(ctx context.Context, path media.StreamPath) (bool, error) {
	if p.server.seats.occupied(path) {
		return true, nil
	}
	if p.owned == nil {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.server.cfg.ServiceTimeout)
	defer cancel()
	return p.owned(ctx, path)
}

// dial reaches a source by its URL's scheme.
func (p *Puller) dial(ctx context.Context, source media.Source) (feed, error) {
	u, err := url.Parse(source.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: the source's URL does not parse", media.ErrInvalid)
	}
	switch u.Scheme {
	case "http", "https":
		return dialHLS(ctx, u, p.server.cfg)
	case "rtmp", "rtmps":
		return p.dialRTMPSource(ctx, source.URL)
	case "srt":
		return p.dialSRTSource(ctx, u)
	}
	return nil, fmt.Errorf("%w: the source's URL has a scheme that is not pulled", media.ErrUnsupported)
}

// withoutURL takes the URL out of an error of net/http, since it may hold secrets.
func withoutURL(err error) error {
	var u *url.Error
	for errors.As(err, &u) {
		err = u.Err
	}
	return err
}
