package main

import (
	"context"
	"errors"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// heartbeat is how often the node and its leases are renewed; they expire after several missed beats.
	heartbeat = time.Second
	// beatTimeout bounds what one beat waits for the registry.
	beatTimeout = 900 * time.Millisecond
	// sleepLimit is how old the last beat may be before the process is taken to have slept, through a SIGSTOP or a pause
	// of its machine. While the registry hangs a beat that has ended is up to 1.9 s old, and the machine may be busy.
	sleepLimit = 3 * time.Second
	// answerHolds is for how long an answer of the registry serves all who ask whose a stream is.
	answerHolds = 200 * time.Millisecond
)

// Run renews the node's registration and its leases until the context ends.
func (l *leases) Run(ctx context.Context) error {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		l.beat(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// Awake is false when the last beat that ended began so long ago that the process must have slept, and may have lost
// its leases.
func (l *leases) Awake() bool { return time.Since(l.began)-time.Duration(l.beaten.Load()) < sleepLimit }

// renewal is a lease that a beat renews.
type renewal struct {
	media.Lease
	hold *hold
}

// beat renews everything once.
func (l *leases) beat(ctx context.Context) {
	begun := time.Since(l.began)
	defer func() { l.beaten.Store(int64(begun)) }()
	call, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	if l.load != nil {
		busy := l.load()
		l.busy.Store(&busy)
	}
	registered := make(chan error, 1)
	go func() { registered <- l.register(call) }() // a registry that hangs delays both once
	renewals, over, stray := l.due()
	l.metrics.count(leaseReleased, len(over))
	for _, path := range stray {
		go l.abandon(path)
	}
	asked := make([]media.Lease, len(renewals))
	for i := range renewals {
		asked[i] = renewals[i].Lease
	}
	var err error
	var losing []<-chan struct{}
	for i, renewed := range l.registry.RenewAll(call, asked) {
		if errors.Is(renewed, media.ErrFenced) {
			losing = append(losing, l.lose(asked[i].Path, renewals[i].hold, asked[i].Epoch))
		} else if renewed != nil {
			err = renewed
		}
	}
	for _, lease := range over { // one that is not given back ends by itself
		if err := l.registry.Release(call, lease.Path, lease.Node, lease.Epoch); err != nil {
			l.logger.Debug("release lease", "publisher", lease.Path.Publisher, "stream", lease.Path.Stream, "err", err)
		}
	}
	for _, ended := range losing { // storage may hold one of them up: the other leases are renewed all the same
		select {
		case <-ended:
		case <-call.Done():
		}
	}
	l.tell(ctx, errors.Join(err, <-registered))
}

func (l *leases) register(ctx context.Context) error {
	if l.left.Load() {
		return nil
	}
	return l.registry.Register(ctx, l.registration())
}

// due gives the leases to renew and those whose shows have ended, which are forgotten, and the shows that have grown
// without a lease since the last beat at least: nobody would tell this node that another one has them.
func (l *leases) due() (renewals []renewal, over []media.Lease, stray []media.StreamPath) {
	l.mu.Lock()
	defer l.mu.Unlock()
	growing := l.growing()
	for path, h := range l.mu.held {
		_, grows := growing[path]
		switch {
		case h.gone:
		case h.users <= 0 && !grows:
			delete(l.mu.held, path)
			over = append(over, l.lease(path, h.epoch))
		default:
			renewals = append(renewals, renewal{l.renewalLocked(path, h, growing), h})
		}
	}
	unheld := make(map[media.StreamPath]bool)
	for path := range growing {
		if l.mu.held[path] == nil {
			unheld[path] = true
		}
	}
	for path := range unheld {
		if l.mu.unheld[path] {
			stray = append(stray, path)
		}
	}
	l.mu.unheld = unheld
	return renewals, over, stray
}

// question is one of the registry whose a stream is.
type question struct {
	begun time.Time
	done  chan struct{} // closed when err is there
	err   error
}

// Confirm asks whether a stream is still this node's: media.ErrFenced. An error of the registry itself is no loss. Who
// asks at about the same time shares an answer, but not one from before the process slept.
func (l *leases) Confirm(ctx context.Context, path media.StreamPath) error {
	for {
		l.mu.Lock()
		h := l.mu.held[path]
		if h == nil {
			l.mu.Unlock()
			return nil
		}
		q := h.asked
		if q == nil || time.Since(q.begun) > beatTimeout+answerHolds || q.answered() && time.Since(q.begun) > answerHolds {
			q = &question{begun: time.Now(), done: make(chan struct{})}
			h.asked = q
			go l.ask(context.WithoutCancel(ctx), path, h, q)
		}
		l.mu.Unlock()
		<-q.done
		if time.Since(q.begun) <= beatTimeout+answerHolds {
			return q.err
		}
	}
}

func (q *question) answered() bool {
	select {
	case <-q.done:
		return true
	default:
		return false
	}
}

// ask finds the answer to a question, within beatTimeout.
func (l *leases) ask(ctx context.Context, path media.StreamPath, h *hold, q *question) {
	defer close(q.done)
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	l.mu.Lock()
	growing := l.growing()
	lease := l.renewalLocked(path, h, growing)
	l.mu.Unlock()
	q.err = l.registry.Renew(ctx, lease)
	if !errors.Is(q.err, media.ErrFenced) {
		return
	}
	select {
	case <-l.lose(path, h, lease.Epoch):
	case <-ctx.Done(): // it is rather held for lost
		return
	}
	if l.Holds(path, lease.Epoch) { // under a later lease that it got meanwhile
		q.err = nil
	}
}

// lose gives up a stream that another node owns, as a renewal under an epoch was told: unless that lease is not this
// node's newest, or is not by the time that who acquires another one is done. ended is closed when it is given up, or
// known to be kept.
func (l *leases) lose(path media.StreamPath, h *hold, epoch uint64) (ended <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.losing != nil {
		return h.losing
	}
	losing := make(chan struct{})
	if l.mu.held[path] != h || h.epoch != epoch {
		close(losing)
		return losing
	}
	h.losing = losing
	go func() {
		defer close(losing)
		done, _ := l.turns.take(context.Background(), path) // without an end it does not fail
		defer done()
		newest, known := l.given(path, h, epoch)
		l.mu.Lock()
		h.epoch = max(h.epoch, newest)
		lost := known && l.mu.held[path] == h && h.epoch == epoch
		if h.gone = lost; !lost {
			h.losing = nil
		}
		l.mu.Unlock()
		if !lost {
			return
		}
		l.metrics.count(leaseLost, 1)
		l.logger.Info("lease lost", "publisher", path.Publisher, "stream", path.Stream, "epoch", epoch)
		l.lost(path)
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.mu.held[path] == h {
			delete(l.mu.held, path)
		}
	}()
	return losing
}

// given gives the epoch of a lease that the registry gave this node while its answer was lost; zero is none. It is not
// known while the registry is away. The stream's turn is had.
func (l *leases) given(path media.StreamPath, h *hold, epoch uint64) (newest uint64, known bool) {
	ctx, cancel := context.WithTimeout(context.Background(), beatTimeout)
	defer cancel()
	l.mu.Lock()
	lease, unsure := l.renewalLocked(path, h, l.growing()), h.unsure
	l.mu.Unlock()
	for lease.Epoch = epoch + 1; lease.Epoch <= epoch+unsure; lease.Epoch++ {
		err := l.registry.Renew(ctx, lease)
		if err == nil {
			return lease.Epoch, true
		}
		if !errors.Is(err, media.ErrFenced) {
			return 0, false
		}
	}
	return 0, true
}

// abandon gives up a show that has no lease.
func (l *leases) abandon(path media.StreamPath) {
	done, _ := l.turns.take(context.Background(), path)
	defer done()
	l.mu.Lock()
	_, grows := l.growing()[path]
	stray := l.mu.held[path] == nil && grows
	l.mu.Unlock()
	if stray {
		l.logger.Error("show without a lease is given up", "publisher", path.Publisher, "stream", path.Stream)
		l.lost(path)
	}
}

// tell logs when the registry goes and comes.
func (l *leases) tell(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		l.metrics.failedBeat()
	}
	l.mu.Lock()
	changed := l.mu.away != (err != nil)
	l.mu.away = err != nil
	held := len(l.mu.held)
	l.mu.Unlock()
	switch {
	case changed && err != nil:
		l.logger.Error("registry is away: streams go on, nobody can begin or take over", "streams", held, "err", err)
	case changed:
		l.logger.Info("registry is back", "streams", held)
	}
}
