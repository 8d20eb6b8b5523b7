// Package test holds the whole-system tests: the built binary with real publishers (ffmpeg) and real players (ffmpeg,
// hls.js in Chromium), killed with -9 in mid-part; and the table of import rules. Each test starts its own server on
// free ports and cleans up.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// oxbowBinary is the built oxbow; TestMain makes it.
var oxbowBinary string

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "oxbow-test-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	oxbowBinary = filepath.Join(dir, "oxbow")
	build := exec.Command("go", "build", "-o", oxbowBinary, "./cmd/oxbow")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	// They wait for real time more than they work: many more of them at once than there are cores. What they judge must
	// bear what that does to a machine, see patience_test.go.
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		if err := parallel.Value.Set("6"); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// needTool skips the test where the tool is missing; OXBOW_TEST_REQUIRE=all makes that a failure.
func needTool(tb testing.TB, name string) string {
	tb.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
		tb.Fatalf("%s is missing: run `make tools`", name)
	}
	tb.Skipf("%s is missing: run `make tools`", name)
	return ""
}

// oxbow is a server under test: one data directory, fixed ports, started and killed any number of times.
type oxbow struct {
	tb    testing.TB
	data  string
	http  string
	rtmp  string
	srt   string
	admin string
	extra []string
	env   []string

	cmd  *exec.Cmd
	done chan struct{}
	out  *output
}

const adminToken = "test-admin-token"

// newOxbow prepares a server; start starts it.
func newOxbow(tb testing.TB, extra ...string) *oxbow {
	tb.Helper()
	o := &oxbow{tb: tb, data: filepath.Join(tb.TempDir(), "data"), extra: extra, out: &output{}}
	o.http, o.rtmp, o.srt, o.admin = steadyAddress(tb), steadyAddress(tb), steadyAddress(tb), steadyAddress(tb)
	tb.Cleanup(func() {
		o.stop(syscall.SIGKILL)
		if tb.Failed() {
			tb.Logf("server's log:\n%s", o.out.tail(200))
		}
	})
	return o
}

// command prepares the binary's command with the server's flags.
func (o *oxbow) command(command string) *exec.Cmd {
	args := []string{command, "--data", o.data, "--http", o.http, "--rtmp", o.rtmp, "--srt", o.srt, "--admin", o.admin,
		"--log-level", "debug"}
	if command == "serve" { // else every test has thumbnails made beside it
		args = append(args, "--ffmpeg", "none")
	}
	args = append(args, o.extra...)
	cmd := exec.Command(oxbowBinary, args...)
	cmd.Env = append(append(os.Environ(), "OXBOW_ADMIN_TOKEN="+adminToken), o.env...)
	return cmd
}

// start runs the binary's command ("serve" or "demo") and returns once it is ready.
func (o *oxbow) start(command string) {
	o.tb.Helper()
	o.cmd = o.command(command)
	o.cmd.Stdout, o.cmd.Stderr = o.out, o.out
	if err := o.cmd.Start(); err != nil {
		o.tb.Fatal(err)
	}
	cmd, done := o.cmd, make(chan struct{})
	o.done = done
	go func() {
		defer close(done)
		_ = cmd.Wait()
	}()
	eventually(o.tb, 15*time.Second, "the server is ready", func() bool {
		select {
		case <-done:
			o.tb.Fatalf("the server ended at start:\n%s", o.out.tail(50))
		default:
		}
		status, _ := o.try("http://" + o.admin + "/readyz")
		return status == http.StatusOK
	})
}

// stop sends the signal and waits until the process has gone.
func (o *oxbow) stop(signal os.Signal) {
	o.tb.Helper()
	if o.cmd == nil {
		return
	}
	_ = o.cmd.Process.Signal(signal)
	select {
	case <-o.done:
	case <-time.After(patient(20 * time.Second)):
		_ = o.cmd.Process.Kill()
		<-o.done
		o.tb.Errorf("the server did not end within %v of %v", patient(20*time.Second), signal)
	}
	o.cmd = nil
}

