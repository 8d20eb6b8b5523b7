package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"github.com/oxbow-video/oxbow/internal/media"
)

// builtLine is the command line, built once: under the race detector that takes as long as parsing a hundred.
type builtLine struct {
	sync.Mutex
	parser *kong.Kong
	cli    commands
}

var oneLine = sync.OnceValue(func() *builtLine {
	line := new(builtLine)
	var err error
	if line.parser, err = newParser(&line.cli, io.Discard, io.Discard); err != nil {
		panic(err)
	}
	return line
})

// freshen has a parser forget what it parsed: that resets values by itself, but not which of them it has seen.
func freshen(parser *kong.Kong) *kong.Kong {
	_ = kong.Visit(parser.Model, func(of kong.Visitable, next kong.Next) error { // what is visited fails at nothing
		switch of := of.(type) {
		case *kong.Node:
			of.Active = false
		case *kong.Value:
			of.Active, of.Set = false, false
		}
		return next(nil)
	})
	return parser
}

// parse runs the command line's parser as main does.
func parse(t *testing.T, args ...string) (commands, error) {
	t.Helper()
	line := oneLine()
	line.Lock()
	defer line.Unlock()
	_, err := freshen(line.parser).Parse(args)
	return line.cli, err
}

// call is run, by the one command line: for what has ended when it returns.
func call(args []string, stdout, stderr io.Writer) int {
	return callIn(context.Background(), args, stdout, stderr)
}

// callIn is runIn likewise.
func callIn(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	line := oneLine()
	line.Lock()
	defer line.Unlock()
	line.parser.Stdout, line.parser.Stderr = stdout, stderr
	return runParsed(ctx, freshen(line.parser), &line.cli, args, stdout, stderr)
}

func mustWriteFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "oxbow.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestPrecedenceFlagEnvironmentFileDefault(t *testing.T) {
	file := mustWriteFile(t, "http: \":1\"\nrtmp: \":1\"\nadmin: \":1\"\nlog-level: debug\narchive-grace: 3s\n")
	t.Setenv("OXBOW_HTTP", ":2")
	t.Setenv("OXBOW_RTMP", ":2")
	t.Setenv("OXBOW_CONFIG", file)
	cli, err := parse(t, "serve", "--http", ":3")
	if err != nil {
		t.Fatal(err)
	}
	got := []any{cli.Serve.HTTP, cli.Serve.RTMP, cli.Serve.Admin, cli.Serve.SRT, cli.Serve.ArchiveGrace, cli.Log.Level}
	want := []any{listenAddress(":3"), listenAddress(":2"), listenAddress(":1"), listenAddress(":8890"), 3 * time.Second, "debug"}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("value %d: %v, want %v", i, got[i], want[i])
		}
	}
}

func TestWrongValuesAreNamedWithWhatIsRight(t *testing.T) {
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"serve", "--http", "8080"}, []string{"--http", ":8080"}},
		{[]string{"serve", "--rtmps", "443"}, []string{"--rtmps", ":PORT"}},
		{[]string{"serve", "--rtmp", ":99999"}, []string{"--rtmp", "HOST:PORT"}},
		{[]string{"serve", "--cache-size", "lots"}, []string{"--cache-size", "256MiB"}},
		{[]string{"serve", "--sync", "often"}, []string{"--sync", "segment", "never"}},
		{[]string{"serve", "--archive", "ftp://x"}, []string{"--archive", "s3://"}},
		{[]string{"serve", "--archives", "s3://b"}, []string{"--archives", "NAME=URL"}},
		{[]string{"serve", "--archives", "default=dir:/a"}, []string{"--archive", "another name"}},
		{[]string{"serve", "--archives", "eu=ftp://x"}, []string{"--archives", "s3://"}},
		{[]string{"serve", "--archive-grace", "soon"}, []string{"--archive-grace"}},
		{[]string{"serve", "--log-level", "loud"}, []string{"--log-level", "debug"}},
		{[]string{"serve", "--htpt", ":1"}, []string{"--htpt", "--http"}},
		{[]string{"serve", "--config", mustWriteFile(t, "htpt: x\n")}, []string{"htpt"}},
		{[]string{"serve", "--config", mustWriteFile(t, "http: [1]\n")}, []string{"http", "one value"}},
		{[]string{"serve", "--config", "/nonexistent.yaml"}, []string{"--config", "/nonexistent.yaml"}},
	} {
		_, err := parse(t, c.args...)
		if err == nil {
			t.Errorf("%v: no error", c.args)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v: %q does not say %q", c.args, err, w)
			}
		}
	}
}

