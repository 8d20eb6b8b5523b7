package reclog

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// powerLoss gives the journal as a disk may have it after a loss of power: of what was not synced, each file keeps its
// first changes up to some point, and so does each directory. The keep function says how many of n.
func powerLoss(journal []op, keep func(n int) int) []op {
	of := func(o op) string {
		switch o.kind {
		case opWrite, opTruncate:
			return fmt.Sprint("node ", o.node)
		case opSync:
			return "sync"
		}
		return "dir " + filepath.Dir(o.name)
	}
	synced := make(map[string]int) // changes that lasted, by what was changed
	count := make(map[string]int)
	dirs := map[int]string{0: "/"}
	for _, o := range journal {
		if o.kind == opMkdir {
			dirs[o.node] = o.name
		}
		for node, name := range dirs {
			if o.kind == opRename && name == o.name {
				dirs[node] = o.to
			}
		}
		if o.kind != opSync {
			count[of(o)]++
			continue
		}
		key := fmt.Sprint("node ", o.node)
		if name, ok := dirs[o.node]; ok {
			key = "dir " + name
		}
		synced[key] = count[key]
	}
	for _, key := range slices.Sorted(maps.Keys(count)) {
		synced[key] += keep(count[key] - synced[key])
	}
	clear(count)
	var left []op
	for _, o := range journal {
		if o.kind == opSync {
			continue
		}
		if count[of(o)]++; count[of(o)] <= synced[of(o)] {
			left = append(left, o)
		}
	}
	return left
}

// memTree puts files into a memFS that the log did not write.
type memTree struct {
	tb   testing.TB
	fsys *memFS
}

func newMemTree(tb testing.TB, fsys *memFS) memTree { return memTree{tb, fsys} }

func (t memTree) mkdir(name string) {
	t.tb.Helper()
	if err := t.fsys.Mkdir(name, dirPerm); err != nil {
		t.tb.Fatal(err)
	}
}

func (t memTree) write(name, text string) {
	t.tb.Helper()
	f, err := t.fsys.OpenFile(name, os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		t.tb.Fatal(err)
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		t.tb.Fatal(err)
	}
}
