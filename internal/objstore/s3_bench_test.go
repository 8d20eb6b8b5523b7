package objstore

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// BenchmarkS3Put puts 64 MiB in parts of 16 MiB; test/bench/store compares with other programs.
func BenchmarkS3Put(b *testing.B) {
	const size = 64 << 20
	gateway := objstoretest.MustStartGateway(b)
	gateway.MustMakeBucket(b, "vod")
	source := bytes.NewReader(objstoretest.Bytes(1, size))
	for _, checksums := range []string{ChecksumsCRC64NVME, ChecksumsSHA256, ChecksumsOff} {
		b.Run(checksums, func(b *testing.B) {
			s := mustOpenS3(b, gateway.Endpoint, S3Config{Bucket: "vod", Checksums: checksums})
			s.config.PartSize = defaultPartSize
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Put(b.Context(), "a/b", source, size, media.PutOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkSums is what every byte costs before it is sent.
func BenchmarkSums(b *testing.B) {
	const size = defaultPartSize
	source := bytes.NewReader(objstoretest.Bytes(1, size))
	for _, kind := range []sumKind{sumCRC64NVME, sumSHA256} {
		b.Run(fmt.Sprint(kind), func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := sumBoth(b.Context(), source, 0, size, kind); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
