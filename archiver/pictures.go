package archiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/thumbnail"
)

const (
	// thumbnailWidth and thumbnailHeight are the box of a recording's picture, tileWidth and tileHeight that of one in a
	// sprite sheet.
	thumbnailWidth  = 640
	thumbnailHeight = 1280
	tileWidth       = 160
	tileHeight      = 320
	// thumbnailQuality and spriteQuality are JPEG's.
	thumbnailQuality = 80
	spriteQuality    = 70
	// settingsEvery is how often a stream's settings are looked at that has no pictures.
	settingsEvery = 10 * time.Second
	// emptyEvery is how often a show is looked at that has no random access point yet.
	emptyEvery = 2 * time.Second
	// maxClips bounds the clips that wait for a step.
	maxClips = 1000
	// finishTries bounds how often a recording that has just ended is looked at until it is whole on storage.
	finishTries = 30
)

// PictureRows are the catalog as pictures see it.
type PictureRows interface {
	// Growing lists the cluster's rows that are live or interrupted.
	Growing(ctx context.Context, cluster string) ([]media.Recording, error)
	Recording(ctx context.Context, id media.RecordingID) (media.Recording, error)
	// Stream has the settings in force.
	Stream(ctx context.Context, path media.StreamPath) (media.Stream, error)
}

// PicturesConfig is a Pictures'.
type PicturesConfig struct {
	// Cluster is whose recordings these are.
	Cluster string
	// Every is how long to wait between two looks; zero means 1 second.
	Every time.Duration
}

// Pictures makes the pictures of a cluster's recordings: one of what is shown now, again and again while a recording
// grows, and at its end a good one and sprite sheets with their WebVTT track. Several processes may do so: each leaves
// alone what another has just made. Run is for one goroutine, Finish for any.
type Pictures struct {
	config  PicturesConfig
	rows    PictureRows
	root    *reclog.Root
	maker   *thumbnail.Maker
	logger  *slog.Logger
	metrics *pictureMetrics

	// shows are the recordings that grow, or have just ended.
	shows map[media.RecordingID]*pictured

	mu struct {
		sync.Mutex
		clips     []*pictured                         // made since the last step
		finishing map[media.RecordingID]chan struct{} // closed when it is done
	}
}

// pictured is a recording that gets pictures.
type pictured struct {
	path  media.StreamPath
	id    media.RecordingID
	due   time.Time
	ended bool
	tries int // of its end
	last  reclog.Still
	told  bool // that it has no picture, and why
}

// NewPictures makes a Pictures; without a maker it makes none, and its metrics say so.
func NewPictures(
	c PicturesConfig, rows PictureRows, root *reclog.Root, maker *thumbnail.Maker,
	logger *slog.Logger, registerer prometheus.Registerer,
) *Pictures {
	c.Cluster = cmp.Or(c.Cluster, media.DefaultCluster)
	if c.Every <= 0 {
		c.Every = time.Second
	}
	p := &Pictures{
		config: c, rows: rows, root: root, maker: maker, logger: logger, metrics: newPictureMetrics(registerer),
		shows: make(map[media.RecordingID]*pictured),
	}
	p.mu.finishing = make(map[media.RecordingID]chan struct{})
	if maker != nil {
		p.metrics.enabled.Set(1)
	}
	return p
}

// Run works until the context ends.
func (p *Pictures) Run(ctx context.Context) error {
	if p.maker == nil {
		return nil
	}
	told := outage{logger: p.logger, message: "pictures step failed"}
	for ctx.Err() == nil {
		if err := p.Step(ctx); ctx.Err() == nil {
			told.tell(err)
		}
		wait := time.NewTimer(p.config.Every)
		select {
		case <-ctx.Done():
			wait.Stop()
		case <-wait.C:
		}
	}
	return nil
}

// Step makes the pictures that are due, the one that has waited longest first. Its error is the catalog's: what is
// wrong with one recording is logged once and does not concern others.
func (p *Pictures) Step(ctx context.Context) error {
	if p.maker == nil {
		return nil
	}
	growing, err := p.rows.Growing(ctx, p.config.Cluster)
	if err != nil {
		return fmt.Errorf("list what grows: %w", err)
	}
	now := time.Now()
	p.mu.Lock()
	for _, clip := range p.mu.clips {
		p.shows[clip.id] = clip
	}
	p.mu.clips = nil
	p.mu.Unlock()
	grows := make(map[media.RecordingID]bool, len(growing))
	for i := range growing {
		r := &growing[i]
		grows[r.ID] = true
		if show := p.shows[r.ID]; show == nil {
			p.shows[r.ID] = &pictured{path: r.Path, id: r.ID, due: now}
		} else {
			show.ended = false // interrupted, and continued by its publisher
		}
	}
	var due []*pictured
	for _, show := range p.shows {
		if !grows[show.id] && !show.ended {
			show.ended, show.due = true, now
		}
		if !now.Before(show.due) {
			due = append(due, show)
		}
	}
	slices.SortFunc(due, func(a, b *pictured) int { return a.due.Compare(b.due) })
	for i := 0; i < len(due) && ctx.Err() == nil; i++ {
		if show := due[i]; show.ended {
			p.end(ctx, show)
		} else {
			p.live(ctx, show)
		}
	}
	return nil
}

// AddClip has the next step make the pictures of a clip that has just been made, which never grows. Those that come too
// fast get theirs when they are archived.
func (p *Pictures) AddClip(path media.StreamPath, id media.RecordingID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.maker != nil && len(p.mu.clips) < maxClips {
		p.mu.clips = append(p.mu.clips, &pictured{path: path, id: id, ended: true})
	}
}

