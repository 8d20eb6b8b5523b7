package admission

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const (
	oldToken = "hush-old-0123456789"
	newToken = "hush-new-0123456789"
)

func TestJudge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	mustWrite(t, file, "# the next\n\n "+newToken+" \n"+oldToken+"\n")
	two, err := ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	optional := filepath.Join(t.TempDir(), "tokens")
	mustWrite(t, optional, oldToken+"\r\noptional\r\n")
	loose, err := ReadFile(optional)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		tokens *Tokens
		lines  []string
		want   Verdict
	}{
		"no tokens":              {nil, nil, Open},
		"no tokens, one shown":   {MustFixed(t, ""), []string{"Bearer x"}, Open},
		"right":                  {MustFixed(t, "x"), []string{"Bearer x"}, Right},
		"scheme of another case": {MustFixed(t, "x"), []string{"bEARER x"}, Right},
		"other scheme":           {MustFixed(t, "x"), []string{"Basic x"}, Wrong},
		"no scheme":              {MustFixed(t, "x"), []string{"x"}, Wrong},
		"longer":                 {MustFixed(t, "x"), []string{"Bearer xx"}, Wrong},
		"none":                   {MustFixed(t, "x"), nil, Missing},
		"empty":                  {MustFixed(t, "x"), []string{""}, Wrong},
		"too long":               {MustFixed(t, "x"), []string{"Bearer " + strings.Repeat("x", MaxToken+1)}, Wrong},
		"two lines":              {MustFixed(t, "x"), []string{"Bearer x", "Bearer x"}, Wrong},
		"first of two":           {two, []string{"Bearer " + newToken}, Right},
		"second of two":          {two, []string{"Bearer " + oldToken}, Right},
		"both of two":            {two, []string{"Bearer " + newToken + oldToken}, Wrong},
		"comment":                {two, []string{"Bearer # the next"}, Wrong},
		"optional, right":        {loose, []string{"Bearer " + oldToken}, Right},
		"optional, none":         {loose, nil, Open},
		"optional, wrong":        {loose, []string{"Bearer " + newToken}, Wrong},
		"optional, the word":     {loose, []string{"Bearer optional"}, Wrong},
	} {
		if got := c.tokens.Judge(c.lines); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if shown := two.Shown(); len(shown) != 1 || shown[0] != "Bearer "+newToken {
		t.Errorf("shown: %v", shown)
	}
}

func TestBadFilesChangeNothingAndTellNoTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	for text, want := range map[string]string{
		"":                                  "no token",
		"# only\noptional\n":                "no token",
		oldToken + "\nhush-short\n":         "line 2: a token of 10 bytes is too short",
		strings.Repeat("hush", 200):         "too long",
		"hush-\x00" + oldToken:              "no text",
		"hush-ü" + oldToken:                 "printable ASCII",
		strings.Repeat(oldToken+"\n", 5):    "line 5: there are more than 4",
		strings.Repeat("#hush\n", 20_000):   "more than 65536 bytes",
		"\n\n" + oldToken[:10] + "\n" + "x": "line 3",
	} {
		mustWrite(t, file, oldToken)
		tokens, err := ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		mustWrite(t, file, text)
		for _, read := range []func() error{
			func() error { _, err := tokens.Reload(); return err },
			func() error { _, err := ReadFile(file); return err },
		} {
			err := read()
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), file) ||
				strings.Contains(err.Error(), "hush") {
				t.Errorf("%.40q: %v, want %s", text, err, want)
			}
		}
		if tokens.Judge([]string{"Bearer " + oldToken}) != Right {
			t.Errorf("%.40q: the token of before is refused", text)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("no file: %v", err)
	}
}

