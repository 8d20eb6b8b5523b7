package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// flipper changes the first byte of a body.
type flipper struct {
	io.ReadCloser
	done bool
}

func (f *flipper) Read(p []byte) (int, error) {
	n, err := f.ReadCloser.Read(p)
	if n > 0 && !f.done {
		f.done = true
		p[0]++
	}
	return n, err
}

func TestStoreWithoutConditions(t *testing.T) {
	p, s := setUp(t, S3Config{})
	p.reset(func(_ string, _ int, w http.ResponseWriter, r *http.Request) bool {
		return r.Header.Get("If-None-Match") != "" && refuse(w, 501, "NotImplemented")
	})
	for key, size := range map[string]int{"small": 1000, "large": objstoretest.Large} {
		b := objstoretest.Bytes(1, size)
		objstoretest.MustPut(t, s, key, b, media.PutOptions{Exclusive: true})
		objstoretest.MustHave(t, s, key, b)
	}
}

func TestStoreAwayIsNotAnAnswer(t *testing.T) {
	gateway := objstoretest.MustStartGateway(t)
	s := mustOpenS3(t, gateway.Endpoint, S3Config{Bucket: "nowhere"})
	check := func(t *testing.T, what string, err error) {
		t.Helper()
		if !errors.Is(err, media.ErrUnavailable) || errors.Is(err, media.ErrNotFound) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
	}
	t.Run("no bucket", func(t *testing.T) {
		_, err := s.ReadFile(t.Context(), "a")
		check(t, "read", err)
		_, err = s.OpenRange(t.Context(), "a", 0, 1)
		check(t, "open", err)
		_, err = s.Put(t.Context(), "a", strings.NewReader("x"), 1, media.PutOptions{})
		check(t, "put", err)
		_, err = s.Put(t.Context(), "a", bytes.NewReader(make([]byte, objstoretest.Large)), objstoretest.Large,
			media.PutOptions{})
		check(t, "put of parts", err)
		_, err = s.Stat(t.Context(), "a")
		check(t, "stat", err)
		check(t, "delete", s.Delete(t.Context(), "a"))
		for _, err := range s.List(t.Context(), "") {
			check(t, "list", err)
		}
	})
	gateway.Kill(t)
	t.Run("server away", func(t *testing.T) {
		_, err := s.Stat(t.Context(), "a")
		check(t, "stat", err)
		_, err = s.ReadFile(t.Context(), "a")
		check(t, "read", err)
		check(t, "delete", s.Delete(t.Context(), "a"))
	})
}

func TestListReadsAllPages(t *testing.T) {
	p, s := setUp(t, S3Config{Prefix: "x"})
	s.pageSize = 3
	want := 10
	for i := range want {
		objstoretest.MustPut(t, s, fmt.Sprintf("a/b/%d", i), []byte{1}, media.PutOptions{})
	}
	p.reset(nil)
	if keys := objstoretest.MustKeys(t, s, "a/"); len(keys) != want || p.count("get") != 4 {
		t.Errorf("%v in %d pages", keys, p.count("get"))
	}
}

// roundTrip is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestBucketIsAddressedByPathOrHost(t *testing.T) {
	for _, c := range []struct {
		name    string
		config  S3Config
		wantURL string
	}{
		{"path", S3Config{Endpoint: "http://s3.lan:9000"}, "http://s3.lan:9000/vod/p/a/b"},
		{"host", S3Config{Endpoint: "http://s3.lan:9000", VirtualHost: true}, "http://vod.s3.lan:9000/p/a/b"},
		{"amazon", S3Config{Region: "eu-north-1", VirtualHost: true}, "https://vod.s3.eu-north-1.amazonaws.com/p/a/b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.config.Bucket, c.config.Prefix, c.config.AccessKey, c.config.SecretKey = "vod", "p", "k", "s"
			s, err := OpenS3(t.Context(), c.config)
			if err != nil {
				t.Fatal(err)
			}
			var have string
			s.http.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
				if r.URL.RawQuery = ""; have == "" { // afterwards it asks for the bucket
					have = r.URL.String()
				}
				if r.URL.String() != c.wantURL {
					return &http.Response{StatusCode: http.StatusForbidden, Body: http.NoBody, Request: r}, nil
				}
				return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody, Request: r}, nil
			})
			if _, err := s.Stat(context.Background(), "a/b"); !errors.Is(err, media.ErrNotFound) {
				t.Error(err)
			}
			if have != c.wantURL {
				t.Errorf("asked %s, want %s", have, c.wantURL)
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := S3Config{Bucket: "b", AccessKey: "k", SecretKey: "s"}
	for name, change := range map[string]func(*S3Config){
		"no bucket":  func(c *S3Config) { c.Bucket = "" },
		"endpoint":   func(c *S3Config) { c.Endpoint = "localhost:9000" },
		"prefix":     func(c *S3Config) { c.Prefix = "/a/" },
		"half a key": func(c *S3Config) { c.SecretKey = "" },
		"checksums":  func(c *S3Config) { c.Checksums = "maybe" },
		"part size":  func(c *S3Config) { c.PartSize = 1 << 20 },
	} {
		c := good
		change(&c)
		_, err := OpenS3(t.Context(), c)
		if !errors.Is(err, media.ErrInvalid) && !errors.Is(err, media.ErrBadName) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPartsNeverExceedTheirNumber(t *testing.T) {
	s := &S3{config: S3Config{PartSize: defaultPartSize}}
	for _, size := range []int64{1, 100 << 30, 156 << 30, 157 << 30, 5 << 40} {
		part := s.partSize(size)
		if n := (size + part - 1) / part; n > maxParts || part < defaultPartSize || part%(1<<20) != 0 {
			t.Errorf("%d bytes: %d parts of %d", size, n, part)
		}
	}
}
