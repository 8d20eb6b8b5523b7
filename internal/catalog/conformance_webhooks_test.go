package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const hookSecret = "0123456789abcdef"

// hook makes a webhook of acme, which is there.
func hook(tb testing.TB, db *DB, publisher string, events ...string) media.Webhook {
	tb.Helper()
	w, err := db.CreateWebhook(tb.Context(), media.Webhook{
		Publisher: publisher, URL: "https://example.com/hook", Label: "l", Events: events, Enabled: true, Secret: hookSecret,
	})
	noError(tb, err)
	return w
}

// happened logs an event of the nth recording of acme/show.
func happened(tb testing.TB, db *DB, kind string, n int) {
	tb.Helper()
	noError(tb, db.AddEvents(tb.Context(), media.LogEvent{
		Type: kind, Time: start.Add(-48 * time.Hour), Publisher: "acme", Stream: "show", Recording: recordingID(n),
	}))
}

func claimAll(tb testing.TB, db *DB, w media.Webhook, now time.Time) []media.DeliveryClaim {
	tb.Helper()
	claims, err := db.ClaimDeliveries(tb.Context(), "a", w.ID, now, time.Minute, 100)
	noError(tb, err)
	slices.SortFunc(claims, func(a, b media.DeliveryClaim) int { return int(a.ID - b.ID) })
	return claims
}

func claimOne(tb testing.TB, db *DB, w media.Webhook, now time.Time) media.DeliveryClaim {
	tb.Helper()
	claims := claimAll(tb, db, w, now)
	if len(claims) != 1 {
		tb.Fatalf("%d claims, want 1: %+v", len(claims), claims)
	}
	return claims[0]
}

// sent gives what claims tell, as "type of the recording's number".
func sent(claims []media.DeliveryClaim) (list []string) {
	for _, c := range claims {
		for n := range 100 {
			if c.Event.Recording == recordingID(n) {
				list = append(list, fmt.Sprintf("%s %d", strings.TrimPrefix(c.Event.Type, "recording."), n))
			}
		}
	}
	return list
}

var taken = media.DeliveryResult{Status: 204, Took: 5 * time.Millisecond}

