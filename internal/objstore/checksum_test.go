package objstore

import (
	"bytes"
	"io"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

func TestChecksumIsCRC64NVME(t *testing.T) {
	// The check value of the CRC catalogue, and S3's form of it.
	if sum := objstoretest.Sum([]byte("123456789")); sum != 0xae8b14860a799888 {
		t.Errorf("check value %016x", sum)
	} else if s := encodeSum(sum); s != "rosUhgp5mIg=" {
		t.Errorf("encoded as %s", s)
	}
	for _, s := range []string{"", "rosUhgp5mIg=-2", "rosUhgp5mA==", "not base64"} {
		if sum, ok := decodeSum(s); ok {
			t.Errorf("%q decoded as %x", s, sum)
		}
	}
	if sum, ok := decodeSum("rosUhgp5mIg="); !ok || sum != 0xae8b14860a799888 {
		t.Errorf("decoded as %x, %v", sum, ok)
	}
}

func TestCombinedSumsAreTheWholes(t *testing.T) {
	b := objstoretest.Bytes(1, 100_000)
	for _, cut := range []int{0, 1, 2, 7, 8, 255, 4096, 65_537, len(b) - 1, len(b)} {
		have := combineSums(objstoretest.Sum(b[:cut]), objstoretest.Sum(b[cut:]), int64(len(b)-cut))
		if want := objstoretest.Sum(b); have != want {
			t.Errorf("cut at %d: %016x, want %016x", cut, have, want)
		}
	}
}

func BenchmarkSumRange(b *testing.B) {
	const size = 16 << 20
	source := bytes.NewReader(objstoretest.Bytes(1, size))
	b.SetBytes(size)
	for b.Loop() {
		if _, err := sumRange(b.Context(), source, 0, size); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCombineSums(b *testing.B) {
	for b.Loop() {
		combineSums(0xae8b14860a799888, 0x1234, 16<<20)
	}
}

// big is a source of any size without memory.
type big struct{ size int64 }

func (z big) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > z.size {
		return 0, io.EOF
	}
	for i := 0; i+8 <= len(p); i += 8 {
		p[i] = byte(offset>>12) + byte(i>>12)
	}
	return len(p), nil
}

// BenchmarkPutS3 sends 256 MiB to versitygw on loopback (EDGE.md has 1 GiB in 5.3 to 6.8 s).
func BenchmarkPutS3(b *testing.B) {
	const size = 256 << 20
	gateway := objstoretest.MustStartGateway(b)
	gateway.MustMakeBucket(b, "bench")
	s := mustOpenS3(b, gateway.Endpoint, S3Config{Bucket: "bench"})
	s.config.PartSize = defaultPartSize
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Put(b.Context(), "a/b/1/video.mp4", big{size}, size, media.PutOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
