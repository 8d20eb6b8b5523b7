package ingest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// MustTLS makes a TLS configuration with a self-signed certificate.
func MustTLS(tb testing.TB) *tls.Config {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		tb.Fatal(err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}},
	}
}

// MustServeTLS starts a Server for RTMPS on a free port.
func MustServeTLS(tb testing.TB, cfg Config, rec *recorder) *testServer {
	tb.Helper()
	s := newTestServer(tb, cfg, rec)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s.addr = listener.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	config := MustTLS(tb)
	go func() { done <- s.ServeTLS(ctx, listener, config) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("ServeTLS: %v", err)
		}
	})
	tb.Cleanup(s.stop)
	return s
}

func TestTLSPublishes(t *testing.T) {
	s := MustServeTLS(t, Config{}, newRecorder())
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	c := MustShakeHands(t, conn)
	c.publish(s.rec.key)
	s.log.await(t, "publisher came", "protocol=rtmps", "remote=127.0.0.1:")
	s.stop()
	if _, says := c.status(); says == "" {
		t.Error("the publisher was not told of the end")
	}
	c.awaitEnd()
	_ = conn.Close()
}

// What comes to the wrong port is named.
func TestNotTLS(t *testing.T) {
	s := MustServeTLS(t, Config{HandshakeTimeout: 5 * time.Second}, newRecorder())
	for _, tt := range []struct {
		name, send string
		log        []string
	}{
		{"plain RTMP", "\x03\x00\x00\x00\x01\x00\x00\x00\x00more of C1", []string{"not TLS", "use rtmps://"}},
		{"HTTP", "GET /?key=ox_secret-key+1 HTTP/1.1\r\n\r\n", []string{"not TLS", "an HTTP request"}},
		{"random", "\xde\xad\xbe\xef\x00\x00", []string{"not TLS", "first byte 0xde"}},
		{"nothing", "", []string{"closed unused"}},
		{"half a hello", "\x16\x03\x01\x02\x00\x01\x00", []string{"TLS handshake timed out"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", s.addr)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := conn.Write([]byte(tt.send)); err != nil {
				t.Fatal(err)
			}
			if tt.send == "" {
				_ = conn.(*net.TCPConn).CloseWrite()
			}
			_, _ = io.Copy(io.Discard, conn)
			s.log.await(t, append(tt.log, conn.LocalAddr().String(), "protocol=rtmps")...)
			_ = conn.Close()
		})
	}
	t.Run("an old TLS", func(t *testing.T) {
		_, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		if err == nil {
			t.Error("TLS 1.1 was taken")
		}
		s.log.await(t, "TLS handshake failed", "unsupported versions")
	})
}

// Invariant 9: every wait has a deadline.
func TestTLSHandshakeDeadline(t *testing.T) {
	config := MustTLS(t)
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Config{}, newRecorder())
		ours, theirs := net.Pipe()
		began := time.Now()
		err := s.shakeTLS(context.Background(), tls.Server(theirs, config))
		if err == nil || time.Since(began) != 10*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		_ = ours.Close()
	})
}

func TestFFmpegPublishesOverTLS(t *testing.T) {
	s := MustServeTLS(t, Config{}, newRecorder())
	if out, err := MustFFmpeg(t, encoderArgs("rtmps://"+s.addr+"/live/"+s.rec.key, "-t", "2")...).wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	video := 0
	p := s.rec.publication(t, 0)
	for _, f := range p.frames {
		if f.Track == 0 {
			video++
		}
	}
	if !p.clean || video != 50 {
		t.Errorf("clean=%v, %d video frames", p.clean, video)
	}
}

func TestFFmpegTakesTheWrongPort(t *testing.T) {
	plain, secured := MustServe(t, Config{}, newRecorder()), MustServeTLS(t, Config{}, newRecorder())
	for _, target := range []string{"rtmps://" + plain.addr, "rtmp://" + secured.addr} {
		if out, err := MustFFmpeg(t, encoderArgs(target+"/live/"+plain.rec.key, "-t", "2")...).wait(); err == nil {
			t.Errorf("%s\n%s", target, out)
		}
	}
	plain.log.await(t, "not RTMP", "a TLS hello", "not rtmps://")
	secured.log.await(t, "not TLS", "plain RTMP", "use rtmps://")
}
