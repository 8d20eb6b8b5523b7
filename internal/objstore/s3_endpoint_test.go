package objstore

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	bignum "math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// mustDial makes a store reach a gateway whatever name it asks for.
func mustDial(t *testing.T, s *S3, gateway *objstoretest.Gateway) {
	t.Helper()
	_, addr, _ := strings.Cut(gateway.Endpoint, "://")
	transport, ok := s.http.Transport.(*limitTransport)
	if !ok {
		t.Fatalf("transport is %T", s.http.Transport)
	}
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
}

func TestEveryKindOfEndpointWorks(t *testing.T) {
	certs := mustMakeCerts(t)
	for _, c := range []struct {
		name    string
		gateway objstoretest.GatewayConfig
		virtual bool
		region  string
	}{
		{"path", objstoretest.GatewayConfig{}, false, ""},
		{"virtual host", objstoretest.GatewayConfig{Domain: "s3.test"}, true, ""},
		{"path, https", certs, false, ""},
		{"virtual host, https, region", objstoretest.GatewayConfig{
			Domain: "s3.test", CertFile: certs.CertFile, KeyFile: certs.KeyFile, AuthorityFile: certs.AuthorityFile,
			Region: "eu-north-1",
		}, true, "eu-north-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			gateway := objstoretest.MustStartGatewayWith(t, c.gateway)
			gateway.MustMakeBucket(t, "vod")
			endpoint := gateway.Endpoint
			if c.gateway.Domain != "" {
				scheme, _, _ := strings.Cut(endpoint, "://")
				endpoint = scheme + "://" + c.gateway.Domain
			}
			s := mustOpenS3(t, endpoint, S3Config{
				Bucket: "vod", Prefix: "p/q", VirtualHost: c.virtual, Region: c.region, CAFile: c.gateway.AuthorityFile,
			})
			mustDial(t, s, gateway)
			for key, size := range map[string]int{"acme/small": 1000, "acme/large": objstoretest.Large} {
				b := objstoretest.Bytes(1, size)
				objstoretest.MustPut(t, s, key, b, media.PutOptions{})
				objstoretest.MustHave(t, s, key, b)
				if _, err := os.Stat(filepath.Join(gateway.Dir, "vod", "p", "q", key)); err != nil {
					t.Error(err)
				}
			}
			if keys := objstoretest.MustKeys(t, s, "acme/"); len(keys) != 2 {
				t.Errorf("%v", keys)
			}
		})
	}
}

func TestWrongEndpointsAreStates(t *testing.T) {
	certs := mustMakeCerts(t)
	gateway := objstoretest.MustStartGatewayWith(t, objstoretest.GatewayConfig{
		CertFile: certs.CertFile, KeyFile: certs.KeyFile, AuthorityFile: certs.AuthorityFile, Region: "eu-north-1",
	})
	gateway.MustMakeBucket(t, "vod")
	for _, c := range []struct {
		name   string
		config S3Config
		want   string
	}{
		{"authority unknown", S3Config{Region: "eu-north-1"}, StateUnreachable},
		{"other region", S3Config{Region: "us-west-2", CAFile: certs.AuthorityFile}, StateRegion},
		{"other bucket", S3Config{Region: "eu-north-1", CAFile: certs.AuthorityFile, Prefix: "x"}, StateMissing},
	} {
		c.config.Bucket = "vod"
		if c.want == StateMissing {
			c.config.Bucket = "nowhere"
		}
		s := mustOpenS3(t, gateway.Endpoint, c.config)
		_, err := s.Put(t.Context(), "a/b", strings.NewReader("x"), 1, media.PutOptions{})
		if StateOf(err) != c.want || !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("%s: state %q, %v", c.name, StateOf(err), err)
		}
	}
	for name, text := range map[string]string{"absent": "", "no PEM": "hello"} {
		file := filepath.Join(t.TempDir(), "ca.pem")
		if text != "" {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := OpenS3(t.Context(), S3Config{Bucket: "b", AccessKey: "k", SecretKey: "s", CAFile: file}); err == nil {
			t.Errorf("authorities %s: no error", name)
		}
	}
}

// mustMakeCerts makes an authority and a certificate for loopback and for s3.test.
func mustMakeCerts(t *testing.T) objstoretest.GatewayConfig {
	t.Helper()
	dir := t.TempDir()
	authority := &x509.Certificate{
		SerialNumber: bignum.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: bignum.NewInt(2), Subject: pkix.Name{CommonName: "s3"}, NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"s3.test", "*.s3.test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	authorityKey, leafKey := mustMakeKey(t), mustMakeKey(t)
	c := objstoretest.GatewayConfig{
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"),
		AuthorityFile: filepath.Join(dir, "ca.pem"),
	}
	key, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, made := range map[string]func() ([]byte, error){
		c.AuthorityFile: func() ([]byte, error) {
			return x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
		},
		c.CertFile: func() ([]byte, error) {
			return x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), authorityKey)
		},
		c.KeyFile: func() ([]byte, error) { return key, nil },
	} {
		der, err := made()
		if err != nil {
			t.Fatal(err)
		}
		kind := "CERTIFICATE"
		if name == c.KeyFile {
			kind = "PRIVATE KEY"
		}
		if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func mustMakeKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A put may take longer than a connection may be silent.
func TestSlowStoreIsWaitedFor(t *testing.T) {
	const stall = 2500 * time.Millisecond
	_, s, _ := mustOpenLacking(t, objstoretest.Lacks{Speed: 3 << 20}, S3Config{Stall: stall, Parallel: 1})
	b := objstoretest.Bytes(1, objstoretest.Large)
	begun := time.Now()
	objstoretest.MustPut(t, s, largeKey, b, media.PutOptions{})
	if took := time.Since(begun); took < stall {
		t.Errorf("the store took it in %v", took)
	}
	objstoretest.MustHave(t, s, largeKey, b)
}

func TestPartThatStallsIsSentAgain(t *testing.T) {
	p, s := setUp(t, S3Config{Stall: 4 * time.Second})
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	p.reset(func(kind string, n int, _ http.ResponseWriter, _ *http.Request) bool {
		if kind != "part" || n != 1 {
			return false
		}
		<-over
		return true
	})
	b := objstoretest.Bytes(1, objstoretest.Large)
	if _, err := s.Put(t.Context(), largeKey, bytes.NewReader(b), int64(len(b)), media.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if p.count("part") < 4 { // more if the machine stood still
		t.Errorf("%d parts sent", p.count("part"))
	}
}
