package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// services are the running parts of the process. They start in the order of their adding and stop in reverse, each
// one gone before the next is told to stop: who produces stops before who consumes.
type services struct {
	logger  *slog.Logger
	running []*service
	manager *notifier  // who started the process and wants to know; nil without one
	failed  chan error // the first failure; later ones are logged
}

type service struct {
	name string
	stop context.CancelFunc
	done chan struct{}
}

func newServices(logger *slog.Logger) *services {
	return &services{logger: logger, manager: openNotifier(logger), failed: make(chan error, 1)}
}

// add starts run in a goroutine. Its context outlives ctx's end: it is cancelled when its turn to stop has come.
func (s *services) add(ctx context.Context, name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	part := &service{name: name, stop: cancel, done: make(chan struct{})}
	s.running = append(s.running, part)
	go func() {
		defer close(part.done)
		err := run(ctx)
		if err == nil && ctx.Err() == nil {
			err = errors.New("stopped by itself")
		}
		if err == nil || (ctx.Err() != nil && errors.Is(err, context.Canceled)) {
			return
		}
		err = fmt.Errorf("%s: %w", name, err)
		select {
		case s.failed <- err:
		default:
			s.logger.Error("service failed", "service", name, "err", err)
		}
	}()
}

// wait blocks until ctx ends or a service fails, with all services added, which a service manager is told. It gives the
// failure.
func (s *services) wait(ctx context.Context) error {
	defer s.manager.running(ctx)()
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// await blocks until something that the services bring about is there, as a nil of until says. Before that ctx may end,
// or a service fail: it gives the failure.
func (s *services) await(ctx context.Context, until func(context.Context) error) (came bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	there := make(chan error, 1)
	go func() { there <- until(ctx) }()
	select {
	case err := <-there:
		return err == nil, nil
	case err := <-s.failed:
		return false, err
	}
}

// stopPatience is how long a service may take to stop: more than those that bound it themselves do, who are the
// packager with its storage and the servers with their requests.
const stopPatience = 10 * time.Second

// stop ends all services in reverse order. One that hangs, in a call to a volume that does not answer, is left behind.
func (s *services) stop() {
	late := time.NewTimer(0)
	defer late.Stop()
	for i := len(s.running) - 1; i >= 0; i-- {
		part := s.running[i]
		part.stop()
		late.Reset(stopPatience)
		select {
		case <-part.done:
		case <-late.C:
			s.logger.Error("service does not stop and is left behind", "service", part.name, "waited", stopPatience)
		}
	}
	s.running = nil
}
