package diskcache

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

func FuzzHead(f *testing.F) {
	h := head{serial: 1, epoch: 2, key: "key", group: "group", meta: []byte("meta"), body: 300_000, sums: make([]byte, 8)}
	f.Add(h.appendTo(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		size, body, ok := headSizes(b)
		if ok && (size > maxHead || body > maxSegment) {
			t.Fatalf("sizes %d and %d", size, body)
		}
		if h, ok := parseHead(b); ok && (!bytes.Equal(h.appendTo(nil), b) || h.size() != int64(len(b))) {
			t.Fatal("a head is not what it was parsed from")
		}
	})
}

func FuzzFooter(f *testing.F) {
	slots := []slot{{hash: 1, offset: 0, size: 100, head: 40}, {hash: 2, offset: 100, size: 50, head: 50, hits: 1}}
	f.Add(appendFooter(nil, 7, 150, slots), int64(150))
	f.Fuzz(func(t *testing.T, b []byte, at int64) {
		if len(b) < trailerSize {
			return
		}
		size := at + int64(len(b))
		tr, ok := parseTrailer(b[len(b)-trailerSize:], 7, size)
		if !ok || tr.at != at {
			return
		}
		slots, ok := parseSlots(b[:len(b)-trailerSize], tr)
		if ok && !bytes.Equal(appendFooter(nil, 7, at, slots), b) {
			t.Fatal("a footer is not what it was parsed from")
		}
	})
}

func FuzzDrops(f *testing.F) {
	log := appendDrop(appendDrop(appendDropsHeader(nil, 3), drop{1, 4}), drop{2, 5})
	f.Add(log)
	f.Add(append(log, make([]byte, 40)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		epoch, drops, good, ok := parseDrops(b)
		if !ok {
			return
		}
		if good > len(b) || good != dropsHeader+len(drops)*dropSize || epoch < binary.LittleEndian.Uint32(b[8:]) {
			t.Fatalf("%d bytes are good of %d, %d records", good, len(b), len(drops))
		}
	})
}

// FuzzSegment opens a cache whose segment is any bytes: what it gives is what its key names.
func FuzzSegment(f *testing.F) {
	dir := f.TempDir()
	s := mustOpen(f, Config{Dir: dir})
	put(f, s, "a", "group", 100)
	put(f, s, "b", "group", 1000)
	flush(f, s)
	open, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(open)
	mustClose(f, s)
	sealed, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := copied(t, dir)
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		s := mustOpen(t, Config{Dir: dir})
		flush(t, s)
		want(t, s, "a", 100)
		want(t, s, "b", 1000)
		mustClose(t, s)
	})
}
