package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestHealthTellsWhatTheAdminPortAnswers(t *testing.T) {
	ready := errors.New("the registry has not answered yet: it is away")
	admin := httptest.NewServer(adminHandler(prometheus.NewRegistry(), func(context.Context) error { return ready }))
	defer admin.Close()
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	free := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-free }))
	defer slow.Close()
	defer close(free)
	closed := httptest.NewServer(nil)
	closed.Close()
	at := func(s *httptest.Server) string { return s.Listener.Addr().String() }
	for _, c := range []struct {
		name string
		args []string
		env  string
		err  error // what /readyz is asked to say
		code int
		want string
	}{
		{"ready", []string{"--admin", at(admin)}, "", nil, 0, "ready"},
		{"by the server's variable", nil, at(admin), nil, 0, "ready"},
		{"not ready", []string{"--admin", at(admin)}, "", ready, 1, "not ready: the registry has not answered yet"},
		{"alive though not ready", []string{"--admin", at(admin), "--live"}, "", ready, 0, "ok"},
		{"another program's port", []string{"--admin", at(other)}, "", nil, 1, "no admin port of oxbow: it answered 404"},
		{"nobody there", []string{"--admin", at(closed)}, "", nil, 1, "connection refused"},
		{"no answer", []string{"--admin", at(slow), "--timeout", "50ms"}, "", nil, 1, "no answer within 50ms"},
		{"no address", []string{"--admin", "nonsense"}, "", nil, 2, "is no address"},
		{"no timeout", []string{"--timeout", "0s"}, "", nil, 2, "use one like 3s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.env != "" {
				t.Setenv("OXBOW_ADMIN", c.env)
			}
			ready = c.err
			var out, errs bytes.Buffer
			code := call(append([]string{"health", "--timeout", "1m"}, c.args...), &out, &errs) // the last of a flag counts
			if text := out.String() + errs.String(); code != c.code || !strings.Contains(text, c.want) {
				t.Errorf("code %d, want %d: %s", code, c.code, text)
			}
		})
	}
}

func TestHealthAsksWhereTheServerListens(t *testing.T) {
	for given, want := range map[listenAddress]string{
		":9090": "127.0.0.1:9090", "0.0.0.0:1": "127.0.0.1:1", "[::]:2": "[::1]:2", "10.0.0.1:3": "10.0.0.1:3",
		"localhost:4": "localhost:4",
	} {
		if got := given.local(); got != want {
			t.Errorf("%s is asked at %s, want %s", given, got, want)
		}
	}
}

// A service that has answered once is not asked again: its outage takes nobody out of the balancer.
func TestReadinessWaitsForEachServiceOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n node
		if err := n.isReady(t.Context()); !errors.Is(err, errNotReady) {
			t.Errorf("before it has started: %v", err)
		}
		n.ready.Store(true)
		away := &net.OpError{Op: "dial", Err: errors.New("refused")}
		var catalog, registry error = away, nil
		asked := 0
		n.readiness.needs("catalog", func(ctx context.Context) error {
			if catalog == nil {
				return nil
			}
			<-ctx.Done() // it hangs
			return catalog
		})
		n.readiness.needs("registry", func(context.Context) error { asked++; return registry })
		begun := time.Now()
		err := n.isReady(t.Context())
		if !errors.Is(err, away) || !strings.Contains(err.Error(), "catalog") || strings.Contains(err.Error(), "registry") {
			t.Errorf("with the catalog away: %v", err)
		}
		if took := time.Since(begun); took > readyPatience {
			t.Errorf("the answer took %v", took)
		}
		catalog, registry = nil, away
		if err := n.isReady(t.Context()); err != nil || asked != 1 {
			t.Errorf("once each has answered: %v, the registry was asked %d times", err, asked)
		}
		catalog = away
		if err := n.isReady(t.Context()); err != nil {
			t.Errorf("in a later outage: %v", err)
		}
	})
}
