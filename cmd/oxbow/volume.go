package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// startNotice is how often a start says that it still waits for the recordings' volume.
	startNotice = 5 * time.Second
	// rootClose bounds the closing of files: a volume that hangs does not let go of them.
	rootClose = 2 * time.Second
	// volumeStop is how long a part that works on the recordings' volume alone may take to stop.
	volumeStop = 3 * time.Second
)

// meet does what a start needs of the recordings' volume. While that hangs the start says so again and again, and a
// stop does not wait for it.
func (n *node) meet(ctx context.Context, act string, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	begun := time.Now()
	notice := time.NewTicker(startNotice)
	defer notice.Stop()
	for told := false; ; told = true {
		select {
		case err := <-done:
			if told {
				n.logger.Info("the recordings' volume answers: the start goes on", "act", act, "waited", time.Since(begun))
			}
			return err
		case <-ctx.Done():
			return fmt.Errorf("%s: %s does not answer: %w", act, n.Recordings, ctx.Err())
		case <-notice.C:
			n.logger.Error("the start waits for the recordings' volume", "act", act, "recordings", n.Recordings,
				"waits", time.Since(begun).Round(time.Second), "do", "look at the mount and its server")
		}
	}
}

// onVolume is run, left behind at a stop if the recordings' volume hangs: what it does there is taken up again by who
// comes next.
func (n *node) onVolume(name string, run func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		done := make(chan error, 1)
		go func() { done <- run(ctx) }()
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
		}
		late := time.NewTimer(volumeStop)
		defer late.Stop()
		select {
		case err := <-done:
			return err
		case <-late.C:
			n.logger.Error("the recordings' volume does not answer: stopping without it", "service", name)
			return nil
		}
	}
}

// within gives up waiting for what hangs.
func within(limit time.Duration, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case err := <-done:
		return err
	case <-late.C:
		return nil
	}
}
