package test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestRTMPSAndRTMPT publishes over TLS and through HTTP: what is recorded is the source, frame for frame, and a wrong key
// is refused with its reason. A certificate that is replaced on disk is what the next connection gets.
func TestRTMPSAndRTMPT(t *testing.T) {
	t.Parallel()
	source := encodeSource(t, 4, "640x360", "1M")
	want := frameHashes(t, source)
	certificate := newCertificateFiles(t, "one.example")
	rtmps := steadyAddress(t)
	server := newOxbow(t, "--rtmps", rtmps, "--tls-cert", certificate.cert, "--tls-key", certificate.key)
	server.start("serve")

	for _, tt := range []struct {
		name, publisher, target string
		input, output           []string
		lost                    int // frames that ffmpeg may keep
	}{
		{"RTMPS", "secure", "rtmps://" + rtmps, []string{"-re"}, nil, 0},
		// ffmpeg throws away what it has not sent when it closes a tunnel: up to ten packets unless it sends each at once.
		{"RTMPT", "tunnelled", "rtmpt://" + server.http, nil, []string{"-rtmp_flush_interval", "1"}, 0},
		{"RTMPT in real time", "steady", "rtmpt://" + server.http, []string{"-re"}, nil, 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			key := server.createStream(tt.publisher, "show", nil)
			args := slices.Concat(tt.input, []string{"-i", source, "-c", "copy", "-f", "flv"}, tt.output)
			began := time.Now()
			p := publish(t, append(args, tt.target+"/live/"+key)...)
			if err := p.wait(60 * time.Second); err != nil {
				t.Fatalf("ffmpeg: %v", err)
			}
			t.Logf("published in %v", time.Since(began).Round(time.Millisecond))
			wantLog(t, server, "publisher left", "how=clean", "publisher="+tt.publisher)
			recordings := server.recordings(tt.publisher, "show")
			if len(recordings) != 1 {
				t.Fatalf("%d recordings, want one", len(recordings))
			}
			id := recordings[0].ID
			got := frameHashes(t, server.url("/"+tt.publisher+"/show/"+id+"/index.m3u8"))
			if len(got) < len(want)-tt.lost || !isSubsequence(got, want) {
				t.Errorf("%d frames, want the source's %d", len(got), len(want))
			}
			t.Logf("%d frames equal the source's %d", len(got), len(want))

			p = publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", tt.target+"/live/ox_wrong_key_wrong_key")
			if err := p.wait(20 * time.Second); err == nil {
				t.Error("a wrong key was not refused")
			}
			wantIn(t, "ffmpeg's output", p.out.String(), "wrong stream key")
		})
	}
	t.Run("the wrong port", func(t *testing.T) {
		for _, target := range []string{"rtmp://" + rtmps, "rtmps://" + server.rtmp} {
			p := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", target+"/live/key")
			if err := p.wait(20 * time.Second); err == nil {
				t.Errorf("%s was taken", target)
			}
		}
		wantLog(t, server, "connection is not TLS", "use rtmps://")
		wantLog(t, server, "connection is not RTMP", "not rtmps://")
	})
	t.Run("a renewed certificate", func(t *testing.T) {
		if got := servedName(t, rtmps); got != "one.example" {
			t.Errorf("served %s", got)
		}
		certificate.write(t, "two.example")
		if got := servedName(t, rtmps); got != "two.example" {
			t.Errorf("served %s after the renewal", got)
		}
		wantLog(t, server, "certificate renewed", "two.example")
		if err := os.WriteFile(certificate.cert, []byte("broken"), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := servedName(t, rtmps); got != "two.example" {
			t.Errorf("served %s after a broken renewal", got)
		}
		wantLog(t, server, "certificate not renewed", "BEGIN CERTIFICATE")
	})
}

// certificateFiles are a certificate and its key on disk.
type certificateFiles struct{ cert, key string }

func newCertificateFiles(t *testing.T, name string) certificateFiles {
	t.Helper()
	dir := t.TempDir()
	c := certificateFiles{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	c.write(t, name)
	return c
}

// write puts a new self-signed certificate of the name in place.
func (c certificateFiles) write(t *testing.T, name string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		c.cert: {Type: "CERTIFICATE", Bytes: der}, c.key: {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// servedName connects and gives the name of the certificate that it is shown.
func servedName(t *testing.T, address string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0].DNSNames[0]
}
