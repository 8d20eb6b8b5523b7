package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/playback"
)

const keysOf, tokensOf = "/v1/publishers/acme/playback-keys", "/v1/publishers/acme/playback-tokens"

// admits says whether a token opens a stream, or a recording of it, now, with the keys that edges are told.
func (f *fixture) admits(token any, stream, recording string) bool {
	f.t.Helper()
	told, err := f.db.PlaybackPolicies(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	text, _ := token.(string)
	grant, err := playback.NewVerifier("acme", told.Publishers["acme"].Keys).Verify(text)
	return err == nil && grant.Admit(playback.Request{
		Stream: stream, Recording: recording,
		Client: func() netip.Addr { return netip.MustParseAddr("192.0.2.1") }, Origin: func() string { return "https://a.example" },
	}, time.Now()) == nil
}

func newPlaybackFixture(t *testing.T) (f *fixture, told *[]media.Event) {
	told = new([]media.Event)
	f = newFixture(t, func(_ *Config, d *Deps) {
		d.Publish = func(_ context.Context, e media.Event) error {
			*told = append(*told, e)
			return nil
		}
	})
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	f.stream(media.StreamPath{Publisher: "beta", Stream: "show"}, false)
	f.must(200, "PATCH", "/v1/publishers/acme", `{"playback":"signed"}`)
	return f, told
}

func TestPlaybackKeys(t *testing.T) {
	f, told := newPlaybackFixture(t)
	first := f.must(201, "POST", keysOf, "")
	secret, _ := first.json["secret"].(string)
	if len(secret) != 43 || first.json["kid"] == "" || first.json["algorithm"] != "HS256" || first.json["signs"] != true ||
		first.Header().Get("Location") != fmt.Sprint(keysOf, "/", first.json["kid"]) {
		t.Errorf("%v %v", first.json, first.Header())
	}
	pair := f.must(201, "POST", keysOf, `{"kid":"pair","algorithm":"EdDSA","expires_at":"2099-01-01T00:00:00Z"}`)
	private, _ := pair.json["private_key"].(string)
	if _, err := playback.ParseSigner("pair", "", []byte(private)); err != nil || pair.json["signs"] != true {
		t.Errorf("%v %v", err, pair.json)
	}
	// The public half of a key that the server never sees.
	_, seed, err := playback.NewPair()
	if err != nil {
		t.Fatal(err)
	}
	text, err := playback.PrivatePEM(seed)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := playback.ParseSigner("own", "", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	own := f.must(201, "POST", keysOf, fmt.Sprintf(`{"kid":"own","public_key":%q}`, pair.json["public_key"]))
	if own.json["algorithm"] != "EdDSA" || own.json["signs"] != false || own.json["private_key"] != nil {
		t.Errorf("%v", own.json)
	}
	token, err := signer.Sign(playback.Claims{Publisher: "acme", ExpiresAt: time.Now().Add(time.Hour)})
	if err != nil || f.admits(token, "show", "") {
		t.Error("a token of another pair is let in", err)
	}

	list := f.must(200, "GET", keysOf, "")
	if items, _ := list.json["items"].([]any); len(items) != 3 || strings.Contains(list.Body.String(), secret) ||
		strings.Contains(list.Body.String(), "PRIVATE") {
		t.Errorf("%s", list.Body)
	}
	if one := f.must(200, "GET", keysOf+"/own", ""); one.json["public_key"] != pair.json["public_key"] {
		t.Errorf("%v", one.json)
	}
	for _, bad := range []struct {
		status         int
		body, location string
	}{
		{409, `{"kid":"own"}`, "body.kid"},
		{422, `{"kid":"a/b"}`, "body.kid"},
		{422, `{"kid":".."}`, "body.kid"}, // a client would take it for the path above
		{422, `{"algorithm":"none"}`, "body.algorithm"},
		{422, `{"algorithm":"HS256","public_key":"x"}`, "body.public_key"},
		{422, `{"public_key":"x"}`, "body.public_key"},
		{422, fmt.Sprintf(`{"public_key":%q}`, private), "body.public_key"},
		{422, `{"expires_at":"2001-01-01T00:00:00Z"}`, "body.expires_at"},
		{422, `{"label":"a\u0000b"}`, "body.label"},
		{422, `{"secret":"mine"}`, "body.secret"},
	} {
		wantProblem(t, f.do("POST", keysOf, bad.body), bad.status, bad.location)
	}
	wantProblem(t, f.do("POST", "/v1/publishers/nobody/playback-keys", ""), 404, "path.publisher")
	wantProblem(t, f.do("GET", "/v1/publishers/nobody/playback-keys", ""), 404, "path.publisher")
	wantProblem(t, f.do("GET", keysOf+"/none", ""), 404, "path.kid")
	wantProblem(t, f.do("DELETE", keysOf+"/none", ""), 404, "path.kid")
	wantProblem(t, f.do("DELETE", "/v1/publishers/beta/playback-keys/own", ""), 404, "path.kid")

	*told = nil
	f.must(204, "DELETE", keysOf+"/own", "")
	f.must(200, "PATCH", "/v1/publishers/acme/streams/show", `{"playback":"public"}`)
	f.must(200, "PATCH", "/v1/publishers/acme/streams/show", `{"listed":true}`)
	f.must(200, "PATCH", "/v1/publishers/acme/streams/show?dry_run=true", `{"listed":true}`)
	if len(*told) != 2 || (*told)[0].Type != media.EventPlayback || (*told)[1].Publisher != "acme" {
		t.Errorf("told %+v", *told)
	}
}

// wantProblem insists on a problem that names the location.
func wantProblem(t *testing.T, a answer, status int, location string) {
	t.Helper()
	if a.Code != status || !strings.Contains(a.Body.String(), `"location":"`+location+`"`) {
		t.Errorf("%d %s, want %d at %s", a.Code, a.Body, status, location)
	}
}

func TestPlaybackTokens(t *testing.T) {
	f, _ := newPlaybackFixture(t)
	id := f.recording(media.StreamPath{Publisher: "acme", Stream: "show"}, 1, media.Ended)
	other := f.recording(media.StreamPath{Publisher: "beta", Stream: "show"}, 2, media.Ended)
	wantProblem(t, f.do("POST", tokensOf, ""), 409, "path.publisher")
	f.must(201, "POST", keysOf, `{"kid":"old","expires_at":"2099-01-01T00:00:00Z"}`)
	f.must(201, "POST", keysOf, `{"kid":"pair","algorithm":"EdDSA"}`)
	public := f.must(200, "GET", keysOf+"/pair", "").json["public_key"]
	f.must(201, "POST", keysOf, fmt.Sprintf(`{"kid":"theirs","public_key":%q}`, public))

	all := f.must(201, "POST", tokensOf, "")
	left := func(a answer) time.Duration {
		text, _ := a.json["expires_at"].(string)
		end, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(end).Round(10 * time.Second)
	}
	if all.json["kid"] != "pair" || all.json["url"] != "" || all.json["prefix"] != fmt.Sprint("/t/", all.json["token"]) ||
		left(all) != time.Hour || !f.admits(all.json["token"], "show", "") || !f.admits(all.json["token"], "any", string(id)) {
		t.Errorf("%v", all.json)
	}
	show := f.must(201, "POST", tokensOf, `{"stream":"show","kid":"old","expires_in":"720h","ip":"192.0.2.0/24","origin":"https://a.example"}`)
	if show.json["kid"] != "old" || show.json["url"] != fmt.Sprint(show.json["prefix"], "/acme/show/index.m3u8") ||
		left(show) != 720*time.Hour || !f.admits(show.json["token"], "show", "") || f.admits(show.json["token"], "any", "") {
		t.Errorf("%v", show.json)
	}
	one := f.must(201, "POST", tokensOf, fmt.Sprintf(`{"recording":%q}`, id))
	if one.json["url"] != fmt.Sprint(one.json["prefix"], "/acme/show/", id, "/index.m3u8") ||
		!f.admits(one.json["token"], "show", string(id)) || f.admits(one.json["token"], "show", "") {
		t.Errorf("%v", one.json)
	}
	later := f.must(201, "POST", tokensOf, fmt.Sprintf(`{"not_before":%q}`, time.Now().Add(10*time.Minute).Format(time.RFC3339)))
	if f.admits(later.json["token"], "show", "") {
		t.Error("a token for later is good now")
	}
	for _, bad := range []struct {
		status         int
		body, location string
	}{
		{422, `{"expires_in":"9s"}`, "body.expires_in"},
		{422, `{"expires_in":"721h"}`, "body.expires_in"},
		{422, `{"expires_in":"soon"}`, "body.expires_in"},
		{422, `{"not_before":"2099-01-01T00:00:00Z"}`, "body.not_before"},
		{422, `{"ip":"here"}`, "body.ip"},
		{422, `{"origin":"www.example.com"}`, "body.origin"},
		{404, `{"stream":"none"}`, "body.stream"},
		{404, `{"recording":"none"}`, "body.recording"},
		{404, fmt.Sprintf(`{"recording":%q}`, other), "body.recording"},
		{404, fmt.Sprintf(`{"stream":"other","recording":%q}`, id), "body.recording"},
		{404, `{"kid":"none"}`, "body.kid"},
		{422, `{"kid":"theirs"}`, "body.kid"},
		{422, `{"exp":1}`, "body.exp"},
	} {
		wantProblem(t, f.do("POST", tokensOf, bad.body), bad.status, bad.location)
	}
	wantProblem(t, f.do("POST", "/v1/publishers/nobody/playback-tokens", ""), 404, "path.publisher")
}

// fragile is a catalog that can be taken away.
type fragile struct {
	Playback
	away  bool
	built int
}

var errAway = errors.New("away")

func (f *fragile) PlaybackVersion(ctx context.Context) (int64, error) {
	if f.away {
		return 0, errAway
	}
	return f.Playback.PlaybackVersion(ctx)
}

func (f *fragile) PlaybackPolicies(ctx context.Context) (media.PlaybackPolicies, error) {
	f.built++
	return f.Playback.PlaybackPolicies(ctx)
}

func TestEdgesAreToldWhoMayWatch(t *testing.T) {
	var db *fragile
	f := newFixture(t, func(_ *Config, d *Deps) {
		db = &fragile{Playback: d.Playback, away: true}
		d.Playback = db
	})
	ask := func(status int, tag string) answer {
		t.Helper()
		a := f.send(f.Internal(), http.MethodGet, "/internal/v1/playback", "", "If-None-Match", tag)
		if a.Code != status || a.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", a.Code, a.Header(), a.Body)
		}
		return a
	}
	ask(503, "")
	db.away = false
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	empty := ask(200, "")
	tag := empty.Header().Get("Etag")
	ask(304, tag)
	if db.built != 1 {
		t.Errorf("built %d times", db.built)
	}
	f.must(200, "PATCH", "/v1/publishers/acme", `{"playback":"signed"}`)
	secret := f.must(201, "POST", keysOf, "").json["secret"]
	whole := ask(200, tag)
	acme, _ := whole.json["publishers"].(map[string]any)["acme"].(map[string]any)
	if acme["playback"] != "signed" || len(acme["keys"].([]any)) != 1 || secret == "" || db.built != 2 {
		t.Errorf("%s, built %d times", whole.Body, db.built)
	}
	tag = whole.Header().Get("Etag")
	db.away = true
	if a := ask(304, tag); a.Header().Get("Age") == "" {
		t.Error("what is remembered has no Age")
	}
	a := ask(200, "")
	if a.json["remembered"] != true || a.Header().Get("Etag") == tag {
		t.Errorf("%s", a.Body)
	}
	ask(304, a.Header().Get("Etag"))
	if public := f.do("GET", "/internal/v1/playback", ""); public.Code != 404 {
		t.Errorf("the open port answers %d", public.Code)
	}
}
