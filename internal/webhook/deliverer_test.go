package webhook

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/internal/media"
)

func start(tb testing.TB, d *Deliverer, sender *Sender) (stop func()) {
	ctx, cancel := context.WithCancel(tb.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Error(err)
		}
		if err := sender.Close(); err != nil {
			tb.Error(err)
		}
	})
	tb.Cleanup(stop)
	return stop
}

// TestEveryEventArrivesInOrderWhateverReceiversDo has receivers of all kinds beside one another. Those that recover get
// everything, each recording in order; the good one gets it while the others are at their worst.
func TestEveryEventArrivesInOrderWhateverReceiversDo(t *testing.T) {
	w := newWorld(t)
	const recordings, each = 5, 4
	var good *receiver
	afterGood := func(rest func(w http.ResponseWriter)) func(http.ResponseWriter, *http.Request, Message, int) {
		return func(w http.ResponseWriter, _ *http.Request, _ Message, _ int) {
			if good.taken() < recordings*each { // nothing of these recovers before the good one has all
				rest(w)
			}
		}
	}
	good = newReceiver(t, nil)
	kinds := map[string]*receiver{
		"good": good,
		"fails": newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ Message, try int) {
			if try <= 3 {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}),
		"is down first": newReceiver(t, afterGood(func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) })),
		"dies": newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ Message, try int) {
			if try <= 2 {
				dies(w)
			}
		}),
		"dies before it answers": newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ Message, try int) {
			if try == 1 {
				w.(*statusWriter).broken = true
				panic(http.ErrAbortHandler)
			}
		}),
		"answers slowly": newReceiver(t, func(_ http.ResponseWriter, r *http.Request, _ Message, _ int) {
			late := time.NewTimer(30 * time.Millisecond)
			defer late.Stop()
			select {
			case <-late.C:
			case <-r.Context().Done():
			}
		}),
		"drips": newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ Message, try int) {
			if try == 1 { // headers in time, and then no end
				w.(*statusWriter).broken = true
				w.(*statusWriter).ResponseWriter.(http.Flusher).Flush()
				<-r.Context().Done()
			}
		}),
	}
	for _, r := range kinds {
		w.hook(r.url)
	}
	hangs := newReceiver(t, nil)
	hangs.answer = func(w http.ResponseWriter, r *http.Request, _ Message, _ int) {
		w.(*statusWriter).broken = true
		select {
		case <-hangs.gone:
		case <-r.Context().Done():
		}
	}
	w.hook(hangs.url)
	w.happen(recordings, each)
	// Fewer workers than the bad ones would take.
	w.run(Config{Workers: 12, PerWebhook: 2, Retry: 5 * time.Millisecond},
		SenderConfig{Timeout: 200 * time.Millisecond}, nil)
	for kind, r := range kinds {
		eventually(t, "everything arrives at who "+kind, func() bool { return r.taken() == recordings*each })
		r.inOrder()
	}
	if n := hangs.taken(); n != 0 || len(hangs.seen()) == 0 {
		t.Errorf("who hangs took %d", n)
	}
}

// TestHangingReceiverBlocksNobody lets one hang for longer than the test: all workers but its own go on.
func TestHangingReceiverBlocksNobody(t *testing.T) {
	w := newWorld(t)
	hangs := newReceiver(t, nil)
	hangs.answer = func(http.ResponseWriter, *http.Request, Message, int) { <-hangs.gone }
	w.hook(hangs.url)
	good := newReceiver(t, nil)
	w.hook(good.url)
	w.happen(20, 5)
	w.run(Config{Workers: 4, PerWebhook: 3}, SenderConfig{Timeout: time.Minute}, nil)
	eventually(t, "everything arrives", func() bool { return good.taken() == 100 })
	good.inOrder()
	if len(hangs.seen()) != 3 {
		t.Errorf("who hangs has %d requests, want its 3", len(hangs.seen()))
	}
}

// TestManyWebhooksTakeTurns has more webhooks due than there are workers, one of them with most of the events.
func TestManyWebhooksTakeTurns(t *testing.T) {
	w := newWorld(t)
	busy := newReceiver(t, nil)
	w.hook(busy.url)
	w.happen(50, 4)
	var others []*receiver
	for range 10 {
		r := newReceiver(t, nil)
		w.hook(r.url)
		others = append(others, r)
	}
	w.happen(1, 1)
	d, sender := w.deliverer(Config{Workers: 3, PerWebhook: 2}, SenderConfig{}, nil)
	defer sender.Close()
	for range 10 {
		if err := d.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		d.tries.Wait()
	}
	for i, r := range others {
		if r.taken() != 1 {
			t.Errorf("webhook %d got nothing in ten steps", i)
		}
	}
	if n := busy.taken(); n == 0 {
		t.Error("the busy one got nothing")
	}
}