func (s suite) testWebhooks(t *testing.T) {
	db := s.furnished(t)
	ctx := t.Context()
	w := hook(t, db, "acme", media.EventLive, media.EventEnded)
	global := hook(t, db, "")
	got, err := db.Webhook(ctx, w.ID)
	noError(t, err)
	same(t, "webhook", w, got)

	url, label, events, off := "http://10.0.0.1/x", "other", []string{}, false
	got, err = db.UpdateWebhook(ctx, w.ID, media.WebhookPatch{URL: &url, Trusted: true, Label: &label, Events: &events, Enabled: &off})
	noError(t, err)
	if got.URL != url || !got.Trusted || got.Label != label || len(got.Events) != 0 || got.Enabled || got.Secret != hookSecret {
		t.Errorf("changed: %+v", got)
	}
	if got, err = db.UpdateWebhook(ctx, w.ID, media.WebhookPatch{Label: &label}); err != nil || !got.Trusted {
		t.Errorf("a label has to do with trust: %+v %v", got, err)
	}
	if got, err = db.UpdateWebhook(ctx, w.ID, media.WebhookPatch{URL: &url}); err != nil || got.Trusted {
		t.Errorf("trusted still: %+v %v", got, err)
	}

	other := strings.Repeat("n", 16)
	got, err = db.RotateWebhookSecret(ctx, w.ID, other, time.Hour)
	noError(t, err)
	if got.Secret != other || got.OldSecret != hookSecret || !got.OldUntil.Equal(start.Add(time.Hour)) {
		t.Errorf("rotated: %+v", got)
	}
	db.now = func() time.Time { return start.Add(time.Hour) }
	_, err = db.PruneDeliveries(ctx, start)
	noError(t, err)
	if got, err = db.Webhook(ctx, w.ID); err != nil || got.OldSecret != "" || !got.OldUntil.IsZero() {
		t.Errorf("the old secret is kept: %+v %v", got, err)
	}

	for _, c := range []struct {
		f    media.WebhookFilter
		want []string
	}{
		{media.WebhookFilter{}, []string{w.ID, global.ID}},
		{media.WebhookFilter{Limit: 1}, []string{w.ID}},
		{media.WebhookFilter{After: w.ID}, []string{global.ID}},
		{media.WebhookFilter{Publisher: "acme"}, []string{w.ID}},
	} {
		list, err := db.Webhooks(ctx, c.f)
		noError(t, err)
		var ids []string
		for _, w := range list {
			ids = append(ids, w.ID)
		}
		same(t, fmt.Sprintf("%+v", c.f), c.want, ids)
	}

	noError(t, db.DeleteWebhook(ctx, w.ID))
	wantError(t, db.DeleteWebhook(ctx, w.ID), media.ErrNotFound)
	_, err = db.Webhook(ctx, w.ID)
	wantError(t, err, media.ErrNotFound)
	_, err = db.UpdateWebhook(ctx, w.ID, media.WebhookPatch{})
	wantError(t, err, media.ErrNotFound)

	last := hook(t, db, "acme")
	noError(t, db.DeleteStream(ctx, show))
	noError(t, db.DeletePublisher(ctx, "acme"))
	_, err = db.Webhook(ctx, last.ID)
	wantError(t, err, media.ErrNotFound)

	// A publisher that a version deleted which knows no webhooks: the next of its name has none.
	noError(t, db.CreatePublisher(ctx, media.Publisher{Name: "acme"}))
	left := hook(t, db, "acme")
	_, err = db.writes.ExecContext(ctx, `DELETE FROM publishers WHERE name = 'acme'`)
	noError(t, err)
	noError(t, db.CreatePublisher(ctx, media.Publisher{Name: "acme"}))
	_, err = db.Webhook(ctx, left.ID)
	wantError(t, err, media.ErrNotFound)
}

func (s suite) testWebhookRefusals(t *testing.T) {
	db := s.furnished(t)
	good := media.Webhook{URL: "https://example.com/", Secret: hookSecret, Publisher: "acme"}
	for field, change := range map[string]func(*media.Webhook){
		"url":    func(w *media.Webhook) { w.URL = "ftp://example.com" },
		"label":  func(w *media.Webhook) { w.Label = "a\x00" },
		"events": func(w *media.Webhook) { w.Events = []string{"recording.began"} },
		"secret": func(w *media.Webhook) { w.Secret = "short" },
	} {
		w := good
		change(&w)
		_, err := db.CreateWebhook(t.Context(), w)
		wantField(t, err, field)
	}
	w := good
	w.Publisher = "nobody"
	_, err := db.CreateWebhook(t.Context(), w)
	wantError(t, err, media.ErrNotFound)
	w = hook(t, db, "acme")
	bad := "https://user:pass@example.com/"
	_, err = db.UpdateWebhook(t.Context(), w.ID, media.WebhookPatch{URL: &bad})
	wantField(t, err, "url")
	_, err = db.RotateWebhookSecret(t.Context(), w.ID, "short", 0)
	wantField(t, err, "secret")
	for range maxWebhooks - 1 {
		hook(t, db, "acme")
	}
	_, err = db.CreateWebhook(t.Context(), good)
	wantError(t, err, media.ErrLimit, "50 webhooks")
}

