package objstoretest

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/porttest"
)

// Gateway is a versitygw process: an S3 server over a directory.
type Gateway struct {
	// Endpoint is its base URL, Dir what it serves: a bucket is a folder of it.
	Endpoint  string
	Dir       string
	AccessKey string
	SecretKey string

	args   []string
	cmd    *exec.Cmd
	logs   string
	client *http.Client
}

const startTimeout = 30 * time.Second

// MustStartGateway builds versitygw from the module in test/tools and runs it on a free loopback port until the test is
// over. Where it can't be built the test is skipped, or fails if OXBOW_TEST_REQUIRE is "all".
func MustStartGateway(tb testing.TB) *Gateway { return MustStartGatewayWith(tb, GatewayConfig{}) }

// GatewayConfig is of what few tests need.
type GatewayConfig struct {
	// Dir is what it serves; empty means a folder of the test's own.
	Dir string
	// Domain, if set, takes the host names below it for buckets, as Amazon does.
	Domain string
	// CertFile and KeyFile, if set, make it speak https, and AuthorityFile is what its certificate is signed with.
	CertFile      string
	KeyFile       string
	AuthorityFile string
	// Region is the server's; empty means us-east-1.
	Region string
}

// MustStartGatewayWith is MustStartGateway with settings.
func MustStartGatewayWith(tb testing.TB, c GatewayConfig) *Gateway {
	tb.Helper()
	binary, err := build(tb.Context())
	if err != nil {
		if os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
			tb.Fatalf("S3 server is required: %v", err)
		}
		tb.Skipf("no S3 server: %v", err)
	}
	work := tb.TempDir()
	g := &Gateway{
		Dir: cmp.Or(c.Dir, filepath.Join(work, "data")), AccessKey: "oxbow", SecretKey: "oxbow-secret",
		logs: filepath.Join(work, "log"), client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	}
	if err := os.MkdirAll(g.Dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	addr, err := porttest.Loopback(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	g.Endpoint = "http://" + addr
	g.args = []string{
		binary, "--access", g.AccessKey, "--secret", g.SecretKey, "--port", addr, "--region", cmp.Or(c.Region, "us-east-1"),
		"--keep-alive", "--quiet", "--health", "/_health",
	}
	if c.Domain != "" {
		g.args = append(g.args, "--virtual-domain", c.Domain)
	}
	if c.CertFile != "" {
		g.Endpoint = "https://" + addr
		g.args = append(g.args, "--cert", c.CertFile, "--key", c.KeyFile)
		text, err := os.ReadFile(c.AuthorityFile)
		if err != nil {
			tb.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		g.client.Transport = &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: pool}}
	}
	g.args = append(g.args, "posix", g.Dir)
	g.MustStart(tb)
	tb.Cleanup(func() { g.Kill(tb) })
	return g
}

// MustMakeBucket makes a bucket, which versitygw takes a folder for.
func (g *Gateway) MustMakeBucket(tb testing.TB, bucket string) {
	tb.Helper()
	if err := os.Mkdir(filepath.Join(g.Dir, bucket), 0o755); err != nil {
		tb.Fatal(err)
	}
}

// MustStart starts the process, again after Kill, and waits until it answers.
func (g *Gateway) MustStart(tb testing.TB) {
	tb.Helper()
	logs, err := os.OpenFile(g.logs, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		tb.Fatal(err)
	}
	g.cmd = exec.CommandContext(context.Background(), g.args[0], g.args[1:]...)
	g.cmd.Stdout, g.cmd.Stderr = logs, logs
	// The server must not outlive a test process that is killed.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // Pdeathsig is bound to the thread that starts the process
	err = errors.Join(g.cmd.Start(), logs.Close())
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := g.ready(ctx); err != nil {
		text, _ := os.ReadFile(g.logs)
		tb.Fatalf("versitygw does not answer: %v\n%s", err, text)
	}
}

// Kill ends the process at once; MustStart starts it again on the same data and address.
func (g *Gateway) Kill(tb testing.TB) {
	tb.Helper()
	if g.cmd == nil {
		return
	}
	if err := g.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Errorf("kill versitygw: %v", err)
	}
	_ = g.cmd.Wait() // "signal: killed"
	g.cmd = nil
	runtime.UnlockOSThread()
}

func (g *Gateway) ready(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := health(ctx, g.client, g.Endpoint+"/_health")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}

func health(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<16))
	if resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %s", resp.Status)
	}
	return errors.Join(err, resp.Body.Close())
}
