package doctor

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// mustAnswer serves one answer.
func mustAnswer(t *testing.T, status int, fields ...string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(fields); i += 2 {
			w.Header().Set(fields[i], fields[i+1])
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s
}

const anyOrigin = "Access-Control-Allow-Origin"

func TestPublicURL(t *testing.T) {
	away := mustAnswer(t, 404)
	away.Close()
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	for name, test := range map[string]struct {
		url   string
		level Level
		says  string
	}{
		"an edge":           {mustAnswer(t, 404, anyOrigin, "*").URL, OK, "answered"},
		"one not ready":     {mustAnswer(t, 503, anyOrigin, "*").URL, Warn, "not ready"},
		"something else":    {mustAnswer(t, 200).URL, Fail, "no page of another origin"},
		"nobody":            {away.URL, Fail, "start the edge"},
		"an own authority":  {secure.URL, Warn, "trust"},
		"a page for all":    {mustAnswer(t, 200, anyOrigin, "*").URL, Warn, "is that an edge?"},
		"a redirect to TLS": {mustAnswer(t, 308, "Location", "https://example.com/").URL, Fail, "answers 308"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Run(t.Context(), Config{Edge: &Edge{PublicURL: test.url}})
			wantCheck(t, r, "edge public url", test.level, test.says)
		})
	}
}

func TestPeersOfAnEdge(t *testing.T) {
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(peerPort, "error=refused")
		if r.Header.Get("Authorization") != "Bearer right" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.WriteHeader(http.StatusBadRequest)
	}))
	defer guarded.Close()
	away := mustAnswer(t, 404)
	away.Close()
	for name, test := range map[string]struct {
		url, token string
		level      Level
		says       string
	}{
		"an edge":       {guarded.URL, "right", OK, "is an edge"},
		"a wrong token": {guarded.URL, "wrong", Fail, "--cluster-token"},
		"no token":      {guarded.URL, "", Fail, "--cluster-token"},
		"viewers' port": {mustAnswer(t, 404, anyOrigin, "*").URL, "right", Fail, "--internal"},
		"nobody":        {away.URL, "right", Warn, "--advertise"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Run(t.Context(), Config{Edge: &Edge{Peers: []Peer{{"--siblings", test.url}}, Authorization: []string{"Bearer " + test.token}}})
			wantCheck(t, r, "edge siblings", test.level, test.says)
		})
	}
}

func TestSteeringURL(t *testing.T) {
	api := mustAnswer(t, 400, anyOrigin, "*").URL
	for name, test := range map[string]struct {
		edge  Edge
		level Level
		says  string
	}{
		"an API":             {Edge{SteeringURL: api}, OK, "answers"},
		"one that does not":  {Edge{SteeringURL: mustAnswer(t, 410, anyOrigin, "*").URL}, Fail, "steers nobody"},
		"an edge":            {Edge{SteeringURL: mustAnswer(t, 404, anyOrigin, "*").URL}, Fail, "no steering"},
		"http of https edge": {Edge{SteeringURL: api, PublicURL: "https://127.0.0.1:1"}, Fail, "browsers"},
	} {
		t.Run(name, func(t *testing.T) {
			wantCheck(t, Run(t.Context(), Config{Edge: &test.edge}), "steering url", test.level, test.says)
		})
	}
}

func TestCertificates(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	const day = 24 * time.Hour
	made := func(from, until time.Duration) Certificate {
		now := time.Now()
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), NotBefore: now.Add(from), NotAfter: now.Add(until),
			DNSNames: []string{"live.example.com"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
		}
		der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
		must(t, err)
		leaf, err := x509.ParseCertificate(der)
		must(t, err)
		return Certificate{File: "live.pem", Chain: []*x509.Certificate{leaf}}
	}
	for name, test := range map[string]struct {
		certificate Certificate
		public      string
		level       Level
		says        string
	}{
		"expired":       {made(-3*day, -day), "", Fail, "has expired"},
		"too early":     {made(day, 90*day), "", Fail, "not valid yet"},
		"soon":          {made(-day, 3*day), "", Warn, "renew"},
		"another name":  {made(-day, 90*day), "https://edge.example.com", Warn, "not for edge.example.com"},
		"its own":       {made(-day, 90*day), "https://live.example.com:8443", Warn, "does not trust it"},
		"an address":    {made(-day, 90*day), "https://192.0.2.1", Warn, "does not trust it"},
		"plain viewers": {made(-day, 90*day), "http://edge.example.com", Warn, "live.example.com, 192.0.2.1 until"},
		"broken":        {Certificate{Err: errors.New("no such file")}, "", Fail, "no such file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Report{}
			test.certificate.check(r, test.public, time.Now())
			wantCheck(t, r, "certificate", test.level, test.says)
		})
	}
}

// The directory's clock is compared, in whole seconds.
func TestClockOfDirectory(t *testing.T) {
	for late, want := range map[time.Duration]Level{0: OK, 10 * time.Minute: Fail} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", time.Now().Add(late).UTC().Format(http.TimeFormat))
		}))
		r := Run(context.WithoutCancel(t.Context()), Config{Directories: []string{s.URL}})
		s.Close()
		wantCheck(t, r, "clock directory service", want, "off this machine's")
	}
}
