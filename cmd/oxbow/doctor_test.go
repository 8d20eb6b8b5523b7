package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/internal/doctor"
)

// The exit code tells a sound machine, a failure and wrong usage apart.
func TestDoctorExitCodes(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for label, test := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a port":         {[]string{"--http", "127.0.0.1:0"}, 0, "port --http"},
		"a catalog":      {[]string{"--catalog", "sqlite:" + dir + "/catalog.db"}, 0, "catalog"},
		"an archive":     {[]string{"--archive", "dir:" + dir + "/archive"}, 0, "archive delete"},
		"a file":         {[]string{"--recordings", file}, 1, "is a file"},
		"no Redis there": {[]string{"--registry", "redis://127.0.0.1:1"}, 1, "registry"},
		"a bad registry": {[]string{"--registry", "x:"}, 2, "redis://"},
		"a bad catalog":  {[]string{"--catalog", "x:"}, 2, "postgres://"},
		"a bad archive":  {[]string{"--archive", "x:"}, 2, "s3://"},
		"a bad password": {[]string{"--registry", "redis://u:hunter2@a:x"}, 2, "port"},
		"a bad cluster":  {[]string{"--cluster", "A B"}, 2, "--cluster"},
		"no --internal":  {[]string{"--advertise", "http://a"}, 2, "--internal"},
		"no certificate": {[]string{"--https", "127.0.0.1:0", "--tls-cert", file, "--tls-key", file}, 1, "certificate"},
		"no key":         {[]string{"--tls-cert", file}, 1, "different numbers"},
		"no edge there":  {[]string{"--public-url", "http://127.0.0.1:1"}, 1, "start the edge"},
		"no sibling":     {[]string{"--siblings", "http://127.0.0.1:1"}, 0, "edge siblings"},
		"no steering":    {[]string{"--steering-url", "http://127.0.0.1:1"}, 1, "start the API"},
		"a bad port":     {[]string{"--rtmp", "x"}, 2, "HOST:PORT"},
	} {
		var stdout, stderr bytes.Buffer
		code := call(append([]string{"doctor"}, test.args...), &stdout, &stderr)
		text := stdout.String() + stderr.String()
		if strings.Contains(text, "hunter2") {
			t.Errorf("%s: a password is shown: %s", label, text)
		}
		if code != test.code || !strings.Contains(text, test.says) {
			t.Errorf("%s: code %d, want %d: %s", label, code, test.code, text)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "catalog.db")); !os.IsNotExist(err) {
		t.Errorf("the doctor made a catalog: %v", err)
	}
	var stdout, stderr bytes.Buffer
	if code := call([]string{"doctor", "--http", "127.0.0.1:0", "--json"}, &stdout, &stderr); code != 0 {
		t.Fatalf("code %d: %s", code, &stderr)
	}
	var report doctor.Report
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil || len(report.Checks) == 0 {
		t.Errorf("%v: %s", err, &stdout)
	}
}

// Without flags, serve's defaults are checked; with any, only what is given.
func TestDoctorDefaults(t *testing.T) {
	serve, err := parse(t, "serve")
	if err != nil {
		t.Fatal(err)
	}
	var c doctorCommand
	c.setDefaults()
	s := serve.Serve
	if c.HTTP != s.HTTP || c.RTMP != s.RTMP || c.SRT != s.SRT || c.Admin != s.Admin ||
		c.Recordings != filepath.Join(s.Data, "recordings") {
		t.Errorf("%+v are not serve's defaults %+v", c, s)
	}
	c = doctorCommand{RTMP: ":1"}
	if c.setDefaults(); c.HTTP != "" || len(c.ports()) != 1 {
		t.Errorf("%+v: more than was asked", c)
	}
}

// PostgreSQL that is not migrated, that is, and that is away.
func TestDoctorAsksPostgres(t *testing.T) {
	server := catalogtest.MustStartPostgres(t)
	url, err := server.CreateDatabase(t.Context(), "doctor")
	if err != nil {
		t.Fatal(err)
	}
	url += "&connect_timeout=60" // a busy machine's server may be slow to answer
	check := func(code int, says string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		got := call([]string{"doctor", "--catalog", url}, &stdout, &stderr)
		if text := stdout.String(); got != code || !strings.Contains(text, says) {
			t.Errorf("code %d, want %d with %q: %s%s", got, code, says, text, &stderr)
		}
	}
	check(1, "migrate")
	if _, err := catalog.Migrate(t.Context(), url, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	check(0, "catalog rights")
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	check(1, "FAIL  catalog")
}

// redisUser runs a Redis that keeps what it is told, in which a user may do what the rule says.
func redisUser(t *testing.T, rule string) (url string) {
	t.Helper()
	base, _ := startRedis(t, append([]string{"--appendonly", "yes", "--user", "probe", "on", ">hunter2"},
		strings.Fields(rule)...)...)
	return strings.Replace(base, "://", "://probe:hunter2@", 1)
}

// A real Redis in which the user may do all that is needed, and one where a command is missing.
func TestDoctorAsksRedis(t *testing.T) {
	for _, test := range []struct {
		rule  string
		code  int
		wants []string
	}{
		{"~oxbow:* +@all", 0, []string{"ok    registry rights", "ok    clock registry", "ok    registry version"}},
		{"~oxbow:* +@all -xtrim", 1, []string{"FAIL  registry rights", "lacks +xtrim", "ok    registry version"}},
	} {
		url := redisUser(t, test.rule)
		var stdout, stderr bytes.Buffer
		code := call([]string{"doctor", "--registry", url}, &stdout, &stderr)
		text := strings.Join(strings.Fields(stdout.String()+stderr.String()), " ")
		for _, want := range test.wants {
			if want = strings.Join(strings.Fields(want), " "); code != test.code || !strings.Contains(text, want) {
				t.Errorf("%s: code %d, want %d with %q: %s", test.rule, code, test.code, want, &stdout)
			}
		}
		if strings.Contains(text, "hunter2") {
			t.Errorf("a password is shown: %s", text)
		}
		stdout.Reset()
		code = call([]string{"doctor", "--registry", strings.Replace(url, "hunter2", "hunter3", 1)}, &stdout, &stderr)
		if text := stdout.String(); code != 1 || !strings.Contains(text, "WRONGPASS") || strings.Contains(text, "hunter3") {
			t.Errorf("a wrong password: code %d: %s", code, text)
		}
	}
}
