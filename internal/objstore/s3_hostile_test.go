package objstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/oxbow-video/oxbow/internal/media"
)

// mustOpenHostile opens a store at an endpoint that answers as a test likes.
func mustOpenHostile(t *testing.T, answer http.HandlerFunc) *S3 {
	t.Helper()
	server := httptest.NewServer(answer)
	s := mustOpenS3(t, server.URL, S3Config{Bucket: "vod", Prefix: "our", Stall: 5 * time.Second})
	t.Cleanup(func() {
		server.CloseClientConnections() // of answers without an end
		server.Close()
	})
	return s
}

// everything asks a store all there is to ask, and gives what failed by its name.
func everything(ctx context.Context, s *S3) map[string]error {
	errs := map[string]error{}
	_, errs["stat"] = s.Stat(ctx, "a/b")
	_, errs["read"] = s.ReadFile(ctx, "a/b")
	_, _, _, errs["changed"] = s.ReadChanged(ctx, "a/b", `"tag"`)
	read := func(body io.ReadCloser, err error) error {
		if err == nil {
			_, err = io.Copy(io.Discard, io.LimitReader(body, 1<<20))
			err = errors.Join(err, body.Close())
		}
		return err
	}
	body, err := s.OpenRange(ctx, "a/b", 5, 10)
	errs["range"] = read(body, err)
	body, _, _, err = s.OpenVersion(ctx, "a/b", 5, 10)
	errs["version"] = read(body, err)
	for _, err := range s.List(ctx, "a/") {
		if errs["list"] = err; err != nil {
			break
		}
	}
	errs["delete"] = s.Delete(ctx, "a/b")
	_, errs["uploads"] = s.AbortUploads(ctx, "a/")
	errs["abort"] = s.AbortUpload(ctx, "a/b", "id")
	large := io.NewSectionReader(zeros{}, 0, 2*minPartSize)
	_, errs["put"] = s.Put(ctx, "a/b", large, 1000, media.PutOptions{})
	_, errs["multipart"] = s.Put(ctx, "a/b", large, 2*minPartSize, media.PutOptions{UploadID: "id"})
	return errs
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

// TestRedirectsGetNothing: an endpoint that sends its clients elsewhere does not send them there with a signature, nor
// at all.
func TestRedirectsGetNothing(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		t.Errorf("%s %s comes with %q", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		s := mustOpenHostile(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", other.URL+r.URL.RequestURI())
			w.Header().Set("X-Amz-Bucket-Region", "elsewhere-1")
			w.WriteHeader(status)
			_, _ = fmt.Fprintf(w, "<Error><Code>PermanentRedirect</Code><Endpoint>%s</Endpoint></Error>", other.URL)
		})
		for act, err := range everything(t.Context(), s) {
			if err == nil {
				t.Errorf("%d: %s succeeds", status, act)
			}
		}
	}
	if n := elsewhere.Load(); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// TestEndlessAnswersAreCut: lists, errors and other documents without an end are read up to a bound.
func TestEndlessAnswersAreCut(t *testing.T) {
	for name, c := range map[string]struct {
		status      int
		begin, more string
	}{
		"a word":    {200, "", "a"},
		"a refusal": {403, "<Error>", "<Message>no</Message>"},
	} {
		chunk := strings.Repeat(c.more, 64<<10/len(c.more)+1)
		s := mustOpenHostile(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(c.status)
			for _, err := io.WriteString(w, c.begin); err == nil && r.Method != http.MethodHead; {
				_, err = io.WriteString(w, chunk)
			}
		})
		s.client = s3.New(s.client.Options(), once)
		var err error
		for _, err = range s.List(t.Context(), "a/") {
		}
		if !errors.Is(err, errDocument) {
			t.Errorf("%s: the list: %v", name, err)
		}
		if _, err := s.ReadFile(t.Context(), "a/b"); err == nil {
			t.Errorf("%s: an object is read", name)
		}
		// Whose answer nobody looks at: it ends.
		_ = s.Delete(t.Context(), "a/b")
	}
}

// TestListsThatLeadRoundEnd: a store that says that there is more where we were, or does not say where, is not asked for
// ever, and not believed that there is no more.
func TestListsThatLeadRoundEnd(t *testing.T) {
	for name, token := range map[string]string{
		"again": "<NextContinuationToken>t</NextContinuationToken><NextKeyMarker>k</NextKeyMarker>" +
			"<NextUploadIdMarker>u</NextUploadIdMarker><NextPartNumberMarker>1</NextPartNumberMarker>",
		"nowhere": "",
	} {
		var asked atomic.Int64
		s := mustOpenHostile(t, func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) > 50 {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			root := "ListBucketResult"
			switch {
			case r.URL.Query().Has("uploads"):
				root = "ListMultipartUploadsResult"
			case r.URL.Query().Has("uploadId"):
				root = "ListPartsResult"
			}
			_, _ = fmt.Fprintf(w, "<%s><IsTruncated>true</IsTruncated>%s</%[1]s>", root, token)
		})
		var err error
		for _, err = range s.List(t.Context(), "a/") {
		}
		if !errors.Is(err, media.ErrUnavailable) || asked.Load() > 3 {
			t.Errorf("%s: list: %d requests, %v", name, asked.Load(), err)
		}
		asked.Store(0)
		if _, err := s.AbortUploads(t.Context(), "a/"); asked.Load() > 3 || name == "again" && err == nil {
			t.Errorf("%s: uploads: %d requests, %v", name, asked.Load(), err)
		}
		asked.Store(0)
		p := &put{s3: s, key: "a/b", options: media.PutOptions{UploadID: "id"}}
		p.name, _ = s.key("a/b")
		if _, err := p.resume(t.Context()); err == nil || asked.Load() > 3 {
			t.Errorf("%s: parts: %d requests, %v", name, asked.Load(), err)
		}
	}
}

