package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/accesslog"
)

// accessLogFlags say what is written of viewers' requests.
type accessLogFlags struct {
	AccessLog          string `name:"access-log" placeholder:"FILE" help:"Write a line of JSON for each request of viewers to this file, or - for standard output. SIGHUP, or moving the file away, begins a new one (default: none)."`
	AccessLogSample    share  `name:"access-log-sample" default:"100%" placeholder:"PERCENT" help:"Share of the requests that is written; those that failed always are (default: ${default})."`
	AccessLogAddresses string `name:"access-log-addresses" default:"full" enum:"full,short,none" help:"How much of viewers' addresses is written: ${enum}; short is the network, /24 or /48 (default: ${default})."`
}

// share is a flag's percentage that may be all, kept as 0 to 1.
type share float64

// UnmarshalText reads "5%" or "0.05".
func (f *share) UnmarshalText(text []byte) error {
	if s := string(text); s == "100%" || s == "1" {
		*f = 1
		return nil
	}
	var part fraction
	if err := part.UnmarshalText(text); err != nil {
		return err
	}
	*f = share(part)
	return nil
}

// accesses tells an access log of requests.
type accesses struct{ log *accesslog.Log }

// Asked implements cacheproxy.Observer.
func (a accesses) Asked(r *cacheproxy.Request) any {
	return a.log.Asked(&accesslog.Request{
		Method: r.Method, Host: r.Host, Path: r.Path, Query: r.Query, Proto: r.Proto, TLS: r.TLS, Fields: r,
	})
}

// Answered implements cacheproxy.Observer.
func (a accesses) Answered(mark any, answer cacheproxy.Answer) {
	if line, ok := mark.(*accesslog.Line); ok {
		a.log.Answered(line, accesslog.Answer{
			Status: answer.Status, Body: answer.Body, Took: answer.Took, Result: answer.Result, Cut: answer.Cut,
		})
	}
}

// openAccessLog begins the access log, if one is wanted, and gives who tells it. It is written until all that is added
// later has stopped.
func (n *node) openAccessLog(ctx context.Context, f accessLogFlags, stdout io.Writer) ([]cacheproxy.Observer, error) {
	if f.AccessLog == "" {
		return nil, nil
	}
	cfg := accesslog.Config{
		File: f.AccessLog, Sample: float64(f.AccessLogSample), Addresses: accesslog.Addresses(f.AccessLogAddresses),
	}
	if f.AccessLog == "-" {
		cfg.File, cfg.Out = "", stdout
	}
	if f.AccessLogSample == 0 {
		cfg.Sample = -1 // failures only
	}
	log, err := accesslog.Open(cfg, n.logger, n.metrics)
	if err != nil {
		return nil, err
	}
	n.services.add(ctx, "access log", log.Run)
	n.services.add(ctx, "access log's rotation", func(ctx context.Context) error {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		for {
			select {
			case <-hangup:
				log.Reopen()
			case <-ctx.Done():
				return nil
			}
		}
	})
	return []cacheproxy.Observer{accesses{log}}, nil
}
