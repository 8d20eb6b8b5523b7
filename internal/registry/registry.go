package registry

import (
	"context"
	"fmt"
	"iter"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Registry is what Memory and Redis do, each passing the same suite.
type Registry interface {
	// Register lists a node for the next NodeTTL; a node calls it again well within that time.
	Register(ctx context.Context, node media.Node) error
	// Unregister takes a node from the list at once: it is leaving.
	Unregister(ctx context.Context, id string) error
	// Nodes lists the nodes that are there, by id.
	Nodes(ctx context.Context) ([]media.Node, error)

	// Acquire gives the lease's node the stream for LeaseTTL, whoever holds it, and the lease's epoch: above every epoch
	// of the stream before it, and above floor, the highest that storage knows. The epoch that is passed in counts for
	// nothing.
	Acquire(ctx context.Context, lease media.Lease, floor uint64) (epoch uint64, err error)
	// Claim is Acquire of a stream that nobody holds. media.ErrConflict names who does. media.ErrUnavailable says that
	// the registry can't know yet: for less than the length of a lease has it been there without a break, so an owner may
	// not have renewed its lease.
	Claim(ctx context.Context, lease media.Lease, floor uint64) (epoch uint64, err error)
	// Renew prolongs a lease to LeaseTTL from now, also one that ran out and that nobody acquired since, and keeps what
	// it says of the show. media.ErrFenced when it was taken over or released.
	Renew(ctx context.Context, lease media.Lease) error
	// RenewAll is Renew of many leases at once, with an error, or nil, for each.
	RenewAll(ctx context.Context, leases []media.Lease) []error
	// Release gives a lease back. One that is no longer held is left to its new holder: that is no error.
	Release(ctx context.Context, path media.StreamPath, node string, epoch uint64) error
	// Owner gives the lease on a stream; ok is false when nobody has one.
	Owner(ctx context.Context, path media.StreamPath) (lease media.Lease, ok bool, err error)
	// Leases lists the leases on a publisher's streams by path, on all streams if the publisher is empty.
	Leases(ctx context.Context, publisher string) ([]media.Lease, error)

	// Publish adds an event to the log. Its id is given here, and its time too if it has none.
	Publish(ctx context.Context, e media.Event) error
	// Tail gives the id of the newest event. Who takes it first and looks at the state of things after, and then reads
	// from there, misses nothing.
	Tail(ctx context.Context) (int64, error)
	// Read gives the events after the one with the given id, which comes from Tail or from an event: oldest first, a
	// batch at a time. When there is none it waits until there is, or until the context ends, whose error it then gives.
	// A *LostError says that some are gone.
	Read(ctx context.Context, after int64) ([]media.Event, error)

	// Ping says whether the registry answers.
	Ping(ctx context.Context) error
	Close() error
}

// Events goes through the events after the one with the given id, as they come, until the context ends. The last thing
// it yields is the error that ended it: the context's, or a *LostError for a reader that fell too far behind.
func Events(ctx context.Context, r Registry, after int64) iter.Seq2[media.Event, error] {
	return func(yield func(media.Event, error) bool) {
		for {
			events, err := r.Read(ctx, after)
			if err != nil {
				yield(media.Event{}, err)
				return
			}
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
				after = e.ID
			}
		}
	}
}

// LostError tells a reader of events that some it has not read are gone. It is a media.ErrGone. What to do: note Tail,
// look at the state of things anew, and read on from there.
type LostError struct {
	After int64 // where the reader stood
	First int64 // the id to read after, to get the oldest event that is still there
}

func (e *LostError) Error() string {
	return fmt.Sprintf("events after %d are gone: read on after %d", e.After, e.First)
}

// Unwrap makes errors.Is(err, media.ErrGone) true.
func (e *LostError) Unwrap() error { return media.ErrGone }
