package catalogtest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Copies gives a function that makes SQLite files which are all copies of one, in a directory of the test's own: to
// migrate a new file takes longer than most tests. Migrate makes the first of them.
func Copies(migrate func(file string) error) func(tb testing.TB) string {
	first := sync.OnceValues(func() (_ []byte, err error) {
		dir, err := os.MkdirTemp("", "oxbow-catalog-")
		if err != nil {
			return nil, err
		}
		defer func() {
			if failed := os.RemoveAll(dir); err == nil {
				err = failed
			}
		}()
		file := filepath.Join(dir, "catalog.db")
		if err := migrate(file); err != nil {
			return nil, err
		}
		return os.ReadFile(file)
	})
	return func(tb testing.TB) string {
		tb.Helper()
		content, err := first()
		if err != nil {
			tb.Fatal(err)
		}
		file := filepath.Join(tb.TempDir(), "catalog.db")
		if err := os.WriteFile(file, content, 0o600); err != nil {
			tb.Fatal(err)
		}
		return file
	}
}
