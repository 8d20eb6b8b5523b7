package progress

import (
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

const (
	// patience is how long work goes on before anything is shown of it.
	patience = time.Second
	// renewal and report are how often a terminal and another stream are told.
	renewal = 250 * time.Millisecond
	report  = 10 * time.Second
	// memory is over how much time a rate is measured.
	memory = 10 * time.Second
	// erase goes to the line's begin, and empties it.
	erase = "\r\x1b[K"
)

// Screen is an error stream on which work may show how far it is. Its methods may be called from any goroutine, and
// Show on nil: it shows nothing then.
type Screen struct {
	width func() int

	mu struct {
		sync.Mutex
		out   io.Writer
		shown bool // there is a line of progress on it
	}
}

// NewScreen makes a screen of a stream. Width gives a terminal's columns; nil, or zero at any time, is no terminal.
func NewScreen(out io.Writer, width func() int) *Screen {
	s := &Screen{width: width}
	if s.width == nil {
		s.width = func() int { return 0 }
	}
	s.mu.out = out
	return s
}

// Write writes what is no progress, in the place of a line that is there.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.eraseLocked(); err != nil {
		return 0, err
	}
	return s.mu.out.Write(p)
}

func (s *Screen) eraseLocked() error {
	if !s.mu.shown {
		return nil
	}
	s.mu.shown = false
	_, err := io.WriteString(s.mu.out, erase)
	return err
}

// Show shows how far work is, which ask tells, until stop is called. Ask is called by another goroutine, never twice at
// once. Stop may be called again.
func (s *Screen) Show(name string, ask func() State) (stop func()) {
	if s == nil {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		s.run(name, ask, done)
	}()
	return sync.OnceFunc(func() {
		close(done)
		<-ended
	})
}

func (s *Screen) run(name string, ask func() State, done <-chan struct{}) {
	begun := time.Now()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	var rates rates
	reported := begun
	for {
		select {
		case <-done:
			s.mu.Lock()
			defer s.mu.Unlock()
			_ = s.eraseLocked() // who can't be told of progress can't be told of that
			return
		case <-timer.C:
		}
		now, state := time.Now(), ask()
		rate := rates.add(now, state)
		line := state.line(name, now.Sub(begun), rate)
		switch width := s.width(); {
		case width > 0:
			s.renew(line, width)
		case now.Sub(reported) >= report:
			reported = reported.Add(report)
			_, _ = io.WriteString(s, line+"\n")
		}
		timer.Reset(renewal)
	}
}

// renew puts a line in the place of the one that is there. The last column stays free: some terminals wrap there.
func (s *Screen) renew(line string, width int) {
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, line)
	for utf8.RuneCountInString(line) > max(width-1, 0) {
		_, size := utf8.DecodeLastRuneInString(line)
		line = line[:len(line)-size]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.shown = true
	_, _ = io.WriteString(s.mu.out, erase+line)
}

// rates measures how fast work goes, of late.
type rates struct {
	unit string
	seen []sample
}

type sample struct {
	at   time.Time
	done int64
}

// add takes a state, and gives the rate of its Done in a second; negative is not known yet. A new phase of the work,
// with another unit or a count that fell, is measured by itself.
func (r *rates) add(now time.Time, s State) float64 {
	if n := len(r.seen); n > 0 && (r.unit != s.Unit || s.Done < r.seen[n-1].done) {
		r.seen = r.seen[:0]
	}
	r.unit = s.Unit
	r.seen = append(r.seen, sample{now, s.Done})
	for len(r.seen) > 2 && now.Sub(r.seen[1].at) >= memory {
		r.seen = r.seen[1:]
	}
	first := r.seen[0]
	if passed := now.Sub(first.at); passed >= patience {
		return float64(s.Done-first.done) / passed.Seconds()
	}
	return -1
}
