package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	srt "github.com/datarhei/gosrt"
)

// secretServer is a server that has a secret wherever it takes one.
type secretServer struct {
	tb                               testing.TB
	http, internal, admin, rtmp, srt string
	log, stdout                      *transcript
	accessLog, adminToken            string
}

func startSecretServer(t *testing.T) *secretServer {
	t.Helper()
	dir := t.TempDir()
	s := &secretServer{
		tb: t, http: awayAddress(t), internal: awayAddress(t), admin: awayAddress(t), rtmp: awayAddress(t),
		srt: awayAddress(t), log: &transcript{grew: make(chan struct{}, 1)}, stdout: &transcript{},
		accessLog: filepath.Join(dir, "access.log"), adminToken: "hush-admin-0123456789",
	}
	t.Setenv("OXBOW_ADMIN_TOKEN_FILE", mustWriteFile(t, s.adminToken+"\n"))
	t.Setenv("OXBOW_CLUSTER_TOKEN_FILE", mustWriteFile(t, "hush-cluster-0123456789\n"))
	t.Setenv("OXBOW_SRT_PASSPHRASE", srtSecret)
	var cli commands
	parser, err := newParser(&cli, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse([]string{
		"serve", "--data", dir, "--http", s.http, "--internal", s.internal, "--admin", s.admin, "--rtmp", s.rtmp,
		"--srt", s.srt, "--access-log", s.accessLog, "--webhook-timeout", "1s",
		"--archives", "far=s3://bucket?region=r&endpoint=http://" + awayAddress(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "hush-s3-key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", s3Secret)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- parsed.Run(runContext{
			Context: ctx, stdout: s.stdout, stderr: s.log,
			logger: slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		keepsSecrets(t, s.log.String())
	})
	late := time.After(2 * time.Minute)
	for !strings.Contains(s.stdout.String(), "is up.") {
		select {
		case err := <-ended:
			t.Fatal(err, s.log)
		case <-late:
			t.Fatal("it does not come up", s.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return s
}

func (s *secretServer) ask(method, target, body string, header ...string) (int, string) {
	s.tb.Helper()
	req, err := http.NewRequestWithContext(s.tb.Context(), method, target, strings.NewReader(body))
	if err != nil {
		s.tb.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		s.tb.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err := resp.Body.Close(); err != nil {
		s.tb.Fatal(err)
	}
	if err != nil {
		s.tb.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func (s *secretServer) api(want int, method, path, body string) string {
	s.tb.Helper()
	status, text := s.ask(method, "http://"+s.http+path, body, "Authorization", "Bearer "+s.adminToken)
	if status != want {
		s.tb.Fatalf("%s %s: %d %s", method, path, status, text)
	}
	return text
}

// TestServeTellsNoSecretsWhateverFails gives one process secrets wherever it takes them, has all kinds of requests fail,
// and reads all that it tells.
func TestServeTellsNoSecretsWhateverFails(t *testing.T) {
	s := startSecretServer(t)
	s.api(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	s.api(201, "POST", "/v1/publishers/acme/streams", `{"name":"show","playback":"signed"}`)
	away := awayAddress(t)
	s.api(200, "PUT", "/v1/publishers/acme/streams/show/source",
		`{"url":"rtmp://puller:hush-pull@`+away+`/live/hush-pullkey?auth=hush-query"}`)
	hook := s.api(201, "POST", "/v1/webhooks", `{"url":"http://`+away+`/hooks/hush-hook?sign=hush-hook"}`)
	made := regexp.MustCompile(`oxw_\w+|ox_\w+`).FindAllString(hook+s.stdout.String(), -1)
	if len(made) < 2 {
		t.Fatalf("the secrets that it made: %q in %s %s", made, hook, s.stdout)
	}

	for _, ask := range []struct{ method, target, authorization string }{
		{"GET", s.http + "/v1/streams", "Bearer hush-wrong-token"},
		{"GET", s.http + "/t/hush-jwt.eyJ.x/acme/show/index.m3u8", ""},
		{"GET", s.http + "/acme/show/index.m3u8?token=hush-jwt.eyJ.x", ""},
		{"GET", s.http + "/t/hush-jwt/v1/publishers", ""},
		{"POST", s.http + "/t/hush-jwt/acme/show/index.m3u8", ""},
		{"GET", s.http + "/watch/acme/show?token=hush-jwt", ""},
		{"GET", s.internal + "/internal/v1/playback", "Bearer hush-wrong-cluster-token"},
		{"GET", s.internal + "/acme/show/index.m3u8", ""},
		{"POST", s.internal + "/internal/v1/node/drain", "Basic hush-basic"},
	} {
		header := []string{"Cookie", "id=hush-cookie"}
		if ask.authorization != "" {
			header = append(header, "Authorization", ask.authorization)
		}
		status, text := s.ask(ask.method, "http://"+ask.target, "", header...)
		if strings.HasPrefix(ask.target, s.internal) && status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", ask.target, status, text)
		}
		keepsSecrets(t, text)
	}
	s.publishWrongly(t)
	id := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(hook)
	s.ask("POST", "http://"+s.http+"/v1/webhooks/"+id[1]+"/test", "{}", "Authorization", "Bearer "+s.adminToken)
	s.log.has(t, "wrong key", "without the cluster's token was refused", "with a wrong token was refused", "webhook", "source lost")

	for _, path := range []string{
		"/v1/publishers", "/v1/publishers/acme/streams/show", "/v1/publishers/acme/streams/show/source", "/v1/tokens",
		"/v1/audit", "/v1/events", "/v1/nodes", "/v1/archives", "/v1/sessions", "/v1/token", "/v1/listing", "/v1/openapi.json",
	} {
		keepsSecrets(t, s.api(200, "GET", path, ""))
	}
	for _, path := range []string{"/metrics", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/readyz"} {
		status, text := s.ask("GET", "http://"+s.admin+path, "")
		if status != http.StatusOK {
			t.Errorf("%s: %d", path, status)
		}
		keepsSecrets(t, text)
	}
	var access []byte
	for late := time.After(2 * time.Minute); !bytes.Contains(access, []byte("/acme/show/index.m3u8")); { // it is buffered
		select {
		case <-late:
			t.Fatalf("access log: %s", access)
		case <-time.After(20 * time.Millisecond):
		}
		var err error
		if access, err = os.ReadFile(s.accessLog); err != nil {
			t.Fatal(err)
		}
	}
	keepsSecrets(t, string(access))
	keepsSecrets(t, strings.Join(ffmpegEnv(), "\n"))
	for _, secret := range made {
		if strings.Contains(s.log.String()+string(access), secret) {
			t.Errorf("%.6s... is in the log", secret)
		}
	}
}

// publishWrongly comes with keys and passphrases that are wrong.
func (s *secretServer) publishWrongly(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	clip, err := parseSample(sampleFLV)
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []*url.URL{
		{Scheme: "rtmp", Host: s.rtmp, Path: "/live", Fragment: "hush-stream-key"},
		{Scheme: "rtmp", Host: s.rtmp, Path: "/live/hush-stream-key", RawQuery: "key=hush-stream-key"},
	} {
		if err := clip.publish(ctx, target); err == nil {
			t.Error("RTMP with a wrong key is let in")
		}
	}
	for _, passphrase := range []string{srtSecret, "hush-wrong-passphrase"} {
		cfg := srt.DefaultConfig()
		cfg.StreamId, cfg.Passphrase = "publish:acme/show:hush-stream-key", passphrase
		if conn, err := srt.Dial("srt", s.srt, cfg); err == nil {
			_ = conn.Close()
			t.Error("SRT with a wrong key is let in")
		}
	}
}
