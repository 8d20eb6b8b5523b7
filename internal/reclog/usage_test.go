package reclog

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestUsageOfARealVolume(t *testing.T) {
	root := processRoot(t, t.TempDir(), osFS{})
	u, err := root.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if u.Total <= 0 || u.Free < 0 || u.Free > u.Total || u.Stale || time.Since(u.At) > time.Minute {
		t.Errorf("%+v", u)
	}
	if full, _, err := root.Full(t.Context(), 1.01); full || err != nil {
		t.Errorf("full is %v, %v", full, err)
	}
	if full, _, err := root.Full(t.Context(), 0); !full || err != nil {
		t.Errorf("full above nothing is %v, %v", full, err)
	}
	gone := processRoot(t, t.TempDir()+"/gone", osFS{})
	if _, err := gone.Usage(t.Context()); err == nil {
		t.Error("a directory that is not there has a usage")
	}
}

func TestUsedIsOfBytesOrInodes(t *testing.T) {
	for name, tt := range map[string]struct {
		usage Usage
		want  float64
	}{
		"nothing known":   {Usage{}, 0},
		"bytes":           {Usage{Total: 100, Free: 25}, 0.75},
		"inodes":          {Usage{Total: 100, Free: 50, Inodes: 10, FreeInodes: 1}, 0.9},
		"more bytes":      {Usage{Total: 100, Free: 1, Inodes: 10, FreeInodes: 9}, 0.99},
		"uncounted files": {Usage{Total: 100, Free: 50}, 0.5},
	} {
		if got := tt.usage.Used(); got < tt.want-1e-9 || got > tt.want+1e-9 {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// A volume that hangs holds no caller for long, and one thread in all.
func TestUsageOfAStalledVolume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root := processRoot(t, "/", newMemFS())
		var asked atomic.Int32
		hang := make(chan struct{})
		root.volume.stat = func(string) (Usage, error) {
			asked.Add(1)
			<-hang
			return Usage{Total: 100, Free: 10, At: time.Now()}, nil
		}
		begun := time.Now()
		for range 3 {
			if _, err := root.Usage(t.Context()); !errors.Is(err, media.ErrUnavailable) {
				t.Errorf("unknown usage: %v", err)
			}
		}
		if took := time.Since(begun); took != 3*usagePatience {
			t.Errorf("took %s", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := root.Usage(ctx); !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("cancelled: %v", err)
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("asked %d times at once", n)
		}
		close(hang)
		u, err := root.Usage(t.Context())
		if err != nil || u.Stale || u.Free != 10 {
			t.Errorf("%+v, %v", u, err)
		}
		if full, _, err := root.Full(t.Context(), 0.9); !full || err != nil {
			t.Errorf("full is %v, %v", full, err)
		}

		hang = make(chan struct{})
		defer close(hang)
		u, err = root.Usage(t.Context())
		if err != nil || !u.Stale || u.Free != 10 {
			t.Errorf("stalled again: %+v, %v", u, err)
		}
		if full, u, err := root.Full(t.Context(), 0.5); full || !u.Stale || !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("a stalled volume: full is %v, %+v, %v", full, u, err)
		}
	})
}
