package objstoretest

import (
	"cmp"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Lacks says what a store does not do.
type Lacks struct {
	// CRC64NVME and SHA256 are refused, as by servers that are older than they are.
	CRC64NVME bool
	SHA256    bool
	// Attention: checksums are taken, answered and kept as they were told, without a look at the bytes.
	Attention bool
	// Answers: checksums are ignored.
	Answers bool
	// Conditions are refused.
	Conditions bool
	// Listing: no multipart upload is ever listed.
	Listing bool
	// Speed is how many bytes a second it takes in, all connections together; zero means as fast as it can.
	Speed int64
}

// lacking stands before a gateway. Since what it takes out of requests was signed, it signs them itself; the payload's
// hash stays what the client made it.
type lacking struct {
	Lacks
	gateway *Gateway
	forward http.Handler
	mu      struct {
		sync.Mutex
		told map[string]http.Header // by path
		next time.Time              // when the next byte is taken
	}
}

// MustStartLacking gives the base URL of a server that is a gateway without some of its features.
func MustStartLacking(tb testing.TB, gateway *Gateway, lacks Lacks) string {
	tb.Helper()
	target, err := url.Parse(gateway.Endpoint)
	if err != nil {
		tb.Fatal(err)
	}
	l := &lacking{Lacks: lacks, gateway: gateway}
	l.mu.told = make(map[string]http.Header)
	transport := &http.Transport{}
	tb.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		l.sign(r.Out)
	}}
	if lacks.Attention || lacks.Answers {
		proxy.ModifyResponse = func(r *http.Response) error { strip(r.Header); return nil }
	}
	l.forward = proxy
	server := httptest.NewServer(l)
	tb.Cleanup(server.Close)
	return server.URL
}

func (l *lacking) sign(r *http.Request) {
	r.Header.Del("Authorization")
	credentials := aws.Credentials{AccessKeyID: l.gateway.AccessKey, SecretAccessKey: l.gateway.SecretKey}
	// An error leaves the request unsigned, which the gateway refuses.
	_ = v4.NewSigner().SignHTTP(r.Context(), credentials, r, cmp.Or(r.Header.Get("X-Amz-Content-Sha256"),
		"UNSIGNED-PAYLOAD"), "s3", "us-east-1", time.Now(), func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
}

// strip takes checksums away, and gives them.
func strip(h http.Header) http.Header {
	taken := http.Header{}
	for name, values := range h {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-amz-checksum-") || lower == "x-amz-sdk-checksum-algorithm" {
			taken[name] = values
			h.Del(name)
		}
	}
	return taken
}

// speaks says that a request speaks of a checksum, as a header of its own or as the algorithm of an upload.
func speaks(r *http.Request, algorithm string) bool {
	return r.Header.Get("X-Amz-Checksum-"+algorithm) != "" ||
		strings.EqualFold(r.Header.Get("X-Amz-Checksum-Algorithm"), algorithm)
}

func (l *lacking) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case l.CRC64NVME && speaks(r, "crc64nvme"), l.SHA256 && speaks(r, "sha256"),
		l.Conditions && r.Header.Get("If-None-Match") != "":
		refuse(w, http.StatusNotImplemented, "NotImplemented")
		return
	case l.Listing && r.Method == http.MethodGet && r.URL.Query().Has("uploads"):
		w.Header().Set("Content-Type", "application/xml")
		_, _ = io.WriteString(w, `<?xml version="1.0"?><ListMultipartUploadsResult><IsTruncated>false</IsTruncated>`+
			`</ListMultipartUploadsResult>`)
		return
	}
	if l.Speed > 0 {
		r.Body = &slowBody{ReadCloser: r.Body, lacking: l, gone: r.Context().Done()}
	}
	if l.Attention || l.Answers {
		told := strip(r.Header)
		if l.Attention {
			w = &echo{ResponseWriter: w, told: l.remember(r, told)}
		}
	}
	l.forward.ServeHTTP(w, r)
}

// remember keeps what a put told of an object, and gives it to who asks later.
func (l *lacking) remember(r *http.Request, told http.Header) http.Header {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case r.Method == http.MethodPut && r.URL.RawQuery == "x-id=PutObject":
		l.mu.told[r.URL.Path] = told
	case r.Method == http.MethodHead:
		return l.mu.told[r.URL.Path]
	}
	return told
}

// echo adds to an answer what was told.
type echo struct {
	http.ResponseWriter
	told http.Header
}

func (e *echo) WriteHeader(status int) {
	for name, values := range e.told {
		e.Header()[name] = values
	}
	e.ResponseWriter.WriteHeader(status)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `<?xml version="1.0"?><Error><Code>`+code+`</Code><Message>lacking</Message></Error>`)
}

// slowBody is read at the store's speed.
type slowBody struct {
	io.ReadCloser
	lacking *lacking
	gone    <-chan struct{}
}

func (b *slowBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), 32<<10)])
	b.lacking.mu.Lock()
	now := time.Now()
	if b.lacking.mu.next.Before(now) {
		b.lacking.mu.next = now
	}
	b.lacking.mu.next = b.lacking.mu.next.Add(time.Duration(n) * time.Second / time.Duration(b.lacking.Speed))
	wait := time.NewTimer(b.lacking.mu.next.Sub(now))
	b.lacking.mu.Unlock()
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-b.gone:
	}
	return n, err
}
