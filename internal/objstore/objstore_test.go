package objstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"go.uber.org/goleak"

	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestDirConforms(t *testing.T) {
	objstoretest.Run(t, func(tb testing.TB) objstoretest.Store { return mustOpenDir(tb, tb.TempDir()) })
}

func TestS3Conforms(t *testing.T) {
	gateway := objstoretest.MustStartGateway(t)
	for i, c := range []S3Config{
		{Prefix: "cluster/a"}, {Checksums: ChecksumsRequired}, {Checksums: ChecksumsSHA256}, {Checksums: ChecksumsOff},
	} {
		t.Run(fmt.Sprintf("prefix %q, checksums %q", c.Prefix, c.Checksums), func(t *testing.T) {
			n := 0
			objstoretest.Run(t, func(tb testing.TB) objstoretest.Store {
				n++
				c.Bucket = fmt.Sprintf("bucket-%d-%d", i, n)
				gateway.MustMakeBucket(tb, c.Bucket)
				return mustOpenS3(tb, gateway.Endpoint, c)
			})
		})
	}
}

func mustOpenDir(tb testing.TB, dir string) *Dir {
	tb.Helper()
	d, err := OpenDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Close(); err != nil {
			tb.Error(err)
		}
	})
	return d
}

// mustOpenS3 opens a bucket of a gateway, maybe by way of a proxy at endpoint.
func mustOpenS3(tb testing.TB, endpoint string, c S3Config) *S3 {
	tb.Helper()
	c.Endpoint, c.AccessKey, c.SecretKey, c.PartSize = endpoint, "oxbow", "oxbow-secret", minPartSize
	s, err := OpenS3(tb.Context(), c)
	if err != nil {
		tb.Fatal(err)
	}
	s.client = s3.New(s.client.Options(), func(o *s3.Options) { // what is tried again is so at once
		o.Retryer = retry.AddWithMaxBackoffDelay(o.Retryer, 20*time.Millisecond)
	})
	tb.Cleanup(s.Close)
	return s
}
