package objstore

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// sender takes bandwidth for a flow by several connections until the context ends, and counts it.
func sender(ctx context.Context, wg *sync.WaitGroup, b *bandwidth, f *flow, connections int) *atomic.Int64 {
	sent := new(atomic.Int64)
	for range connections {
		wg.Go(func() {
			for b.take(ctx, f, b.grain) == nil {
				sent.Add(int64(b.grain))
			}
		})
	}
	return sent
}

func TestBandwidthIsExactOverASecond(t *testing.T) {
	for _, rate := range []int64{minBandwidth, 1 << 20, 10 << 20, 300 << 20} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBandwidth(rate)
				time.Sleep(time.Minute) // what was not used then is not used now
				ctx, cancel := context.WithCancel(t.Context())
				var wg sync.WaitGroup
				sent := sender(ctx, &wg, b, new(flow), 8)
				for second := range 5 {
					before := sent.Load()
					time.Sleep(time.Second)
					synctest.Wait()
					got := sent.Load() - before
					// In the first one, what was saved up comes to it.
					if d := math.Abs(float64(got - rate)); d > float64(rate)*0.025+float64(b.grain) {
						t.Errorf("second %d: %d bytes of %d", second, got, rate)
					}
				}
				cancel()
				wg.Wait()
			})
		})
	}
}

func TestBandwidthIsFairAmongUploads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBandwidth(8 << 20)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		var sent []*atomic.Int64
		for _, connections := range []int{1, 4, 16, 2} {
			sent = append(sent, sender(ctx, &wg, b, new(flow), connections))
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		for i := range sent {
			if share := float64(sent[i].Load()) / (80 << 20); share < 0.24 || share > 0.26 {
				t.Errorf("upload %d has %.2f of the bandwidth", i, share)
			}
		}
		cancel()
		wg.Wait()
	})
}

func TestWaitingForBandwidthEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBandwidth(minBandwidth)
		if err := b.take(t.Context(), new(flow), 10*minBandwidth); err != nil { // ten seconds of debt
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f, begun := new(flow), time.Now()
		if err := b.take(ctx, f, 1); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if len(b.mu.ring) != 0 || len(f.waiters) != 0 {
			t.Errorf("%d flows and %d waiters are left", len(b.mu.ring), len(f.waiters))
		}
		if err := b.take(t.Context(), f, 1); err != nil || time.Since(begun) < 9*time.Second {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestLimitsAreChecked(t *testing.T) {
	for _, c := range []LimitsConfig{{BytesPerSecond: 1}, {BytesPerSecond: -1}, {Connections: -1}} {
		if _, err := NewLimits(c); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// Two stores of a process together send no faster than they may, and with no more connections.
func TestStoresShareLimits(t *testing.T) {
	const rate = 16 << 20
	limits, err := NewLimits(LimitsConfig{BytesPerSecond: rate, Connections: 3})
	if err != nil {
		t.Fatal(err)
	}
	gateway := objstoretest.MustStartGateway(t)
	gateway.MustMakeBucket(t, "vod")
	gateway.MustMakeBucket(t, "mirror")
	p := mustStartProxy(t, gateway)
	var busy counter
	p.reset(busy.hook(p))
	b := objstoretest.Bytes(1, objstoretest.Large)
	begun := time.Now()
	var wg sync.WaitGroup
	for _, bucket := range []string{"vod", "mirror"} {
		for _, checksums := range []string{ChecksumsAuto, ChecksumsOff} { // sums of payloads are not sent
			s := mustOpenS3(t, p.url, S3Config{Bucket: bucket, Checksums: checksums, Limits: limits})
			wg.Go(func() { objstoretest.MustPut(t, s, "a/"+checksums, b, media.PutOptions{}) })
		}
	}
	wg.Wait()
	want := time.Duration(4*len(b)) * time.Second / rate
	if took := time.Since(begun); took < want*9/10 {
		t.Errorf("%d bytes sent in %v, at %d a second that takes %v", 4*len(b), took, rate, want)
	}
	if most := busy.most.Load(); most > 3 {
		t.Errorf("%d requests at a time", most)
	}
}