// url gives the address of a path at the edge.
func (o *oxbow) url(path string) string { return "http://" + o.http + path }

// try fetches a URL; status 0 is a failed connection.
func (o *oxbow) try(url string) (status int, body []byte) {
	status, body, _ = fetch(url, nil)
	return status, body
}

// get fetches a path at the edge and insists on 200.
func (o *oxbow) get(path string) []byte {
	o.tb.Helper()
	status, body := o.try(o.url(path))
	if status != http.StatusOK {
		o.tb.Fatalf("GET %s: %d %.300s", path, status, body)
	}
	return body
}

// api calls the REST API with the admin token and decodes the answer into out unless that is nil.
func (o *oxbow) api(method, path string, in, out any) int {
	o.tb.Helper()
	status, text := o.call(method, path, in)
	if out != nil && status < 300 {
		if err := json.Unmarshal(text, out); err != nil {
			o.tb.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	} else if status >= 300 {
		o.tb.Logf("%s %s: %d %s", method, path, status, text)
	}
	return status
}

// call is api that gives the answer as it is.
func (o *oxbow) call(method, path string, in any) (status int, answer []byte) {
	o.tb.Helper()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			o.tb.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequest(method, o.url(path), body)
	if err != nil {
		o.tb.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		o.tb.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		o.tb.Fatalf("%s %s: %v", method, path, err)
	}
	return resp.StatusCode, text
}

// createStream makes a publisher with its settings and a stream, and gives the stream's key.
func (o *oxbow) createStream(publisher, stream string, settings map[string]any) (key string) {
	o.tb.Helper()
	body := map[string]any{"name": publisher}
	for k, v := range settings {
		body[k] = v
	}
	if status := o.api(http.MethodPost, "/v1/publishers", body, nil); status >= 300 {
		o.tb.Fatalf("create publisher: %d", status)
	}
	var created struct{ Key string }
	if status := o.api(http.MethodPost, "/v1/publishers/"+publisher+"/streams", map[string]any{"name": stream}, &created); status >= 300 {
		o.tb.Fatalf("create stream: %d", status)
	}
	if created.Key == "" {
		o.tb.Fatal("the stream came without a key")
	}
	return created.Key
}

// recording is what the API tells of one.
type recording struct {
	ID         string `json:"id"`
	State      string `json:"state"`
	DurationMS int64  `json:"duration_ms"`
	Bytes      int64  `json:"bytes"`
	LastError  string `json:"last_error"`
}

func (o *oxbow) recordings(publisher, stream string) []recording {
	o.tb.Helper()
	var page struct{ Items []recording }
	if status := o.api(http.MethodGet, "/v1/recordings?publisher="+publisher+"&stream="+stream, nil, &page); status != http.StatusOK {
		o.tb.Fatalf("list recordings: %d", status)
	}
	return page.Items
}

// waitState waits until the recording is in the state.
func (o *oxbow) waitState(id, state string, limit time.Duration) recording {
	o.tb.Helper()
	var r recording
	eventually(o.tb, limit, "recording "+id+" is "+state, func() bool {
		o.api(http.MethodGet, "/v1/recordings/"+id, nil, &r)
		return r.State == state
	})
	return r
}

// process is a tool that runs beside the test: a publisher, a player, a browser.
type process struct {
	tb   testing.TB
	name string
	out  *output
	done chan struct{}
	err  error
	stop func() // without a goodbye
}

// publish starts ffmpeg with the arguments.
func publish(tb testing.TB, args ...string) *process {
	tb.Helper()
	args = append([]string{"-hide_banner", "-loglevel", "info", "-nostdin"}, args...)
	return startProcess(tb, exec.Command(needTool(tb, "ffmpeg"), args...))
}

// startProcess starts the command; it is killed at the test's end, and if the test failed its output is shown.
func startProcess(tb testing.TB, cmd *exec.Cmd) *process {
	tb.Helper()
	p := &process{
		tb: tb, name: filepath.Base(cmd.Path), out: &output{}, done: make(chan struct{}),
		stop: func() { _ = cmd.Process.Kill() },
	}
	cmd.Stdout, cmd.Stderr = p.out, p.out
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	go func() {
		defer close(p.done)
		p.err = cmd.Wait()
	}()
	p.cleanup()
	return p
}

// startTask runs a publisher of ours beside the test, as if it were a process.
func startTask(tb testing.TB, name string, task func(ctx context.Context) error) *process {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{tb: tb, name: name, out: &output{}, done: make(chan struct{}), stop: cancel}
	go func() {
		defer close(p.done)
		p.err = task(ctx)
	}()
	p.cleanup()
	return p
}

// over says that the tool has ended.
func (p *process) over() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) cleanup() {
	p.tb.Cleanup(func() {
		p.kill()
		if p.tb.Failed() {
			p.tb.Logf("%s's output:\n%s", p.name, p.out.tail(30))
		}
	})
}

