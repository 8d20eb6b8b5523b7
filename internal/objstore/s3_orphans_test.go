package objstore

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// mustListUploads gives the keys of the uploads that the store has, in the bucket.
func mustListUploads(t *testing.T, s *S3) []string {
	t.Helper()
	out, err := s.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &s.config.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{}
	for _, u := range out.Uploads {
		keys = append(keys, *u.Key)
	}
	return keys
}

func TestUploadWhoseBeginningWasAnsweredToNobodyIsAborted(t *testing.T) {
	b := objstoretest.Bytes(1, objstoretest.Large)
	t.Run("answer lost", func(t *testing.T) {
		p, s := setUp(t, S3Config{Prefix: "x"})
		p.reset(func(kind string, n int, _ http.ResponseWriter, r *http.Request) bool {
			return kind == "create" && n <= 2 && p.lose(r)
		})
		var noted notes
		objstoretest.MustPut(t, s, largeKey, b, noted.options(""))
		objstoretest.MustHave(t, s, largeKey, b)
		if left := mustListUploads(t, s); len(left) != 0 || len(noted.ids) != 1 || p.count("create") != 3 {
			t.Errorf("left %v, noted %v, %d begun", left, noted.ids, p.count("create"))
		}
	})
	t.Run("answer later than the next try", func(t *testing.T) {
		p, s := setUp(t, S3Config{})
		var late *http.Request
		p.reset(func(kind string, n int, w http.ResponseWriter, r *http.Request) bool {
			switch {
			case kind == "create" && n == 1: // it reaches the store when the second one has been answered
				late = r.Clone(context.WithoutCancel(r.Context()))
				return refuse(w, 500, "InternalError")
			case kind == "part" && n == 1:
				p.forward.ServeHTTP(httptest.NewRecorder(), late)
			}
			return false
		})
		objstoretest.MustPut(t, s, largeKey, b, media.PutOptions{})
		if left := mustListUploads(t, s); len(left) != 0 {
			t.Errorf("left %v", left)
		}
	})
	t.Run("process killed before it noted", func(t *testing.T) {
		_, s := setUp(t, S3Config{})
		for _, key := range []string{largeKey, largeKey + ".other", "acme/else"} {
			name, err := s.key(key)
			if err != nil {
				t.Fatal(err)
			}
			in := &s3.CreateMultipartUploadInput{Bucket: &s.config.Bucket, Key: name}
			if _, err := s.client.CreateMultipartUpload(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		objstoretest.MustPut(t, s, largeKey, b, media.PutOptions{})
		if left := mustListUploads(t, s); len(left) != 2 { // those of other objects
			t.Errorf("left %v", left)
		}
		if n, err := s.AbortUploads(t.Context(), "acme/show/"); n != 1 || err != nil {
			t.Errorf("%d aborted, %v", n, err)
		}
		if left := mustListUploads(t, s); len(left) != 1 || left[0] != "acme/else" {
			t.Errorf("left %v", left)
		}
	})
}

func TestStoreThatListsNoUploadsIsPutTo(t *testing.T) {
	_, s, _ := mustOpenLacking(t, objstoretest.Lacks{Listing: true, Conditions: true}, S3Config{})
	b := objstoretest.Bytes(1, objstoretest.Large)
	objstoretest.MustPut(t, s, largeKey, b, media.PutOptions{Exclusive: true})
	objstoretest.MustHave(t, s, largeKey, b)
	if n, err := s.AbortUploads(t.Context(), ""); n != 0 || err != nil {
		t.Errorf("%d aborted, %v", n, err)
	}
}

func TestListingThatIsForbiddenStopsNoPut(t *testing.T) {
	p, s := setUp(t, S3Config{})
	p.reset(func(_ string, _ int, w http.ResponseWriter, r *http.Request) bool {
		return r.URL.Query().Has("uploads") && r.Method == http.MethodGet && refuse(w, 403, "AccessDenied")
	})
	b := objstoretest.Bytes(1, objstoretest.Large)
	objstoretest.MustPut(t, s, largeKey, b, media.PutOptions{})
	if _, err := s.AbortUploads(t.Context(), "a/"); !errors.Is(err, media.ErrUnavailable) || StateOf(err) != StateDenied {
		t.Errorf("state %q, %v", StateOf(err), err)
	}
}

// A part that fails is sent again by itself, and one whose bytes were changed on the way too.
func TestOnlyThePartThatFailedIsSentAgain(t *testing.T) {
	for name, spoil := range map[string]func(p *proxy, w http.ResponseWriter, r *http.Request) bool{
		"refused":         func(_ *proxy, w http.ResponseWriter, _ *http.Request) bool { return refuse(w, 503, "SlowDown") },
		"connection lost": func(*proxy, http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) },
		"answer lost":     func(p *proxy, _ http.ResponseWriter, r *http.Request) bool { return p.lose(r) },
		"bytes changed": func(_ *proxy, _ http.ResponseWriter, r *http.Request) bool {
			r.Body = &flipper{ReadCloser: r.Body}
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := setUp(t, S3Config{})
			p.reset(func(kind string, n int, w http.ResponseWriter, r *http.Request) bool {
				return kind == "part" && n == 2 && spoil(p, w, r)
			})
			b := objstoretest.Bytes(1, objstoretest.Large)
			if _, err := s.Put(t.Context(), largeKey, bytes.NewReader(b), int64(len(b)), media.PutOptions{}); err != nil {
				t.Fatal(err)
			}
			objstoretest.MustHave(t, s, largeKey, b)
			if p.count("part") != 4 || p.count("create") != 1 {
				t.Errorf("%d parts sent, %d uploads begun", p.count("part"), p.count("create"))
			}
		})
	}
}
