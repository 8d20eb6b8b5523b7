package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// withTests has tests of webhooks answered.
func withTests(result media.DeliveryResult) func(*Config, *Deps) {
	return func(_ *Config, d *Deps) {
		d.TestWebhook = func(_ context.Context, w media.Webhook) media.DeliveryResult {
			result.Answer = w.URL
			return result
		}
	}
}

// ask calls a handler with a token, as the middleware does with what it has let pass.
func ask[I, O any](t *testing.T, token media.Token, handle func(context.Context, *I) (*O, error), in I) (*O, error) {
	t.Helper()
	return handle(withCaller(t.Context(), token), &in)
}

func TestWebhookLife(t *testing.T) {
	f := newFixture(t, withTests(media.DeliveryResult{Status: 500, Error: "it answers 500", Took: time.Second}))
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	a := f.must(201, "POST", "/v1/webhooks",
		`{"publisher":"acme","url":"https://example.com/h","events":["recording.ended"],"label":"mine"}`)
	secret, _ := a.json["secret"].(string)
	if !strings.HasPrefix(secret, "oxw_") || len(secret) != 36 {
		t.Errorf("secret %q", secret)
	}
	id, _ := a.json["id"].(string)
	one := "/v1/webhooks/" + id
	a = f.must(200, "GET", one, "")
	for field, want := range map[string]any{
		"id": id, "publisher": "acme", "url": "https://example.com/h", "label": "mine", "enabled": true, "trusted": true,
		"state": "ok", "waiting": 0.0, "failing_since": nil, "last_success": nil, "last_error": "", "old_secret_until": nil,
	} {
		if got, is := a.json[field]; !is || got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	if a.json["secret"] != nil || strings.Contains(a.Body.String(), secret) {
		t.Error("the secret is told twice")
	}
	a = f.must(200, "PATCH", one, `{"events":[],"label":"ours"}`)
	if a.json["label"] != "ours" || len(a.json["events"].([]any)) != 0 || a.json["url"] != "https://example.com/h" {
		t.Errorf("changed: %s", a.Body)
	}
	a = f.must(200, "POST", one+"/rotate", "")
	next, _ := a.json["secret"].(string)
	if next == secret || len(next) != 36 || a.json["old_secret_until"] == nil {
		t.Errorf("rotated: %s", a.Body)
	}
	a = f.must(200, "POST", one+"/rotate", `{"secret":"0123456789abcdef","overlap":"0s"}`)
	if a.json["secret"] != "0123456789abcdef" || a.json["old_secret_until"] != nil {
		t.Errorf("rotated: %s", a.Body)
	}
	a = f.must(200, "POST", one+"/test", "")
	if a.json["ok"] != false || a.json["status"] != 500.0 || a.json["took_ms"] != 1000.0 || a.json["answer"] != "https://example.com/h" {
		t.Errorf("test: %s", a.Body)
	}
	if list := f.must(200, "GET", "/v1/webhooks?publisher=acme", "").items(); len(list) != 1 || list[0]["id"] != id {
		t.Errorf("list: %v", list)
	}
	if list := f.must(200, "GET", "/v1/webhooks?publisher=beta", "").items(); len(list) != 0 {
		t.Errorf("list of another: %v", list)
	}
	if a = f.must(200, "PATCH", one, `{"enabled":false}`); a.json["state"] != "disabled" {
		t.Errorf("disabled: %s", a.Body)
	}
	f.must(204, "DELETE", one, "")
	f.must(404, "GET", one, "")
	f.must(404, "DELETE", one, "")
	if a = f.must(201, "POST", "/v1/webhooks", `{"url":"http://10.0.0.1/"}`); a.json["publisher"] != "" {
		t.Errorf("of everybody: %s", a.Body)
	}
}

func TestDeliveriesAndReplayOverTheAPI(t *testing.T) {
	f := newFixture(t, nil)
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	id := f.must(201, "POST", "/v1/webhooks", `{"publisher":"acme","url":"https://example.com/h"}`).json["id"]
	one := fmt.Sprint("/v1/webhooks/", id)
	for n := range 5 {
		if err := f.db.AddEvents(t.Context(), media.LogEvent{
			Type: media.EventLive, Publisher: "acme", Recording: recordingID(n), Time: time.Date(2026, 11, 1, n, 0, 0, 0, time.UTC),
		}); err != nil {
			t.Fatal(err)
		}
	}
	claims, err := f.db.ClaimDeliveries(t.Context(), "a", fmt.Sprint(id), time.Now(), time.Minute, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.db.FinishDelivery(t.Context(), claims[0], media.DeliveryResult{Status: 204}); err != nil {
		t.Fatal(err)
	}
	var events []any
	for target := one + "/deliveries?limit=2"; ; {
		a := f.must(200, "GET", target, "")
		for _, item := range a.items() {
			events = append(events, item["event"])
		}
		if a.json["next"] == "" {
			break
		}
		target = fmt.Sprint(one, "/deliveries?limit=2&cursor=", a.json["next"])
	}
	if !slices.Equal(events, []any{5.0, 4.0, 3.0, 2.0, 1.0}) {
		t.Errorf("pages: %v", events)
	}
	if list := f.must(200, "GET", one+"/deliveries?state=delivered", "").items(); len(list) != 1 || list[0]["status"] != 204.0 || list[0]["next_at"] != nil {
		t.Errorf("delivered: %v", list)
	}
	if a := f.must(200, "GET", one, ""); a.json["waiting"] != 4.0 || a.json["last_success"] == nil {
		t.Errorf("%s", a.Body)
	}
	for body, want := range map[string]float64{
		`{"after":3}`: 2, `{"after":0}`: 5, `{"since":"2026-11-01T01:00:00Z","until":"2026-11-01T03:00:00Z"}`: 2,
		`{"since":"2027-01-01T00:00:00Z"}`: 0,
	} {
		if a := f.must(202, "POST", one+"/replay", body); a.json["enqueued"] != want {
			t.Errorf("%s: %s", body, a.Body)
		}
	}
}

func TestWebhookRefusalsNameTheField(t *testing.T) {
	f := newFixture(t, nil)
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	one := fmt.Sprint("/v1/webhooks/", f.must(201, "POST", "/v1/webhooks", `{"url":"https://example.com/h"}`).json["id"])
	for _, c := range []struct {
		status               int
		method, target, body string
		field                string
	}{
		{422, "POST", "/v1/webhooks", `{}`, "body.url"},
		{422, "POST", "/v1/webhooks", `{"url":"ftp://x"}`, "body.url"},
		{422, "POST", "/v1/webhooks", `{"url":"http://x:65536/"}`, "body.url"},
		{422, "POST", "/v1/webhooks", `{"url":"http://x:0/"}`, "body.url"},
		{422, "POST", "/v1/webhooks", `{"url":"https://u:p@x"}`, "body.url"},
		{422, "POST", "/v1/webhooks", `{"url":"https://x","events":["recording.began"]}`, "body.events"},
		{422, "POST", "/v1/webhooks", `{"url":"https://x","events":["webhook.test"]}`, "body.events"},
		{422, "POST", "/v1/webhooks", `{"url":"https://x","secret":"short"}`, "body.secret"},
		{422, "POST", "/v1/webhooks", `{"url":"https://x","ulr":"x"}`, "body.ulr"},
		{404, "POST", "/v1/webhooks", `{"url":"https://x","publisher":"nobody"}`, "body.publisher"},
		{422, "PATCH", one, `{"url":""}`, "body.url"},
		{422, "PATCH", one, `{"publisher":"acme"}`, "body.publisher"},
		{404, "PATCH", "/v1/webhooks/none", `{"label":"x"}`, "path.webhook"},
		{422, "POST", one + "/rotate", `{"overlap":"169h"}`, "body.overlap"},
		{422, "POST", one + "/rotate", `{"secret":"short"}`, "body.secret"},
		{422, "POST", one + "/replay", `{}`, "body.since"},
		{422, "POST", one + "/replay", `{"after":1,"since":"2026-11-01T01:00:00Z"}`, "body.since"},
		{422, "POST", one + "/replay", `{"since":"2026-11-01T01:00:00Z","until":"2026-11-01T01:00:00Z"}`, "body.until"},
		{422, "POST", one + "/replay", `{"after":-1}`, "body.after"},
		{404, "POST", "/v1/webhooks/none/replay", `{"after":1}`, "path.webhook"},
		{404, "POST", "/v1/webhooks/none/test", ``, "path.webhook"},
		{404, "GET", "/v1/webhooks/none/deliveries", ``, "path.webhook"},
		{422, "GET", one + "/deliveries?state=late", ``, "query.state"},
		{422, "GET", one + "/deliveries?cursor=x", ``, "query.cursor"},
	} {
		a := f.must(c.status, c.method, c.target, c.body)
		if !slices.Contains(a.locations(), c.field) {
			t.Errorf("%s %s %s: %s", c.method, c.target, c.body, a.Body)
		}
	}
	f.must(200, "PATCH", one, `{"enabled":false}`)
	f.must(409, "POST", one+"/replay", `{"after":0}`)
}

// TestPublishersSeeTheirOwnWebhooks calls the handlers with a publisher's token.
func TestPublishersSeeTheirOwnWebhooks(t *testing.T) {
	f := newFixture(t, withTests(media.DeliveryResult{Status: 204}))
	for _, name := range []string{"acme", "beta"} {
		f.must(201, "POST", "/v1/publishers", `{"name":"`+name+`"}`)
	}
	id := func(a answer) string { return fmt.Sprint(a.json["id"]) }
	foreign := map[string]string{
		"another's":   id(f.must(201, "POST", "/v1/webhooks", `{"url":"https://example.com/h","publisher":"beta"}`)),
		"everybody's": id(f.must(201, "POST", "/v1/webhooks", `{"url":"https://example.com/h"}`)),
	}
	acme := media.Token{Publisher: "acme", Scopes: []string{media.ScopeWrite}}
	var in createWebhookInput
	in.Body.URL = "https://example.com/h"
	made, err := ask(t, acme, f.createWebhook, in)
	if err != nil || made.Body.Publisher != "acme" || made.Body.Trusted {
		t.Fatalf("made %+v, %v", made, err)
	}
	in.Body.Publisher = "beta"
	if _, err := ask(t, acme, f.createWebhook, in); statusOf(err) != http.StatusNotFound {
		t.Errorf("made for another: %v", err)
	}
	in.Body.Publisher = ""
	if _, err := ask(t, media.Token{Scopes: []string{media.ScopeWrite}}, f.createWebhook, in); statusOf(err) != http.StatusForbidden {
		t.Errorf("made for everybody: %v", err)
	}
	seen, err := ask(t, acme, f.listWebhooks, listWebhooksInput{Page: Page{Limit: 50}})
	if err != nil || len(seen.Body.Items) != 1 || seen.Body.Items[0].ID != made.Body.ID {
		t.Errorf("sees %+v, %v", seen, err)
	}
	if _, err := ask(t, acme, f.listWebhooks, listWebhooksInput{Page: Page{Limit: 50}, Publisher: "beta"}); statusOf(err) != http.StatusNotFound {
		t.Errorf("sees another's: %v", err)
	}
	for whose, hook := range foreign {
		path := WebhookPath{Webhook: hook}
		replay := replayInput{WebhookPath: path}
		replay.Body.After = new(int64)
		_, errGet := ask(t, acme, f.getWebhook, path)
		_, errUpdate := ask(t, acme, f.updateWebhook, updateWebhookInput{WebhookPath: path})
		_, errRotate := ask(t, acme, f.rotateWebhook, rotateWebhookInput{WebhookPath: path})
		_, errDelete := ask(t, acme, f.deleteWebhook, path)
		_, errTest := ask(t, acme, f.testWebhook, path)
		_, errReplay := ask(t, acme, f.replayEvents, replay)
		_, errList := ask(t, acme, f.listDeliveries, listDeliveriesInput{WebhookPath: path, Page: Page{Limit: 1}})
		for i, err := range []error{errGet, errUpdate, errRotate, errDelete, errTest, errReplay, errList} {
			if statusOf(err) != http.StatusNotFound {
				t.Errorf("%s webhook, act %d: %v", whose, i, err)
			}
		}
	}
	// An administrator's URL is trusted until the publisher sets another.
	own := WebhookPath{Webhook: made.Body.ID}
	if a := f.must(200, "PATCH", "/v1/webhooks/"+made.Body.ID, `{"url":"http://10.0.0.1/"}`); a.json["trusted"] != true {
		t.Errorf("%s", a.Body)
	}
	change := updateWebhookInput{WebhookPath: own}
	change.Body.Label = &acme.Publisher
	if out, err := ask(t, acme, f.updateWebhook, change); err != nil || !out.Body.Trusted {
		t.Errorf("%+v %v", out, err)
	}
	change.Body.URL = &in.Body.URL
	if out, err := ask(t, acme, f.updateWebhook, change); err != nil || out.Body.Trusted {
		t.Errorf("%+v %v", out, err)
	}
}