// TestLoneWebhookIsServedByEveryStep catches a round that ends before its first.
func TestLoneWebhookIsServedByEveryStep(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t, nil)
	w.hook(r.url)
	w.happen(1, 3)
	d, sender := w.deliverer(Config{}, SenderConfig{}, nil)
	defer sender.Close()
	for n := range 3 {
		if err := d.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d.tries.Wait(); r.taken() != n+1 {
			t.Fatalf("%d taken after step %d", r.taken(), n+1)
		}
	}
}

func TestRetryAfterIsObeyed(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ Message, try int) {
		if try == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	w.hook(r.url)
	w.happen(1, 1)
	w.run(Config{Retry: time.Millisecond}, SenderConfig{}, nil)
	eventually(t, "the second try", func() bool { return r.taken() == 1 })
	if tries := r.seen(); len(tries) != 2 || tries[1].at.Sub(tries[0].at) < time.Second {
		t.Errorf("%d tries, %s apart", len(tries), tries[1].at.Sub(tries[0].at))
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	w := newWorld(t)
	inside := newReceiver(t, nil)
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, _ Message, _ int) {
		w.Header().Set("Location", inside.url)
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	hook := w.hook(r.url)
	w.happen(1, 2)
	w.run(Config{Retry: time.Millisecond}, SenderConfig{}, nil)
	eventually(t, "three tries", func() bool { return len(r.seen()) >= 3 })
	if len(inside.seen()) != 0 {
		t.Error("the redirect was followed")
	}
	got, err := w.db.Webhook(t.Context(), hook.ID)
	if err != nil || !strings.Contains(got.Health.LastError, "redirects are not followed") || got.Health.FailingSince.IsZero() {
		t.Errorf("%+v %v", got.Health, err)
	}
}

func TestDeliveryIsGivenUpAfterItsDay(t *testing.T) {
	w := newWorld(t)
	poison := int64(1)
	r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request, m Message, _ int) {
		if m.ID == poison {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte("what is that"))
		}
	})
	hook := w.hook(r.url)
	w.happen(1, 1)
	var logged lockedBuffer
	w.run(Config{Retry: 10 * time.Millisecond, GiveUp: 50 * time.Millisecond}, SenderConfig{},
		slog.New(slog.NewTextHandler(&logged, nil)))
	eventually(t, "it is tried", func() bool { return len(r.seen()) > 0 })
	eventually(t, "it is given up", func() bool {
		list, err := w.db.Deliveries(t.Context(), media.DeliveryFilter{Webhook: hook.ID, State: media.DeliveryFailed})
		return err == nil && len(list) == 1 && list[0].Last.Status == 400 && list[0].Last.Answer == "what is that" && list[0].Attempts >= 1
	})
	w.happen(1, 1)
	eventually(t, "the next one arrives", func() bool { return r.taken() == 1 })
	eventually(t, "the recovery is told", func() bool { return strings.Contains(logged.String(), "webhook has recovered") })
	text := logged.String()
	if strings.Count(text, "webhook fails") != 1 || strings.Count(text, "delivery is given up") != 1 || strings.Contains(text, secret) {
		t.Errorf("log:\n%s", text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestStopGivesBackWhatIsUnderWay(t *testing.T) {
	w := newWorld(t)
	asked := make(chan struct{}, 10)
	r := newReceiver(t, func(w http.ResponseWriter, r *http.Request, _ Message, try int) {
		asked <- struct{}{}
		if try == 1 {
			w.(*statusWriter).broken = true
			<-r.Context().Done()
		}
	})
	w.hook(r.url)
	w.happen(1, 2)
	stop := w.run(Config{}, SenderConfig{Timeout: time.Minute}, nil)
	<-asked
	stop()
	// Another process, which must not wait for the first one's lease.
	w.run(Config{Owner: "b", Retry: time.Millisecond}, SenderConfig{Timeout: time.Minute}, nil)
	eventually(t, "everything arrives", func() bool { return r.taken() == 2 })
	r.inOrder()
}

// TestClaimsOfTheProcessBeforeAreTakenBack is a process that was killed and starts again under its name.
func TestClaimsOfTheProcessBeforeAreTakenBack(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t, nil)
	hook := w.hook(r.url)
	w.happen(3, 1)
	if claims, err := w.db.ClaimDeliveries(t.Context(), "a", hook.ID, time.Now(), time.Hour, 3); err != nil || len(claims) != 3 {
		t.Fatalf("%v %v", claims, err)
	}
	w.run(Config{Owner: "a"}, SenderConfig{}, nil)
	eventually(t, "everything arrives", func() bool { return r.taken() == 3 })
}

func TestRetriesBackOff(t *testing.T) {
	d := New(Config{}, nil, nil, slog.New(slog.DiscardHandler), registry())
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name     string
		attempts int
		age      time.Duration
		after    time.Duration
		min, max time.Duration
	}{
		{"first", 0, 0, 0, time.Second, 1250 * time.Millisecond},
		{"doubled", 5, time.Minute, 0, 32 * time.Second, 40 * time.Second},
		{"at most an hour", 12, 5 * time.Hour, 0, time.Hour, 75 * time.Minute},
		{"after very many", 1 << 40, 5 * time.Hour, 0, time.Hour, 75 * time.Minute},
		{"as the receiver asks", 0, 0, time.Minute, time.Minute, time.Minute},
		{"not sooner than we would", 6, time.Minute, time.Second, 64 * time.Second, 80 * time.Second},
		{"within an hour", 0, 0, 100 * time.Hour, time.Hour, time.Hour},
		{"once more at the end", 20, 24*time.Hour - time.Minute, 0, time.Minute, time.Minute},
	} {
		claim := media.DeliveryClaim{Delivery: media.Delivery{Attempts: c.attempts, EnqueuedAt: now.Add(-c.age)}}
		wait := d.retryAt(now, claim, media.DeliveryResult{RetryAfter: c.after}).Sub(now)
		if wait < c.min || wait > c.max {
			t.Errorf("%s: %s, want %s to %s", c.name, wait, c.min, c.max)
		}
	}
	over := media.DeliveryClaim{Delivery: media.Delivery{EnqueuedAt: now.Add(-24 * time.Hour)}}
	if at := d.retryAt(now, over, media.DeliveryResult{}); !at.IsZero() {
		t.Errorf("again at %s after a day", at)
	}
}

