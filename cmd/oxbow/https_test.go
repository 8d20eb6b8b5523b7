package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/front"
)

func TestHTTPSFlagsSayWhatIsMissing(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string // in the error; none is no error
	}{
		{[]string{"--http3"}, "--http3 without --https"},
		{[]string{"--https-redirect", "pages"}, "--https-redirect without --https"},
		{[]string{"--hsts", "24h"}, "--hsts without --https"},
		{[]string{"--acme-domains", "a.example"}, "--acme-domains without --https"},
		{[]string{"--https", ":443", "--hsts", "1ms"}, "whole seconds"},
		{[]string{"--https", ":443"}, ""},
		{nil, ""},
	} {
		cli, err := parse(t, append([]string{"serve"}, tt.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		err = cli.Serve.checkHTTPS("data")
		if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v", tt.args, err)
		}
		if cli.Serve.HTTPS != "" && cli.Serve.ACME.Storage != filepath.Join("data", "acme") {
			t.Errorf("certificates go to %q", cli.Serve.ACME.Storage)
		}
	}
	for _, args := range [][]string{
		{"--acme-domains", "*.a.example"}, {"--acme-domains", "https://a.example"}, {"--acme-domains", "a.example:443"},
		{"--acme-domains", "192.0.2.1"}, {"--acme-domains", "a..example"}, {"--acme-domains", strings.Repeat("a.", 130) + "a"},
		{"--tls-min", "1.1"}, {"--https-redirect", "some"}, {"--tls-cert", "a,,b"},
	} {
		if _, err := parse(t, append([]string{"serve"}, args...)...); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestHTTPSWithoutACertificate(t *testing.T) {
	n := newNode(runContext{logger: slog.New(slog.DiscardHandler)})
	defer func() { _ = n.close() }()
	_, err := n.openHTTPS(t.Context(), httpsFlags{HTTPS: "127.0.0.1:0"}, tlsFlags{}, "", &net.TCPAddr{})
	if err == nil || !strings.Contains(err.Error(), "--tls-cert") || !strings.Contains(err.Error(), "--acme-domains") {
		t.Errorf("it does not say what to do: %v", err)
	}
	if h, err := n.openHTTPS(t.Context(), httpsFlags{}, tlsFlags{}, "", nil); h != nil || err != nil {
		t.Errorf("without --https: %v, %v", h, err)
	}
}

// mustOpenHTTPS opens a port of the flags, with a certificate of a.example.
func mustOpenHTTPS(t *testing.T, flags httpsFlags) *httpsPort {
	t.Helper()
	n := newNode(runContext{logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { _ = n.close() })
	flags.HTTPS = "127.0.0.1:0"
	h, err := n.openHTTPS(t.Context(), flags, mustPair(t, "a.example"), "", &net.TCPAddr{Port: 80})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestWhatIsSentOnToTLS(t *testing.T) {
	served := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("plain")) })
	for _, tt := range []struct {
		redirect, host, path string
		want                 string // Location without scheme and port; none is served as it is
	}{
		{redirectNone, "a.example", "/", ""},
		{redirectPages, "a.example:8080", "/watch/p/s?x=1", "a.example/watch/p/s?x=1"},
		{redirectPages, "a.example", "/v1/publishers", "a.example/v1/publishers"},
		{redirectPages, "a.example", "/p/s/index.m3u8", ""},
		{redirectPages, "a.example", "/t/token/p/s/index.m3u8", ""},
		{redirectPages, "a.example", "/open/1", ""}, // an encoder's tunnel
		{redirectAll, "a.example", "/p/s/index.m3u8", "a.example/p/s/index.m3u8"},
		{redirectAll, "[2001:db8::1]:80", "/", "[2001:db8::1]/"},
		{redirectAll, "[2001:db8::1]", "/", "[2001:db8::1]/"},
		{redirectAll, "a.example", "/send/1/2", ""},
	} {
		h := mustOpenHTTPS(t, httpsFlags{Redirect: tt.redirect})
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://a.example"+tt.path, nil)
		r.Host = tt.host
		h.plain(served, edgePath).ServeHTTP(w, r)
		_, port, _ := net.SplitHostPort(h.listener.Addr().String())
		got := strings.Replace(strings.TrimPrefix(w.Header().Get("Location"), "https://"), ":"+port, "", 1)
		if got != tt.want || (w.Code == http.StatusPermanentRedirect) != (tt.want != "") {
			t.Errorf("%+v: %d, %q", tt, w.Code, got)
		}
		if lane := h.takes(cacheproxy.InLane); tt.redirect == redirectAll && lane(tt.path) {
			t.Errorf("%+v: the fast lane would serve it", tt)
		}
	}
	h := mustOpenHTTPS(t, httpsFlags{Redirect: redirectAll})
	w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil)
	r.Host = ""
	if h.plain(served, nil).ServeHTTP(w, r); w.Code != http.StatusBadRequest {
		t.Errorf("without a host: %d", w.Code)
	}
	var none *httpsPort
	if none.takes(cacheproxy.InLane)("/p/s/recording.mp4") || !none.takes(cacheproxy.InLane)("/p/s/index.m3u8") {
		t.Error("without --https the lane has other paths")
	}
}