// TestOnlyWhatWasAskedForIsListed: who removes a recording removes what is listed below its directory. A store that
// lists other objects has them removed by nobody.
func TestOnlyWhatWasAskedForIsListed(t *testing.T) {
	s := mustOpenHostile(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "<ListBucketResult>")
		for _, key := range []string{
			"our/acme/show/one/recording.json", "our/acme/show/two/recording.json", "acme/show/one/x", "other", "/etc/passwd", "",
			"our/acme/show/one/../two/x", "our/acme/show/one//x", "our//acme/show/one/x", "../our/acme/show/one/x", "our/acme/show/one/\x7f",
			"our/acme/show/one/.hidden", "our/acme/show/one/" + strings.Repeat("x", 1100), "our/acme/show/one", "our/acme/show/one/",
		} {
			_, _ = fmt.Fprintf(w, "<Contents><Key>%s</Key><Size>1</Size></Contents>", key)
		}
		_, _ = io.WriteString(w, "<Contents><Key>our/acme/show/one/negative</Key><Size>-1</Size></Contents></ListBucketResult>")
	})
	var keys []string
	for object, err := range s.List(t.Context(), "acme/show/one/") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, object.Key)
	}
	for _, key := range keys {
		if !strings.HasPrefix(key, "acme/show/one/") || strings.Contains(key, "..") || key == "acme/show/one/negative" {
			t.Errorf("%q is listed", key)
		}
	}
	if len(keys) < 1 || keys[0] != "acme/show/one/recording.json" {
		t.Errorf("%q", keys)
	}
}

// TestWrongAnswersAreErrors: lengths and ranges that do not fit what was asked are never taken for the bytes of an object,
// and no document makes the process fall. What was put is looked at by who put it.
func TestWrongAnswersAreErrors(t *testing.T) {
	type given struct {
		status  int
		headers string
		body    string
	}
	for name, c := range map[string]given{
		"another range":        {206, "Content-Range: bytes 0-9/100", "0123456789"},
		"a longer range":       {206, "Content-Range: bytes 5-24/100", "01234567890123456789"},
		"a shorter range":      {206, "Content-Range: bytes 5-9/100", "01234"},
		"no range":             {206, "", "0123456789"},
		"the whole":            {200, "", strings.Repeat("x", 100)},
		"a range of words":     {206, "Content-Range: bytes a-b/c", "0123456789"},
		"a range past 64 bits": {206, "Content-Range: bytes 5-18446744073709551629/18446744073709551700", "0123456789"},
		"XML that ends":        {200, "Content-Type: application/xml", "<ListBucketResult><Contents><Key>our/a/b"},
		"another document":     {200, "Content-Type: application/xml", "<html><body>hello</body></html>"},
		"entities":             {200, "", `<!DOCTYPE a [<!ENTITY a "&a;&a;"><!ENTITY b SYSTEM "file:///etc/passwd">]><ListBucketResult>&a;&b;</ListBucketResult>`},
		"numbers of no size":   {200, "", "<ListBucketResult><Contents><Key>our/a/b</Key><Size>99999999999999999999</Size></Contents></ListBucketResult>"},
		"deep":                 {200, "", strings.Repeat("<a>", 100_000)},
		"an error within":      {200, "", "<Error><Code>InternalError</Code></Error>"},
		"an error of binary":   {500, "", "\x00\xff\x1b[2J"},
		"a status of none":     {299, "", ""},
		"not changed":          {304, "", ""},
		"sums":                 {200, "x-amz-checksum-crc64nvme: %%%\nETag: \"" + strings.Repeat("e", 9000) + "\"\nLast-Modified: never", "x"},
	} {
		s := mustOpenHostile(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			for line := range strings.Lines(c.headers) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
				w.Header().Set(key, value)
			}
			if c.status != http.StatusNotModified {
				w.Header().Set("Content-Length", strconv.Itoa(len(c.body)))
			}
			w.WriteHeader(c.status)
			if r.Method != http.MethodHead && c.status != http.StatusNotModified {
				_, _ = io.WriteString(w, c.body)
			}
		})
		errs := everything(t.Context(), s)
		for _, act := range []string{"range", "version"} {
			if errs[act] == nil {
				t.Errorf("%s: %s succeeds", name, act)
			}
		}
		if name == "another document" && errs["list"] == nil {
			t.Errorf("%s is a list of nothing", name)
		}
	}
}

// TestToldLengthsCostNothing: a store that tells of a quarter of a gigabyte and sends a few bytes has that much read.
func TestToldLengthsCostNothing(t *testing.T) {
	s := mustOpenHostile(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(MaxFile))
		_, _ = io.WriteString(w, "few")
		panic(http.ErrAbortHandler)
	})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := s.ReadFile(t.Context(), "a/b"); err == nil {
		t.Error("it is read")
	}
	runtime.ReadMemStats(&after)
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 64<<20 {
		t.Errorf("%d MiB", taken>>20)
	}
	s = mustOpenHostile(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(MaxFile+1))
	})
	if _, err := s.ReadFile(t.Context(), "a/b"); !errors.Is(err, media.ErrTooLarge) {
		t.Errorf("past the limit: %v", err)
	}
}
