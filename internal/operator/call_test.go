package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// called is a call whose output can be read.
type called struct {
	*Call
	out, errs bytes.Buffer
}

func newCalled(t *testing.T, url string, change func(*Connection)) *called {
	t.Helper()
	c := &called{}
	connection := Connection{API: url, Token: testToken, Timeout: time.Minute}
	if change != nil {
		change(&connection)
	}
	call, err := connection.ProvideCall(Process{
		Context: t.Context(), Stdin: strings.NewReader("de\n"), Stdout: &c.out, Stderr: &c.errs,
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
	body, err := c.settings([]string{
		"retention=720h", "keep=yes", "listed=off", "max_streams=3", "retention_bytes=20GiB", "max_bitrate=5M",
		"captions=CC1=en", "archive=", "srt_passphrase=@" + file, "subtitles=@-",
	}, streamOnly())
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(body)
	want := `{"archive":"","captions":"CC1=en","keep":true,"listed":false,"max_bitrate":5000000,"max_streams":3,` +
		`"retention":"720h","retention_bytes":21474836480,"srt_passphrase":"hush hush hush","subtitles":"de"}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	for bad, want := range map[string]string{
		"retentoin=1h":          `"retentoin" is no setting: did you mean "retention"?`,
		"max_stream=1":          `did you mean "max_streams"?`,
		"x=@/none":              "`oxbow settings` lists them",
		"retention":             "write NAME=VALUE",
		"retention=1ms":         "retention: 1ms is out of range: use 1s to 876000h, or 0s for ever; see `oxbow settings retention`",
		"max_streams=many":      "use 1 to 1000000",
		"max_streams=1.5":       "no whole number",
		"max_streams=5MiBi":     "no whole number",
		"retention_bytes=9e99G": "no whole number",
		"retention_bytes=1.5B":  "no whole number",
		"keep=maybe":            "neither true nor false",
		"srt_passphrase=x":      "is no setting",
		"group=@/none":          "/none",
	} {
		if _, err := c.settings([]string{bad}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", bad, err, want)
		}
	}
	if _, err := c.settings([]string{"keep=true", "keep=false"}, nil); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
	if _, err := c.settings([]string{"srt=x"}, streamOnly()); !errors.As(err, new(UsageError)) ||
		!strings.Contains(err.Error(), "streams have srt_passphrase too") {
		t.Error(err)
	}
}

func TestSettingsAreListedFromTheTable(t *testing.T) {
	run := func(l ListSettings) string {
		c := newCalled(t, "http://h", func(o *Connection) { o.JSON = l.JSON })
		if err := l.Run(c.Call); err != nil {
			t.Error(err)
		}
		return c.out.String()
	}
	all := media.SettingsTable()
	people := run(ListSettings{})
	var program []struct {
		Name    string
		Default any
	}
	if err := json.Unmarshal([]byte(run(ListSettings{Connection: Connection{JSON: true}})), &program); err != nil || len(program) != len(all) {
		t.Errorf("%d settings: %v", len(program), err)
	}
	for i, s := range all {
		line := strings.Split(people, "\n")[i+1]
		if !strings.HasPrefix(line, s.Name+" ") {
			t.Errorf("%s: %q", s.Name, line)
		}
		if text := run(ListSettings{Name: s.Name}); !strings.Contains(text, s.Doc) {
			t.Errorf("%s is not explained: %s", s.Name, text)
		}
	}
	if err := (&ListSettings{Name: "kep"}).Run(newCalled(t, "http://h", nil).Call); err == nil || !strings.Contains(err.Error(), `did you mean "keep"?`) {
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

// deep gives an object of long names, one in the other, with n values in the innermost.
func deep(name, n int) string {
	const levels = maxDepth - 1
	return strings.Repeat(`{"`+strings.Repeat("n", name)+`":`, levels) + "{" + strings.Repeat(`"":1,`, n) + `"":1}` +
		strings.Repeat("}", levels)
}

func TestWhatIsShownIsBoundedByTheAnswer(t *testing.T) {
	text := deep(200, 2000)
	o, err := decodeObject([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := showAll(&out, o); err != nil || out.Len() > 50*len(text) {
		t.Errorf("%d bytes are shown as %d: %v", len(text), out.Len(), err)
	}
}

func FuzzShow(f *testing.F) {
	f.Add([]byte(`{"items":[{"a":{"b":[1,null,"x",{"c":true}]}}],"at":"2026-11-20T10:38:00Z"}`))
	f.Add([]byte(deep(200, 10)))
	f.Fuzz(func(t *testing.T, text []byte) {
		const most = 64 << 10 // the time of a longer one grows with its length alone
		if len(text) > most {
			return
		}
		o, err := decodeObject(text)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := showAll(&out, o); err != nil {
			t.Fatal(err)
		}
		if out.Len() > 200*len(text)+maxText {
			t.Errorf("%d bytes are shown as %d", len(text), out.Len())
		}
		if i := bytes.IndexFunc(out.Bytes(), func(r rune) bool { return r < ' ' && r != '\n' }); i >= 0 {
			t.Errorf("a control character at %d of %q", i, out.Bytes())
		}
	})
}

func TestTimesInTablesAreShort(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for want, d := range map[string]time.Duration{
		"now": 0, "119s ago": -119 * time.Second, "2m ago": -2 * time.Minute, "in 119m": 119*time.Minute + 1,
		"47h ago": -48*time.Hour + 1, "in 30d": 30 * 24 * time.Hour,
	} {
		if got := shortAge(now.Add(d).Format(time.RFC3339Nano), now); got != want || len(got) > 8 {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
	for text, want := range map[string]string{"": "-", "soon": "-", "2020-01-02T12:00:00Z": "2020-01-02"} {
		if got := shortAge(text, now); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}
