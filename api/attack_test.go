package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
)

func TestOneTokenHasOneRateHoweverItIsWritten(t *testing.T) {
	f := newFixture(t, func(c *Config, _ *Deps) { c.Rate = 1 })
	now := time.Now()
	f.limits.tokens.now = func() time.Time { return now }
	refused := 0
	for i := range 8 {
		header := []string{"Bearer ", "bearer ", "BEARER ", "Bearer  "}[i%4] + strings.Repeat(" ", i/4) + token
		if a := f.do("GET", "/v1/publishers", "", "Authorization", header); a.Code == 429 {
			refused++
		}
	}
	if refused < 5 { // one when it becomes known, and a burst of two
		t.Errorf("only %d of 8 were refused", refused)
	}
}

func TestPublishersTokenTakesBackNoLimit(t *testing.T) {
	f := newFixture(t, nil)
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	f.must(200, "PATCH", "/v1/publishers/acme", `{"max_streams":1,"max_bitrate":5000000}`)
	f.must(200, "PATCH", "/v1/publishers/acme/streams/show", `{"max_bitrate":1000000}`)
	writer := f.give("acme", media.ScopeWrite)
	const publisher, stream = "/v1/publishers/acme", "/v1/publishers/acme/streams/show"
	for _, c := range []struct{ target, body, location string }{
		{publisher, `{"reset":["max_streams"]}`, "body.reset[0]"},
		{publisher, `{"listed":true,"reset":["dvr_window","max_bitrate"]}`, "body.reset[1]"},
		{stream, `{"reset":["max_bitrate"]}`, "body.reset[0]"},
		{stream + "?dry_run=true", `{"reset":["max_resolution"]}`, "body.reset[0]"},
	} {
		a := f.as(writer, "PATCH", c.target, c.body)
		if a.Code != 403 || !slices.Equal(a.locations(), []string{c.location}) {
			t.Errorf("%s %s: %d %s", c.target, c.body, a.Code, a.Body)
		}
	}
	if a := f.must(200, "GET", stream, ""); a.json["max_bitrate"] != 1e6 {
		t.Errorf("%v", a.json)
	}
	if a := f.as(writer, "PATCH", stream, `{"reset":["dvr_window"]}`); a.Code != 200 {
		t.Errorf("its own settings: %d %s", a.Code, a.Body)
	}
	f.must(200, "PATCH", stream, `{"reset":["max_bitrate"]}`)
}

// PostgreSQL takes neither a zero byte nor what is no UTF-8.
func TestTextThatNoDatabaseTakesIsRefusedByName(t *testing.T) {
	f := newFixture(t, withLog)
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	for path, item := range openAPI(t, f)["paths"].(map[string]any) {
		for method, value := range item.(map[string]any) {
			params, _ := value.(map[string]any)["parameters"].([]any)
			for _, p := range params {
				param := p.(map[string]any)
				name, in := fmt.Sprint(param["name"]), param["in"]
				for _, bad := range []string{"a\x00b", "\xff"} {
					target := strings.NewReplacer("{publisher}", "acme", "{stream}", "show").Replace(path)
					want := 404
					switch in {
					case "path":
						target = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(bad))
						target = strings.NewReplacer("{publisher}", "acme", "{stream}", "show").Replace(target)
					case "query":
						target, want = target+"?"+name+"="+url.QueryEscape(bad), 422
					default:
						continue
					}
					target = strings.ReplaceAll(target, "{recording}", string(recordingID(1)))
					target = strings.NewReplacer("{", "", "}", "").Replace(target)
					a := f.do(strings.ToUpper(method), target, "{}")
					if a.Code != want || !slices.ContainsFunc(a.locations(), func(l string) bool {
						return strings.HasPrefix(l, fmt.Sprint(in, ".", name))
					}) {
						t.Errorf("%s %q: %d %s", method, target, a.Code, a.Body)
					}
				}
			}
		}
	}
}

