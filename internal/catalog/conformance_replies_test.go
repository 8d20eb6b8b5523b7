package catalog

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testReplies(t *testing.T) {
	ctx := t.Context()
	db := s.fresh(t)
	at := func(d time.Duration) { db.now = func() time.Time { return start.Add(d) } }
	ask := func(hash, fingerprint, id string) media.ReplyClaim {
		return media.ReplyClaim{Hash: hash, Fingerprint: fingerprint, ID: id, Lease: time.Minute, Keep: time.Hour}
	}
	wantAnswer := func(c media.ReplyClaim, want string) {
		t.Helper()
		got, err := db.ClaimReply(ctx, c)
		noError(t, err)
		same(t, "answer", want, got)
	}
	first := ask("h", "f", "1")
	wantAnswer(first, "")
	_, err := db.ClaimReply(ctx, ask("h", "f", "2"))
	wantError(t, err, media.ErrConflict)
	_, err = db.ClaimReply(ctx, ask("h", "g", "2"))
	wantError(t, err, media.ErrExists)
	noError(t, db.SaveReply(ctx, first, "answer"))
	noError(t, db.DropReply(ctx, first)) // too late: it stays
	wantAnswer(ask("h", "f", "3"), "answer")
	_, err = db.ClaimReply(ctx, ask("h", "g", "3"))
	wantError(t, err, media.ErrExists)

	dropped := ask("d", "f", "4")
	wantAnswer(dropped, "")
	noError(t, db.DropReply(ctx, dropped))
	wantAnswer(ask("d", "g", "5"), "") // free for any request

	// Who died holds it for the lease, and who comes back late changes nothing.
	dead := ask("l", "f", "6")
	wantAnswer(dead, "")
	at(time.Minute)
	_, err = db.ClaimReply(ctx, ask("l", "g", "7"))
	wantError(t, err, media.ErrExists)
	heir := ask("l", "f", "8")
	wantAnswer(heir, "")
	wantError(t, db.SaveReply(ctx, dead, "late"), media.ErrFenced)
	noError(t, db.DropReply(ctx, dead))
	noError(t, db.SaveReply(ctx, heir, "heir's"))
	wantAnswer(ask("l", "f", "9"), "heir's")

	at(time.Hour)
	wantAnswer(ask("h", "g", "10"), "") // expired, and taken anew
	at(3 * time.Hour)
	n, err := db.PruneReplies(ctx, 2)
	noError(t, err)
	same(t, "pruned", 2, n)
	wantAnswer(ask("z", "f", "11"), "")
	n, err = db.PruneReplies(ctx, 2)
	noError(t, err)
	same(t, "left by a claim to be pruned", 0, n)
}

// testReplyRace has many ask the same at once: one answers, and nobody else.
func (s suite) testReplyRace(t *testing.T) {
	db := s.fresh(t)
	var wg sync.WaitGroup
	won := make(chan struct{}, 16)
	for i := range cap(won) {
		wg.Go(func() {
			_, err := db.ClaimReply(t.Context(), media.ReplyClaim{
				Hash: "h", Fingerprint: "f", ID: fmt.Sprint(i), Lease: time.Minute, Keep: time.Hour,
			})
			if err == nil {
				won <- struct{}{}
			} else if !errors.Is(err, media.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	same(t, "claims", 1, len(won))
}