func (s suite) testEnqueue(t *testing.T) {
	db := s.furnished(t)
	noError(t, db.CreatePublisher(t.Context(), media.Publisher{Name: "beta"}))
	all, ends := hook(t, db, "acme"), hook(t, db, "acme", media.EventEnded)
	others, global := hook(t, db, "beta"), hook(t, db, "")
	off := hook(t, db, "acme")
	disabled := false
	_, err := db.UpdateWebhook(t.Context(), off.ID, media.WebhookPatch{Enabled: &disabled})
	noError(t, err)

	happened(t, db, media.EventLive, 1)
	happened(t, db, media.EventEnded, 1)
	noError(t, db.AddEvents(t.Context(), media.LogEvent{Type: media.EventPressure, Cluster: "main"}))
	for _, c := range []struct {
		name string
		w    media.Webhook
		want int64
	}{{"all", all, 2}, {"ends", ends, 1}, {"others", others, 0}, {"global", global, 3}, {"off", off, 0}} {
		if w, err := db.Webhook(t.Context(), c.w.ID); err != nil || w.Health.Waiting != c.want {
			t.Errorf("%s: %d wait, want %d (%v)", c.name, w.Health.Waiting, c.want, err)
		}
	}
	due, err := db.DueWebhooks(t.Context(), "", start, 10)
	noError(t, err)
	if len(due) != 3 || due[0].ID != all.ID || due[2].ID != global.ID || due[0].Secret != hookSecret {
		t.Errorf("due: %+v", due)
	}
	if due, err = db.DueWebhooks(t.Context(), all.ID, start, 1); err != nil || len(due) != 1 || due[0].ID != ends.ID {
		t.Errorf("due after the first: %+v %v", due, err)
	}
	// What was rolled back with its cause is not sent.
	wait := errors.New("rolled back")
	err = db.write(t.Context(), func(tx *sql.Tx) error {
		noError(t, db.logEvents(t.Context(), tx, media.LogEvent{Type: media.EventLive, Publisher: "acme"}))
		return wait
	})
	wantError(t, err, wait)
	if d, err := db.DeliveryDepth(t.Context()); err != nil || d.Waiting != 6 || !d.Oldest.Equal(start) {
		t.Errorf("depth %+v %v", d, err)
	}
	// Waiting goes on while it is disabled, and is not due.
	_, err = db.UpdateWebhook(t.Context(), all.ID, media.WebhookPatch{Enabled: &disabled})
	noError(t, err)
	if due, err = db.DueWebhooks(t.Context(), "", start, 10); err != nil || len(due) != 2 {
		t.Errorf("due: %+v %v", due, err)
	}
}

func (s suite) testDeliveryOrder(t *testing.T) {
	db := s.furnished(t)
	w := hook(t, db, "acme")
	happened(t, db, media.EventLive, 1)
	happened(t, db, media.EventLive, 2)
	happened(t, db, media.EventEnded, 1)
	happened(t, db, media.EventArchived, 1)
	first := claimAll(t, db, w, start)
	same(t, "first", []string{"stream.live 1", "stream.live 2"}, sent(first))
	same(t, "event", media.LogEvent{
		ID: 1, Type: media.EventLive, Time: start.Add(-48 * time.Hour), Publisher: "acme", Stream: "show",
		Recording: recordingID(1), Data: []byte("{}"),
	}, first[0].Event)
	if again := claimAll(t, db, w, start); len(again) != 0 {
		t.Errorf("claimed twice: %v", sent(again))
	}
	noError(t, db.FailDelivery(t.Context(), first[0], media.DeliveryResult{Error: "no"}, start.Add(time.Second), time.Time{}))
	noError(t, db.FinishDelivery(t.Context(), first[1], taken))
	if early := claimAll(t, db, w, start.Add(999*time.Millisecond)); len(early) != 0 {
		t.Errorf("%v before its time", sent(early))
	}
	for _, want := range []string{"stream.live 1", "ended 1", "archived 1"} {
		c := claimAll(t, db, w, start.Add(time.Second))
		same(t, "next", []string{want}, sent(c))
		noError(t, db.FinishDelivery(t.Context(), c[0], taken))
	}
	if left := claimAll(t, db, w, start.Add(time.Hour)); len(left) != 0 {
		t.Errorf("left: %v", sent(left))
	}
	got, err := db.Webhook(t.Context(), w.ID)
	noError(t, err)
	if got.Health != (media.WebhookHealth{LastSuccess: start, LastFailure: start, LastError: "no"}) {
		t.Errorf("health %+v", got.Health)
	}
}