// testClients is a front that limits nobody.
func testClients() clientsFront {
	return clientsFront{config: front.ListenerConfig{Book: front.NewBook(front.Config{}, nil)}}
}

// A player's answer tells of TLS and HTTP/3 over TLS only, and what it came by is counted.
func TestSecuredAnswers(t *testing.T) {
	h := mustOpenHTTPS(t, httpsFlags{HTTP3: true, HSTS: 24 * time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h.serve(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte(r.Proto)) }),
		testClients(), nil)
	_, port, _ := net.SplitHostPort(h.listener.Addr().String())
	for _, version := range []int{1, 2} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: version == 2}
		resp, err := transport.RoundTrip(httptest.NewRequest(http.MethodGet, "https://127.0.0.1:"+port+"/", nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		transport.CloseIdleConnections()
		if resp.ProtoMajor != version || resp.Header.Get("Strict-Transport-Security") != "max-age=86400" ||
			resp.Header.Get("Alt-Svc") != `h3=":`+port+`"; ma=86400` {
			t.Errorf("HTTP/%d: %s %v", version, resp.Proto, resp.Header)
		}
	}
	families, err := h.node.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			counted[family.GetName()] += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"oxbow_https_requests_total": 2, "oxbow_https_handshakes_total": 2, "oxbow_https_hellos_total": 2,
	} {
		if counted[name] != want {
			t.Errorf("%s is %v, want %v", name, counted[name], want)
		}
	}
	if end := time.Unix(int64(counted["oxbow_https_certificate_expiry_timestamp_seconds"]), 0); end.Before(time.Now()) {
		t.Errorf("the certificate's end is told as %v", end)
	}
}

// Both listeners end when one can't go on, and at the service's end.
func TestHTTPSEndsWhole(t *testing.T) {
	h := mustOpenHTTPS(t, httpsFlags{HTTP3: true})
	h.serve(t.Context(), http.NotFoundHandler(), testClients(), nil)
	_ = h.udp.Close()
	ended := make(chan error, 1)
	go func() { ended <- h.node.services.wait(t.Context()) }()
	select {
	case err := <-ended:
		if err == nil || errors.Is(err, http.ErrServerClosed) {
			t.Errorf("it ends with %v", err)
		}
	case <-time.After(2 * time.Minute):
		t.Fatal("it goes on by half")
	}
	if err := h.listener.(*net.TCPListener).SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the TCP port is open still: %v", err)
	}
}

func TestQUICAsksForProofWhenManyCome(t *testing.T) {
	var a arrivals
	now, proof := time.Unix(1000, 0), 0
	for range quicUnproven + 5 {
		if a.more(now, quicUnproven) {
			proof++
		}
	}
	if proof != 5 {
		t.Errorf("%d of %d have to prove their address, want 5", proof, quicUnproven+5)
	}
	if a.more(now.Add(time.Second), quicUnproven) {
		t.Error("in the next second the first has to")
	}
}

func TestQUICRefusesWhatIsTooMuch(t *testing.T) {
	h := mustOpenHTTPS(t, httpsFlags{HTTP3: true})
	h.metrics = newHTTPSMetrics(h.certs, prometheus.NewRegistry())
	s := newQUICServer(h, http.NotFoundHandler())
	if config, err := s.admit(nil); err != nil || config.Allow0RTT || config.MaxIncomingStreams != maxStreams {
		t.Errorf("%+v, %v", config, err)
	}
	s.open.Store(maxQUICConnections)
	if _, err := s.admit(nil); !errors.Is(err, errTooManyConnections) {
		t.Errorf("one more is taken: %v", err)
	}
}
