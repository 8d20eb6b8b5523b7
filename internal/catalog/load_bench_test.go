package catalog

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// bothDBs runs a benchmark on an empty catalog of either kind, with a publisher, acme, and its stream.
func bothDBs(b *testing.B, run func(b *testing.B, open func(b *testing.B) *DB)) {
	b.Run("sqlite", func(b *testing.B) { run(b, benchmarkDB) })
	b.Run("postgres", func(b *testing.B) {
		run(b, func(b *testing.B) *DB {
			db := openURL(b, newCluster(b).migrated(b))
			db.logger = silentLogger()
			noError(b, db.CreatePublisher(b.Context(), media.Publisher{Name: "acme"}))
			_, err := db.CreateStream(b.Context(), show, media.SettingsPatch{})
			noError(b, err)
			return db
		})
	})
}

// BenchmarkEndings is 200 recordings that end at the same time, with so many webhooks. The log has every end once, and
// webhooks get them in the log's order.
func BenchmarkEndings(b *testing.B) {
	bothDBs(b, func(b *testing.B, open func(b *testing.B) *DB) {
		for _, hooks := range []int{0, 1, 10} {
			b.Run(fmt.Sprintf("webhooks=%d", hooks), func(b *testing.B) { endTogether(b, open(b), hooks) })
		}
	})
}

func endTogether(b *testing.B, db *DB, hooks int) {
	const recordings = 200
	var last media.Webhook
	for range hooks {
		last = hook(b, db, "acme", media.EventEnded)
	}
	round := 0
	for b.Loop() {
		b.StopTimer()
		for n := range recordings {
			noError(b, db.SaveRecording(b.Context(), growing(ended(round*recordings+n), media.Live)))
		}
		b.StartTimer()
		var saves sync.WaitGroup
		for n := range recordings {
			saves.Go(func() {
				if err := db.SaveRecording(b.Context(), ended(round*recordings+n)); err != nil {
					b.Error(err)
				}
			})
		}
		saves.Wait()
		round++
	}
	b.ReportMetric(float64(b.N*recordings)/b.Elapsed().Seconds(), "recordings/s")
	var n, wrong int
	noError(b, db.reads.QueryRowContext(b.Context(), `SELECT COUNT(*) FROM events WHERE type = 'recording.ended'`).Scan(&n))
	if n != round*recordings {
		b.Errorf("the log has %d ends of %d recordings", n, round*recordings)
	}
	if hooks == 0 {
		return
	}
	noError(b, db.reads.QueryRowContext(b.Context(), `SELECT COUNT(*), COALESCE(SUM(CASE WHEN EXISTS (SELECT 1
		FROM deliveries o WHERE o.webhook = d.webhook AND o.id < d.id AND o.event > d.event) THEN 1 ELSE 0 END), 0)
		FROM deliveries d WHERE webhook = $1`, last.ID).Scan(&n, &wrong))
	if n != round*recordings || wrong != 0 {
		b.Errorf("%d deliveries of %d recordings, %d of them not in the log's order", n, round*recordings, wrong)
	}
}

// BenchmarkReplay replays 100,000 events of 1,000 recordings, and tells how much more the heap holds meanwhile.
func BenchmarkReplay(b *testing.B) {
	bothDBs(b, func(b *testing.B, open func(b *testing.B) *DB) {
		db := open(b)
		events := make([]media.LogEvent, maxReplay/100)
		for i := range events {
			events[i] = media.LogEvent{Type: media.EventLive, Publisher: "acme", Recording: recordingID(i)}
		}
		for range 100 {
			noError(b, db.AddEvents(b.Context(), events...))
		}
		var most uint64
		b.ReportAllocs()
		for b.Loop() {
			b.StopTimer()
			w := hook(b, db, "acme")
			watched := heapWatch(&most)
			b.StartTimer()
			n, err := db.ReplayEvents(b.Context(), w.ID, media.ReplayRange{Since: time.UnixMilli(1)})
			b.StopTimer()
			watched()
			noError(b, err)
			if n != maxReplay {
				b.Fatalf("%d events", n)
			}
			noError(b, db.DeleteWebhook(b.Context(), w.ID))
			b.StartTimer()
		}
		b.ReportMetric(float64(most)/(1<<20), "MiB-more")
	})
}

// heapWatch looks at the heap until the function that it gives is called, and keeps the most that it grew by.
func heapWatch(most *uint64) (stop func()) {
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	over, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		look := time.NewTicker(20 * time.Millisecond)
		defer look.Stop()
		for {
			select {
			case <-over:
				return
			case <-look.C:
			}
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			if now.HeapAlloc > before.HeapAlloc {
				*most = max(*most, now.HeapAlloc-before.HeapAlloc)
			}
		}
	}()
	return func() { close(over); <-done }
}