func (s suite) testDeliveryFencing(t *testing.T) {
	db := s.furnished(t)
	w := hook(t, db, "acme")
	happened(t, db, media.EventLive, 1)
	happened(t, db, media.EventEnded, 1)
	old := claimOne(t, db, w, start)
	if early := claimAll(t, db, w, start.Add(time.Minute-time.Millisecond)); len(early) != 0 {
		t.Errorf("%v within the lease", sent(early))
	}
	next := claimOne(t, db, w, start.Add(time.Minute))
	if next.ID != old.ID || next.Epoch <= old.Epoch || next.Attempts != 0 {
		t.Errorf("%+v follows %+v", next, old)
	}
	wantError(t, db.FinishDelivery(t.Context(), old, taken), media.ErrFenced)
	wantError(t, db.FailDelivery(t.Context(), old, media.DeliveryResult{Error: "x"}, start, start), media.ErrFenced)

	n, err := db.LapseDeliveries(t.Context(), "a", start)
	if err != nil || n != 1 {
		t.Errorf("%d lapsed, %v", n, err)
	}
	wantError(t, db.FinishDelivery(t.Context(), next, taken), media.ErrFenced)
	last := claimOne(t, db, w, start)
	noError(t, db.ReleaseDelivery(t.Context(), last))
	wantError(t, db.ReleaseDelivery(t.Context(), last), media.ErrFenced)
	last = claimOne(t, db, w, start)
	noError(t, db.FinishDelivery(t.Context(), last, taken))
	wantError(t, db.FinishDelivery(t.Context(), last, taken), media.ErrFenced)
	same(t, "then", []string{"ended 1"}, sent(claimAll(t, db, w, start)))
	if n, err := db.LapseDeliveries(t.Context(), "b", start); err != nil || n != 0 {
		t.Errorf("%d of nobody lapsed, %v", n, err)
	}
}

func (s suite) testDeliveryGivenUp(t *testing.T) {
	db := s.furnished(t)
	w := hook(t, db, "acme")
	for n := range 4 {
		db.now = func() time.Time { return start.Add(time.Duration(n) * time.Hour) }
		happened(t, db, media.EventInterrupted, 1)
	}
	c := claimOne(t, db, w, start.Add(3*time.Hour))
	no := media.DeliveryResult{Status: 500, Answer: "sorry\x00\xff", Error: "it answers 500", Took: time.Second}
	noError(t, db.FailDelivery(t.Context(), c, no, time.Time{}, start.Add(90*time.Minute)))
	list, err := db.Deliveries(t.Context(), media.DeliveryFilter{Webhook: w.ID})
	noError(t, err)
	var states []string
	for _, d := range list {
		states = append(states, d.State)
	}
	same(t, "states, newest first", []string{"waiting", "waiting", "failed", "failed"}, states)
	if d := list[3]; d.Attempts != 1 || d.Last.Status != 500 || d.Last.Answer != "sorry?" || d.Last.Error != no.Error ||
		d.Last.Took != time.Second || !d.DoneAt.Equal(start.Add(3*time.Hour)) || !d.TriedAt.Equal(d.DoneAt) || !d.NextAt.IsZero() {
		t.Errorf("given up: %+v", d)
	}
	if d := list[2]; d.Attempts != 0 || !strings.Contains(d.Last.Error, "before it") {
		t.Errorf("given up behind it: %+v", d)
	}
	if next := claimOne(t, db, w, start.Add(3*time.Hour)); next.ID != list[1].ID {
		t.Errorf("next is %+v", next)
	}
	got, err := db.Webhook(t.Context(), w.ID)
	noError(t, err)
	want := media.WebhookHealth{
		LastFailure: start.Add(3 * time.Hour), FailingSince: start.Add(3 * time.Hour), LastError: no.Error, Waiting: 2,
	}
	same(t, "health", want, got.Health)
}