func TestKeepUpMeasuresAndPrunes(t *testing.T) {
	w := newWorld(t)
	r := newReceiver(t, nil)
	hook := w.hook(r.url)
	w.happen(2, 2)
	d, sender := w.deliverer(Config{Keep: time.Nanosecond}, SenderConfig{}, nil)
	defer sender.Close()
	if err := d.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.tries.Wait()
	eventually(t, "they are of the past", func() bool {
		d.pruned = time.Time{}
		if err := d.KeepUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := w.db.Deliveries(t.Context(), media.DeliveryFilter{Webhook: hook.ID})
		return err == nil && len(list) == 2 && list[0].State == media.DeliveryWaiting
	})
	if n := testutil.ToFloat64(d.metrics.waiting); n != 2 {
		t.Errorf("%v wait", n)
	}
	if age := testutil.ToFloat64(d.metrics.oldest); age <= 0 || age > 60 {
		t.Errorf("the oldest has waited %v s", age)
	}
	if n := testutil.ToFloat64(d.metrics.tries.WithLabelValues("ok")); n != 2 {
		t.Errorf("%v tries", n)
	}
}

// BenchmarkDeliver is the delivery of 600 events, of few and of many recordings.
func BenchmarkDeliver(b *testing.B) {
	for name, open := range map[string]func(b *testing.B) *world{
		"sqlite": func(b *testing.B) *world { return newWorld(b) },
		"postgres": func(b *testing.B) *world {
			url, err := catalogtest.MustStartPostgres(b).CreateDatabase(b.Context(), "hooks")
			if err != nil {
				b.Fatal(err)
			}
			quiet := slog.New(slog.DiscardHandler)
			if _, err := catalog.Migrate(b.Context(), url, quiet); err != nil {
				b.Fatal(err)
			}
			db, err := catalog.Open(b.Context(), url, quiet)
			if err != nil {
				b.Fatal(err)
			}
			return worldOn(b, db)
		},
	} {
		b.Run(name, func(b *testing.B) {
			for _, recordings := range []int{1, 200} {
				b.Run(fmt.Sprintf("recordings=%d", recordings), func(b *testing.B) { open(b).deliver(b, recordings) })
			}
		})
	}
}

func (w *world) deliver(b *testing.B, recordings int) {
	const events = 600
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		r := newReceiver(b, nil)
		hook := w.hook(r.url)
		w.happen(recordings, events/recordings)
		b.StartTimer()
		stop := w.run(Config{}, SenderConfig{}, nil)
		eventually(b, "everything arrives", func() bool { return r.taken() == events })
		b.StopTimer()
		stop()
		r.inOrder()
		if err := w.db.DeleteWebhook(b.Context(), hook.ID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
