package operator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
)

const testToken = "oxt_test"

func mustClient(tb testing.TB, url string, timeout time.Duration) *Client {
	tb.Helper()
	c, err := NewClient(ClientConfig{URL: url, Token: testToken, Timeout: timeout, Version: "test"})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// server answers every request with the function; its client is c.
func server(t *testing.T, answer http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return mustClient(t, s.URL, time.Minute)
}

func TestAnswersAreBounded(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a body without end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for block := []byte(strings.Repeat("[", 1<<16)); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, "the answer is too long"},
		"an error without end": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusConflict)
			for block := []byte(strings.Repeat("x", 1<<16)); ; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, "GET /v1/x: 409 Conflict"},
		"a page for people": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write([]byte("<html>"))
		}, "no JSON: is http://127.0.0.1"},
		"broken JSON": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(`{"items":[`))
		}, "no JSON"},
		"half a body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{}`))
		}, "unexpected EOF"},
		"a proxy's error": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<html>", http.StatusBadGateway)
		}, "502 Bad Gateway\n  is http://127.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := server(t, c.answer).Do(t.Context(), Request{Method: http.MethodGet, Path: "/v1/x"})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestAServerThatHangsIsGivenUp(t *testing.T) {
	hang := make(chan struct{})
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/v1/body" {
			_, _ = w.Write([]byte("["))
			_ = http.NewResponseController(w).Flush()
		}
		<-hang
	})
	t.Cleanup(func() { close(hang) })
	c.cfg.Timeout = 50 * time.Millisecond
	for _, path := range []string{"/v1/head", "/v1/body"} {
		if _, err := c.Do(t.Context(), Request{Method: http.MethodGet, Path: path}); !errors.Is(err, errTimeout) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestTheTokenGoesToTheAPIAlone(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed: %v", r.Header)
	}))
	defer other.Close()
	c := server(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "Bearer "+testToken {
			t.Errorf("Authorization: %q", got)
		}
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	_, err := c.Do(t.Context(), Request{Method: http.MethodPost, Path: "/v1/x", Body: fields{"a": 1}})
	if err == nil || !strings.Contains(err.Error(), "the server redirects to "+other.URL) {
		t.Error(err)
	}
}

func TestErrorsNameTheFieldAndSayWhatToDo(t *testing.T) {
	problem := func(status int, document string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "100")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(document))
		}
	}
	for _, c := range []struct {
		status   int
		document string
		want     string
	}{
		{422, `{"detail":"two are wrong","errors":[{"location":"body.a","message":"use 1"},{"location":"body.b","message":"use 2"}]}`,
			"two are wrong\n  at fault: body.a: use 1\n  at fault: body.b: use 2"},
		{422, `{"detail":"a: use 1","errors":[{"location":"body.a","message":"use 1"}]}`, "a: use 1\n  at fault: body.a"},
		{401, `{"detail":"who?"}`, "who?\n  set OXBOW_TOKEN or --token-file to a token of this server; if all are lost, " + tokenAnew},
		{403, `{"detail":"needs admin"}`, "needs admin\n  `oxbow token show` tells what the token may; one with wider scopes " +
			"is made by `oxbow token create`"},
		{412, `{"detail":"changed"}`, "changed\n  look with show, and give its new revision to --if-match"},
		{429, `{"detail":"slowly"}`, "slowly\n  try again in 1m40s"},
		{409, `{"title":"Conflict"}`, "Conflict"},
		{404, `{"detail":"no","errors":[{"location":"path.id","message":"no"}]}`, "no\n  at fault: path.id"},
		{409, `{"detail":"\u001b[2J\u0007red"}`, "\ufffd[2J\ufffdred"},
	} {
		_, err := server(t, problem(c.status, c.document)).Do(t.Context(), Request{Method: http.MethodPost, Path: "/v1/x"})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s:\n%v\nwant\n%s", c.document, err, c.want)
		}
	}
}

