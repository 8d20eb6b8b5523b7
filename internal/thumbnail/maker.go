package thumbnail

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// Config is a Maker's.
type Config struct {
	// Path is ffmpeg's, as Find gives it.
	Path string
	// Env is all of its environment.
	Env []string
	// Share is the share of one core that it may take over time; zero means 0.1.
	Share float64
	// Burst is the processor time that it may take at once after a rest; zero means 10 s.
	Burst time.Duration
	// Timeout bounds one run of it; zero means 30 s.
	Timeout time.Duration
	// OnRun is told what each run took of processor time, and how it ended. Nil is fine.
	OnRun func(cpu time.Duration, err error)
}

func (c Config) withDefaults() Config {
	if c.Share <= 0 {
		c.Share = 0.1
	}
	if c.Burst <= 0 {
		c.Burst = 10 * time.Second
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Env == nil {
		c.Env = []string{} // a nil one would be this process's
	}
	return c
}

// ErrNoPicture says that none of the samples could be decoded.
var ErrNoPicture = errors.New("no picture could be decoded")

// Find gives ffmpeg's path: of the name or path given, or of "ffmpeg" in PATH if that is empty.
func Find(name string) (string, error) {
	if name == "" {
		name = "ffmpeg"
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("find ffmpeg: %w", err)
	}
	return path, nil
}

// Maker decodes pictures. Its methods may be called from any goroutine; they take turns.
type Maker struct {
	config Config
	budget *budget
}

// New makes a Maker.
func New(c Config) *Maker {
	c = c.withDefaults()
	return &Maker{config: c, budget: newBudget(c.Share, c.Burst)}
}

// Request is a number of random access points of one take's track.
type Request struct {
	// Init is the take's init section.
	Init []byte
	// Count is how many parts there are, and Part gives one of them, up to the end of its first sample at least. It is
	// called for each in order, perhaps more than once, by one goroutine at a time. Its error ends the work.
	Count int
	Part  func(ctx context.Context, i int) ([]byte, error)
	// Width and Height are the box that pictures are made to fit, and never larger than they are.
	Width, Height int
}

// Decode gives the pictures of the parts, nil for those that can't be decoded: ErrNoPicture if that is all of them,
// ErrBusy if there is no processor time for it before the context's deadline. Of parts that are bad one by one the good
// ones cost more runs of ffmpeg, by half and half.
func (m *Maker) Decode(ctx context.Context, r Request) ([]*Picture, error) {
	pictures := make([]*Picture, r.Count)
	some, err := m.decode(ctx, &r, pictures, 0)
	if err != nil && (!some || !errors.Is(err, ErrNoPicture)) {
		return nil, fmt.Errorf("decode %d pictures: %w", r.Count, err)
	}
	return pictures, nil
}

// decode fills in the pictures of the parts from first on. Some says that there is one at least.
func (m *Maker) decode(ctx context.Context, r *Request, pictures []*Picture, first int) (some bool, err error) {
	got, err := m.run(ctx, r, first, len(pictures))
	if err != nil && !errors.Is(err, ErrNoPicture) {
		return false, err
	}
	switch {
	case len(got) == len(pictures):
		copy(pictures, got)
		return true, nil
	case len(got) == 0:
		return false, err
	}
	half := len(pictures) / 2
	a, err := m.decode(ctx, r, pictures[:half], first)
	if err != nil && !errors.Is(err, ErrNoPicture) {
		return false, err
	}
	b, err := m.decode(ctx, r, pictures[half:], first+half)
	return a || b, err
}
