package objstore

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// proxy stands between a store and the gateway: it counts requests and may answer in the gateway's place.
type proxy struct {
	url     string
	forward http.Handler
	mu      struct {
		sync.Mutex
		count map[string]int
		// hook may answer a request; it says whether it did.
		hook func(kind string, n int, w http.ResponseWriter, r *http.Request) bool
	}
}

func mustStartProxy(tb testing.TB, gateway *objstoretest.Gateway) *proxy {
	tb.Helper()
	target, err := url.Parse(gateway.Endpoint)
	if err != nil {
		tb.Fatal(err)
	}
	transport := &http.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	p := &proxy{forward: &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}}
	p.mu.count = make(map[string]int)
	server := httptest.NewServer(p)
	tb.Cleanup(server.Close)
	p.url = server.URL
	return p
}

// kind names an S3 operation.
func kind(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPost && q.Has("uploads"):
		return "create"
	case r.Method == http.MethodPost:
		return "complete"
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodDelete && q.Has("uploadId"):
		return "abort"
	case r.Method == http.MethodGet && q.Has("uploadId"):
		return "parts"
	}
	return strings.ToLower(r.Method)
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k := kind(r)
	p.mu.Lock()
	p.mu.count[k]++
	n, hook := p.mu.count[k], p.mu.hook
	p.mu.Unlock()
	if hook == nil || !hook(k, n, w, r) {
		p.forward.ServeHTTP(w, r)
	}
}

// reset sets the hook and starts counting anew.
func (p *proxy) reset(hook func(kind string, n int, w http.ResponseWriter, r *http.Request) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.mu.count)
	p.mu.hook = hook
}

func (p *proxy) count(kind string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.count[kind]
}

func refuse(w http.ResponseWriter, status int, code string) bool {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`<?xml version="1.0"?><Error><Code>` + code + `</Code><Message>told to</Message></Error>`))
	return true
}

