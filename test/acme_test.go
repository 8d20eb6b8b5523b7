package test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority is pebble, Let's Encrypt's certificate authority for tests, with a name server that leads every name here.
type authority struct {
	*process
	t           *testing.T
	directory   string
	management  string
	certificate certificateFiles // its server's own
	root        *x509.CertPool   // what it signs with
}

// startAuthority has it ask at the two ports, and give certificates for a time.
func startAuthority(t *testing.T, httpPort, tlsPort string, validity time.Duration) *authority {
	t.Helper()
	a := &authority{t: t, certificate: newCertificateFiles(t, "ca.example")}
	listen := steadyAddress(t)
	a.directory, a.management = "https://"+listen+"/dir", steadyAddress(t)
	number := func(address string) json.RawMessage {
		_, port, _ := net.SplitHostPort(address)
		return json.RawMessage(port)
	}
	config, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": listen, "managementListenAddress": a.management,
		"certificate": a.certificate.cert, "privateKey": a.certificate.key,
		"httpPort": number(httpPort), "tlsPort": number(tlsPort),
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"validityPeriod": int(validity.Seconds())}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pebble.json")
	mustWrite(t, file, config)
	cmd := exec.Command(goTool(t, "pebble"), "-config", file, "-dnsserver", serveNames(t))
	cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_WFE_NONCEREJECT=20") // a fault that clients must bear
	a.process = startProcess(t, cmd)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	t.Cleanup(client.CloseIdleConnections)
	eventually(t, 10*time.Second, "the authority is up", func() bool {
		resp, err := client.Get("https://" + a.management + "/roots/0")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		a.root = x509.NewCertPool()
		return err == nil && a.root.AppendCertsFromPEM(text)
	})
	return a
}

// serveNames is a name server to which every name has the address 127.0.0.1 and none of IPv6 (RFC 1035 section 4).
func serveNames(t *testing.T) (address string) {
	t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = socket.Close() })
	go func() {
		question := make([]byte, 512)
		for {
			n, from, err := socket.ReadFrom(question)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			end := 12
			for end < n && question[end] != 0 {
				end += 1 + int(question[end])
			}
			end += 5 // the root, type and class
			if err != nil || end > n {
				continue
			}
			answer := append([]byte{}, question[:end]...)
			answer[2], answer[3] = 0x84, 0 // an answer, and with authority
			copy(answer[6:12], make([]byte, 6))
			if question[end-3] == 1 { // A
				answer[7] = 1
				answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1)
			}
			_, _ = socket.WriteTo(answer, from)
		}
	}()
	return socket.LocalAddr().String()
}

// issued counts the certificates that the authority gave.
func (a *authority) issued() int { return strings.Count(a.out.String(), "Issued certificate serial") }

// served gives the certificate of a name at a port, if it is the authority's.
func (a *authority) served(address, name string) *x509.Certificate {
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: a.root, ServerName: name})
	if err != nil {
		return nil
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// acmeEdge starts an edge whose certificates the authority gives.
func acmeEdge(t *testing.T, a *authority, http, https, storage string) *process {
	t.Helper()
	return startProcess(t, exec.Command(oxbowBinary, "edge", "--upstream", "http://127.0.0.1:1", "--http", http, "--https", https,
		"--admin", "127.0.0.1:0", "--acme-domains", "live.example,www.live.example", "--acme-directory", a.directory,
		"--acme-directory-ca", a.certificate.cert, "--acme-storage", storage, "--acme-email", "ops@live.example",
		"--acme-check", "1s", "--log-level", "debug"))
}

// TestACME gets certificates from a certificate authority by each of its questions, of which the other leads nowhere. Two edges share one directory: each
// certificate is got once, and the questions are answered by the edge that the authority comes to, whoever ordered.
func TestACME(t *testing.T) {
	onlyFull(t)
	for _, tt := range []struct {
		challenge string
		validity  time.Duration
		byHTTP    bool
	}{
		{"tls-alpn-01", 24 * time.Second, false}, {"http-01", time.Hour, true},
	} {
		t.Run(tt.challenge, func(t *testing.T) {
			t.Parallel()
			https, plain, closed, storage := steadyAddress(t), steadyAddress(t), steadyAddress(t), t.TempDir()
			asked := map[bool][2]string{false: {closed, https}, true: {plain, closed}}[tt.byHTTP]
			a := startAuthority(t, asked[0], asked[1], tt.validity)
			secondHTTPS := steadyAddress(t)
			edges := map[string]*process{
				secondHTTPS: acmeEdge(t, a, steadyAddress(t), secondHTTPS, storage), https: acmeEdge(t, a, plain, https, storage),
			}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("the authority:\n%s", a.out.tail(60))
					for _, edge := range edges {
						t.Logf("an edge:\n%s", edge.out.tail(80))
					}
				}
			})
			began := time.Now()
			serials := map[string]string{}
			for address := range edges {
				for _, name := range []string{"live.example", "www.live.example"} {
					var leaf *x509.Certificate
					eventually(t, 40*time.Second, address+" has a certificate for "+name, func() bool {
						leaf = a.served(address, name)
						return leaf != nil
					})
					if serial := leaf.SerialNumber.String(); serials[name] == "" {
						serials[name] = serial
					} else if serials[name] != serial && tt.byHTTP {
						t.Errorf("the edges have different certificates for %s", name)
					}
				}
			}
			t.Logf("certificates after %v, %d issued", time.Since(began).Round(time.Millisecond), a.issued())
			if tt.byHTTP && a.issued() != 2 {
				t.Errorf("%d certificates were issued for two names", a.issued())
			}
			wantKeysKept(t, storage)
			if !tt.byHTTP {
				first := a.served(https, "live.example")
				eventually(t, 40*time.Second, "the certificate is renewed", func() bool {
					leaf := a.served(https, "live.example") // there is a good one at all times
					if leaf == nil || leaf.NotAfter.Before(time.Now()) {
						t.Error("no certificate that is good")
					}
					return leaf != nil && leaf.SerialNumber.Cmp(first.SerialNumber) != 0
				})
				t.Logf("renewed after %v", time.Since(began).Round(time.Millisecond))
				if told := edges[https].out.String() + edges[secondHTTPS].out.String(); !strings.Contains(told, "renewal=true") {
					t.Error("no edge tells of the renewal")
				}
			}
		})
	}
}

// wantKeysKept looks that nobody else may read what is in the directory.
func wantKeysKept(t *testing.T, storage string) {
	t.Helper()
	keys := 0
	err := filepath.Walk(storage, func(name string, info os.FileInfo, err error) error {
		if err == nil && strings.HasSuffix(name, ".key") {
			keys++
			if info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v", name, info.Mode())
			}
		}
		return nil // what a process is about to replace comes and goes
	})
	if err != nil || keys < 3 { // two certificates' and the account's
		t.Errorf("%d keys in %s: %v", keys, storage, err)
	}
}
