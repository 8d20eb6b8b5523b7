package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// maxReadings bounds the readings of storage under way. On a volume that hangs each of them holds a thread, which
	// nobody can take back, and a process that has too many threads ends, with all that is live.
	maxReadings = 256
	// maxCopies bounds the answers that are being sent from files, for the same reason.
	maxCopies = 1024
	// lateWait is how long a reading is waited for while another is late already, or of a store, while many are.
	lateWait = time.Second
)

// errLate is what a request gets that storage does not answer in time.
var errLate = fmt.Errorf("%w: storage does not answer", media.ErrUnavailable)

// readings are what the handler reads of storage. Nothing waits for it for long: what does not come in time goes on
// alone, in bounded number, and requests are told to come again. What memory serves has no part in this.
type readings struct {
	timeout  time.Duration
	slots    chan struct{}
	copies   chan struct{}
	late     atomic.Int64
	bearable int64 // how many may be late before others are given less time
	gauge    prometheus.Gauge
	logger   *slog.Logger
}

func newReadings(timeout time.Duration, gauge prometheus.Gauge, logger *slog.Logger) *readings {
	return &readings{
		timeout: timeout, slots: make(chan struct{}, maxReadings), copies: make(chan struct{}, maxCopies), gauge: gauge,
		logger: logger,
	}
}

// overdue notes that a reading is late, or, with -1, that such a one has ended.
func (r *readings) overdue(n int64) {
	now := r.late.Add(n)
	r.gauge.Add(float64(n))
	switch {
	case n > 0 && now == 1:
		r.logger.Error("storage does not answer: what only it has is refused, what is in memory is served",
			"waited", r.timeout)
	case now == 0:
		r.logger.Info("storage answers again")
	}
}

// reading has something read from storage. What comes when nobody waits for it any more goes to drop, if it is not nil.
func reading[T any](
	ctx context.Context, r *readings, read func(ctx context.Context) (T, error), drop func(T),
) (T, error) {
	var none T
	wait := r.timeout
	if r.late.Load() > r.bearable {
		wait = min(wait, lateWait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case r.slots <- struct{}{}:
	case <-timer.C:
		return none, errLate
	case <-ctx.Done():
		return none, left(ctx)
	}
	type result struct {
		value T
		err   error
	}
	done, alone := make(chan result), make(chan bool, 1)
	go func() {
		defer func() { <-r.slots }()
		value, err := read(context.WithoutCancel(ctx))
		select {
		case done <- result{value, err}:
			return
		case overdue := <-alone:
			if err == nil && drop != nil {
				drop(value)
			}
			if overdue {
				r.overdue(-1)
			}
		}
	}()
	select {
	case got := <-done:
		return got.value, got.err
	case <-timer.C:
		r.overdue(1)
		alone <- true
		return none, errLate
	case <-ctx.Done():
		alone <- false
		return none, left(ctx)
	}
}

// left is what becomes of a request whose context ended.
func left(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errLate
	}
	return errLeft
}

// readFile reads a small file.
func (h *Handler) readFile(ctx context.Context, name string) ([]byte, error) {
	return reading(ctx, h.readings, func(ctx context.Context) ([]byte, error) {
		return h.files.ReadFile(ctx, name)
	}, nil)
}

// readRange reads a whole range.
func (h *Handler) readRange(ctx context.Context, name string, offset, size int64) ([]byte, error) {
	return reading(ctx, h.readings, func(ctx context.Context) ([]byte, error) {
		in, err := h.files.OpenRange(ctx, name, offset, size)
		if err != nil {
			return nil, err
		}
		data := make([]byte, size)
		_, err = io.ReadFull(in, data)
		return data, errors.Join(err, in.Close())
	}, nil)
}

// openRange opens a range for sending. Both its ends were read then, so that the kernel, which copies it with nobody to
// look at the clock, seldom meets a volume that hangs. Done gives the place among those who send free.
func (h *Handler) openRange(
	ctx context.Context, name string, offset, size int64,
) (in io.ReadCloser, done func(), err error) {
	select {
	case h.readings.copies <- struct{}{}:
	default:
		return nil, nil, fmt.Errorf("%w: too much is being read", errBusy)
	}
	done = func() { <-h.readings.copies }
	in, err = reading(ctx, h.readings, func(ctx context.Context) (io.ReadCloser, error) {
		in, err := h.files.OpenRange(ctx, name, offset, size)
		if err != nil {
			return nil, err
		}
		if at, ok := in.(io.ReaderAt); ok && size > 0 {
			var b [1]byte
			for _, end := range []int64{0, size - 1} {
				if _, err := at.ReadAt(b[:], end); err != nil && !errors.Is(err, io.EOF) {
					return nil, errors.Join(err, in.Close())
				}
			}
		}
		return in, nil
	}, func(in io.ReadCloser) { _ = in.Close() })
	if err != nil {
		done()
		return nil, nil, err
	}
	return in, done, nil
}
