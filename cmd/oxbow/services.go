package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
)

// services are the running parts of the process. They start in the order of their adding and stop in reverse, each
// one gone before the next is told to stop: who produces stops before who consumes.
type services struct {
	logger  *slog.Logger
	running []*service
	failed  chan error // the first failure; later ones are logged
}

type service struct {
	name string
	stop context.CancelFunc
	done chan struct{}
}

func newServices(logger *slog.Logger) *services {
	return &services{logger: logger, failed: make(chan error, 1)}
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

// wait blocks until ctx ends or a service fails. It gives the failure.
func (s *services) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.failed:
		return err
	}
}

// stop ends all services in reverse order.
func (s *services) stop() {
	for i := len(s.running) - 1; i >= 0; i-- {
		s.running[i].stop()
		<-s.running[i].done
	}
	s.running = nil
}