// interval is the setting in force; zero is no pictures.
func (p *Pictures) interval(ctx context.Context, path media.StreamPath) (time.Duration, error) {
	stream, err := p.rows.Stream(ctx, path)
	if errors.Is(err, media.ErrNotFound) {
		return 0, nil // removed
	}
	return stream.Settings.ThumbnailInterval.D(), err
}

// live makes the picture of what a show shows now, unless it or another process's is recent.
func (p *Pictures) live(ctx context.Context, show *pictured) {
	interval, err := p.interval(ctx, show.path)
	if err != nil || interval == 0 {
		show.due = time.Now().Add(settingsEvery)
		return
	}
	next, err := p.liveDue(ctx, show, interval)
	show.due = next
	if err != nil && ctx.Err() == nil {
		p.metrics.pictures.WithLabelValues("live", "failed").Inc()
		p.complain(show, err)
	}
}

// liveDue makes the picture if it is time for it, and says when to look again.
func (p *Pictures) liveDue(ctx context.Context, show *pictured, interval time.Duration) (time.Time, error) {
	next := time.Now().Add(interval)
	if at, err := p.root.PictureTime(show.path, show.id, reclog.ThumbnailFile); err == nil {
		if again := at.Add(interval); again.After(time.Now()) && again.Before(next.Add(time.Millisecond)) {
			return again, nil
		}
	}
	still, err := p.root.NewestStill(ctx, show.path, show.id, thumbnailWidth)
	switch {
	case errors.Is(err, media.ErrNotFound):
		return time.Now().Add(min(interval, emptyEvery)), nil // it has just begun, has no video, or is being removed
	case err != nil:
		return next, err
	case still.Take == show.last.Take && still.Offset == show.last.Offset:
		return time.Now().Add(min(interval, emptyEvery)), nil // nothing came since
	}
	pictures, err := p.decode(ctx, show.path, show.id, []reclog.Still{still}, thumbnailWidth, thumbnailHeight)
	if err != nil {
		return next, err
	}
	if err := p.replace(ctx, show.path, show.id, reclog.ThumbnailFile, pictures[0], thumbnailQuality); err != nil {
		return next, err
	}
	show.last, show.told = still, false
	p.metrics.pictures.WithLabelValues("live", "ok").Inc()
	return next, nil
}

// end makes the last pictures of a show that has ended, once it is whole on storage. Whoever archives it does so if
// this process does not.
func (p *Pictures) end(ctx context.Context, show *pictured) {
	show.tries++
	show.due = time.Now().Add(emptyEvery)
	row, err := p.rows.Recording(ctx, show.id)
	if err == nil && row.State == media.Ended && row.Local && show.tries < finishTries {
		rec, loadErr := reclog.Load(ctx, p.root.Files(), show.path, show.id)
		if err = loadErr; err == nil {
			if rec.State.Growing() || !sealedAtEnd(rec) {
				return
			}
			err = p.Finish(ctx, rec)
		}
		if err != nil && !errors.Is(err, media.ErrGone) && ctx.Err() == nil {
			p.complain(show, err)
		}
	}
	delete(p.shows, show.id)
}

// complain tells once why a recording has no new picture.
func (p *Pictures) complain(show *pictured, err error) {
	if show.told || errors.Is(err, media.ErrGone) {
		return
	}
	show.told = true
	p.logger.Warn("no picture of a recording", "publisher", show.path.Publisher, "stream", show.path.Stream,
		"recording", show.id, "err", err)
}

// decode gives the pictures of random access points of one take's track, nil for those that can't be decoded. The id is
// that of the recording whose files have the media.
func (p *Pictures) decode(
	ctx context.Context, path media.StreamPath, id media.RecordingID, stills []reclog.Still, width, height int,
) ([]*thumbnail.Picture, error) {
	track, name := stills[0].Track, reclog.TrackName(path, id, stills[0].Take, stills[0].Track.Name)
	read := func(ctx context.Context, offset, size, limit int64) ([]byte, error) {
		if size <= 0 || size > limit {
			return nil, fmt.Errorf("%w: %d bytes of %s, at most %d are read", media.ErrTooLarge, size, name, limit)
		}
		in, err := p.root.Files().OpenRange(ctx, name, offset, size)
		if err != nil {
			return nil, err
		}
		data := make([]byte, size)
		_, err = io.ReadFull(in, data)
		return data, errors.Join(err, in.Close())
	}
	init, err := read(ctx, 0, track.InitSize, reclog.MaxInit)
	if err != nil {
		return nil, err
	}
	return p.maker.Decode(ctx, thumbnail.Request{
		Init: init, Count: len(stills), Width: width, Height: height,
		Part: func(ctx context.Context, i int) ([]byte, error) {
			return read(ctx, stills[i].Offset, stills[i].Size, thumbnail.MaxSample)
		},
	})
}

func (p *Pictures) replace(
	ctx context.Context, path media.StreamPath, id media.RecordingID, file string, picture jpegPicture, quality int,
) error {
	data, err := picture.JPEG(quality)
	if err != nil {
		return err
	}
	return p.root.ReplacePicture(ctx, path, id, file, data)
}

type jpegPicture interface {
	JPEG(quality int) ([]byte, error)
}

// pictureMetrics are a Pictures'.
type pictureMetrics struct {
	enabled  prometheus.Gauge
	pictures *prometheus.CounterVec
}

func newPictureMetrics(registerer prometheus.Registerer) *pictureMetrics {
	m := &pictureMetrics{
		enabled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "oxbow_archiver_pictures_enabled", Help: "1 if there is an ffmpeg to make thumbnails with, else 0.",
		}),
		pictures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_archiver_pictures_total",
			Help: "Pictures made while live and sets of them made at the end, by kind (live, final) and result (ok, failed).",
		}, []string{"kind", "result"}),
	}
	registerer.MustRegister(m.enabled, m.pictures)
	return m
}