// lose forwards a request and drops the answer with the connection.
func (p *proxy) lose(r *http.Request) bool {
	p.forward.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// notes remembers uploads as the catalog does.
type notes struct{ ids []string }

func (n *notes) options(uploadID string) media.PutOptions {
	return media.PutOptions{UploadID: uploadID, NoteUpload: func(_ context.Context, id string) error {
		n.ids = append(n.ids, id)
		return nil
	}}
}

const largeKey = "acme/show/rec/1/video.mp4"

func setUp(t *testing.T, c S3Config) (*proxy, *S3) {
	t.Helper()
	gateway := objstoretest.MustStartGateway(t)
	c.Bucket = "vod"
	gateway.MustMakeBucket(t, c.Bucket)
	p := mustStartProxy(t, gateway)
	return p, mustOpenS3(t, p.url, c)
}

func TestUploadIsNotedBeforeItsFirstPart(t *testing.T) {
	p, s := setUp(t, S3Config{})
	noted := false
	b := objstoretest.Bytes(1, objstoretest.Large)
	objstoretest.MustPut(t, s, largeKey, b, media.PutOptions{NoteUpload: func(_ context.Context, id string) error {
		if id == "" || p.count("create") != 1 || p.count("part") != 0 {
			t.Errorf("upload %q noted after %d parts", id, p.count("part"))
		}
		noted = true
		return nil
	}})
	if !noted || p.count("part") != 3 || p.count("complete") != 1 {
		t.Errorf("noted %v, %d parts, %d completions", noted, p.count("part"), p.count("complete"))
	}
	p.reset(nil)
	_, err := s.Put(t.Context(), "a/b", bytes.NewReader(b), int64(len(b)), media.PutOptions{
		NoteUpload: func(context.Context, string) error { return media.ErrUnavailable },
	})
	if !errors.Is(err, media.ErrUnavailable) || p.count("part") != 0 || p.count("abort") != 1 {
		t.Errorf("not noted: %v, %d parts, %d aborts", err, p.count("part"), p.count("abort"))
	}
}

func TestUploadGoesOnWhereItStopped(t *testing.T) {
	for _, c := range []S3Config{{Parallel: 1}, {Parallel: 1, Checksums: ChecksumsOff}} {
		t.Run("checksums "+c.Checksums, func(t *testing.T) {
			p, s := setUp(t, c)
			b := objstoretest.Bytes(1, objstoretest.Large)
			p.reset(func(kind string, n int, w http.ResponseWriter, _ *http.Request) bool {
				return kind == "part" && n >= 3 && refuse(w, 403, "AccessDenied")
			})
			var noted notes
			_, err := s.Put(t.Context(), largeKey, bytes.NewReader(b), int64(len(b)), noted.options(""))
			if !errors.Is(err, media.ErrUnavailable) {
				t.Fatal(err)
			}
			objstoretest.MustLack(t, s, largeKey)
			p.reset(nil)
			objstoretest.MustPut(t, s, largeKey, b, noted.options(noted.ids[0]))
			objstoretest.MustHave(t, s, largeKey, b)
			if p.count("part") != 1 || p.count("create") != 0 || len(noted.ids) != 1 {
				t.Errorf("%d parts sent, %d uploads begun, noted %v", p.count("part"), p.count("create"), noted.ids)
			}
		})
	}
}

func TestUploadThatIsGoneIsBegunAnew(t *testing.T) {
	_, s := setUp(t, S3Config{})
	b := objstoretest.Bytes(1, objstoretest.Large)
	var noted notes
	objstoretest.MustPut(t, s, largeKey, b, noted.options("01234567-89ab-cdef-0123-456789abcdef"))
	objstoretest.MustHave(t, s, largeKey, b)
	if len(noted.ids) != 1 {
		t.Errorf("noted %v", noted.ids)
	}
}

func TestPartsOfOtherBytesAreSentAgain(t *testing.T) {
	p, s := setUp(t, S3Config{Parallel: 1})
	b := objstoretest.Bytes(1, objstoretest.Large)
	p.reset(func(kind string, _ int, w http.ResponseWriter, _ *http.Request) bool {
		return kind == "complete" && refuse(w, 403, "AccessDenied")
	})
	var noted notes
	if _, err := s.Put(t.Context(), largeKey, bytes.NewReader(b), int64(len(b)), noted.options("")); err == nil {
		t.Fatal("completed")
	}
	p.reset(nil)
	b[6<<20]++ // in the second part
	objstoretest.MustPut(t, s, largeKey, b, noted.options(noted.ids[0]))
	objstoretest.MustHave(t, s, largeKey, b)
	if p.count("part") != 1 {
		t.Errorf("%d parts sent again", p.count("part"))
	}
}

func TestCompletionWithItsAnswerLostIsSuccess(t *testing.T) {
	for _, c := range []struct {
		name      string
		exclusive bool
		forgets   bool // the store answers a second completion as if it had never known the upload
	}{
		{"replacing", false, false}, {"exclusive", true, false},
		{"replacing, upload forgotten", false, true}, {"exclusive, upload forgotten", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, s := setUp(t, S3Config{})
			b := objstoretest.Bytes(1, objstoretest.Large)
			p.reset(func(kind string, n int, w http.ResponseWriter, r *http.Request) bool {
				switch {
				case kind == "complete" && n == 1:
					return p.lose(r)
				case kind == "complete" && c.forgets:
					return refuse(w, 404, "NoSuchUpload")
				}
				return false
			})
			objstoretest.MustPut(t, s, largeKey, b, media.PutOptions{Exclusive: c.exclusive})
			objstoretest.MustHave(t, s, largeKey, b)
			if p.count("complete") < 2 {
				t.Errorf("%d completions asked for", p.count("complete"))
			}
		})
	}
}

func TestCompletionOfAForgottenUploadIsNoSuccess(t *testing.T) {
	p, s := setUp(t, S3Config{})
	old := objstoretest.Bytes(2, objstoretest.Large)
	objstoretest.MustPut(t, s, largeKey, old, media.PutOptions{})
	p.reset(func(kind string, _ int, w http.ResponseWriter, _ *http.Request) bool {
		return kind == "complete" && refuse(w, 404, "NoSuchUpload")
	})
	b := objstoretest.Bytes(1, objstoretest.Large)
	if _, err := s.Put(t.Context(), largeKey, bytes.NewReader(b), int64(len(b)), media.PutOptions{}); err == nil {
		t.Error("put")
	}
	objstoretest.MustHave(t, s, largeKey, old)
}

func TestBytesThatChangeOnTheWayAreRefused(t *testing.T) {
	for _, checksums := range []string{ChecksumsAuto, ChecksumsOff} {
		p, s := setUp(t, S3Config{Checksums: checksums})
		p.reset(func(kind string, _ int, _ http.ResponseWriter, r *http.Request) bool {
			if kind == "part" || kind == "put" {
				r.Body = &flipper{ReadCloser: r.Body}
			}
			return false
		})
		for key, size := range map[string]int{"small": 1000, "large": objstoretest.Large} {
			b := objstoretest.Bytes(1, size)
			_, err := s.Put(t.Context(), key, bytes.NewReader(b), int64(size), media.PutOptions{})
			if err == nil {
				t.Errorf("checksums %s: %s object was put", checksums, key)
			}
			objstoretest.MustLack(t, s, key)
		}
		if p.count("abort") != 1 {
			t.Errorf("checksums %s: %d uploads aborted", checksums, p.count("abort"))
		}
	}
}
