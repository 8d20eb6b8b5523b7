package main

import (
	"cmp"
	"context"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// addSelfMetrics tells what runs, whether it is ready, and what time it has.
func (n *node) addSelfMetrics() {
	factory := promauto.With(n.metrics)
	commit := cmp.Or(builtFrom().commit, "unknown")
	factory.NewGaugeVec(prometheus.GaugeOpts{
		Name: "oxbow_build_info", Help: "What runs: always 1.",
	}, []string{"version", "commit", "go_version"}).WithLabelValues(version, commit, runtime.Version()).Set(1)
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_node_ready",
		Help: "1 while /readyz says that the process can do its work; 0 as it starts, drains, or waits for a service.",
	}, func() float64 {
		if n.ready.Load() && n.readiness.whole() {
			return 1
		}
		return 0
	})
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "oxbow_node_time_seconds",
		Help: "The machine's clock, in Unix time: beside the time of the scrape it tells clocks that are off.",
	}, func() float64 { return float64(time.Now().UnixMilli()) / 1000 })
}

const (
	// dependencyEvery is how often the registry and the catalog are asked whether they are there.
	dependencyEvery = 5 * time.Second
	// dependencyPatience is how long the answer may take.
	dependencyPatience = 2 * time.Second
)

// dependencies asks the services that a process shares with others, and tells whether and how fast they answer.
type dependencies struct {
	ping  map[string]func(context.Context) error
	every time.Duration

	up       *prometheus.GaugeVec
	seconds  *prometheus.HistogramVec
	failures *prometheus.CounterVec
}

func newDependencies(
	ping map[string]func(context.Context) error, every time.Duration, registerer prometheus.Registerer,
) *dependencies {
	factory := promauto.With(registerer)
	d := &dependencies{
		ping: ping, every: cmp.Or(every, dependencyEvery),
		up: factory.NewGaugeVec(prometheus.GaugeOpts{
			Name: "oxbow_dependency_up", Help: "1 while the service (catalog, registry) answers this process.",
		}, []string{"dependency"}),
		seconds: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "oxbow_dependency_ping_duration_seconds", Help: "How long the service took to answer that it is there.",
			Buckets: []float64{.001, .005, .025, .1, .5, 2},
		}, []string{"dependency"}),
		failures: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "oxbow_dependency_failures_total", Help: "Times that the service did not answer that it is there.",
		}, []string{"dependency"}),
	}
	for name := range ping {
		d.up.WithLabelValues(name).Set(1) // it was opened
		d.failures.WithLabelValues(name)
		d.seconds.WithLabelValues(name)
	}
	return d
}

// Run asks each of them until ctx ends; one that hangs does not hold up the others.
func (d *dependencies) Run(ctx context.Context) error {
	done := make(chan struct{}, len(d.ping))
	for name := range d.ping {
		go func() {
			defer func() { done <- struct{}{} }()
			tick := time.NewTicker(d.every)
			defer tick.Stop()
			for ctx.Err() == nil {
				d.ask(ctx, name)
				select {
				case <-ctx.Done():
				case <-tick.C:
				}
			}
		}()
	}
	for range d.ping {
		<-done
	}
	return nil
}

// ask asks one of them.
func (d *dependencies) ask(ctx context.Context, name string) {
	call, cancel := context.WithTimeout(ctx, dependencyPatience)
	defer cancel()
	begun := time.Now()
	err := d.ping[name](call)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		d.up.WithLabelValues(name).Set(0)
		d.failures.WithLabelValues(name).Inc()
	default:
		d.up.WithLabelValues(name).Set(1)
		d.seconds.WithLabelValues(name).Observe(time.Since(begun).Seconds())
	}
}

// watchDependencies has the registry and the catalog asked for as long as the process runs. Who has answered makes the
// process ready, though nobody asks for /readyz.
func (n *node) watchDependencies(ctx context.Context) {
	n.services.add(ctx, "dependencies", n.dependencies(n.catalog.Ping, n.registry.Ping).Run)
}

func (n *node) dependencies(catalog, registry func(context.Context) error) *dependencies {
	noted := func(service string, ping func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			err := ping(ctx)
			if err == nil {
				n.readiness.answered(service)
			}
			return err
		}
	}
	return newDependencies(map[string]func(context.Context) error{
		"catalog": noted("catalog", catalog), "registry": noted("registry", registry),
	}, 0, n.metrics)
}
