package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// mustPair writes a certificate for each name.
func mustPair(tb testing.TB, names ...string) (flags tlsFlags) {
	tb.Helper()
	for _, name := range names {
		files := newPairFiles(tb)
		cert, key := mustCertificate(tb, name, time.Now().Add(24*time.Hour))
		mustReplace(tb, files.cert, cert)
		mustReplace(tb, files.key, key)
		flags.Cert, flags.Key = append(flags.Cert, files.cert), append(flags.Key, files.key)
	}
	return flags
}

func TestCertificateFlagsGoTogether(t *testing.T) {
	for _, tt := range []struct {
		flags tlsFlags
		want  string
	}{
		{tlsFlags{Cert: fileNames{"x"}}, "--tls-cert without --tls-key"},
		{tlsFlags{Key: fileNames{"x"}}, "--tls-key without --tls-cert"},
		{tlsFlags{Cert: fileNames{"x", "y"}, Key: fileNames{"x"}}, "2 files and --tls-key 1"},
		{tlsFlags{Cert: fileNames{"x"}, Key: fileNames{"x"}}, "no such file"},
	} {
		if _, err := openCertificates(tt.flags, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: %v", tt.flags, err)
		}
	}
	if c, err := openCertificates(tlsFlags{}, nil); c != nil || err != nil {
		t.Errorf("without flags: %v, %v", c, err)
	}
}

// A client gets the certificate of the name that it asks for (SNI, RFC 6066 section 3), else the first.
func TestCertificateIsChosenByName(t *testing.T) {
	certs, err := openCertificates(mustPair(t, "a.example", "b.example", "*.c.example"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for asked, want := range map[string]string{
		"a.example": "a.example", "b.example": "b.example", "x.c.example": "*.c.example", "B.EXAMPLE": "b.example",
		"other.example": "a.example", "": "a.example",
	} {
		ours, theirs := net.Pipe()
		go func() {
			_ = tls.Server(theirs, certs.config("h2")).HandshakeContext(t.Context())
			_ = theirs.Close()
		}()
		client := tls.Client(ours, &tls.Config{InsecureSkipVerify: true, ServerName: asked})
		if err := client.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := client.ConnectionState().PeerCertificates[0].DNSNames[0]; got != want {
			t.Errorf("%q gets %s, want %s", asked, got, want)
		}
		_ = ours.Close()
	}
}

// A ticket opens a session anew with the same process, and each handshake's is another one.
func TestSessionsAreResumed(t *testing.T) {
	certs, err := openCertificates(mustPair(t, "a.example"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	config, kept := certs.config("h2"), tls.NewLRUClientSessionCache(1)
	for round := range 3 {
		l, err := tls.Listen("tcp", "127.0.0.1:0", config)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if conn, err := l.Accept(); err == nil {
				_, _ = conn.Write([]byte("x"))
				_ = conn.Close()
			}
		}()
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{
			InsecureSkipVerify: true, ServerName: "a.example", ClientSessionCache: kept, NextProtos: []string{"h2"},
		})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Read(make([]byte, 1)) // the ticket comes with it
		if resumed := conn.ConnectionState().DidResume; resumed != (round > 0) {
			t.Errorf("connection %d: resumed %v", round, resumed)
		}
		_, _ = conn.Close(), l.Close()
	}
}

func TestACMEFlagsSayWhatIsRight(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	mustReplace(t, file, []byte("no certificate"))
	whole := acmeFlags{
		Domains: domainNames{"a.example"}, Directory: "https://ca.example/dir", Storage: t.TempDir(), Check: time.Minute,
	}
	for _, tt := range []struct {
		change func(*acmeFlags)
		want   string
	}{
		{func(f *acmeFlags) { f.Directory = "http://ca.example" }, "--acme-directory"},
		{func(f *acmeFlags) { f.Storage = "" }, "--acme-storage: name a directory"},
		{func(f *acmeFlags) { f.Storage = filepath.Join(file, "in") }, "--acme-storage"},
		{func(f *acmeFlags) { f.KeyID = "id" }, "--acme-eab-key: give both"},
		{func(f *acmeFlags) { f.CA = file }, "BEGIN CERTIFICATE"},
		{func(f *acmeFlags) { f.CA = file + "-none" }, "--acme-directory-ca"},
		{func(f *acmeFlags) { f.Check = 0 }, "--acme-check"},
	} {
		flags := whole
		tt.change(&flags)
		_, err := openACME(flags, &net.TCPAddr{}, &net.TCPAddr{}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("want %q: %v", tt.want, err)
		}
	}
	whole.Storage = filepath.Join(t.TempDir(), "new")
	a, err := openACME(whole, &net.TCPAddr{Port: 443}, &net.TCPAddr{Port: 80}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer a.cache.Stop()
	if info, err := os.Stat(whole.Storage); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory of keys: %v, %v", info, err)
	}
	asked := &tls.ClientHelloInfo{ServerName: "other.example", SupportedProtos: []string{challengeProtocol}}
	if _, err := a.challenge(asked); !a.asked(asked) || err == nil {
		t.Errorf("a challenge for a name that is not ours: %v", err)
	}
	for name, ours := range map[string]bool{"a.example": true, "A.Example.": true, "b.example": false, "": false} {
		if a.has(name) != ours {
			t.Errorf("%q: %v", name, !ours)
		}
	}
}

// The ACME client's errors reach our log, with their fields; its news are for debugging.
func TestZapLog(t *testing.T) {
	var log bytes.Buffer
	logger := newZapLogger(slog.New(slog.NewTextHandler(&log, nil))).With(zap.String("name", "a.example"))
	logger.Info("unheard")
	logger.Error("refused", zap.Error(x509.ErrUnsupportedAlgorithm))
	for _, want := range []string{"level=WARN", "msg=ACME", "did=refused", "name=a.example", "unimplemented"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %q in %s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "unheard") {
		t.Errorf("news are told: %s", log.String())
	}
}
