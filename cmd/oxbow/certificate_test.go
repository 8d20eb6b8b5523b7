package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// mustCertificate makes a self-signed certificate of the name and its key, in PEM.
func mustCertificate(tb testing.TB, name string, until time.Time) (cert, key []byte) {
	tb.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &private.PublicKey, private)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		tb.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}

func mustReplace(tb testing.TB, name string, text []byte) {
	tb.Helper()
	if err := os.WriteFile(name+".new", text, 0o600); err != nil {
		tb.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		tb.Fatal(err)
	}
}

func newPairFiles(tb testing.TB) pairFiles {
	dir := tb.TempDir()
	return pairFiles{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
}

func TestCertificateErrorsSayWhatIsRight(t *testing.T) {
	tomorrow := time.Now().Add(24 * time.Hour)
	cert, key := mustCertificate(t, "a.example", tomorrow)
	_, otherKey := mustCertificate(t, "b.example", tomorrow)
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte("x")})
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})
	for _, tt := range []struct {
		name      string
		cert, key []byte // nil is no file
		want      []string
	}{
		{"no certificate file", nil, key, []string{"--tls-cert", "cert.pem", "no such file"}},
		{"no key file", cert, nil, []string{"--tls-key", "key.pem", "no such file"}},
		{"no PEM certificate", []byte("hello"), key, []string{"--tls-cert", "BEGIN CERTIFICATE"}},
		{"a broken certificate", broken, key, []string{"--tls-cert", "malformed"}},
		{"no PEM key", cert, []byte("hello"), []string{"--tls-key", "BEGIN PRIVATE KEY"}},
		{"an encrypted key", cert, encrypted, []string{"--tls-key", "openssl pkey"}},
		{"swapped", key, cert, []string{"--tls-cert", "swapped"}},
		{"two certificates", cert, cert, []string{"--tls-key", "swapped"}},
		{"another's key", cert, otherKey, []string{"--tls-key", "private key of the first certificate", "cert.pem"}},
		{"too large", make([]byte, maxPEM+1), key, []string{"--tls-cert", "at most"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := newPairFiles(t)
			if tt.cert != nil {
				mustReplace(t, files.cert, tt.cert)
			}
			if tt.key != nil {
				mustReplace(t, files.key, tt.key)
			}
			_, err := openCertificate(files, slog.New(slog.DiscardHandler))
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q does not say %q", err, w)
				}
			}
		})
	}
}

func TestCertificateOutOfTimeIsAWarning(t *testing.T) {
	for want, until := range map[string]time.Time{
		"has expired": time.Now().Add(-time.Hour), "not valid yet": time.Now().Add(96 * time.Hour),
	} {
		files := newPairFiles(t)
		cert, key := mustCertificate(t, "a.example", until)
		mustReplace(t, files.cert, cert)
		mustReplace(t, files.key, key)
		var log bytes.Buffer
		if _, err := openCertificate(files, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Error(err)
		}
		if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), want) {
			t.Errorf("log %q does not say %q", log.String(), want)
		}
	}
}

// Handshakes get the certificate that is on disk; broken files change nothing and are logged once.
func TestCertificateIsRenewed(t *testing.T) {
	files := newPairFiles(t)
	tomorrow := time.Now().Add(24 * time.Hour)
	cert, key := mustCertificate(t, "a.example", tomorrow)
	mustReplace(t, files.cert, cert)
	mustReplace(t, files.key, key)
	var log bytes.Buffer
	c, err := openCertificate(files, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	shakes := func(want string) {
		t.Helper()
		for range 3 {
			if got := serverName(t, (&certificates{pairs: []*certificate{c}}).config()); got != want {
				t.Errorf("served %s, want %s", got, want)
			}
		}
	}
	shakes("a.example")
	cert, key = mustCertificate(t, "b.example", tomorrow)
	mustReplace(t, files.cert, cert) // the key is still the old one
	shakes("a.example")
	mustReplace(t, files.key, key)
	shakes("b.example")
	mustReplace(t, files.cert, []byte("hello"))
	shakes("b.example")
	if err := os.Remove(files.cert); err != nil {
		t.Fatal(err)
	}
	shakes("b.example")
	mustReplace(t, files.cert, cert)
	shakes("b.example")
	broken, renewed := strings.Count(log.String(), "certificate not renewed"), strings.Count(log.String(), "certificate renewed")
	if broken != 3 || renewed != 2 {
		t.Errorf("%d lines of broken files, want 3; %d of renewed ones, want 2:\n%s", broken, renewed, log.String())
	}
}

func TestCertificateUnderManyHandshakes(t *testing.T) {
	files := newPairFiles(t)
	cert, key := mustCertificate(t, "a.example", time.Now().Add(time.Hour))
	mustReplace(t, files.cert, cert)
	mustReplace(t, files.key, key)
	c, err := openCertificate(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var shaking sync.WaitGroup
	for range 4 {
		shaking.Go(func() {
			for range 50 {
				if c.current() == nil {
					t.Error("no certificate")
				}
			}
		})
	}
	for range 10 {
		mustReplace(t, files.cert, cert)
	}
	shaking.Wait()
}

// serverName does a handshake and gives the name of the certificate that was served.
func serverName(t *testing.T, config *tls.Config) string {
	t.Helper()
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close() }()
	go func() {
		_ = tls.Server(theirs, config).HandshakeContext(t.Context())
		_ = theirs.Close()
	}()
	client := tls.Client(ours, &tls.Config{InsecureSkipVerify: true})
	if err := client.HandshakeContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	return client.ConnectionState().PeerCertificates[0].DNSNames[0]
}

// HTTP-23 is TLS 1.3 for who can. SACK, RACK and timestamps of TCP are the kernel's, which has them on.
func TestHTTP13_HTTP23_TLSVersions(t *testing.T) {
	files := newPairFiles(t)
	cert, key := mustCertificate(t, "a.example", time.Now().Add(time.Hour))
	mustReplace(t, files.cert, cert)
	mustReplace(t, files.key, key)
	c, err := openCertificate(files, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for best, want := range map[uint16]uint16{0: tls.VersionTLS13, tls.VersionTLS12: tls.VersionTLS12, tls.VersionTLS11: 0} {
		ours, theirs := net.Pipe()
		go func() {
			_ = tls.Server(theirs, (&certificates{pairs: []*certificate{c}}).config("h2")).HandshakeContext(t.Context())
			_ = theirs.Close()
		}()
		client := tls.Client(ours, &tls.Config{
			InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: best, NextProtos: []string{"h2"},
		})
		err := client.HandshakeContext(t.Context())
		state := client.ConnectionState()
		_ = ours.Close()
		if want == 0 && err == nil || want != 0 && (err != nil || state.Version != want || state.NegotiatedProtocol != "h2") {
			t.Errorf("up to %x: %v, version %x, %q", best, err, state.Version, state.NegotiatedProtocol)
		}
	}
}

func BenchmarkCertificateCurrent(b *testing.B) {
	files := newPairFiles(b)
	cert, key := mustCertificate(b, "a.example", time.Now().Add(time.Hour))
	mustReplace(b, files.cert, cert)
	mustReplace(b, files.key, key)
	c, err := openCertificate(files, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.current()
	}
}