// TestRotation changes the secret of three processes that ask each other all the time, one process and one step after
// the other, as docs/security.md has it: from none to one, and from that to another. No request is refused.
func TestRotation(t *testing.T) {
	const members = 3
	dir := t.TempDir()
	var all [members]struct {
		file   string
		tokens *Tokens
		url    string
		client *Transport
	}
	for i := range all {
		m := &all[i]
		m.file = filepath.Join(dir, fmt.Sprint("tokens", i))
		m.tokens = &Tokens{path: m.file}
		m.tokens.now.Store(&tokens{})
		logger := slog.New(slog.DiscardHandler)
		guard := NewGuard(m.tokens, logger, prometheus.NewRegistry())
		server := httptest.NewServer(guard.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), nobody))
		defer server.Close()
		m.url, m.client = server.URL, m.tokens.Transport(http.DefaultTransport, logger)
	}
	askAll := func() error {
		for i := range all {
			for j := range all {
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, all[j].url, http.NoBody)
				if err != nil {
					return err
				}
				resp, err := all[i].client.RoundTrip(req)
				if err != nil {
					return err
				}
				if err := resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
					return fmt.Errorf("%d asks %d: %d, %w", i, j, resp.StatusCode, err)
				}
			}
		}
		return nil
	}
	done := make(chan struct{})
	var asking sync.WaitGroup
	var underWay sync.RWMutex // what was asked in one step is answered before the next, as it is where people take them
	asking.Go(func() {        // beside the changes, so that it falls into them anywhere
		for {
			select {
			case <-done:
				return
			default:
			}
			underWay.RLock()
			err := askAll()
			underWay.RUnlock()
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	steps := 0
	for _, text := range []string{
		oldToken + "\noptional\n", oldToken + "\n",
		oldToken + "\n" + newToken + "\n", newToken + "\n" + oldToken + "\n", newToken + "\n",
	} {
		underWay.Lock()
		steps++
		underWay.Unlock()
		for i := range all {
			mustWrite(t, all[i].file, text)
			if changed, err := all[i].tokens.Reload(); err != nil || !changed {
				t.Fatal(changed, err)
			}
			if err := askAll(); err != nil {
				t.Fatalf("%d has %q: %v", i, text, err)
			}
		}
	}
	close(done)
	asking.Wait()
	if steps != 5 {
		t.Errorf("%d steps", steps)
	}
	if all[0].tokens.Judge([]string{"Bearer " + oldToken}) != Wrong || !all[0].tokens.Needed() {
		t.Error("the old token is good still")
	}
}

func nobody(string) bool { return false }

func TestRunFollowsTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "tokens")
		mustWrite(t, file, oldToken)
		tokens, err := ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- tokens.Run(ctx, slog.New(slog.NewTextHandler(&log, nil))) }()
		pass := func() { time.Sleep(2 * fileLook); synctest.Wait() }
		pass()
		if log.Len() > 0 {
			t.Errorf("nothing changed: %s", &log)
		}
		mustWrite(t, file, "hush-short")
		pass()
		pass()
		if n := strings.Count(log.String(), "level=WARN"); n != 1 {
			t.Errorf("%d warnings: %s", n, &log)
		}
		mustWrite(t, file, newToken)
		pass()
		if tokens.Judge([]string{"Bearer " + newToken}) != Right {
			t.Error("the new token is not taken")
		}
		if !strings.Contains(log.String(), "tokens=1") || strings.Contains(log.String(), "hush-") {
			t.Error(log.String())
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestGuardTellsOnceAndDampsWrongTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		g := NewGuard(MustFixed(t, oldToken), slog.New(slog.NewTextHandler(&log, nil)), prometheus.NewPedanticRegistry())
		served := 0
		h := g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }),
			func(path string) bool { return path == "/healthz" })
		ask := func(remote, path string, lines ...string) (int, time.Duration) {
			req := httptest.NewRequest(http.MethodGet, path, http.NoBody)
			req.RemoteAddr = remote
			for _, line := range lines {
				req.Header.Add("Authorization", line)
			}
			rec := httptest.NewRecorder()
			begun := time.Now()
			h.ServeHTTP(rec, req)
			return rec.Code, time.Since(begun)
		}
		const guesser, same, other = "[2001:db8::1]:5", "[2001:db8::ffff:2]:6", "[2001:db8:0:1::1]:5"
		for i := range 30 {
			code, took := ask(guesser, "/", "Bearer wrong"+fmt.Sprint(i))
			if code != http.StatusUnauthorized || (took > 0) != (i >= freeGuesses) || took > maxDelay {
				t.Fatalf("guess %d: %d after %s", i, code, took)
			}
		}
		for remote, want := range map[string]time.Duration{same: maxDelay, other: 0} {
			if _, took := ask(remote, "/", "Bearer wrong"); took != want {
				t.Errorf("%s waited %s", remote, took)
			}
		}
		if code, took := ask(guesser, "/", "Bearer "+oldToken); code != http.StatusOK || took != 0 || served != 1 {
			t.Errorf("the right token: %d after %s", code, took)
		}
		for range 30 {
			if code, took := ask(guesser, "/"); code != http.StatusUnauthorized || took != 0 {
				t.Errorf("no token: %d after %s", code, took)
			}
		}
		if code, _ := ask(guesser, "/healthz"); code != http.StatusOK {
			t.Errorf("/healthz: %d", code)
		}
		if n := strings.Count(log.String(), "\n"); n != 3 || strings.Contains(log.String(), "wrong0") {
			t.Errorf("%d lines: %s", n, &log)
		}
		for token, want := range map[Verdict]float64{Missing: 30, Wrong: 32} {
			if got := testutil.ToFloat64(g.refused[token]); got != want {
				t.Errorf("refused %d: %v, want %v", token, got, want)
			}
		}
		time.Sleep(lineEvery)
		ask(guesser, "/", "Bearer wrong")
		if !strings.Contains(log.String(), "unlogged=30") {
			t.Errorf("not summed up: %s", &log)
		}
	})
}

