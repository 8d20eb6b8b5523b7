package objstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

func TestAnswersOfServersAreStates(t *testing.T) {
	p, s := setUp(t, S3Config{})
	objstoretest.MustPut(t, s, "a/there", []byte("x"), media.PutOptions{})
	for _, c := range []struct {
		status int
		code   string
		want   string
	}{
		{403, "InvalidAccessKeyId", StateDenied}, {403, "SignatureDoesNotMatch", StateDenied},
		{403, "AccessDenied", StateDenied}, {400, "ExpiredToken", StateDenied}, {401, "Whatever", StateDenied},
		{404, "NoSuchBucket", StateMissing},
		{301, "PermanentRedirect", StateRegion}, {400, "AuthorizationHeaderMalformed", StateRegion},
		{307, "Whatever", StateRegion},
		{403, "QuotaExceeded", StateFull}, {507, "InsufficientStorage", StateFull}, {507, "Whatever", StateFull},
		{507, "XMinioStorageFull", StateFull}, {400, "NoSpace", StateFull},
		{400, "XAmzContentChecksumMismatch", StateDamaged}, {405, "MethodNotAllowed", StateFailing},
	} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.code), func(t *testing.T) {
			p.reset(func(_ string, _ int, w http.ResponseWriter, _ *http.Request) bool { return refuse(w, c.status, c.code) })
			_, err := s.Put(t.Context(), "a/b", strings.NewReader("x"), 1, media.PutOptions{})
			if StateOf(err) != c.want || errors.Is(err, media.ErrNotFound) || !strings.Contains(err.Error(), advice(c.want)) {
				t.Errorf("put: state %q, %v", StateOf(err), err)
			}
			if errors.Is(err, media.ErrUnavailable) == (c.want == StateDamaged) {
				t.Errorf("put: %v is ErrUnavailable: %v", err, c.want == StateDamaged)
			}
			if _, err := s.ReadFile(t.Context(), "a/there"); StateOf(err) != c.want {
				t.Errorf("read: state %q, %v", StateOf(err), err)
			}
		})
	}
}

func TestStoreThatAsksForPatienceGetsIt(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
	}{{503, "SlowDown"}, {429, "TooManyRequests"}, {429, ""}, {500, "InternalError"}} {
		t.Run(fmt.Sprintf("%d %s", c.status, c.code), func(t *testing.T) {
			t.Parallel()
			p, s := setUp(t, S3Config{})
			objstoretest.MustPut(t, s, "a/first", []byte("x"), media.PutOptions{})
			p.reset(func(kind string, n int, w http.ResponseWriter, _ *http.Request) bool {
				return (kind == "part" || kind == "create") && n == 2 && refuse(w, c.status, c.code)
			})
			b := objstoretest.Bytes(1, objstoretest.Large)
			objstoretest.MustPut(t, s, largeKey, b, media.PutOptions{})
			objstoretest.MustHave(t, s, largeKey, b)
			if p.count("part") != 4 || p.count("create") != 1 {
				t.Errorf("%d parts sent, %d uploads begun", p.count("part"), p.count("create"))
			}
		})
	}
}

func TestStoreThatStaysSlowIsSlow(t *testing.T) {
	p, s := setUp(t, S3Config{})
	p.reset(func(_ string, _ int, w http.ResponseWriter, _ *http.Request) bool { return refuse(w, 503, "SlowDown") })
	if _, err := s.Stat(t.Context(), "a"); StateOf(err) != StateUnreachable { // HEAD has no code
		t.Error(StateOf(err), err)
	}
	if _, err := s.ReadFile(t.Context(), "a"); StateOf(err) != StateSlow || !errors.Is(err, media.ErrUnavailable) {
		t.Error(StateOf(err), err)
	}
}

