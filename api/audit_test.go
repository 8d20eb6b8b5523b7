package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
)

// audited lists the audit log, oldest first: operation, status, publisher and fields of each row.
func audited(f *fixture, query string) []string {
	f.t.Helper()
	var list []string
	for _, row := range f.must(200, "GET", "/v1/audit"+query, "").items() {
		fields, err := json.Marshal(row["fields"])
		if err != nil {
			f.t.Fatal(err)
		}
		list = append(list, fmt.Sprintf("%v %v %q %s", row["operation"], row["status"], row["publisher"], fields))
	}
	slices.Reverse(list)
	return list
}

func TestAudit(t *testing.T) {
	f := newFixture(t, nil)
	f.must(201, "POST", "/v1/publishers", `{"name":"acme","archive_delay":"5m","retention_bytes":9007199254740993}`)
	f.must(201, "POST", "/v1/publishers/acme/streams", `{"name":"show","srt_passphrase":"correct horse battery"}`)
	f.must(200, "PATCH", "/v1/publishers/acme/streams/show?dry_run=true", `{"listed":true}`)
	f.must(201, "POST", "/v1/publishers/acme/streams/show/keys", "")
	f.must(200, "PUT", "/v1/publishers/acme/streams/show/source",
		`{"url":"rtmp://user:horse@media.example:1935/live/secretname?x=horse","mode":"on_demand"}`)
	recording := f.recording(media.StreamPath{Publisher: "acme", Stream: "show"}, 1, media.Ended)
	f.must(200, "PATCH", "/v1/recordings/"+string(recording), `{"keep":true}`)
	f.must(200, "DELETE", "/v1/recordings?publisher=acme&state=ended&state=archived&dry_run=true", "")
	f.must(422, "PATCH", "/v1/publishers/acme", `{"retention":"horse","srt_pasphrase":"horse"}`)
	f.must(400, "PATCH", "/v1/publishers/acme", `{"retention":"horse"`)
	f.must(409, "DELETE", "/v1/publishers/acme", "")
	f.must(404, "DELETE", "/v1/publishers/nobody", "")
	f.must(404, "PATCH", "/v1/recordings/"+string(recordingID(9)), `{"keep":true}`)
	f.must(200, "GET", "/v1/publishers/acme", "") // no row
	f.must(405, "PUT", "/v1/publishers/acme", "") // no operation
	writer := f.give("acme", media.ScopeWrite)
	f.as(writer, "DELETE", "/v1/publishers/acme", "")
	f.as(writer, "PATCH", "/v1/publishers/other", `{"listed":true}`)
	f.as("Bearer nobodys", "PATCH", "/v1/publishers/acme", `{"listed":true}`) // no row
	want := []string{
		`create-publisher 201 "acme" {"archive_delay":"5m","name":"acme","retention_bytes":9007199254740992}`,
		`create-stream 201 "acme" {"name":"show","srt_passphrase":"redacted"}`,
		`change-stream 200 "acme" {"dry_run":"true","listed":true}`,
		`create-key 201 "acme" {}`,
		`put-source 200 "acme" {"mode":"on_demand","url":"rtmp://redacted@media.example:1935/redacted"}`,
		`change-recording 200 "acme" {"keep":true}`,
		`delete-recordings 200 "acme" {"dry_run":"true","publisher":"acme","state":["ended","archived"]}`,
		`change-publisher 422 "acme" {"retention":null,"srt_pasphrase":null}`,
		`change-publisher 400 "acme" {}`,
		`delete-publisher 409 "acme" {}`,
		`delete-publisher 404 "nobody" {}`,
		`change-recording 404 "" {"keep":true}`,
		`create-token 201 "acme" {"label":"t","publisher":"acme","scopes":["write"]}`,
		`delete-publisher 403 "acme" {}`,
		`change-publisher 404 "acme" {}`,
	}
	got := audited(f, "")
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	whole := f.must(200, "GET", "/v1/audit?limit=1000", "")
	for _, secret := range []string{"horse", "secretname"} {
		if strings.Contains(whole.Body.String(), secret) {
			t.Errorf("%q is told: %s", secret, whole.Body)
		}
	}
	if !strings.Contains(whole.Body.String(), "9007199254740993") {
		t.Errorf("a large number is rounded: %s", whole.Body)
	}
	first := whole.items()[len(want)-1]
	own := f.must(200, "GET", "/v1/token", "")
	for field, value := range map[string]any{
		"token_id": own.json["id"], "token_label": "test", "method": "POST", "path": "/v1/publishers", "remote": "192.0.2.1",
	} {
		if first[field] != value {
			t.Errorf("%s is %v, want %v", field, first[field], value)
		}
	}

	// Who may see what, and which.
	if rows := audited(f, "?publisher=acme&operation=delete-publisher"); len(rows) != 2 {
		t.Errorf("two filters: %q", rows)
	}
	if rows := audited(f, fmt.Sprint("?token=", own.json["id"])); len(rows) != len(want)-2 {
		t.Errorf("of the first token: %q", rows)
	}
	if rows := audited(f, "?until=2026-01-01T00:00:00Z"); len(rows) != 0 {
		t.Errorf("before its time: %q", rows)
	}
	acmes := f.as(f.give("acme", media.ScopeRead), "GET", "/v1/audit", "")
	for _, row := range acmes.items() {
		if row["publisher"] != "acme" {
			t.Errorf("a token of acme sees %v", row)
		}
	}
	if n := len(acmes.items()); n != len(want)-2+1 { // and the token's own making
		t.Errorf("a token of acme sees %d rows", n)
	}
	for target, location := range map[string]string{
		"/v1/audit?publisher=A": "query.publisher", "/v1/audit?operation=delete-all": "query.operation",
		"/v1/audit?cursor=x": "query.cursor", "/v1/audit?limit=0": "query.limit",
		"/v1/audit?since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z": "query.until",
	} {
		if a := f.must(422, "GET", target, ""); !slices.Equal(a.locations(), []string{location}) {
			t.Errorf("%s: %s", target, a.Body)
		}
	}
	var paged []string
	for cursor, pages := "", 0; pages == 0 || cursor != "" && pages < 20; pages++ {
		a := f.must(200, "GET", "/v1/audit?limit=4&publisher=acme&cursor="+cursor, "")
		for _, row := range a.items() {
			paged = append(paged, fmt.Sprint(row["id"]))
		}
		cursor = fmt.Sprint(a.json["next"])
	}
	if len(paged) != len(want)-1 || len(slices.Compact(slices.Sorted(slices.Values(paged)))) != len(paged) {
		t.Errorf("%d rows in pages: %q", len(paged), paged)
	}
}

