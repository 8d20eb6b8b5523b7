package accesslog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// visit is a request and what came of it.
type visit struct {
	request Request
	answer  Answer
}

// shown is what a request shows of itself.
type shown struct {
	header http.Header
	viewer netip.Addr
}

func (s shown) Value(name string) string { return s.header.Get(name) }
func (s shown) Viewer() netip.Addr       { return s.viewer }

// asked gives a visit of a path that was answered, by a viewer at an address, with fields by name and value.
func asked(path string, status int, viewer string, fields ...string) visit {
	header := make(http.Header)
	for i := 0; i < len(fields); i += 2 {
		header.Set(fields[i], fields[i+1])
	}
	addr, _ := netip.ParseAddr(viewer)
	path, query, _ := strings.Cut(path, "?")
	return visit{
		request: Request{
			Method: http.MethodGet, Host: "edge", Path: path, Query: query, Proto: "HTTP/1.1", Fields: shown{header, addr},
		},
		answer: Answer{Status: status, Body: 10, Took: 1500 * time.Microsecond, Result: "hit"},
	}
}

// logged gives the lines that are written of visits.
func logged(t *testing.T, cfg Config, visits ...visit) []map[string]any {
	t.Helper()
	var out bytes.Buffer
	cfg.Out = &out
	l, err := Open(cfg, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range visits {
		l.Answered(l.Asked(&v.request), v.answer)
	}
	run(t, l)
	var lines []map[string]any
	for in := bufio.NewScanner(&out); in.Scan(); {
		line := make(map[string]any)
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			t.Fatalf("%q: %v", in.Bytes(), err)
		}
		lines = append(lines, line)
	}
	return lines
}

// run writes what is queued.
func run(t *testing.T, l *Log) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestLinesTellWhatWasAskedAndWhatCameOfIt(t *testing.T) {
	cut := asked("/a", 0, "", "Range", "bytes=2-4")
	cut.request.TLS, cut.answer.Cut = true, true
	lines := logged(t, Config{},
		asked("/a?x=1&X-Amz-Signature=abc&policy=p&b=", 200, "198.51.100.7", "User-Agent", "a \"player\"\xff",
			"Referer", "https://page.example/watch?who=me"),
		cut)
	want := []map[string]any{
		{
			"method": "GET", "host": "edge", "path": "/a", "query": "x=1&X-Amz-Signature=***&policy=***&b=", "proto": "HTTP/1.1",
			"status": 200.0, "bytes": 10.0, "ms": 1.5, "result": "hit", "client": "198.51.100.7", "agent": "a \"player\"\ufffd",
			"referer": "https://page.example/watch",
		},
		{
			"method": "GET", "host": "edge", "path": "/a", "proto": "HTTP/1.1", "tls": true, "status": 0.0, "bytes": 10.0,
			"ms": 1.5, "result": "hit", "range": "bytes=2-4", "cut": true,
		},
	}
	if len(lines) != len(want) {
		t.Fatalf("%d lines", len(lines))
	}
	for i, line := range lines {
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(line["time"])); err != nil {
			t.Error(err)
		}
		delete(line, "time")
		if !maps.Equal(line, want[i]) {
			t.Errorf("line %d: %v, want %v", i, line, want[i])
		}
	}
}

func TestWhatFailedIsWrittenWhateverTheSample(t *testing.T) {
	lines := logged(t, Config{Sample: -1}, asked("/a", 200, ""), asked("/missing", 404, ""))
	if len(lines) != 1 || lines[0]["path"] != "/missing" {
		t.Errorf("%v", lines)
	}
	visits := slices.Repeat([]visit{asked("/a", 200, "")}, 2000)
	// Twelve standard deviations on either side.
	if n := len(logged(t, Config{Sample: 0.25}, visits...)); n < 270 || n > 730 {
		t.Errorf("%d lines of 2000, at a quarter", n)
	}
}

func TestAddressesAreWrittenAsWanted(t *testing.T) {
	for _, row := range []struct {
		addresses Addresses
		client    string
		want      any
	}{
		{AddressesFull, "198.51.100.7", "198.51.100.7"},
		{AddressesFull, "2001:db8:1:2:3:4:5:6", "2001:db8:1:2:3:4:5:6"},
		{AddressesShort, "198.51.100.7", "198.51.100.0"},
		{AddressesShort, "::ffff:198.51.100.7", "198.51.100.0"},
		{AddressesShort, "2001:db8:1:2:3:4:5:6", "2001:db8:1::"},
		{AddressesNone, "198.51.100.7", nil},
		{AddressesFull, "unknown", nil},
	} {
		lines := logged(t, Config{Addresses: row.addresses}, asked("/a", 200, row.client))
		if got := lines[0]["client"]; got != row.want {
			t.Errorf("%s %s: %v, want %v", row.addresses, row.client, got, row.want)
		}
	}
}

// lineOf gives the log a request.
func lineOf(l *Log, path string) {
	l.Answered(l.Asked(&Request{Path: path, Fields: shown{}}), Answer{Status: 200})
}

