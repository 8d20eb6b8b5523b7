package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// readiness is what a role needs before it can do its work. Each service must have answered once: a node that cannot
// reach its registry takes no publisher, and must not be sent one. Once it has, an outage changes nothing: all nodes
// would leave the balancer at the same time, while what is live goes on without the service.
type readiness struct {
	mu sync.Mutex
	// waits are the services that have not answered yet.
	waits map[string]func(context.Context) error
}

// readyPatience bounds a look at a service, in the request that asks for it.
const readyPatience = 2 * time.Second

// needs has the process not be ready before a service has answered.
func (r *readiness) needs(service string, ping func(context.Context) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waits == nil {
		r.waits = make(map[string]func(context.Context) error)
	}
	r.waits[service] = ping
}

// answered notes that a service has answered.
func (r *readiness) answered(service string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.waits, service)
}

// whole says whether each service has answered; it asks none.
func (r *readiness) whole() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waits) == 0
}

// lacks says which service has not answered yet; it asks them all at once.
func (r *readiness) lacks(ctx context.Context) error {
	r.mu.Lock()
	waits := maps.Clone(r.waits)
	r.mu.Unlock()
	if len(waits) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyPatience)
	defer cancel()
	names := slices.Sorted(maps.Keys(waits))
	failures := make([]error, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() {
			if err := waits[name](ctx); err != nil {
				failures[i] = fmt.Errorf("the %s has not answered yet: %w", name, err)
				return
			}
			r.answered(name)
		})
	}
	asking.Wait()
	return errors.Join(failures...)
}

// errNotReady is of a process that starts or ends.
var errNotReady = errors.New("it starts, or drains")

// isReady is nil when the process can do its role's work.
func (n *node) isReady(ctx context.Context) error {
	if !n.ready.Load() {
		return errNotReady
	}
	return n.readiness.lacks(ctx)
}

// needServices has the process not be ready before its catalog and its registry have answered.
func (n *node) needServices() {
	n.readiness.needs("catalog", n.catalog.Ping)
	n.readiness.needs("registry", n.registry.Ping)
}

// serveReady answers /readyz.
func serveReady(ready func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := ready(r.Context()); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ready\n"))
	}
}
