package main

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/migrations"
)

// latestSchema gives the number of the last migration.
func latestSchema(tb testing.TB) string {
	tb.Helper()
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil || len(names) == 0 {
		tb.Fatalf("migrations %v, %v", names, err)
	}
	number, _, _ := strings.Cut(slices.Max(names), "_")
	return strings.TrimLeft(number, "0")
}

func TestMigrate(t *testing.T) {
	server := catalogtest.MustStartPostgres(t)
	empty, err := server.CreateDatabase(t.Context(), "empty")
	if err != nil {
		t.Fatal(err)
	}
	latin, err := server.CreateDatabase(t.Context(), "latin", "-E", "LATIN1", "-l", "C", "--locale-provider", "libc")
	if err != nil {
		t.Fatal(err)
	}
	empty, latin = empty+"&connect_timeout=60", latin+"&connect_timeout=60"
	latest := latestSchema(t)
	for _, c := range []struct {
		name, url    string
		code         int
		stdout, says string
	}{
		{"an empty database", empty, 0, "schema version 0 -> " + latest + "\n", ""},
		{"again", empty, 0, "schema version " + latest + ": nothing to do\n", ""},
		{"an SQLite file", "sqlite:" + filepath.Join(t.TempDir(), "c.db"), 0, "schema version 0 -> " + latest + "\n", ""},
		{"no such database", server.URL("missing"), 1, "", `"missing" does not exist`},
		{"a wrong password", strings.Replace(empty, catalogtest.Password, "wrong-one", 1), 1, "", "password authentication"},
		{"nobody there", "postgres://oxbow:s3cret-of-tests@127.0.0.1:1/x", 1, "", "temporarily unavailable"},
		{"another encoding", latin, 1, "", "ENCODING 'UTF8'"},
		{"another scheme", "mysql://u:s3cret-of-tests@h/x", 1, "", "use postgres://"},
		{"a damaged URL", "postgres://u:s3cret-of-tests@h:p%zz/x", 1, "", "percent-encoded"},
		{"no URL", "", 1, "", "use postgres://"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := call([]string{"migrate", "--catalog", c.url}, &stdout, &stderr)
			if code != c.code || stdout.String() != c.stdout || !strings.Contains(stderr.String(), c.says) {
				t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
			}
			for _, secret := range []string{catalogtest.Password, "wrong-one"} {
				if strings.Contains(stderr.String()+stdout.String(), secret) {
					t.Errorf("the password is shown: %s", stderr.String())
				}
			}
		})
	}
}
