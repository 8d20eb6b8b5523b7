package archiver

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// lane is one kind of work, with loops of its own, so that neither kind waits for the other.
type lane struct {
	name    string
	actions []media.Action

	mu struct {
		sync.Mutex
		fair fair
		// due are the publishers that had something due when the catalog was asked, less those that have no more.
		due     []media.DuePublisher
		askedAt time.Time
	}
}

// The lanes: bringing recordings into the archive, and removing what need not be kept.
func newLanes() (store, remove *lane) {
	return &lane{name: "archive", actions: []media.Action{media.ActArchive}},
		&lane{name: "remove", actions: []media.Action{media.ActDelete, media.ActDropLocal}}
}

// claim leases what is due of the publisher whose turn it is; media.ErrNotFound when nothing is. One claim at a time:
// each is counted before the next publisher is chosen.
func (l *lane) claim(ctx context.Context, a *Archiver) (media.Claim, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); len(l.mu.due) == 0 || now.Sub(l.mu.askedAt) >= a.config.Poll {
		due, err := a.catalog.DuePublishers(ctx, media.Due{Cluster: a.config.Cluster, Actions: l.actions}, now)
		if err != nil {
			return media.Claim{}, fmt.Errorf("ask what is due: %w", err)
		}
		l.mu.due, l.mu.askedAt = due, now
		a.metrics.waiting.WithLabelValues(l.name).Set(float64(len(due)))
	}
	for len(l.mu.due) > 0 {
		i := l.mu.fair.next(l.mu.due)
		of := media.Due{Cluster: a.config.Cluster, Publisher: l.mu.due[i].Publisher, Actions: l.actions}
		claim, err := a.catalog.ClaimDue(ctx, a.config.Owner, of, time.Now(), a.config.Lease)
		if errors.Is(err, media.ErrNotFound) {
			l.mu.due = slices.Delete(l.mu.due, i, i+1)
			continue
		}
		if err != nil {
			return media.Claim{}, fmt.Errorf("claim what is due: %w", err)
		}
		// What it has beside is due no earlier.
		if at := dueOf(claim); at.After(l.mu.due[i].Due) {
			l.mu.due[i].Due = at
		}
		l.mu.fair.begin(of.Publisher, l.cost(claim))
		return claim, nil
	}
	return media.Claim{}, media.ErrNotFound
}

// cost is what a claim's work is counted as before it is done.
func (l *lane) cost(c media.Claim) int64 {
	if c.Action != media.ActArchive {
		return leastCost
	}
	size := c.Recording.Bytes
	if c.Recording.Mirror != "" {
		size *= 2
	}
	return max(leastCost, size)
}

// failedRate is what a second counts as, in bytes, of work that failed: it sends little, and keeps a loop busy until
// some timeout all the same.
const failedRate = 16 << 20

// settle counts what a claim's work came to: in bytes sent, and in time if it failed.
func (l *lane) settle(c media.Claim, sent int64, took time.Duration, err error) {
	if err != nil {
		sent = max(sent, int64(took.Seconds()*failedRate))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.fair.correct(c.Recording.Path.Publisher, max(leastCost, sent)-l.cost(c))
}

// dueOf is when a claim's action was due.
func dueOf(c media.Claim) time.Time {
	switch c.Action {
	case media.ActDelete:
		return c.Recording.ExpireDue
	case media.ActDropLocal:
		return c.Recording.DropDue
	default:
		return c.Recording.ArchiveDue
	}
}