// brokenAudit takes no rows.
type brokenAudit struct{ noAudit }

func (brokenAudit) AddAudit(ctx context.Context, e media.AuditEntry) (media.AuditEntry, error) {
	if _, bounded := ctx.Deadline(); !bounded || ctx.Err() != nil {
		return e, errors.New("the row is not written apart from its request")
	}
	return e, media.ErrUnavailable
}

func TestRowThatIsNotWrittenIsLogged(t *testing.T) {
	var log bytes.Buffer
	f := newFixture(t, nil)
	deps := f.deps
	deps.Audit = brokenAudit{}
	f.Server = New(f.cfg, deps, slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewRegistry())
	f.must(201, "POST", "/v1/publishers", `{"name":"acme","listed":true}`)
	for _, want := range []string{
		"level=ERROR", "operation=create-publisher", "token_label=test", "status=201", "publisher=acme", `listed\":true`,
		"temporarily unavailable",
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("%s is not in %s", want, &log)
		}
	}
	if n := testutil.ToFloat64(f.metrics.auditLost); n != 1 {
		t.Errorf("%v rows are counted as lost", n)
	}
}

// panicking panics when a publisher is made.
type panicking struct{ *catalog.DB }

func (panicking) CreatePublisher(context.Context, media.Publisher) error { panic("on purpose") }