func (s suite) testDeliveryRecovery(t *testing.T) {
	for _, c := range []struct {
		failing time.Duration
		due     int
	}{{time.Minute, 2}, {59 * time.Second, 0}} {
		db := s.furnished(t)
		w := hook(t, db, "acme")
		for n := range 3 {
			happened(t, db, media.EventLive, n)
		}
		claims := claimAll(t, db, w, start)
		for i, claim := range claims {
			at := start.Add(time.Hour)
			if i == 0 {
				at = start
			}
			noError(t, db.FailDelivery(t.Context(), claim, media.DeliveryResult{Error: "no"}, at, time.Time{}))
		}
		later := start.Add(c.failing)
		db.now = func() time.Time { return later }
		noError(t, db.FinishDelivery(t.Context(), claimOne(t, db, w, later), taken))
		if due := claimAll(t, db, w, later); len(due) != c.due {
			t.Errorf("after %s of failure %d are due, want %d", c.failing, len(due), c.due)
		}
		if got, err := db.Webhook(t.Context(), w.ID); err != nil || !got.Health.FailingSince.IsZero() {
			t.Errorf("fails still: %+v %v", got.Health, err)
		}
	}
}

func (s suite) testDeliveryForgotten(t *testing.T) {
	db := s.furnished(t)
	w := hook(t, db, "acme")
	happened(t, db, media.EventLive, 1)
	happened(t, db, media.EventEnded, 1)
	_, err := changed(t.Context(), db.writes, `DELETE FROM events WHERE id = 1`)
	noError(t, err)
	if got := claimAll(t, db, w, start); len(got) != 0 {
		t.Errorf("claimed %v", sent(got))
	}
	same(t, "then", []string{"ended 1"}, sent(claimAll(t, db, w, start)))
	list, err := db.Deliveries(t.Context(), media.DeliveryFilter{Webhook: w.ID, State: media.DeliveryFailed})
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Last.Error, "no longer") || list[0].Type != media.EventLive {
		t.Errorf("%+v %v", list, err)
	}
}

