package webhook

import (
	"bytes"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

func registry() *prometheus.Registry { return prometheus.NewRegistry() }

func TestAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		ok     bool
		status int
		error  string
		after  time.Duration
	}{
		{"200", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("thanks")) }, true, 200, "", 0},
		{"204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, true, 204, "", 0},
		{"410 disables nothing", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }, false, 410, "410 Gone", 0},
		{"503 with Retry-After", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusServiceUnavailable)
		}, false, 503, "503", 7 * time.Second},
		{"503 with a date", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", time.Now().Add(1000*time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(http.StatusServiceUnavailable)
		}, false, 503, "503", 1000 * time.Hour},
		{"500 with Retry-After, which means nothing", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusInternalServerError)
		}, false, 500, "500", 0},
		{"429 with nonsense", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "-7")
			w.WriteHeader(http.StatusTooManyRequests)
		}, false, 429, "429", 0},
		{"more than we read", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte("x"), 10*maxAnswer))
		}, true, 200, "", 0},
		{"a header that is too long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", strings.Repeat("x", 2*maxAnswer))
		}, false, 0, "header", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(c.answer)
			defer server.Close()
			s := NewSender(SenderConfig{})
			defer s.Close()
			r := s.Test(t.Context(), media.Webhook{URL: server.URL, Trusted: true, Secret: secret})
			if r.OK() != c.ok || r.Status != c.status || !strings.Contains(r.Error, c.error) || (r.Error == "") != c.ok ||
				r.RetryAfter > c.after || r.RetryAfter < c.after-2*time.Second || len(r.Answer) > 1000 || r.Took <= 0 {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestOldSecretSignsToo(t *testing.T) {
	r := newReceiver(t, nil) // verifies with the secret
	s := NewSender(SenderConfig{})
	defer s.Close()
	hook := media.Webhook{URL: r.url, Trusted: true, Secret: "another secret", OldSecret: secret, OldUntil: time.Now().Add(time.Hour)}
	if result := s.Test(t.Context(), hook); !result.OK() {
		t.Errorf("%+v", result)
	}
	if m := r.seen()[0].message; m.Type != media.EventWebhookTest || m.Delivery != 0 || string(m.Data) != "{}" {
		t.Errorf("%+v", m)
	}
}

func TestWhatIsNotTrustedReachesNoPrivateAddress(t *testing.T) {
	r := newReceiver(t, nil)
	s := NewSender(SenderConfig{})
	defer s.Close()
	for _, url := range []string{r.url, strings.Replace(r.url, "127.0.0.1", "localhost", 1), strings.Replace(r.url, "127.0.0.1", "[::ffff:127.0.0.1]", 1),
		// Forms of the same address that some resolvers take, and a name that there is not: as little is told of it.
		strings.Replace(r.url, "127.0.0.1", "2130706433", 1), strings.Replace(r.url, "127.0.0.1", "0177.0.0.1", 1),
		strings.Replace(r.url, "127.0.0.1", "0x7f000001", 1), strings.Replace(r.url, "127.0.0.1", "127.1", 1),
		strings.Replace(r.url, "127.0.0.1", "[::]", 1), strings.Replace(r.url, "127.0.0.1", "0.0.0.0", 1),
		"http://nothing-has-this-name.invalid/",
	} {
		result := s.Test(t.Context(), media.Webhook{URL: url, Secret: secret})
		if result.OK() || result.Error != errPrivate.Error() {
			t.Errorf("%s: %+v", url, result)
		}
	}
	if len(r.seen()) != 0 {
		t.Fatal("it was reached")
	}
	if result := s.Test(t.Context(), media.Webhook{URL: r.url, Trusted: true, Secret: secret}); !result.OK() {
		t.Errorf("trusted: %+v", result)
	}
}

// TestNoFormOfAnAddressLeadsInside: whatever way a URL names this machine, its network or a cloud's metadata, it is
// neither reached nor told apart from what is not there.
func TestNoFormOfAnAddressLeadsInside(t *testing.T) {
	r := newReceiver(t, nil)
	_, port, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(r.url, "/hook"), "http://"), ":")
	t.Setenv("HTTP_PROXY", r.url) // which is not asked to go there either
	t.Setenv("http_proxy", r.url)
	s := NewSender(SenderConfig{Timeout: 5 * time.Second})
	defer s.Close()
	for _, host := range []string{
		"localhost.", "LOCALHOST", "foo.localhost", "127.0.0.1.", "127.000.000.001", "[::1]", "[0:0:0:0:0:0:0:1]",
		"[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::7f00:1]",
		"[2002:7f00:1::]", "[fe80::1%25lo]", "[::1%25lo]", "[::%25lo]", "169.254.169.254", "[fd00:ec2::254]",
		"%31%32%37.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021",
	} {
		result := s.Test(t.Context(), media.Webhook{URL: "http://" + host + ":" + port + "/", Secret: secret})
		if result.OK() || result.Status != 0 || strings.Contains(result.Error, "refused") {
			t.Errorf("%s: %+v", host, result)
		}
	}
	if n := len(r.seen()); n != 0 {
		t.Fatalf("it was reached %d times", n)
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	s := NewSender(SenderConfig{})
	defer s.Close()
	if r := s.Test(t.Context(), media.Webhook{URL: server.URL, Trusted: true, Secret: secret}); r.OK() || !strings.Contains(r.Error, "certificate") {
		t.Errorf("%+v", r)
	}
}