func TestPanicAndExpiredTokenAreAudited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t, func(_ *Config, d *Deps) { d.Publishers = panicking{} })
		f.must(500, "POST", "/v1/publishers", `{"name":"acme"}`)
		made := f.must(201, "POST", "/v1/tokens",
			`{"label":"old","scopes":["read"],"expires_at":"`+time.Now().Add(time.Second).UTC().Format(time.RFC3339)+`"}`)
		time.Sleep(time.Second)
		header := fmt.Sprint("Bearer ", made.json["token"])
		f.as(header, "GET", "/v1/publishers", "")
		f.as(header, "POST", "/v1/publishers", `{"name":"acme"}`)
		got := audited(f, "")
		if len(got) != 3 || got[0] != `create-publisher 500 "acme" {"name":"acme"}` ||
			got[2] != `create-publisher 401 "" {}` {
			t.Errorf("got %q", got)
		}
	})
}

// prunedAudit notes how it is pruned.
type prunedAudit struct {
	noAudit
	before chan time.Time
}

func (p prunedAudit) PruneAudit(_ context.Context, before time.Time) (int64, error) {
	p.before <- before
	return 1, nil
}

func TestAuditLogIsPruned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		audit := prunedAudit{before: make(chan time.Time, 10)}
		s := New(Config{AuditKeep: 24 * time.Hour}, Deps{Audit: audit}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		for _, after := range []time.Duration{time.Minute, 61 * time.Minute} {
			if before := <-audit.before; !before.Equal(begun.Add(after - 24*time.Hour)) {
				t.Errorf("pruned to %s", before)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if s := New(Config{}, Deps{}, slog.New(slog.DiscardHandler), prometheus.NewRegistry()); s.cfg.AuditKeep != 9600*time.Hour {
		t.Errorf("by default it is kept %s", s.cfg.AuditKeep)
	}
}

func TestAuditFields(t *testing.T) {
	long := strings.Repeat("x", 5000)
	many := map[string]any{}
	for n := range 300 {
		many[fmt.Sprintf("field_%03d", n)] = n
	}
	manyText, err := json.Marshal(many)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ body, want string }{
		{`{"key":"a","api_key":"a","public_key":"b","keyframe":1}`,
			`{"api_key":"redacted","key":"redacted","keyframe":1,"public_key":"b"}`},
		{`{"token":"a","secrets":["a","b"],"password":7,"Private":{"a":1},"passphrase":""}`,
			`{"Private":"redacted","passphrase":"","password":"redacted","secrets":["redacted","redacted"],"token":"redacted"}`},
		{`{"nested":{"deep":[{"secret":"a","name":"b"}]},"keys":[{"kid":"k","k":"a"}]}`,
			`{"keys":["redacted"],"nested":{"deep":[{"name":"b","secret":"redacted"}]}}`},
		{`{"url":"https://h.example/T/secret?x=y","urls":["http://u:p@h/"],"callback_url":"secret"}`,
			`{"callback_url":"redacted","url":"https://h.example/redacted","urls":["http://redacted@h"]}`},
		{`{"a":[[[[[["deep"]]]]]]}`, `{"a":[[[["..."]]]]}`},
		{`[1]`, `{}`}, {`{"a":`, `{}`}, {``, `{}`}, {`"a"`, `{}`}, {`null`, `{}`},
		{`{"label":"` + long + `"}`, `{"label":"\"` + long[:149] + `..."}`},
	} {
		got, _ := auditFields{body: []byte(c.body)}.encode()
		if string(got) != c.want {
			t.Errorf("%.100s: got %s, want %s", c.body, got, c.want)
		}
	}
	got, _ := auditFields{body: manyText}.encode()
	if len(got) > maxAuditFields || !json.Valid(got) || !strings.Contains(string(got), ` more"}`) {
		t.Errorf("many: %d bytes: %s", len(got), got)
	}
}

func FuzzAuditFields(f *testing.F) {
	for _, seed := range []string{`{"url":"http://a:b@c/d?e"}`, `{"a":{"b":[{"secret":"x"}]}}`, `{"":"\u0000\ud800"}`, `[`, `{"n":8e888}`} {
		f.Add([]byte(seed), "a=b&c=http%3A%2F%2Fx", false)
	}
	f.Fuzz(func(t *testing.T, body []byte, query string, valueless bool) {
		a := auditFields{body: body, query: map[string][]string{"q": {query}}, valueless: valueless}
		got, _ := a.encode()
		var fields map[string]any
		if err := json.Unmarshal(got, &fields); err != nil || len(got) > maxAuditFields {
			t.Fatalf("%d bytes, %v: %s", len(got), err, got)
		}
	})
}
