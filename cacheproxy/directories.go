package cacheproxy

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// directoryHedge is how long one directory is waited for alone, before the next is asked too.
	directoryHedge = 600 * time.Millisecond
	// directoryRest is how long a directory that failed is asked after the others only.
	directoryRest = 10 * time.Second
)

// directories are the processes that answer lookups, each as good as the other. An edge has one of them as its home,
// chosen at random so that edges spread. When that fails it stays with the next that answers, and tries its home again
// when that has rested.
type directories struct {
	bases  []string
	logger *slog.Logger

	mu   sync.Mutex
	good int         // that answered last; its home is 0
	rest []time.Time // until then others are asked first; zero: it works
}

func newDirectories(bases []string, logger *slog.Logger) *directories {
	d := &directories{logger: logger, rest: make([]time.Time, len(bases))}
	for _, base := range bases {
		d.bases = append(d.bases, strings.TrimSuffix(base, "/"))
	}
	rand.Shuffle(len(d.bases), func(i, j int) { d.bases[i], d.bases[j] = d.bases[j], d.bases[i] })
	return d
}

// order gives whom to ask, best first: home, who answered last, the others that work, and then those that rest, the
// longest rested first. One whose rest is over is tried by one ask; the others go on as if it rested.
func (d *directories) order() []int {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	var works, rests []int
	for i := range d.bases {
		switch until := d.rest[i]; {
		case until.IsZero():
			works = append(works, i)
		case i == 0 && !now.Before(until):
			d.rest[i] = now.Add(directoryRest)
			works = append(works, i)
		default:
			rests = append(rests, i)
		}
	}
	if at := slices.Index(works, d.good); at > 0 && works[0] != 0 {
		works = slices.Insert(slices.Delete(works, at, at+1), 0, d.good)
	} else if at > 1 { // home is tried first
		works = slices.Insert(slices.Delete(works, at, at+1), 1, d.good)
	}
	slices.SortStableFunc(rests, func(a, b int) int { return d.rest[a].Compare(d.rest[b]) })
	return append(works, rests...)
}

func (d *directories) answered(i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rest[i] = time.Time{}
	if d.good != i {
		d.logger.Info("directory changed", "from", host(d.bases[d.good]), "to", host(d.bases[i]))
		d.good = i
	}
}

func (d *directories) failed(i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rest[i] = time.Now().Add(directoryRest)
}

func host(base string) string {
	if u, err := url.Parse(base); err == nil {
		return u.Host
	}
	return base
}

// ask has one directory after the other answer, until one does: the next when one fails, or is slow. The errors of an
// answer are ErrNotFound and ErrGone; any other says that all failed, as the last of them did. Run starts a goroutine;
// those that are slower than the answer are cancelled, and may outlive the call by a moment.
func (d *directories) ask(
	ctx context.Context, run func(func()), one func(ctx context.Context, base string) (media.Location, error),
) (media.Location, error) {
	type answer struct {
		from     int
		location media.Location
		err      error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers := make(chan answer, len(d.bases))
	order := d.order()
	var waiting []int // for their answers, in the order of asking
	next := func() {
		if len(order) == 0 || ctx.Err() != nil {
			return
		}
		i := order[0]
		order, waiting = order[1:], append(waiting, i)
		run(func() {
			location, err := one(ctx, d.bases[i])
			answers <- answer{i, location, err}
		})
	}
	hedge := time.NewTicker(directoryHedge)
	defer hedge.Stop()
	err := fmt.Errorf("no directory is configured: %w", media.ErrUnavailable)
	for next(); len(waiting) > 0; {
		select {
		case <-hedge.C:
			next()
		case a := <-answers:
			at := slices.Index(waiting, a.from)
			if said(a.err) {
				d.answered(a.from)
				for _, slower := range waiting[:at] {
					d.failed(slower)
				}
				return a.location, a.err
			}
			err = a.err
			d.failed(a.from)
			if waiting = slices.Delete(waiting, at, at+1); len(waiting) == 0 {
				hedge.Reset(directoryHedge)
				next()
			}
		}
	}
	return media.Location{}, err
}
