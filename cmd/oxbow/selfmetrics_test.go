package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A service that hangs is told to be away, and the other one is asked meanwhile.
func TestDependenciesAreWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hangs, asked atomic.Int64
		d := newDependencies(map[string]func(context.Context) error{
			"registry": func(ctx context.Context) error {
				if hangs.Load() == 0 {
					return nil
				}
				<-ctx.Done()
				return errors.New("no answer")
			},
			"catalog": func(context.Context) error { asked.Add(1); return nil },
		}, 0, prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		up := func(name string, want float64) {
			t.Helper()
			synctest.Wait()
			if have := testutil.ToFloat64(d.up.WithLabelValues(name)); have != want {
				t.Errorf("%s is up: %v, want %v", name, have, want)
			}
		}
		up("registry", 1)
		hangs.Store(1)
		time.Sleep(time.Minute)
		up("registry", 0)
		up("catalog", 1)
		if n := asked.Load(); n < 10 {
			t.Errorf("the catalog was asked %d times beside a registry that hangs", n)
		}
		if n := testutil.ToFloat64(d.failures.WithLabelValues("registry")); n < 5 {
			t.Errorf("%v failures are counted", n)
		}
		hangs.Store(0)
		time.Sleep(time.Minute)
		up("registry", 1)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// oxbow_node_ready says what /readyz says, though nobody asks that.
func TestReadyIsToldAsReadyzSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := node{metrics: prometheus.NewRegistry()}
		n.addSelfMetrics()
		told := func(want float64) {
			t.Helper()
			synctest.Wait()
			if err := testutil.GatherAndCompare(n.metrics, strings.NewReader(fmt.Sprintf("# HELP oxbow_node_ready "+
				"1 while /readyz says that the process can do its work; 0 as it starts, drains, or waits for a service.\n"+
				"# TYPE oxbow_node_ready gauge\noxbow_node_ready %v\n", want)), "oxbow_node_ready"); err != nil {
				t.Error(err)
			}
		}
		told(0)
		var away atomic.Bool
		away.Store(true)
		ping := func(context.Context) error {
			if away.Load() {
				return errors.New("refused")
			}
			return nil
		}
		answers := func(context.Context) error { return nil }
		d := n.dependencies(answers, ping)
		n.readiness.needs("catalog", answers)
		n.readiness.needs("registry", ping)
		n.ready.Store(true)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- d.Run(ctx) }()
		time.Sleep(time.Minute)
		told(0)
		if err := n.isReady(t.Context()); err == nil {
			t.Error("/readyz says yes without a registry")
		}
		away.Store(false)
		time.Sleep(dependencyEvery)
		told(1)
		away.Store(true)
		time.Sleep(time.Minute)
		told(1)
		if err := n.isReady(t.Context()); err != nil {
			t.Errorf("/readyz in a later outage: %v", err)
		}
		n.ready.Store(false)
		told(0)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