func TestWrongKeysAreDenied(t *testing.T) {
	gateway := objstoretest.MustStartGateway(t)
	gateway.MustMakeBucket(t, "vod")
	for name, key := range map[string][2]string{"key": {"other", "oxbow-secret"}, "secret": {"oxbow", "other"}} {
		s := mustOpenS3(t, gateway.Endpoint, S3Config{Bucket: "vod"})
		wrong, err := OpenS3(t.Context(), S3Config{
			Endpoint: gateway.Endpoint, Bucket: "vod", AccessKey: key[0], SecretKey: key[1],
		})
		if err != nil {
			t.Fatal(err)
		}
		defer wrong.Close()
		_, err = wrong.Put(t.Context(), "a/b", strings.NewReader("x"), 1, media.PutOptions{})
		if StateOf(err) != StateDenied || !errors.Is(err, media.ErrUnavailable) || strings.Contains(err.Error(), "secret "+key[1]) {
			t.Errorf("wrong %s: put: %q, %v", name, StateOf(err), err)
		}
		if _, err := wrong.Stat(t.Context(), "a/b"); StateOf(err) != StateDenied || errors.Is(err, media.ErrNotFound) {
			t.Errorf("wrong %s: stat: %q, %v", name, StateOf(err), err)
		}
		objstoretest.MustLack(t, s, "a/b")
	}
}

func TestOtherStates(t *testing.T) {
	away := mustOpenS3(t, "http://127.0.0.1:1", S3Config{Bucket: "vod"})
	_, unreachable := away.ReadFile(t.Context(), "a/b")
	page := mustOpenS3(t, "http://"+mustServeNonsense(t), S3Config{Bucket: "vod"})
	_, nonsense := page.Put(t.Context(), "a/b", strings.NewReader("x"), 1, media.PutOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, left := away.ReadFile(ctx, "a/b")
	dir := mustOpenDir(t, t.TempDir())
	_, absent := dir.ReadFile(t.Context(), "a/b")
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"success", nil, StateOK}, {"absent", absent, StateOK}, {"unreachable", unreachable, StateUnreachable},
		{"nonsense", nonsense, StateUnreachable}, {"caller left", left, ""},
		{"dial that timed out", away.wrap("read", "a", &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}),
			StateUnreachable},
		{"full disk", dirError("put", "a", syscall.ENOSPC), StateFull},
		{"full quota", dirError("put", "a", syscall.EDQUOT), StateFull},
		{"directory of others", dirError("put", "a", os.ErrPermission), StateDenied},
		{"broken disk", dirError("put", "a", syscall.EIO), StateFailing},
		{"our broken disk", dirError("put", "a", sourceError{syscall.EIO}), ""},
		{"range", io.ErrUnexpectedEOF, StateOK}, {"bad key", checkKey("/"), ""},
	} {
		if have := StateOf(c.err); have != c.want {
			t.Errorf("%s: state %q, want %q: %v", c.name, have, c.want, c.err)
		}
		if c.want == StateUnreachable && !errors.Is(c.err, media.ErrUnavailable) {
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
}

// mustServeNonsense answers every connection with something that is not HTTP.
func mustServeNonsense(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, "SSH-2.0-nothing\r\n")
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// A real full disk: a tmpfs of 8 MiB below the server, where this machine lets us mount one.
func TestFullDiskOfTheServer(t *testing.T) {
	dir := t.TempDir()
	mount := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=8m", "oxbow-test", dir)
	if out, err := mount.CombinedOutput(); err != nil {
		t.Skipf("no tmpfs: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if err := exec.Command("umount", "-l", dir).Run(); err != nil { // the test's context has ended
			t.Error(err)
		}
	})
	gateway := objstoretest.MustStartGatewayWith(t, objstoretest.GatewayConfig{Dir: dir})
	gateway.MustMakeBucket(t, "vod")
	s := mustOpenS3(t, gateway.Endpoint, S3Config{Bucket: "vod"})
	objstoretest.MustPut(t, s, "a/first", []byte("x"), media.PutOptions{})
	b := objstoretest.Bytes(1, objstoretest.Large)
	for _, size := range []int64{objstoretest.Large, 5 << 20, 5 << 20} {
		_, err := s.Put(t.Context(), fmt.Sprintf("a/%d", size), bytes.NewReader(b), size, media.PutOptions{})
		if size == 5<<20 && err == nil {
			if err = os.WriteFile(filepath.Join(dir, "vod", "filler"), b[:2<<20], 0o644); err != nil {
				t.Fatal(err)
			}
			_, err = s.Put(t.Context(), "a/second", bytes.NewReader(b), 4<<20, media.PutOptions{})
		}
		if StateOf(err) != StateFull || !errors.Is(err, media.ErrUnavailable) {
			t.Errorf("put of %d bytes: state %q, %v", size, StateOf(err), err)
		}
	}
}
