package accesslog

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Config says what is written where.
type Config struct {
	// File is its path. Without one, Out is written to.
	File string
	// Out is used where there is no File.
	Out io.Writer
	// Sample is the share of requests that are written, from 0 to 1. Those that failed (status 400 and above, or broken
	// off) are always. Zero means 1; negative means that only those are.
	Sample float64
	// Addresses says how much of viewers' addresses is written. Empty means all.
	Addresses Addresses
	// Queue is how many lines may wait to be written. Zero means 8192.
	Queue int
}

const (
	// period is how often lines are sent on to the file at the least, and the file's name is looked at.
	period = time.Second
	// maxKept is the largest line that is used again.
	maxKept  = 4 << 10
	fileMode = 0o640
)

// Log writes, by Run, what it is told. It is safe for concurrent use.
type Log struct {
	cfg     Config
	logger  *slog.Logger
	unused  sync.Pool // of *Line
	queue   chan *Line
	reopen  chan struct{}
	lines   prometheus.Counter
	dropped prometheus.Counter
	now     func() time.Time

	// Those behind are Run's.
	file    *os.File
	opened  os.FileInfo
	out     *bufio.Writer
	pending int
	failing bool
}

// Open begins a log. Run must follow.
func Open(cfg Config, logger *slog.Logger, registerer prometheus.Registerer) (*Log, error) {
	cfg.Queue = cmp.Or(cfg.Queue, 8192)
	cfg.Sample = cmp.Or(cfg.Sample, 1)
	cfg.Addresses = cmp.Or(cfg.Addresses, AddressesFull)
	factory := promauto.With(registerer)
	l := &Log{
		cfg: cfg, logger: logger, queue: make(chan *Line, cfg.Queue), reopen: make(chan struct{}, 1), now: time.Now,
		lines: factory.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_accesslog_lines_total", Help: "Lines of the access log that were written.",
		}),
		dropped: factory.NewCounter(prometheus.CounterOpts{
			Name: "oxbow_accesslog_dropped_total",
			Help: "Lines of the access log that were dropped, for a full queue or a write that failed.",
		}),
	}
	l.unused.New = func() any { return &Line{text: make([]byte, 0, 1<<10)} }
	l.out = bufio.NewWriterSize(cfg.Out, 64<<10)
	if cfg.File != "" {
		if err := l.openFile(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// Asked begins a line, which ends with Answered.
func (l *Log) Asked(r *Request) *Line {
	line := l.unused.Get().(*Line) //nolint:forcetypeassert // the pool has nothing else
	line.head(r, l.now(), l.cfg.Addresses)
	return line
}

// Answered ends a line of Asked's, which is no longer the caller's.
func (l *Log) Answered(line *Line, a Answer) {
	failed := a.Cut || a.Status == 0 || a.Status >= http.StatusBadRequest
	if !failed && l.cfg.Sample < 1 && rand.Float64() >= l.cfg.Sample {
		l.release(line)
		return
	}
	line.end(a)
	select {
	case l.queue <- line:
	default:
		l.dropped.Inc()
		l.release(line)
	}
}

func (l *Log) release(line *Line) {
	if cap(line.text) <= maxKept {
		l.unused.Put(line)
	}
}

// Reopen begins a new file, for who has moved the old one away.
func (l *Log) Reopen() {
	select {
	case l.reopen <- struct{}{}:
	default:
	}
}

// Run writes until the context ends, and then what is queued.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		select {
		case line := <-l.queue:
			l.write(line)
			if len(l.queue) == 0 && l.out.Buffered() > l.out.Size()/2 {
				l.flush()
			}
		case <-tick.C:
			l.flush()
			l.follow(false)
		case <-l.reopen:
			l.flush()
			l.follow(true)
		case <-ctx.Done():
			return l.finish()
		}
	}
}

// finish writes what is left.
func (l *Log) finish() error {
	for {
		select {
		case line := <-l.queue:
			l.write(line)
			continue
		default:
		}
		l.flush()
		if l.file != nil {
			return l.file.Close()
		}
		return nil
	}
}

func (l *Log) write(line *Line) {
	if l.out.Available() < len(line.text) {
		l.flush() // so that every line is in one write, and pending is what is lost when that fails
	}
	_, _ = l.out.Write(line.text) // an error stays for Flush
	l.pending++
	l.release(line)
}

// flush sends lines on. Those that can't be are dropped: a disk that is full is no reason to fill memory.
func (l *Log) flush() {
	if l.pending == 0 {
		return
	}
	err := l.out.Flush()
	if err != nil {
		l.dropped.Add(float64(l.pending))
		l.out.Reset(l.sink())
	} else {
		l.lines.Add(float64(l.pending))
	}
	l.pending = 0
	l.tell(err)
}

// tell logs when writing begins to fail, and when it goes on.
func (l *Log) tell(err error) {
	if (err != nil) != l.failing {
		l.failing = err != nil
		if l.failing {
			l.logger.Error("access log can't be written: lines are dropped until it can", "file", l.cfg.File, "err", err)
		} else {
			l.logger.Info("access log is written again", "file", l.cfg.File)
		}
	}
}

func (l *Log) sink() io.Writer {
	if l.file != nil {
		return l.file
	}
	return l.cfg.Out
}

func (l *Log) openFile() error {
	f, err := os.OpenFile(l.cfg.File, os.O_APPEND|os.O_CREATE|os.O_WRONLY, fileMode)
	if err != nil {
		return fmt.Errorf("access log: %w: choose a file that this user may write", err)
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("access log %s: %w", l.cfg.File, err), f.Close())
	}
	if l.file != nil {
		err = l.file.Close()
	}
	l.file, l.opened = f, info
	l.out.Reset(f)
	l.tell(err)
	return nil
}

// follow opens the file anew if its name is another's by now, or at any rate. Without success the old one goes on.
func (l *Log) follow(always bool) {
	if l.cfg.File == "" {
		return
	}
	info, err := os.Stat(l.cfg.File)
	if !always && err == nil && os.SameFile(info, l.opened) {
		return
	}
	if err := l.openFile(); err != nil {
		l.tell(err)
	}
}