func TestTLSFlags(t *testing.T) {
	t.Setenv("OXBOW_TLS_KEY", "k")
	cli, err := parse(t, "serve", "--config", mustWriteFile(t, "rtmps: \":443\"\ntls-cert: c\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := cli.Serve.TLS, (tlsFlags{Cert: fileNames{"c"}, Key: fileNames{"k"}}); !reflect.DeepEqual(got, want) ||
		cli.Serve.RTMPS != ":443" {
		t.Errorf("%+v, %s", got, cli.Serve.RTMPS)
	}
	if cli, err = parse(t, "serve"); err != nil || cli.Serve.RTMPS != "" {
		t.Errorf("RTMPS is not off by default: %q, %v", cli.Serve.RTMPS, err)
	}
}

// The tunnel's paths never reach the edge, and no other path reaches the tunnel.
func TestPublicPaths(t *testing.T) {
	handler := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(name)) })
	}
	public := publicHandler(handler("api"), handler("tunnel"), handler("edge"))
	for path, want := range map[string]string{
		"/": "api", "/v1/recordings": "api", "/watch/acme/show": "api", "/favicon.ico": "api",
		"/open/1": "tunnel", "/send/a/1": "tunnel", "/idle/a/1": "tunnel", "/close/a/1": "tunnel", "/fcs/ident2": "tunnel",
		"/acme/show/index.m3u8": "edge", "/opened/show/index.m3u8": "edge",
		"/t/token/acme/show/index.m3u8": "edge", "/t/": "api", "/t": "api", "/tv/show/index.m3u8": "edge",
	} {
		w := httptest.NewRecorder()
		public.ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, nil))
		if got := w.Body.String(); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestArchiveURLs(t *testing.T) {
	for text, want := range map[string]archiveURL{
		"dir:/a/b":    {dir: "/a/b"},
		"s3://bucket": {bucket: "bucket", checksums: "auto"},
		"s3://b/p/q/": {bucket: "b", prefix: "p/q", checksums: "auto"},
		"s3://b?region=r&endpoint=http%3A%2F%2Fh%3A1&checksums=off": {
			bucket: "b", region: "r", endpoint: "http://h:1", checksums: "off",
		},
		"s3://b?checksums=sha256&addressing=virtual&ca=/etc/ca.pem": {
			bucket: "b", checksums: "sha256", addressing: "virtual", ca: "/etc/ca.pem",
		},
	} {
		var got archiveURL
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "dir:", "s3://", "s3://b?x=1", "s3://k:s@b", "s3://b?endpoint=h", "s3://b?checksums=x",
		"s3://b?addressing=host"} {
		var got archiveURL
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}

func TestBucketsAreAddressed(t *testing.T) {
	t.Setenv("AWS_CA_BUNDLE", "/env.pem")
	for text, want := range map[string]struct {
		virtual bool
		ca      string
	}{
		"s3://b":                                      {true, "/env.pem"},
		"s3://b?addressing=path&ca=/a":                {false, "/a"},
		"s3://b?endpoint=http://h":                    {false, "/env.pem"},
		"s3://b?endpoint=http://h&addressing=virtual": {true, "/env.pem"},
	} {
		var a archiveURL
		if err := a.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if c := a.s3Config(media.DefaultArchive); c.VirtualHost != want.virtual || c.CAFile != want.ca {
			t.Errorf("%s: virtual host %v, authorities %s", text, c.VirtualHost, c.CAFile)
		}
	}
}

func TestPlacesOfArchives(t *testing.T) {
	for text, want := range map[string]string{
		"dir:/srv/archive/":                "dir:/srv/archive",
		"s3://b?region=r":                  "s3://b",
		"s3://b/a/c?endpoint=https://h:90": "s3://b/a/c at https://h:90",
	} {
		var a archiveURL
		if err := a.UnmarshalText([]byte(text)); err != nil || a.place() != want {
			t.Errorf("%s is at %q, want %q (%v)", text, a.place(), want, err)
		}
	}
}

// The clip loops without a seam: whole frames of both tracks, in order of time.
func TestSampleIsWholeFrames(t *testing.T) {
	s, err := parseSample(sampleFLV)
	if err != nil {
		t.Fatal(err)
	}
	video, audio := 0, 0
	for i, f := range s.frames {
		if f.video {
			video++
		} else {
			audio++
		}
		if i > 0 && f.dts < s.frames[i-1].dts-100*time.Millisecond {
			t.Errorf("frame %d lies %v before the last", i, s.frames[i-1].dts-f.dts)
		}
	}
	if video != 480 || audio != 750 {
		t.Errorf("%d video and %d audio frames, want 480 and 750", video, audio)
	}
	if len(sampleFLV) > 600_000 {
		t.Errorf("the clip has %d bytes, want at most 600,000", len(sampleFLV))
	}
}

func TestPlaybackURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"https://live.example.com": true, "http://127.0.0.1:8080/": true,
		"live.example.com": false, "https://live.example.com/path": false, "https://h;script-src": false, "": false,
	} {
		var p playbackURL
		if err := p.UnmarshalText([]byte(text)); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		} else if ok && strings.HasSuffix(string(p), "/") {
			t.Errorf("%q is kept as %q", text, p)
		}
	}
}

func TestAPIFlags(t *testing.T) {
	for text, want := range map[string]float64{"0": 0, "0.5": 0.5, "500": 500, "-1": -1, "NaN": -1, "x": -1, "1e9": -1} {
		var r apiRate
		if err := r.UnmarshalText([]byte(text)); (err == nil) != (want >= 0) || err == nil && float64(r) != want {
			t.Errorf("--api-rate=%s is %v, %v", text, r, err)
		}
	}
	for text, want := range map[string]int{
		"*": 1, "https://studio.example": 1, "https://a.example, http://b.example:8080": 2, "": 0, "studio.example": 0,
		"https://a.example/": 0, "https://*.example": 0, "https://a.example,": 0,
	} {
		var o apiOrigins
		if err := o.UnmarshalText([]byte(text)); (err == nil) != (want > 0) || err == nil && len(o) != want {
			t.Errorf("--api-origins=%s is %v, %v", text, o, err)
		}
	}
}

func TestTrustedProxies(t *testing.T) {
	cli, err := parse(t, "serve", "--trusted-proxies", "10.0.0.0/8, ::ffff:192.0.2.1,2001:db8::1")
	want := "[10.0.0.0/8 192.0.2.1/32 2001:db8::1/128]"
	if got := fmt.Sprint(cli.Serve.TrustedProxies); err != nil || got != want {
		t.Errorf("%s, %v, want %s", got, err, want)
	}
	for _, bad := range []string{"10.0.0.0/33", "proxy.example", "10.0.0.0/8,", "fe80::1%eth0"} {
		if _, err := parse(t, "serve", "--trusted-proxies", bad); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
