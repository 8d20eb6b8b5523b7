package objstore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// versionedStore is what both stores are, and objstoretest.Store does not ask for.
type versionedStore interface {
	objstoretest.Store
	OpenVersion(ctx context.Context, key string, offset, size int64) (io.ReadCloser, string, int64, error)
}

func TestVersions(t *testing.T) {
	const key = "acme/show/01kabcdefghjkmnpqrstvwxyz0/1-video.mp4"
	check := func(t *testing.T, s versionedStore) {
		open := func(offset, size int64) (data []byte, version string, total int64, err error) {
			in, version, total, err := s.OpenVersion(t.Context(), key, offset, size)
			if err != nil {
				return nil, "", 0, err
			}
			data, err = io.ReadAll(in)
			return data, version, total, errors.Join(err, in.Close())
		}
		for _, size := range []int64{0, 10} {
			if _, _, _, err := open(0, size); !errors.Is(err, media.ErrNotFound) {
				t.Errorf("absent: %v", err)
			}
		}
		old := objstoretest.Bytes(1, 1000)
		objstoretest.MustPut(t, s, key, old, media.PutOptions{})
		var first string
		for i, c := range []struct{ offset, size, gives int64 }{
			{0, 0, 0}, {0, 1, 1}, {0, 1000, 1000}, {0, 5000, 1000}, {900, 200, 100}, {999, 1, 1}, {1000, 0, 0},
		} {
			data, version, total, err := open(c.offset, c.size)
			if err != nil || total != 1000 || version == "" || !bytes.Equal(data, old[c.offset:c.offset+c.gives]) {
				t.Errorf("%v: %d bytes of %d: %q, %v", c, len(data), total, version, err)
			}
			if i == 0 {
				first = version
			}
			if version != first {
				t.Errorf("%v: another version of the same object: %q", c, version)
			}
		}
		for _, c := range []struct{ offset, size int64 }{{1000, 1}, {5000, 10}, {5000, 0}} {
			if _, _, _, err := open(c.offset, c.size); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v: %v", c, err)
			}
		}
		for _, c := range []struct{ offset, size int64 }{{-1, 1}, {0, -1}} {
			if _, _, _, err := open(c.offset, c.size); !errors.Is(err, media.ErrInvalid) {
				t.Errorf("%v: %v", c, err)
			}
		}
		for seed, size := range []int{1000, 1001} {
			objstoretest.MustPut(t, s, key, objstoretest.Bytes(uint64(seed+2), size), media.PutOptions{})
			_, version, total, err := open(0, 1)
			if err != nil || version == first || total != int64(size) {
				t.Errorf("replaced: %q as %q, %d bytes, %v", first, version, total, err)
			}
			first = version
		}
	}
	t.Run("directory", func(t *testing.T) { check(t, mustOpenDir(t, t.TempDir())) })
	t.Run("bucket", func(t *testing.T) {
		gateway := objstoretest.MustStartGateway(t)
		gateway.MustMakeBucket(t, "versions")
		check(t, mustOpenS3(t, gateway.Endpoint, S3Config{Bucket: "versions", Prefix: "a"}))
	})
}

func TestContentRange(t *testing.T) {
	for _, c := range []struct {
		field  string
		offset int64
		total  int64
		ok     bool
	}{
		{"bytes 0-9/100", 0, 100, true}, {"bytes 90-99/100", 90, 100, true}, {"bytes 0-9/100", 1, 100, false},
		{"bytes 0-9/*", 0, 0, false}, {"bytes 0-9/9", 0, 9, false}, {"bytes 9-0/100", 9, 100, false}, {"", 0, 0, false},
		{"bytes */100", 0, 100, false}, {"bytes 0-9", 0, 0, false}, {"bytes 0-9/99999999999999999999", 0, 0, false},
	} {
		total, ok := totalOf(c.field, c.offset)
		if ok != c.ok || ok && total != c.total {
			t.Errorf("%q: %d %t", c.field, total, ok)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	f.Add("bytes 0-9/100", int64(0))
	f.Add("bytes 5-4/3", int64(5))
	f.Fuzz(func(t *testing.T, field string, offset int64) {
		if total, ok := totalOf(field, offset); ok && total <= offset {
			t.Errorf("%q from %d: %d", field, offset, total)
		}
	})
}