func TestPublicAddresses(t *testing.T) {
	for address, want := range map[string]bool{
		"93.184.216.34": true, "2606:4700::1111": true, "::ffff:93.184.216.34": true, "64:ff9b::5db8:d822": true,
		"2002:5db8:d822::1": true,
		"127.0.0.1":         false, "127.8.8.8": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false,
		"172.31.255.255": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "100.127.1.1": false,
		"224.0.0.1": false, "239.1.1.1": false, "255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false,
		"192.0.0.1": false, "192.0.2.1": false, "198.51.100.1": false, "203.0.113.1": false,
		"::": false, "::1": false, "::ffff:10.0.0.1": false, "::ffff:127.0.0.1": false, "::7f00:1": false,
		"fe80::1": false, "fe80::1%lo": false, "fc00::1": false, "fd12::1": false, "fec0::1": false, "ff02::1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a00:1": false, "64:ff9b:1::1": false, "2002:7f00:1::": false,
		"2002:a00:1::1": false, "2001::1": false, "2001:db8::1": false, "100::1": false,
		"::ffff:0:7f00:1": false, "::ffff:0:a00:1": false, "5f00::1": false, "4000::1": false, "200::1": false, "3fff::1": false,
		"fd00:ec2::254": false, "64:ff9b::a9fe:a9fe": false, "2002:a9fe:a9fe::": false, "2a00:1450:4001::1": true,
	} {
		if got := public(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is public: %v", address, got)
		}
	}
	if err := publicOnly("tcp", "nonsense", nil); !errors.Is(err, errPrivate) {
		t.Errorf("nonsense: %v", err)
	}
}

var signedAt = time.Unix(1_800_000_000, 0)

var signatureCases = []struct {
	name, header string
	want         error
}{
	{"right", Sign(signedAt, []byte("body"), secret), nil},
	{"second of two", Sign(signedAt, []byte("body"), "another", secret), nil},
	{"with blanks and what we do not know", " v2=1, " + strings.ReplaceAll(Sign(signedAt, []byte("body"), secret), ",", " , "), nil},
	{"other secret", Sign(signedAt, []byte("body"), "another"), ErrSignature},
	{"other body", Sign(signedAt, []byte("Body"), secret), ErrSignature},
	{"other time", strings.Replace(Sign(signedAt, []byte("body"), secret), "t=1800000000", "t=1800000001", 1), ErrSignature},
	{"early", Sign(signedAt.Add(-301*time.Second), []byte("body"), secret), ErrStale},
	{"late", Sign(signedAt.Add(301*time.Second), []byte("body"), secret), ErrStale},
	{"empty", "", ErrSignature},
	{"no time", "v1=00", ErrSignature},
	{"no hex", "t=1,v1=zz", ErrSignature},
	{"too long", Sign(signedAt, []byte("body"), secret) + strings.Repeat(" ", maxSignature), ErrSignature},
}

func TestVerify(t *testing.T) {
	for _, c := range signatureCases {
		if err := Verify(secret, c.header, []byte("body"), signedAt, 5*time.Minute); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// FuzzVerify wants nothing to pass that is not signed with the secret, and everything that is.
func FuzzVerify(f *testing.F) {
	for _, c := range signatureCases {
		f.Add(c.header, []byte("body"))
	}
	f.Fuzz(func(t *testing.T, header string, body []byte) {
		if err := Verify("a secret that the fuzzer does not know", header, body, signedAt, time.Hour); err == nil {
			t.Errorf("%q passes", header)
		}
		if err := Verify(secret, Sign(signedAt, body, secret), body, signedAt, 0); err != nil {
			t.Error(err)
		}
	})
}
