//go:build linux

package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/oxbow-video/oxbow/test/bench/proc"
)

// Over TLS the client is h2load, of nghttp2, but for HTTP/3, which Debian's has not: there it is quic-go's, here.
const (
	tlsConnections = 64
	tlsStreams     = 4 // requests at a time of a connection, as of a player of Low-Latency HLS; of HTTP/1.1 it is one
)

// protocols of the part tls, as h2load is asked for them.
var protocols = map[string][]string{
	"HTTP/1.1": {"--h1"}, "HTTP/2": {"-m", strconv.Itoa(tlsStreams)}, "HTTP/3": nil,
}

// tlsRow is one measurement of cached objects over TLS.
type tlsRow struct {
	Server    string  `json:"server"`
	Protocol  string  `json:"protocol"`
	Size      string  `json:"size"`
	Round     int     `json:"round"`
	Requests  float64 `json:"requests_per_second"`
	PerCPU    float64 `json:"requests_per_server_cpu_second"`
	ServerCPU float64 `json:"server_cores"`
	RSS       float64 `json:"rss_mib"`
	Failed    int     `json:"failed"`
}

// secured measures cached objects over TLS, by every version of HTTP.
func (s settings) secured(ctx context.Context, out *report) error {
	if err := present("h2load"); err != nil {
		return fmt.Errorf("%w (Debian: apt-get install nghttp2-client)", err)
	}
	classes, err := classes(s.sizes)
	if err != nil {
		return err
	}
	s.tls = true
	names := slices.DeleteFunc(strings.Split(s.servers, ","), func(name string) bool {
		return !strings.HasPrefix(name, "oxbow") && name != "nginx"
	})
	for round := range s.rounds {
		for i := range names {
			name := names[(i+round)%len(names)]
			err := s.onServer(ctx, name, func(ctx context.Context, server *server, _ int) error {
				for _, class := range classes {
					if err := server.fill(ctx, class, hitObjects); err != nil {
						return err
					}
					for _, protocol := range []string{"HTTP/1.1", "HTTP/2", "HTTP/3"} {
						if protocol == "HTTP/3" && name == "nginx" {
							continue // Debian's has none
						}
						r, err := s.tlsRow(ctx, server, protocol, class)
						if err != nil {
							return fmt.Errorf("%s of %s: %w", protocol, sizeNames[class], err)
						}
						r.Server, r.Round = name, round+1
						out.TLS = append(out.TLS, r)
						fmt.Fprintf(os.Stderr, "%+v\n", r)
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (s settings) tlsRow(ctx context.Context, server *server, protocol string, class int) (r tlsRow, err error) {
	r.Protocol, r.Size = protocol, sizeNames[class]
	urls := make([]string, hitObjects)
	for i := range urls {
		urls[i] = fmt.Sprintf("https://127.0.0.1:%d%s", server.tls, staticPath(class, i+1))
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute+time.Duration(s.seconds)*time.Second)
	defer cancel()
	load := s.h2load
	if protocol == "HTTP/3" {
		load = s.http3Load
	}
	profiled := s.profile(ctx, server, fmt.Sprintf("tls-%s-%s", strings.ReplaceAll(protocol, "/", ""), r.Size),
		time.Duration(s.seconds)*time.Second)
	before, err := proc.CPUOf(server.PID())
	if err != nil {
		return r, err
	}
	answered, failed, err := load(ctx, protocol, urls)
	after, err2 := proc.UsageOf(server.PID())
	if err := errors.Join(err, err2, <-profiled); err != nil {
		return r, err
	}
	took, used := after.At.Sub(before.At).Seconds(), (after.CPU - before.CPU).Seconds()
	r.Requests, r.PerCPU, r.ServerCPU = float64(answered)/took, float64(answered)/max(used, 0.001), used/took
	r.RSS, r.Failed = mib(after.RSS), failed
	return r, nil
}

var h2loadRequests = regexp.MustCompile(`requests: .* (\d+) succeeded, (\d+) failed`)

// h2load has h2load ask.
func (s settings) h2load(ctx context.Context, protocol string, urls []string) (answered, failed int, err error) {
	args := slices.Concat([]string{
		"-t", "1", "-c", strconv.Itoa(tlsConnections), "-D", strconv.Itoa(s.seconds),
	}, protocols[protocol], urls)
	out, err := exec.CommandContext(ctx, "h2load", args...).CombinedOutput()
	found := h2loadRequests.FindSubmatch(out)
	if err != nil || found == nil {
		return 0, 0, fmt.Errorf("h2load: %w: %s", err, out)
	}
	answered, err = strconv.Atoi(string(found[1]))
	failed, err2 := strconv.Atoi(string(found[2]))
	return answered, failed, errors.Join(err, err2)
}

// http3Load asks by connections of its own.
func (s settings) http3Load(ctx context.Context, _ string, urls []string) (answered, failed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.seconds)*time.Second)
	defer cancel()
	var good, bad atomic.Int64
	var asking sync.WaitGroup
	for range tlsConnections {
		transport := &http3.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // made by us
		defer func() { _ = transport.Close() }()
		for first := range tlsStreams {
			asking.Go(func() {
				for i := first; ctx.Err() == nil; i++ {
					switch err := askOnce(ctx, transport, urls[i%len(urls)]); {
					case err == nil:
						good.Add(1)
					case ctx.Err() == nil:
						bad.Add(1)
					}
				}
			})
		}
	}
	asking.Wait()
	return int(good.Load()), int(bad.Load()), nil
}

func askOnce(ctx context.Context, by http.RoundTripper, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := by.RoundTrip(req)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n != resp.ContentLength) {
		err = fmt.Errorf("status %d, %d bytes", resp.StatusCode, n)
	}
	return errors.Join(err, resp.Body.Close())
}

// writeCertificate puts a certificate and its key into a server's directory.
func writeCertificate(dir string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"bench.example"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	return cert, key, errors.Join(err,
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
}

func (r *report) printTLS(b *strings.Builder) {
	type key struct{ protocol, size string }
	tables, rows := groups(r.TLS, func(t tlsRow) key { return key{t.Protocol, t.Size} })
	for _, k := range tables {
		fmt.Fprintf(b, "\n### Cached objects of %s over TLS 1.3 by %s, %d connections\n\n"+
			"| server | requests per CPU-second | to the first | requests/s | server cores | RSS MiB | failed |\n"+
			"|---|--:|--:|--:|--:|--:|--:|\n", k.size, k.protocol, tlsConnections)
		servers, of := groups(rows[k], func(t tlsRow) string { return t.Server })
		per := func(t tlsRow) float64 { return t.PerCPU }
		ours := median(of[servers[0]], per).PerCPU
		for _, name := range servers {
			t, failed := median(of[name], per), 0
			for _, one := range of[name] {
				failed += one.Failed
			}
			fmt.Fprintf(b, "| %s | %.0f | %.2f | %.0f | %.2f | %.0f | %d |\n", titles[name], t.PerCPU, t.PerCPU/ours, t.Requests,
				t.ServerCPU, t.RSS, failed)
		}
	}
}