func TestUnusableConfigurations(t *testing.T) {
	for _, cfg := range []ClientConfig{
		{URL: "127.0.0.1:8080", Token: "x"}, {URL: "http://u:hush@h", Token: "x"}, {URL: "http://h"},
		{URL: "http://h", Token: "a\nb"}, {URL: "", Token: "x"},
	} {
		_, err := NewClient(cfg)
		if !errors.As(err, new(UsageError)) || strings.Contains(err.Error(), "hush") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	if c, err := NewClient(ClientConfig{URL: "http://h/base/v1/", Token: "x"}); err != nil || c.cfg.URL != "http://h/base" {
		t.Errorf("%+v, %v", c, err)
	}
}

// transport answers requests without a network, for tests in a bubble.
type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

func answered(status int, header http.Header, body io.ReadCloser) *http.Response {
	return &http.Response{StatusCode: status, Header: header, Body: body}
}

func TestABusyServerIsAskedAgain(t *testing.T) {
	for _, c := range []struct {
		method string
		status int
		after  string
		want   int // requests
	}{
		{http.MethodGet, 503, "2", 4},
		{http.MethodGet, 429, "2", 4},
		{http.MethodPost, 429, "2", 4},
		{http.MethodPost, 503, "2", 1}, // it may have been done
		{http.MethodGet, 503, "11", 1}, // too long to wait
		{http.MethodGet, 500, "", 1},
		{http.MethodGet, 503, "x", 4},
	} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			keys := map[string]bool{}
			client := mustClient(t, "http://h", time.Minute)
			client.http.Transport = transport(func(r *http.Request) (*http.Response, error) {
				asked++
				keys[r.Header.Get("Idempotency-Key")] = true
				header := http.Header{"Content-Type": {"application/problem+json"}, "Retry-After": {c.after}}
				return answered(c.status, header, io.NopCloser(strings.NewReader(`{"detail":"busy"}`))), nil
			})
			_, err := client.Do(t.Context(), Request{Method: c.method, Path: "/v1/x", Creates: c.method == http.MethodPost})
			if err == nil || asked != c.want || len(keys) != 1 {
				t.Errorf("%s %d %s: %d requests with %d keys, %v; want %d", c.method, c.status, c.after, asked, len(keys), err, c.want)
			}
		})
	}
}

func TestFollowGoesOnBehindTheLastEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := mustClient(t, "http://h", time.Minute)
		var asked []string
		client.http.Transport = transport(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.Header.Get("Last-Event-ID"))
			header := http.Header{"Content-Type": {"text/event-stream; charset=utf-8"}}
			switch len(asked) {
			case 1:
				return answered(200, header, io.NopCloser(strings.NewReader("event: lost\nid: 6\ndata: {}\n\n"+
					": beat\n\nid: 7\nevent: a\ndata: {\"n\":7}\n\nid: 8\ndata: {\"n\":8}\ndata:  \n\nid: 9\ndata: cut"))), nil
			case 2:
				return nil, errors.New("away")
			case 3: // it hangs: silence ends it
				body, w := io.Pipe()
				stop := context.AfterFunc(r.Context(), func() { _ = w.CloseWithError(context.Cause(r.Context())) })
				t.Cleanup(func() { stop() })
				return answered(200, header, body), nil
			}
			return answered(200, header, io.NopCloser(strings.NewReader("id: 9\r\ndata: nine\r\n\r\n"))), nil
		})
		var got []string
		var lost []error
		gaps := 0
		err := client.Follow(t.Context(), Feed{
			Path: "/v1/events/stream",
			Take: func(e ServerEvent) error {
				got = append(got, e.ID+"="+string(e.Data))
				if e.ID == "9" {
					return ErrEnough
				}
				return nil
			},
			Gap:  func() { gaps++ },
			Lost: func(err error) { lost = append(lost, err) },
		})
		if err != nil {
			t.Error(err)
		}
		if want := `[7={"n":7} 8={"n":8}` + "\n  9=nine]"; fmt.Sprint(got) != want {
			t.Errorf("events %q, want %q", got, want)
		}
		if want := "[ 8 8 8]"; fmt.Sprint(asked) != want {
			t.Errorf("resumed behind %v, want %v", asked, want)
		}
		if gaps != 1 || len(lost) != 3 || !errors.Is(lost[0], errStreamEnded) || !errors.Is(lost[2], errTimeout) {
			t.Errorf("lost: %v", lost)
		}
	})
}

func TestFollowEndsWhereItIsRefused(t *testing.T) {
	for want, answer := range map[string]http.HandlerFunc{
		"403 Forbidden": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"no event stream": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
		},
	} {
		err := server(t, answer).Follow(t.Context(), Feed{Path: "/v1/events/stream"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	nobody := mustClient(t, "http://127.0.0.1:1", time.Second)
	if err := nobody.Follow(t.Context(), Feed{}); err == nil || !strings.Contains(err.Error(), "nobody answers at") {
		t.Error(err)
	}
}

func FuzzReadEvents(f *testing.F) {
	f.Add("id: 1\nevent: a\ndata: {}\n\n")
	f.Add(": beat\n\ndata\ndata:x\r\n\r\nid:\x00\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		defer fuzztest.Bound(t, 4<<20+64*len(text))()
		err := readEvents(strings.NewReader(text), func() {}, func(e ServerEvent) error {
			if len(e.Data) > maxEvent || clean(e.ID, maxCell) != e.ID {
				t.Errorf("%+v", e)
			}
			return nil
		})
		if err == nil {
			t.Error("it ended without an error")
		}
	})
}
