package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// called is a call whose output can be read.
type called struct {
	*Call
	out, errs bytes.Buffer
}

func newCalled(t *testing.T, url string, change func(*Connection)) *called {
	t.Helper()
	c := &called{}
	connection := Connection{API: url, Token: testToken, Timeout: 10 * time.Second}
	if change != nil {
		change(&connection)
	}
	call, err := connection.ProvideCall(Process{
		Context: t.Context(), Stdin: strings.NewReader("from stdin\n"), Stdout: &c.out, Stderr: &c.errs,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Call = call
	return c
}

// numbers is an API with a list of n things in pages of at most most.
func numbers(t *testing.T, n, most int) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil {
			limit = defaultPage
		}
		to := min(n, from+min(limit, most))
		var p struct {
			Items []map[string]any `json:"items"`
			Next  string           `json:"next"`
		}
		p.Items = []map[string]any{}
		for i := from; i < to; i++ {
			p.Items = append(p.Items, map[string]any{"id": "n" + strconv.Itoa(i), "bytes": i * 1024, "name": "a\tb\x1b[31m"})
		}
		if to < n {
			p.Next = strconv.Itoa(to)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func numberTable() table {
	return table{columns: []string{"ID=id", "SIZE=bytes", "NAME=name", "+WIDE=id"}, id: by("id")}
}

func TestListsArePaged(t *testing.T) {
	for _, c := range []struct {
		things, pages int
		paging        Paging
		want          int
		more          bool
	}{
		{3, 500, Paging{Limit: 50}, 3, false},
		{120, 500, Paging{Limit: 50}, 50, true},
		{120, 500, Paging{Limit: 120}, 120, false},
		{120, 10, Paging{Limit: 25}, 25, true},
		{1200, 500, Paging{Limit: 50, All: true}, 1200, false},
		{1200, 500, Paging{Limit: 700}, 700, true},
		{0, 500, Paging{Limit: 50}, 0, false},
		{1, 500, Paging{Limit: 1}, 1, false},
	} {
		url := numbers(t, c.things, c.pages)
		quiet := newCalled(t, url, func(c *Connection) { c.Quiet = true })
		people := newCalled(t, url, nil)
		program := newCalled(t, url, func(c *Connection) { c.JSON = true })
		for _, call := range []*called{quiet, people, program} {
			if err := call.list("/v1/x", nil, c.paging, numberTable()); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Count(quiet.out.String(), "\n"); got != c.want {
			t.Errorf("%+v: %d ids", c, got)
		}
		if got := strings.Count(people.out.String(), "\n"); got != c.want+1 {
			t.Errorf("%+v: %d lines", c, got)
		}
		if got := strings.Contains(people.errs.String(), "There are more"); got != c.more {
			t.Errorf("%+v: more %v", c, got)
		}
		var items []map[string]any
		if err := json.Unmarshal(program.out.Bytes(), &items); err != nil || items == nil || len(items) != c.want {
			t.Errorf("%+v: %d items, %v", c, len(items), err)
		}
	}
}

func TestTablesAreForPeople(t *testing.T) {
	url := numbers(t, 2, 500)
	c := newCalled(t, url, nil)
	if err := c.list("/v1/x", nil, Paging{Limit: 50}, numberTable()); err != nil {
		t.Fatal(err)
	}
	if want := "ID  SIZE     NAME\nn0  0 B      a b\ufffd[31m\nn1  1.0 KiB  a b\ufffd[31m\n"; c.out.String() != want {
		t.Errorf("%q, want %q", c.out.String(), want)
	}
	wide := newCalled(t, url, func(c *Connection) { c.Wide = true })
	if err := wide.list("/v1/x", nil, Paging{Limit: 50}, numberTable()); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(wide.out.String(), "ID  SIZE     NAME      WIDE\n") {
		t.Errorf("%q", wide.out.String())
	}
}

func TestAListThatDoesNotGoOnEnds(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"items":[],"next":"same","unreachable":["b"]}`))
	}))
	defer s.Close()
	c := newCalled(t, s.URL, func(c *Connection) { c.JSON = true })
	err := c.list("/v1/x", nil, Paging{Limit: 50, All: true}, numberTable())
	if err == nil || !strings.Contains(err.Error(), "does not go on") {
		t.Error(err)
	}
	if !strings.Contains(c.errs.String(), "no answer from b") {
		t.Errorf("%q", c.errs.String())
	}
}

func TestAnswersOfAnotherShape(t *testing.T) {
	for _, body := range []string{`[]`, `1`, `{"items":1}`, `{"items":[1]}`, strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50)} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(body))
		}))
		show, list := newCalled(t, s.URL, nil), newCalled(t, s.URL, nil)
		shown, listed := show.show("/v1/x", by("id")), list.list("/v1/x", nil, Paging{Limit: 50}, numberTable())
		s.Close()
		if shown != nil && !errors.Is(shown, errShape) || listed != nil && !errors.Is(listed, errShape) || shown == nil && listed == nil {
			t.Errorf("%.40s: %v, %v", body, shown, listed)
		}
	}
}

func TestSettingsGetTheirTypes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("hush hush hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newCalled(t, "http://h", nil)
	got, err := c.settings([]string{
		"retention=720h", "keep=true", "listed=off", "max_streams=3", "retention_bytes=20GiB", "max_bitrate=5M",
		"captions=CC1=en,x", "archive=", "srt_passphrase=@" + file, "subtitles=@-",
	}, streamOnly())
	want := map[string]any{
		"retention": "720h", "keep": true, "listed": false, "max_streams": int64(3), "retention_bytes": int64(20 << 30),
		"max_bitrate": int64(5e6), "captions": "CC1=en,x", "archive": "", "srt_passphrase": "hush hush hush",
		"subtitles": "from stdin",
	}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for bad, want := range map[string]string{
		"retentoin=1h":          "did you mean retention?",
		"max_stream=1":          "did you mean max_streams?",
		"x=1":                   "there are archive, archive_delay,",
		"retention":             "write NAME=VALUE",
		"max_streams=many":      "use a whole number",
		"max_streams=1.5":       "use a whole number",
		"max_streams=5MiBi":     "use a whole number",
		"retention_bytes=9e99G": "use a whole number",
		"keep=maybe":            "use true or false",
		"srt_passphrase=x":      "unknown",
		"group=@/none":          "/none",
	} {
		if _, err := c.settings([]string{bad}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", bad, err, want)
		}
	}
	if _, err := c.settings([]string{"keep=true", "keep=false"}, nil); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
}

func TestMoments(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.FixedZone("", 3600))
	for text, want := range map[string]string{
		"2h": "2026-11-20T13:00:00Z", "0s": "2026-11-20T11:00:00Z", "2026-11-20": "2026-11-19T23:00:00Z",
		"2026-11-20 10:38": "2026-11-20T09:38:00Z", "2026-11-20T10:38": "2026-11-20T09:38:00Z",
		"2026-11-20 10:38:01": "2026-11-20T09:38:01Z", "2026-11-20T10:38:00.5Z": "2026-11-20T10:38:00.5Z",
	} {
		if got, err := parseMoment(text, now, 1); err != nil || rfc3339(got) != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	if got, err := parseMoment("2h", now, -1); err != nil || rfc3339(got) != "2026-11-20T09:00:00Z" {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "-2h", "noon", "20.11.2026", "2"} {
		if got, err := parseMoment(bad, now, 1); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}

func TestNamesAsArguments(t *testing.T) {
	var s streamName
	if err := s.UnmarshalText([]byte("acme/show")); err != nil || s.path("/keys") != "/v1/publishers/acme/streams/show/keys" {
		t.Errorf("%v, %v", s, err)
	}
	var scope scopeName
	if err := scope.UnmarshalText([]byte("acme")); err != nil || scope != (scopeName{Publisher: "acme"}) {
		t.Errorf("%v, %v", scope, err)
	}
	for _, bad := range []string{"", "/", "acme/", "/show", "a/b/c", "Acme/show", "../x"} {
		if s.UnmarshalText([]byte(bad)) == nil || scope.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if got := place("/v1/nodes/", "a/../b?c", "/drain"); got != "/v1/nodes/a%2F..%2Fb%3Fc/drain" {
		t.Error(got)
	}
}

func TestValuesForPeople(t *testing.T) {
	for _, c := range []struct {
		name  string
		value string // JSON
		want  string
	}{
		{"bytes", `0`, "0 B"}, {"bytes", `1536`, "1.5 KiB"}, {"delete_bytes", `1e15`, "909 TiB"},
		{"duration_ms", `90500`, "1m31s"}, {"lag_ms", `-5`, "-5ms"}, {"bitrate_bps", `2500000`, "2.5 Mbit/s"},
		{"load.bits_in", `999`, "999 bit/s"}, {"count", `12`, "12"}, {"keep", `true`, "yes"}, {"x", `null`, "-"},
		{"x", `""`, "-"}, {"x", `[]`, "-"}, {"scopes", `["a","b"]`, "a, b"}, {"labels", `{"b":"1","a":"2"}`, "b=1 a=2"},
		{"name", `"2026-11-20T10:38:00Z"`, "2026-11-20T10:38:00Z"}, {"name", `"a\u0007\nb\u202e"`, "a\ufffd b\ufffd"},
	} {
		o, err := decodeObject([]byte(`{"v":` + c.value + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := human(c.name, o.get("v")); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.name, c.value, got, c.want)
		}
	}
	moment := time.Date(2026, 11, 20, 10, 38, 0, 0, time.UTC)
	if got, want := human("created_at", "2026-11-20T10:38:00Z"), moment.Local().Format(time.DateTime); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestKeysCanBeCopied(t *testing.T) {
	o := object{{"kid", "k"}, {"private_key", "-----BEGIN PRIVATE KEY-----\nAA\x1b\n-----END PRIVATE KEY-----\n"}}
	var out bytes.Buffer
	if err := showAll(&out, o); err != nil {
		t.Fatal(err)
	}
	want := "kid  k\nprivate_key\n-----BEGIN PRIVATE KEY-----\nAA\ufffd\n-----END PRIVATE KEY-----\n"
	if out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
}

func FuzzShow(f *testing.F) {
	f.Add([]byte(`{"items":[{"a":{"b":[1,null,"x",{"c":true}]}}],"at":"2026-11-20T10:38:00Z"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := decodeObject(text)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := showAll(&out, o); err != nil {
			t.Fatal(err)
		}
		if i := bytes.IndexFunc(out.Bytes(), func(r rune) bool { return r < ' ' && r != '\n' }); i >= 0 {
			t.Errorf("a control character at %d of %q", i, out.Bytes())
		}
	})
}
