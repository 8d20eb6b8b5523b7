package catalog

import (
	"fmt"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// BenchmarkAddEvents is an event's transaction, with so many webhooks that get it.
func BenchmarkAddEvents(b *testing.B) {
	for _, hooks := range []int{0, 1, 100} {
		b.Run(fmt.Sprintf("webhooks=%d", hooks), func(b *testing.B) {
			db := benchmarkDB(b)
			for n := range hooks {
				publisher := "acme"
				if n >= maxWebhooks {
					publisher = ""
				}
				hook(b, db, publisher)
			}
			e := media.LogEvent{Type: media.EventLive, Time: start, Publisher: "acme", Stream: "show"}
			b.ReportAllocs()
			for b.Loop() {
				e.Recording = recordingID(int(e.Time.UnixMilli() % 1000))
				e.Time = e.Time.Add(time.Millisecond)
				noError(b, db.AddEvents(b.Context(), e))
			}
		})
	}
}

// BenchmarkDelivery is the claim and the end of one delivery, of a backlog of many.
func BenchmarkDelivery(b *testing.B) {
	db := benchmarkDB(b)
	w := hook(b, db, "acme")
	for n := range 20_000 {
		if n%1000 == 0 {
			var events []media.LogEvent
			for i := range 1000 {
				events = append(events, media.LogEvent{Type: media.EventLive, Publisher: "acme", Recording: recordingID((n + i) % 5000)})
			}
			noError(b, db.AddEvents(b.Context(), events...))
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		claims, err := db.ClaimDeliveries(b.Context(), "a", w.ID, time.Now(), time.Minute, 1)
		noError(b, err)
		for _, c := range claims {
			noError(b, db.FinishDelivery(b.Context(), c, taken))
		}
	}
}