func TestBodiesThatMeanTwoThingsAreRefused(t *testing.T) {
	f := newFixture(t, nil)
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	const keys, hooks = "/v1/publishers/acme/streams/show/keys", "/v1/webhooks"
	for _, c := range []struct {
		name, target, body string
		status             int
		location           string
	}{
		{"zero byte", keys, `{"label":"a\u0000b"}`, 422, "body.label"},
		{"zero byte in a list", hooks, `{"url":"https://example.com","events":["a\u0000"]}`, 422, "body.events[0]"},
		{"no UTF-8", keys, "{\"label\":\"\xff\"}", 400, "body"},
		{"byte order mark", keys, "\ufeff{}", 400, "body"},
		{"twice", keys, `{"label":"a","label":"b"}`, 400, "body"},
		{"twice, in other case", keys, `{"label":"a","LABEL":"` + strings.Repeat("x", 200) + `"}`, 400, "body"},
		{"twice inside", hooks, `{"url":"https://example.com","x":[{"a":1,"A":2}]}`, 400, "body"},
		{"deep", keys, `{"label":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, 400, "body"},
		{"deep, and taken apart", keys, `{"label":` + strings.Repeat("[", 9000) + strings.Repeat("]", 9000) + `}`, 422, "body.label"},
		{"huge number", "/v1/webhooks/x/replay", `{"after":1e400}`, 400, "body"},
		{"two values", keys, `{} {}`, 400, "body"},
	} {
		a := f.do("POST", c.target, c.body)
		if a.Code != c.status || !slices.Equal(a.locations(), []string{c.location}) {
			t.Errorf("%s: %d %.300s", c.name, a.Code, a.Body)
		}
	}
}

func TestRevocationBeatsALookThatIsUnderWay(t *testing.T) {
	k := newKnownTokens()
	now := time.Now()
	var hash [32]byte
	begun := k.begin()
	k.forget(func(media.Token) bool { return false }) // none is known yet
	k.put(hash, knownToken{media.Token{ID: "a"}, now.Add(tokenAge)}, now, begun)
	if _, ok := k.get(hash, now); ok {
		t.Error("a token that was looked up before the revocation is known after it")
	}
	k.put(hash, knownToken{media.Token{ID: "a"}, now.Add(tokenAge)}, now, k.begin())
	if _, ok := k.get(hash, now); !ok {
		t.Error("a token that was looked up after it is not known")
	}
}

func TestEdgesShowTheClustersToken(t *testing.T) {
	const secret = "of-the-cluster"
	f := newFixture(t, func(c *Config, _ *Deps) { c.Tokens = admission.MustFixed(t, secret) })
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	f.must(200, "PATCH", "/v1/publishers/acme", `{"playback":"signed"}`)
	key := f.must(201, "POST", keysOf, "")
	for header, want := range map[string]int{
		"": 401, "Bearer ": 401, "Bearer wrong": 401, secret: 401, "Basic " + secret: 401, "Bearer " + token: 401,
		"Bearer " + secret + "x": 401, "Bearer " + secret: 200, "bearer " + secret: 200,
	} {
		a := f.send(f.Internal(), "GET", "/internal/v1/playback", "", "Authorization", header)
		told := strings.Contains(a.Body.String(), fmt.Sprint(key.json["kid"]))
		if a.Code != want || told != (want == 200) || want == 401 && a.Header().Get("ETag")+a.Header().Get("Etag") != "" {
			t.Errorf("%q: %d %s", header, a.Code, a.Body)
		}
	}
	if a := f.send(f.Internal(), "GET", "/internal/v1/directory", ""); a.Code != 204 {
		t.Errorf("what tells no secrets: %d", a.Code)
	}
}

// What has a playback token in front may come to a port that plays nothing.
func TestLogTellsNoPlaybackToken(t *testing.T) {
	f := newFixture(t, nil)
	var out bytes.Buffer
	f.log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for _, target := range []string{"/t/SECRET/acme/show/index.m3u8", "/t/SECRET", "/acme/show/index.m3u8?token=SECRET"} {
		a := f.send(f.Public(), "GET", target, "")
		if a.Code != 404 || strings.Contains(out.String(), "SECRET") || out.Len() == 0 {
			t.Errorf("%s: %d, logged %s", target, a.Code, out.String())
		}
	}
}

// FuzzReadBody wants no body to pass that huma could read in one way and the decoder in another.
func FuzzReadBody(f *testing.F) {
	for _, seed := range []string{
		`{"label":"a","LABEL":"b"}`, `{"label":[{"label":1}]}`, `[{"a":"\u0000"}]`, `{"la\u0062el":1,"label":2}`,
		`{"a":{"label":1},"label":{}}`, `{"keyS":1,"\u212aeys":2}`, `"x"`, `{} {}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var parsed any
		if readBody(data, &parsed) != nil {
			return
		}
		fields, _ := parsed.(map[string]any)
		for name := range fields {
			for other := range fields {
				if name != other && strings.EqualFold(name, other) {
					t.Errorf("%q has %q and %q", data, name, other)
				}
			}
		}
		if text, err := json.Marshal(parsed); err != nil || bytes.Contains(text, []byte(`\u0000`)) &&
			!bytes.Contains(data, []byte(`\\u0000`)) && !hasZeroName(parsed) {
			t.Errorf("%q reads as %s, %v", data, text, err)
		}
	})
}

// hasZeroName says whether a name has a zero byte: those are refused as names.
func hasZeroName(value any) bool {
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			if strings.Contains(name, "\x00") || hasZeroName(v[name]) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasZeroName)
	}
	return false
}
