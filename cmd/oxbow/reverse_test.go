package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestEdgeNeedsOneThingBehindIt(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string // nothing is good
	}{
		{[]string{"edge"}, []string{"--directory", "--upstream"}},
		{[]string{"edge", "--directory", "http://a", "--upstream", "http://b"}, []string{"--upstream", "not both"}},
		{[]string{"edge", "--upstream", "http://b", "--archive", "dir:/a"}, []string{"--archive", "leave"}},
		{[]string{"edge", "--upstream", "http://b", "--archives", "eu=dir:/a"}, []string{"--archives", "leave"}},
		{[]string{"edge", "--upstream", "http://b", "--cluster-token", "x"}, []string{"--cluster-token", "leave"}},
		{[]string{"edge", "--upstream", "http://b,https://c/d/"}, nil},
		{[]string{"edge", "--directory", "http://a", "--archive", "dir:/a"}, nil},
	} {
		cli, err := parse(t, c.args...)
		if err != nil {
			t.Fatalf("%v: %v", c.args, err)
		}
		err = cli.Edge.check()
		if (err == nil) != (c.want == nil) {
			t.Errorf("%v: %v", c.args, err)
		}
		for _, want := range c.want {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %q does not tell of %s", c.args, err, want)
			}
		}
	}
}

// The edge in front of an origin is ready at once, caches what it says, and is up while the origin is away.
func TestEdgeInFrontOfAnOrigin(t *testing.T) {
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, r.URL.Path)
	}))
	defer origin.Close()
	public, admin := awayAddress(t), awayAddress(t)
	cli, err := parse(t, "edge", "--upstream", origin.URL+"/base", "--http", public, "--admin", admin)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- cli.Edge.Run(runContext{Context: ctx, logger: slog.New(slog.DiscardHandler)}) }()
	for {
		if conn, err := new(net.Dialer).DialContext(ctx, "tcp", admin); err == nil {
			_ = conn.Close()
			if resp, err := http.Get("http://" + admin + "/readyz"); err == nil {
				_ = resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					break
				}
			}
		}
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	for i, want := range []string{"oxbow; fwd=uri-miss; fwd-status=200; stored", "oxbow; hit; ttl="} {
		resp, err := http.Get("http://" + public + "/a")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if got := resp.Header.Get("Cache-Status"); err != nil || !strings.HasPrefix(got, want) || string(text) != "/base/a" {
			t.Errorf("time %d: %q, %q, %v; want %q", i, text, got, err, want)
		}
		origin.Close()
	}
	resp, err := http.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil || !strings.Contains(string(text), "oxbow_cacheproxy_requests_total{result=\"hit\"} 1") {
		t.Errorf("the hit is not counted, %v", err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