func (s suite) testReplay(t *testing.T) {
	db := s.furnished(t)
	early := hook(t, db, "acme", media.EventEnded)
	noError(t, db.CreatePublisher(t.Context(), media.Publisher{Name: "beta"}))
	events := []media.LogEvent{ // every kind of subject
		{Type: media.EventLive, Publisher: "acme", Stream: "show", Recording: recordingID(1)},
		{Type: media.EventEnded, Publisher: "acme", Stream: "show", Recording: recordingID(1)},
		{Type: media.EventIngestWarning, Publisher: "acme", Stream: "show"},
		{Type: media.EventIngestWarning, Publisher: "acme"},
		{Type: media.EventPressure, Cluster: "main"},
		{Type: media.EventEnded, Publisher: "beta", Stream: "x", Recording: recordingID(2)},
	}
	for i := range events {
		events[i].Time = start.Add(time.Duration(i) * time.Minute)
	}
	noError(t, db.AddEvents(t.Context(), events...))
	all, ends, acme := hook(t, db, ""), hook(t, db, "", media.EventEnded), hook(t, db, "acme")
	for _, c := range []struct {
		name  string
		w     media.Webhook
		r     media.ReplayRange
		wants []int64
	}{
		{"all", all, media.ReplayRange{}, []int64{1, 2, 3, 4, 5, 6}},
		{"again, behind what waits", all, media.ReplayRange{After: 4}, []int64{1, 2, 3, 4, 5, 6, 5, 6}},
		{"types", ends, media.ReplayRange{}, []int64{2, 6}},
		{"publisher", acme, media.ReplayRange{Since: start.Add(time.Minute), Until: start.Add(3 * time.Minute)}, []int64{2, 3}},
		{"until", acme, media.ReplayRange{Until: start.Add(time.Minute)}, []int64{2, 3, 1}},
		{"nothing", early, media.ReplayRange{After: 6}, []int64{2}},
	} {
		before, err := db.Webhook(t.Context(), c.w.ID)
		noError(t, err)
		n, err := db.ReplayEvents(t.Context(), c.w.ID, c.r)
		noError(t, err)
		if want := int64(len(c.wants)) - before.Health.Waiting; n != want {
			t.Errorf("%s: %d events, want %d", c.name, n, want)
		}
		list, err := db.Deliveries(t.Context(), media.DeliveryFilter{Webhook: c.w.ID})
		noError(t, err)
		var got []int64
		for _, d := range slices.Backward(list) {
			got = append(got, d.EventID)
			e := events[d.EventID-1]
			if d.Subject != e.Subject() || d.Type != e.Type || d.NextAt.IsZero() {
				t.Errorf("%s: %+v of %+v", c.name, d, e)
			}
		}
		same(t, c.name, c.wants, got)
	}
	happened(t, db, media.EventArchived, 1)
	claims := claimAll(t, db, acme, start)
	if len(claims) != 2 || claims[0].EventID != 2 || claims[1].EventID != 3 { // of recording 1 and of acme/show
		t.Errorf("claimed %+v", claims)
	}
	off := false
	_, err := db.UpdateWebhook(t.Context(), all.ID, media.WebhookPatch{Enabled: &off})
	noError(t, err)
	_, err = db.ReplayEvents(t.Context(), all.ID, media.ReplayRange{})
	wantError(t, err, media.ErrConflict, "enable it")
	_, err = db.ReplayEvents(t.Context(), "nothing", media.ReplayRange{})
	wantError(t, err, media.ErrNotFound)

	// More than a chunk, and more than there may be.
	const chunk, most = 3, 10
	beta := hook(t, db, "beta", media.EventLive)
	for range 2*chunk + 1 {
		noError(t, db.AddEvents(t.Context(), media.LogEvent{Type: media.EventLive, Publisher: "beta", Stream: "x"}))
	}
	if n, err := db.replay(t.Context(), beta.ID, media.ReplayRange{}, most, chunk); err != nil || n != 2*chunk+1 {
		t.Errorf("%d replayed, %v", n, err)
	}
	list, err := db.Deliveries(t.Context(), media.DeliveryFilter{Webhook: beta.ID})
	noError(t, err)
	var got []int64
	for _, d := range slices.Backward(list) {
		got = append(got, d.EventID)
	}
	same(t, "replayed in chunks", []int64{8, 9, 10, 11, 12, 13, 14, 8, 9, 10, 11, 12, 13, 14}, got)
	_, err = db.replay(t.Context(), beta.ID, media.ReplayRange{}, 2*chunk, chunk)
	wantField(t, err, "until")
	_, err = db.replay(t.Context(), beta.ID, media.ReplayRange{}, most, chunk) // while 14 wait
	wantError(t, err, media.ErrConflict, "wait already")
}

