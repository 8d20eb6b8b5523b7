package main

import (
	"bytes"
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/porttest"
)

// The passwords and tokens that no output may repeat.
const (
	sqlSecret, redisSecret, tokenSecret, srtSecret, s3Secret = "hush-sql-1", "hush-redis-2", "hush-token-3",
		"hush-passphrase-4", "hush-archive-5"
)

// transcript is what commands print and log.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
	grew chan struct{}
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case t.grew <- struct{}{}:
	default:
	}
	return t.text.Write(p)
}

func (t *transcript) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

func (t *transcript) has(tb testing.TB, words ...string) {
	tb.Helper()
	late := time.After(2 * time.Minute)
	for _, word := range words {
		for !strings.Contains(t.String(), word) {
			select {
			case <-t.grew:
			case <-late:
				tb.Fatalf("%q is not told: %s", word, t)
			}
		}
	}
}

func keepsSecrets(tb testing.TB, text string) {
	tb.Helper()
	if i := strings.Index(text, "hush-"); i >= 0 {
		tb.Errorf("a secret is told: %.300q", text[max(0, i-150):])
	}
}

// awayAddress is where nobody listens, by TCP or UDP, and nobody else will.
func awayAddress(tb testing.TB) string {
	tb.Helper()
	address, err := porttest.Loopback(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return address
}

// command runs a command line as run does, but for the signals.
func command(ctx context.Context, out *transcript, args []string) error {
	var cli commands
	parser, err := newParser(&cli, out, out)
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return parsed.Run(runContext{Context: ctx, stdout: out, logger: logger})
}

func TestServersTellNoSecrets(t *testing.T) {
	dir := t.TempDir()
	away := awayAddress(t)
	services := []string{
		"--catalog", "postgres://oxbow:" + sqlSecret + "@" + away + "/oxbow",
		"--registry", "redis://oxbow:" + redisSecret + "@" + away,
		"--admin", "127.0.0.1:0",
	}
	local := []string{"--cluster-token", tokenSecret, "--internal", "127.0.0.1:0"}
	archive := []string{"--archive", "dir:" + filepath.Join(dir, "archive")}
	for name, args := range map[string][]string{
		"api": append([]string{"--http", "127.0.0.1:0", "--admin-token", tokenSecret}, local...),
		"ingest": append([]string{
			"--rtmp", "127.0.0.1:0", "--srt", "127.0.0.1:0", "--srt-passphrase", srtSecret,
			"--recordings", filepath.Join(dir, "a"),
		}, local...),
		"archiver": append([]string{"--recordings", filepath.Join(dir, "b")}, archive...),
	} {
		t.Run(name, func(t *testing.T) {
			told := &transcript{grew: make(chan struct{}, 1)}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- command(ctx, told, append(append([]string{name}, services...), args...)) }()
			told.has(t, "registry away", "catalog is away", " is up")
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			keepsSecrets(t, told.String())
		})
	}
}

func TestUsageErrorsTellNoSecrets(t *testing.T) {
	good := map[string]string{
		"catalog": "sqlite:" + filepath.Join(t.TempDir(), "x.db"), "registry": "redis://" + awayAddress(t),
		"archive": "dir:" + t.TempDir(), "recordings": t.TempDir(), "directory": "http://a:1",
	}
	for _, bad := range []struct{ command, flag, value string }{
		{"archiver", "catalog", "postgres://u:" + sqlSecret + "@h:port/x"},
		{"archiver", "catalog", "postgres://u:" + sqlSecret + "%zz@h/x"},
		{"archiver", "catalog", "mysql://u:" + sqlSecret + "@h/x"},
		{"archiver", "registry", "redis://u:" + redisSecret + "@h:port"},
		{"archiver", "registry", "redis://u:" + redisSecret + "%zz@h"},
		{"archiver", "registry", "http://u:" + redisSecret + "@h"},
		{"archiver", "archive", "s3://key:" + s3Secret + "@bucket?region=r"},
		{"archiver", "archive", "s3://bucket?region=r&endpoint=http://key:" + s3Secret + "@h"},
		{"edge", "directory", "http://u:" + tokenSecret + "@h"},
		{"edge", "directory", "http://u:" + tokenSecret + "%zz@h"},
	} {
		args := []string{bad.command, "--admin", "127.0.0.1:0", "--archive", good["archive"]}
		if bad.command == "archiver" {
			args = append(args, "--catalog", good["catalog"], "--registry", good["registry"],
				"--recordings", good["recordings"])
		}
		args = append(args, "--"+bad.flag, bad.value) // the last of a flag counts
		told := &transcript{}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err := command(ctx, told, args)
		cancel()
		if err == nil {
			t.Errorf("%s %s: took it", bad.flag, bad.value)
			continue
		}
		keepsSecrets(t, told.String()+err.Error())
	}
}
