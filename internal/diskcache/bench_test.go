package diskcache

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

var benchSizes = []struct {
	name string
	size int
}{{"1KB", 1 << 10}, {"60KB", 60 << 10}, {"1MB", 1 << 20}}

func BenchmarkPut(b *testing.B) {
	for _, c := range benchSizes {
		b.Run(c.name, func(b *testing.B) {
			s := mustOpen(b, Config{Dir: b.TempDir(), Bytes: 1 << 30})
			body := [][]byte{bodyOf("body", c.size)}
			meta := make([]byte, 400)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				for i++; !s.Put(fmt.Sprint(i), "group", meta, body, nil); {
					flush(b, s)
				}
			}
			flush(b, s)
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, c := range benchSizes {
		b.Run(c.name, func(b *testing.B) {
			s := mustOpen(b, Config{Dir: b.TempDir(), Bytes: 1 << 30})
			const keys = 64
			names := make([]string, keys)
			for i := range keys {
				names[i] = fmt.Sprint(i)
				put(b, s, names[i], "group", c.size)
			}
			flush(b, s)
			memory := make([]byte, c.size)
			b.SetBytes(int64(c.size))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				at := 0
				if _, ok := s.Get(b.Context(), names[i%keys], func(n int) []byte { at += n; return memory[at-n : at] }); !ok {
					b.Fatal("a miss")
				}
			}
		})
	}
}

// BenchmarkOpen opens 10 GB of entries of 60 KB. The files have holes where the bodies would be: opening reads none.
func BenchmarkOpen(b *testing.B) {
	dir := b.TempDir()
	config := Config{Dir: dir, Bytes: 11 << 30}
	s := mustOpen(b, config)
	mustClose(b, s)
	entries := 0
	for serial := uint32(1); serial <= 40; serial++ {
		var slots []slot
		at := int64(0)
		for at < commonSegment-1<<20 {
			slots = append(slots, slot{
				hash: hashKey(fmt.Sprint(serial, at)), offset: uint32(at), size: 60_000, head: 600, group: hashGroup(fmt.Sprint(entries / 500)),
			})
			at += 60_000
			entries++
		}
		f, err := os.Create(filepath.Join(dir, segmentName(serial)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := f.WriteAt(appendFooter(nil, serial, at, slots), at); err != nil {
			b.Fatal(err)
		}
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		s := mustOpen(b, config)
		if _, _, n, _ := s.usage(); n != entries {
			b.Fatalf("%d entries of %d", n, entries)
		}
		mustClose(b, s)
	}
	b.ReportMetric(float64(entries), "entries")
}