// kill ends the process without a goodbye.
func (p *process) kill() {
	p.stop()
	<-p.done
}

// wait waits for the process's own end.
func (p *process) wait(limit time.Duration) error {
	p.tb.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(patient(limit)):
		p.tb.Fatalf("%s did not end within %v:\n%s", p.name, patient(limit), p.out.tail(20))
		return nil
	}
}

// run runs a tool to its end and gives its output; a failure fails the test.
func run(tb testing.TB, limit time.Duration, name string, args ...string) string {
	tb.Helper()
	out, err := tryRun(tb, limit, name, args...)
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func tryRun(tb testing.TB, limit time.Duration, name string, args ...string) (string, error) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patient(limit))
	defer cancel()
	out, err := exec.CommandContext(ctx, needTool(tb, name), args...).CombinedOutput()
	return string(out), err
}

// fetch gets a URL with extra headers. Status 0 is a failed connection.
func fetch(url string, header http.Header) (int, []byte, http.Header) {
	ctx, cancel := context.WithTimeout(context.Background(), patient(30*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, []byte(err.Error()), nil
	}
	for k, v := range header {
		req.Header[k] = v
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, []byte(err.Error()), nil
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, []byte(err.Error()), nil
	}
	return resp.StatusCode, body, resp.Header
}

// eventually polls until the condition holds; past the limit the test fails.
func eventually(tb testing.TB, limit time.Duration, what string, condition func() bool) {
	tb.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	limit = patient(limit)
	deadline := time.After(limit)
	for !condition() {
		select {
		case <-deadline:
			tb.Fatalf("not within %v: %s", limit, what)
		case <-poll.C:
		}
	}
}

// output keeps what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

func (o *output) tail(lines int) string {
	all := strings.Split(o.String(), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// metrics sums the series of a metric whose lines contain all of the given labels.
func (o *oxbow) metrics(name string, labels ...string) float64 {
	o.tb.Helper()
	status, text := o.try("http://" + o.admin + "/metrics")
	if status != http.StatusOK {
		o.tb.Fatalf("metrics: %d", status)
	}
	sum, found := 0.0, false
	for line := range strings.Lines(string(text)) {
		series, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		if n, _, _ := strings.Cut(series, "{"); !ok || n != name {
			continue
		}
		matches := true
		for _, label := range labels {
			matches = matches && strings.Contains(series, label)
		}
		if matches {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				o.tb.Fatalf("metrics: %q", line)
			}
			sum, found = sum+v, true
		}
	}
	if !found {
		o.tb.Fatalf("no metric %s %v", name, labels)
	}
	return sum
}

// waitGone waits until the recording is deleted everywhere.
func (o *oxbow) waitGone(id string, limit time.Duration) {
	o.tb.Helper()
	eventually(o.tb, limit, "recording "+id+" is gone", func() bool {
		var page struct{ Items []recording }
		o.api(http.MethodGet, "/v1/recordings?state=deleted", nil, &page)
		return slices.ContainsFunc(page.Items, func(r recording) bool { return r.ID == id })
	})
}

func mustRead(tb testing.TB, file string) string {
	tb.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

func mustWrite(tb testing.TB, file string, data []byte) {
	tb.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
}