func TestDamperIsBounded(t *testing.T) {
	var d damper
	now := time.Now()
	for i := range 3 * damperAddresses {
		from := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		d.line("x", from, now)
		for range 2 * freeGuesses {
			d.guessed(from, now) // and never done
		}
	}
	if d.held > heldAll || len(d.from) > damperAddresses {
		t.Errorf("%d held, %d addresses", d.held, len(d.from))
	}
}

func TestTransportShowsTheTokenAndTellsOnceOfRefusals(t *testing.T) {
	var log bytes.Buffer
	status := http.StatusUnauthorized
	var seen []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header["Authorization"]
		w.WriteHeader(status)
	}))
	defer server.Close()
	transport := MustFixed(t, oldToken).Transport(http.DefaultTransport, slog.New(slog.NewTextHandler(&log, nil)))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/x", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	ask := func() {
		resp, err := transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	ask()
	ask()
	if len(seen) != 1 || seen[0] != "Bearer "+oldToken || req.Header.Get("Authorization") != "" {
		t.Errorf("shown %v, and the caller's request has %v", seen, req.Header)
	}
	if n := strings.Count(log.String(), "WARN"); n != 1 || strings.Contains(log.String(), "hush-") {
		t.Errorf("%d warnings: %s", n, &log)
	}
	status = http.StatusOK
	ask()
	status = http.StatusUnauthorized
	ask()
	if n := strings.Count(log.String(), "WARN"); n != 2 || !strings.Contains(log.String(), "takes this one's token now") {
		t.Errorf("%d warnings: %s", n, &log)
	}
}

// TestRightTokensCostNoAllocation: every request to the origin passes the guard.
func TestRightTokensCostNoAllocation(t *testing.T) {
	g := NewGuard(MustFixed(t, strings.Repeat("x", 64)), slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	h := g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), nobody)
	req := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	req.Header.Set("Authorization", "Bearer "+strings.Repeat("x", 64))
	rec := httptest.NewRecorder()
	if n := testing.AllocsPerRun(1000, func() { h.ServeHTTP(rec, req) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if rec.Code != http.StatusOK {
		t.Fatal(rec.Code)
	}
}

func BenchmarkGuard(b *testing.B) {
	tokens := MustFixed(b, strings.Repeat("x", 64))
	lines := []string{"Bearer " + strings.Repeat("x", 64)}
	b.ReportAllocs()
	for b.Loop() {
		if tokens.Judge(lines) != Right {
			b.Fatal("refused")
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, text := range []string{"", oldToken, oldToken + "\noptional\n# x\n" + newToken, "\x00", "\xff\n"} {
		f.Add([]byte(text), "Bearer "+oldToken)
	}
	f.Fuzz(func(t *testing.T, text []byte, line string) {
		read, err := parse(text)
		if err != nil {
			return
		}
		tokens := &Tokens{}
		tokens.now.Store(read)
		if len(read.sums) > MaxTokens || tokens.Judge(tokens.Shown()) != Right {
			t.Errorf("%d tokens of %q, and the one shown is not taken", len(read.sums), text)
		}
		if tokens.Judge([]string{line}) == Right {
			_, token, _ := strings.Cut(line, " ")
			if !bytes.Contains(text, []byte(token)) || len(token) < MinToken {
				t.Errorf("%q is taken by %q", line, text)
			}
		}
	})
}

func mustWrite(tb testing.TB, file, text string) {
	tb.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}
