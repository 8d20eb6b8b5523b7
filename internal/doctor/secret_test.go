package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) SecretFile {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("hush"), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		return SecretFile{"OXBOW_X_FILE", path}
	}
	for name, c := range map[string]struct {
		secrets Secrets
		level   Level
		text    string
	}{
		"own":          {Secrets{Files: []SecretFile{file("own", 0o400)}}, OK, "kept from others"},
		"of the group": {Secrets{Files: []SecretFile{file("group", 0o440)}}, OK, "kept from others"},
		"of all":       {Secrets{Files: []SecretFile{file("all", 0o644)}}, Warn, "every user"},
		"away":         {Secrets{Files: []SecretFile{{"--tls-key", filepath.Join(dir, "none")}}}, Fail, "none"},
		"command line": {Secrets{OnCommandLine: []string{"--catalog"}}, Warn, "--catalog is on the command line"},
		"no token":     {Secrets{Tokenless: true}, Warn, "there is none"},
		"optional":     {Secrets{Optional: true}, Warn, "shows none"},
		"wide admin":   {Secrets{Admin: ":9090"}, Warn, "answers other machines"},
		"named admin":  {Secrets{Admin: "node:9090"}, Warn, "answers other machines"},
	} {
		r := &Report{}
		c.secrets.check(r)
		if len(r.Checks) != 1 || r.Checks[0].Level != c.level || !strings.Contains(r.Checks[0].Text, c.text) {
			t.Errorf("%s: %+v, want %s with %q", name, r.Checks, c.level, c.text)
		}
		for _, check := range r.Checks {
			if (check.Do == "") != (check.Level == OK) {
				t.Errorf("%s: do %q", name, check.Do)
			}
		}
	}
	for _, admin := range []string{"", "127.0.0.1:9090", "[::1]:9090", "localhost:1"} {
		r := &Report{}
		if (Secrets{Admin: admin}).check(r); len(r.Checks) > 0 {
			t.Errorf("%q: %+v", admin, r.Checks)
		}
	}
}
