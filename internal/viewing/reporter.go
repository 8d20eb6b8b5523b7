package viewing

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	reportEvery   = 3 * time.Second
	reportTimeout = 5 * time.Second
	// reportWorry is how long no directory takes the minutes before the operator is told.
	reportWorry = time.Minute
)

// ReporterConfig says whom a Reporter tells what.
type ReporterConfig struct {
	// Edge is the id of the edge.
	Edge string
	// Directories are the base URLs of all directories: each is told who is there, and one, as long as it takes them, the
	// minutes for the history.
	Directories []string
	// Tokens are shown to them. Nil is none.
	Tokens *admission.Tokens
	// Every is the time between reports; zero is 3 s.
	Every time.Duration
	// Transport carries the reports; nil is http.DefaultTransport's kind.
	Transport http.RoundTripper
}

// Reporter tells the directories what a Book has.
type Reporter struct {
	config ReporterConfig
	book   *Book
	logger *slog.Logger
	run    string
	keeper int // the directory that gets the minutes
	// refused is since when none takes them; zero: one does.
	refused time.Time
	worried bool
}

// NewReporter makes one.
func NewReporter(config ReporterConfig, book *Book, logger *slog.Logger) *Reporter {
	if config.Every <= 0 {
		config.Every = reportEvery
	}
	if config.Transport == nil {
		config.Transport = &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute}
	}
	config.Transport = config.Tokens.Transport(config.Transport, logger)
	return &Reporter{config: config, book: book, logger: logger, run: rand.Text()[:12]}
}

// Run reports until ctx ends, and then once more.
func (r *Reporter) Run(ctx context.Context) error {
	tick := time.NewTicker(r.config.Every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			r.Report(ctx)
		case <-ctx.Done():
			r.book.CloseMinute()
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportTimeout)
			defer cancel()
			r.Report(ctx)
			return nil
		}
	}
}

// Report tells all directories once. What fails is told again with the next.
func (r *Reporter) Report(ctx context.Context) {
	if len(r.config.Directories) == 0 {
		return
	}
	report, taken := r.book.Report()
	report.Run = r.run
	done := report.Done
	var waiting sync.WaitGroup
	var kept error
	for i, base := range r.config.Directories {
		report.Keep, report.Done = i == r.keeper, nil
		if report.Keep {
			report.Done = done
		}
		body, err := json.Marshal(report)
		if err != nil {
			panic("BUG: report of viewers: " + err.Error())
		}
		waiting.Go(func() {
			err := r.send(ctx, base, body)
			outcome := "ok"
			if err != nil {
				outcome = "failed"
				r.logger.DebugContext(ctx, "report of viewers", "directory", base, "err", err)
			}
			r.book.metrics.reports.WithLabelValues(outcome).Inc()
			if i == r.keeper {
				kept = err
			}
		})
	}
	waiting.Wait()
	r.settle(kept, taken)
}

// settle takes what was kept from the book, or asks the next directory to keep it.
func (r *Reporter) settle(err error, taken func()) {
	if err == nil {
		taken()
		if r.worried {
			r.logger.Info("the history of viewers goes on")
		}
		r.refused, r.worried = time.Time{}, false
		return
	}
	r.keeper = (r.keeper + 1) % len(r.config.Directories)
	now := r.book.config.Now()
	switch {
	case r.refused.IsZero():
		r.refused = now
	case !r.worried && now.Sub(r.refused) >= reportWorry:
		r.worried = true
		r.logger.Warn("no directory keeps the history of viewers: the edge holds it", "err", err)
	}
}

func (r *Reporter) send(ctx context.Context, base string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, reportTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		base+"/internal/v1/edges/"+url.PathEscape(r.config.Edge)+"/viewing", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"oxbow-edge"}}
	resp, err := r.config.Transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10)) // so that the connection is used again
	switch resp.StatusCode {
	case http.StatusNoContent:
		return nil
	case http.StatusUnauthorized:
		return fmt.Errorf("%w: the directory %s does not take our --cluster-token: give the edge that of the API",
			media.ErrDenied, base)
	}
	return fmt.Errorf("report of viewers to %s: status %d: %w", base, resp.StatusCode, media.ErrUnavailable)
}