// TestAFullQueueDropsLines also holds that nobody waits: nothing is written yet.
func TestAFullQueueDropsLines(t *testing.T) {
	var out bytes.Buffer
	l, err := Open(Config{Out: &out, Queue: 10, Addresses: AddressesNone}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	for range 25 {
		lineOf(l, "/a")
	}
	run(t, l)
	if n := bytes.Count(out.Bytes(), []byte("\n")); n != 10 || testutil.ToFloat64(l.dropped) != 15 ||
		testutil.ToFloat64(l.lines) != 10 {
		t.Errorf("%d lines, %v dropped, %v written", n, testutil.ToFloat64(l.dropped), testutil.ToFloat64(l.lines))
	}
}

func TestAFileThatIsMovedIsBegunAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "access.log")
	lines := func(name string) int {
		text, err := os.ReadFile(name)
		if err != nil {
			return -1
		}
		return bytes.Count(text, []byte("\n"))
	}
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(Config{File: file, Addresses: AddressesNone}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = l.Run(ctx) })
		write := func(n int) {
			for range n {
				lineOf(l, "/a")
			}
			time.Sleep(2 * period)
			synctest.Wait()
		}
		write(2)
		if err := os.Rename(file, file+".1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * period) // by its name
		write(3)
		if err := os.Rename(file, file+".2"); err != nil {
			t.Fatal(err)
		}
		l.Reopen()
		synctest.Wait()
		write(4)
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(file, 0o700); err != nil { // there can be no new one: the old one goes on
			t.Fatal(err)
		}
		write(1)
		cancel()
		running.Wait()
		if a, b := lines(file+".1"), lines(file+".2"); a != 2 || b != 3 || testutil.ToFloat64(l.lines) != 10 {
			t.Errorf("%d, %d lines, %v in all", a, b, testutil.ToFloat64(l.lines))
		}
	})
}

// broken fails while it is told to.
type broken struct {
	bytes.Buffer
	failing bool
}

func (b *broken) Write(p []byte) (int, error) {
	if b.failing {
		return 0, errors.New("disk full")
	}
	return b.Buffer.Write(p)
}

func TestAWriteThatFailsDropsLinesAndTheNextGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &broken{failing: true}
		var told bytes.Buffer
		l, err := Open(Config{Out: out, Addresses: AddressesNone}, slog.New(slog.NewTextHandler(&told, nil)), prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { _ = l.Run(ctx) })
		for range 3 {
			lineOf(l, "/lost")
			time.Sleep(2 * period)
		}
		synctest.Wait()
		out.failing = false
		lineOf(l, "/kept")
		time.Sleep(2 * period)
		cancel()
		running.Wait()
		if text := out.String(); strings.Contains(text, "/lost") || strings.Count(text, "/kept") != 1 ||
			testutil.ToFloat64(l.dropped) != 3 {
			t.Errorf("%q, %v dropped", text, testutil.ToFloat64(l.dropped))
		}
		if n := strings.Count(told.String(), "level=ERROR"); n != 1 {
			t.Errorf("told %d times: %s", n, told.String())
		}
	})
}

func TestAFileThatCannotBeOpenedIsSaid(t *testing.T) {
	_, err := Open(Config{File: filepath.Join(t.TempDir(), "none", "access.log")}, nil, prometheus.NewRegistry())
	if err == nil || !strings.Contains(err.Error(), "choose a file") {
		t.Error(err)
	}
}

// FuzzValue holds that whatever is sent makes one string of one line.
func FuzzValue(f *testing.F) {
	for _, text := range []string{"", "a", "\"\\\n\r\t\x00\x7f", "\xff\xc3", "\u2028é😀", strings.Repeat("é", maxValue)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b := value(nil, text)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q makes %q: %v", text, b, err)
		}
		if want := strings.ToValidUTF8(text, "\ufffd"); len(text) <= maxValue && strings.Count(want, "\ufffd") == 0 && got != want {
			t.Fatalf("%q reads as %q", text, got)
		}
		if bytes.ContainsAny(b, "\n\r") || len(b) > 6*maxValue+16 {
			t.Fatalf("%q makes %q", text, b)
		}
		if masked := queryValue(nil, "token="+text+"&a="+text); !json.Valid(masked) {
			t.Fatalf("%q", masked)
		}
	})
}

// BenchmarkLog is what a request costs that is written, and one that the sample leaves out.
func BenchmarkLog(b *testing.B) {
	for _, sample := range []float64{1, 0.01} {
		b.Run(fmt.Sprintf("sample=%v", sample), func(b *testing.B) {
			l, err := Open(Config{Out: io.Discard, Sample: sample, Addresses: AddressesNone, Queue: 1 << 20}, slog.Default(),
				prometheus.NewRegistry())
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			var running sync.WaitGroup
			running.Go(func() { _ = l.Run(ctx) })
			defer running.Wait()
			defer cancel()
			r := &Request{
				Path: "/acme/show/01kabcdefghjkmnpqrstvwxyz0/1/video/77.3.m4s", Host: "edge.example", Method: "GET", Fields: shown{},
			}
			b.ReportAllocs()
			for b.Loop() {
				l.Answered(l.Asked(r), Answer{Status: 200, Body: 60_000, Result: "hit"})
			}
		})
	}
}