func (s suite) testDeliveriesListed(t *testing.T) {
	db := s.furnished(t)
	w, other := hook(t, db, "acme"), hook(t, db, "acme")
	for n := range 5 {
		happened(t, db, media.EventLive, n)
	}
	for i, c := range claimAll(t, db, w, start) {
		if i < 3 {
			db.now = func() time.Time { return start.Add(time.Duration(i) * time.Hour) }
			noError(t, db.FinishDelivery(t.Context(), c, taken))
		}
	}
	list := func(f media.DeliveryFilter) (ids []int64) {
		t.Helper()
		f.Webhook = w.ID
		items, err := db.Deliveries(t.Context(), f)
		noError(t, err)
		for _, d := range items {
			ids = append(ids, d.EventID)
			if (d.State == media.DeliveryWaiting) != d.DoneAt.IsZero() || (d.State == media.DeliveryWaiting) != !d.NextAt.IsZero() {
				t.Errorf("%+v", d)
			}
		}
		return ids
	}
	same(t, "all", []int64{5, 4, 3, 2, 1}, list(media.DeliveryFilter{}))
	same(t, "delivered", []int64{3, 2, 1}, list(media.DeliveryFilter{State: media.DeliveryDelivered}))
	same(t, "waiting", []int64{5, 4}, list(media.DeliveryFilter{State: media.DeliveryWaiting}))
	_, err := db.Deliveries(t.Context(), media.DeliveryFilter{State: "late"})
	wantField(t, err, "state")
	page, err := db.Deliveries(t.Context(), media.DeliveryFilter{Webhook: w.ID, Limit: 2})
	noError(t, err)
	same(t, "next page", []int64{3, 2, 1}, list(media.DeliveryFilter{Before: page[1].ID}))

	if n, err := db.PruneDeliveries(t.Context(), start.Add(2*time.Hour)); err != nil || n != 2 {
		t.Errorf("%d pruned, %v", n, err)
	}
	same(t, "left", []int64{5, 4, 3}, list(media.DeliveryFilter{}))
	noError(t, db.DeleteWebhook(t.Context(), w.ID))
	same(t, "of a deleted webhook", []int64(nil), list(media.DeliveryFilter{}))
	if d, err := db.DeliveryDepth(t.Context()); err != nil || d.Waiting != 5 {
		t.Errorf("%+v %v", d, err)
	}
	if _, err := changed(t.Context(), db.writes, `DELETE FROM webhooks WHERE id = $1`, other.ID); err != nil {
		t.Fatal(err)
	}
	if n, err := db.PruneDeliveries(t.Context(), start); err != nil || n != 5 {
		t.Errorf("%d of no webhook pruned, %v", n, err)
	}
	var queues int
	noError(t, db.reads.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM delivery_queues`).Scan(&queues))
	if queues != 0 {
		t.Errorf("%d queues are left", queues)
	}
}

// testDeliveryRace enqueues, replays and delivers at once: everything arrives, and of each subject in order.
func (s suite) testDeliveryRace(t *testing.T) {
	db := s.furnished(t)
	hooks := []media.Webhook{hook(t, db, "acme"), hook(t, db, "")}
	const writers, each, subjects = 3, 20, 4
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	var adding, delivering sync.WaitGroup
	for writer := range writers {
		adding.Go(func() {
			for i := range each {
				if err := db.AddEvents(ctx, media.LogEvent{
					Type: media.EventLive, Publisher: "acme", Recording: recordingID((writer + i) % subjects),
				}); err != nil {
					t.Error(err)
				}
			}
			if writer == 0 {
				if _, err := db.ReplayEvents(ctx, hooks[0].ID, media.ReplayRange{Until: start.Add(-time.Hour)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var mu sync.Mutex
	seen := map[string][]int64{}
	added := make(chan struct{})
	go func() { adding.Wait(); close(added) }()
	for _, w := range hooks {
		for range 2 {
			delivering.Go(func() {
				for ctx.Err() == nil {
					over := false
					select {
					case <-added:
						over = true
					default:
					}
					claims, err := db.ClaimDeliveries(ctx, "a", w.ID, start, time.Minute, 2)
					if err != nil {
						t.Error(err)
						return
					}
					for _, c := range claims {
						mu.Lock()
						seen[c.Webhook+c.Subject] = append(seen[c.Webhook+c.Subject], c.EventID)
						mu.Unlock()
						if err := db.FinishDelivery(ctx, c, taken); err != nil {
							t.Error(err)
						}
					}
					if over && len(claims) == 0 {
						return
					}
				}
			})
		}
	}
	delivering.Wait()
	total := 0
	for subject, ids := range seen {
		total += len(ids)
		if !slices.IsSorted(ids) {
			t.Errorf("%s out of order: %v", subject, ids)
		}
	}
	if d, err := db.DeliveryDepth(t.Context()); err != nil || d.Waiting != 0 || total != writers*each*len(hooks) {
		t.Errorf("%d delivered, want %d; %+v %v", total, writers*each*len(hooks), d, err)
	}
}
