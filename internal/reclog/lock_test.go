package reclog

import (
	"fmt"
	"log/slog"
	"os"
	"testing"
)

// Asking who has a directory keeps nobody out, and is answered for those alone that have it for themselves.
func TestHolder(t *testing.T) {
	dir := t.TempDir()
	want := func(want string) {
		t.Helper()
		if got, err := Holder(dir); got != want || err != nil {
			t.Errorf("holder %q, %v, want %q", got, err, want)
		}
	}
	open := func(shared bool) *Root {
		t.Helper()
		root, err := OpenRoot(Config{Dir: dir, Sync: SyncNever, Shared: shared}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		return root
	}
	want("")
	for range 2 {
		a, b := open(true), open(true)
		want("")
		for _, root := range []*Root{a, b} {
			if err := root.Close(); err != nil {
				t.Error(err)
			}
		}
		want("")
		alone := open(false)
		want(fmt.Sprintf("process %d", os.Getpid()))
		if err := alone.Close(); err != nil {
			t.Error(err)
		}
		want("")
	}
}
