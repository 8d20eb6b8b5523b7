package registry

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// redisACL is the rule that the package's doc gives, for the prefix oxbow.
const redisACL = "~oxbow:* resetchannels -@all +ping +select +eval +evalsha +time +info " +
	"+hget +hmget +hset +hdel +zadd +zrem +zcard +zscore +zrangebyscore +pexpire +del " +
	"+xadd +xlen +xtrim +xrange +xrevrange +xread"

// clusterACL is what a Redis Cluster needs beside it.
const clusterACL = " +cluster|slots"

// sentinelACL is what sentinels that have users are asked.
const sentinelACL = "&* -@all +ping +subscribe +sentinel|get-master-addr-by-name +sentinel|sentinels"

// useAll makes every call of a registry, with what it asks of Redis.
func useAll(t *testing.T, r *Redis) {
	t.Helper()
	ctx := t.Context()
	noError(t, r.Ping(ctx))
	noError(t, r.Register(ctx, media.Node{ID: "a", URL: "http://a"}))
	wantNodes(t, r, media.Node{ID: "a", URL: "http://a"})
	noError(t, r.Unregister(ctx, "a"))
	epoch := acquire(t, r, show, "a", 0)
	noError(t, r.Renew(ctx, owned(show, "a", epoch)))
	wantLeases(t, r, "", owned(show, "a", epoch))
	wantOwner(t, r, show, "a", epoch)
	noError(t, r.Release(ctx, show, "a", epoch))
	pass(r, 7*time.Second)
	claim(t, r, show, "a", 0)
	r.shift.Add((leaseMemory + time.Hour).Microseconds())
	acquire(t, r, media.StreamPath{Publisher: show.Publisher, Stream: "another"}, "a", 0) // and drops what is old
	tail, err := r.Tail(ctx)
	noError(t, err)
	read := make(chan error, 1)
	go func() {
		_, err := r.Read(ctx, tail)
		read <- err
	}()
	eventually(t, "a reader waits", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.mu.follow.running {
			return errors.New("nobody waits")
		}
		return nil
	})
	for range 3 { // one more than are kept
		noError(t, r.Publish(ctx, media.Event{Type: media.EventLive}))
	}
	if err := <-read; err != nil && !errors.Is(err, media.ErrGone) {
		t.Error(err)
	}
}

// mustUser gives a server a user, as a line of its configuration does.
func mustUser(s *redisServer, name, rule string) {
	args := []any{"ACL", "SETUSER", name}
	for _, word := range strings.Fields(rule) {
		args = append(args, word)
	}
	s.mustDo(args...)
}

func TestRedisACL(t *testing.T) {
	s := MustRedis(t)
	mustUser(s, "oxbow", "on >hunter2 "+redisACL)
	mustUser(s, "default", "resetpass >hunter4") // the tests' own
	t.Run("the rule suffices", func(t *testing.T) {
		useAll(t, MustOpenRedis(t, "redis://oxbow:hunter2@"+s.addr, Config{Events: 2}))
	})
	t.Run("nothing was denied", func(t *testing.T) {
		admin := mustPass(t, s.addr, "hunter4")
		if denied, err := admin.Do(t.Context(), "ACL", "LOG").Slice(); err != nil || len(denied) > 0 {
			t.Errorf("what Redis denied: %v, %v", denied, err)
		}
	})
	t.Run("other keys are out of reach", func(t *testing.T) {
		r := MustOpenRedis(t, "redis://oxbow:hunter2@"+s.addr+"?prefix=other", Config{})
		_, err := r.Acquire(t.Context(), owned(show, "a", 0), 0)
		wantError(t, err, media.ErrUnavailable)
		if err != nil && !strings.Contains(err.Error(), "NOPERM") {
			t.Errorf("error %q does not say what Redis says", err)
		}
	})
	for name, user := range map[string]string{"a wrong password": "oxbow:wrong-hunter2@", "no password": ""} {
		t.Run(name+" is refused at once", func(t *testing.T) {
			wantRefused(t, "redis://"+user+s.addr, "hunter2")
		})
	}
}

// wantRefused opens a registry that must not be opened, and looks that the error does not show a secret.
func wantRefused(t *testing.T, url, secret string) {
	t.Helper()
	r, err := OpenRedis(t.Context(), RedisConfig{URL: url}, slog.New(slog.DiscardHandler))
	if err == nil {
		_ = r.Close()
		t.Fatal("it was opened")
	}
	if strings.Contains(err.Error(), secret) {
		t.Errorf("error %q shows a password", err)
	}
	t.Log(err)
}

func TestRedisTLS(t *testing.T) {
	needRedis(t)
	ours, theirs := mustCA(t, "ours"), mustCA(t, "theirs")
	cert, key := ours.mustIssue(t, "server")
	port := strings.TrimPrefix(freeAddr(t), "127.0.0.1:")
	MustRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ours.file,
		"--tls-auth-clients", "yes", "--requirepass", "hunter2")
	cert, key = ours.mustIssue(t, "client")
	base := "rediss://:hunter2@127.0.0.1:" + port + "?cert=" + cert + "&key=" + key
	t.Run("with the right authority", func(t *testing.T) {
		useAll(t, MustOpenRedis(t, base+"&ca="+ours.file, Config{Events: 2}))
	})
	t.Run("unchecked", func(t *testing.T) {
		useAll(t, MustOpenRedis(t, base+"&insecure_skip_verify=true&prefix=unchecked", Config{Events: 2}))
	})
	t.Run("another authority is refused", func(t *testing.T) { wantRefused(t, base+"&ca="+theirs.file, "hunter2") })
	t.Run("an unknown authority is refused", func(t *testing.T) { wantRefused(t, base, "hunter2") })
	t.Run("without a certificate of ours", func(t *testing.T) {
		r := MustOpenRedis(t, "rediss://:hunter2@127.0.0.1:"+port+"?ca="+ours.file, Config{})
		wantError(t, r.Ping(t.Context()), media.ErrUnavailable)
	})
	t.Run("files that are missing or no PEM", func(t *testing.T) {
		for _, query := range []string{"?ca=/nowhere", "?ca=" + key, "?cert=/nowhere&key=" + key} {
			wantRefused(t, "rediss://:hunter2@127.0.0.1:"+port+query, "hunter2")
		}
	})
}

// authority signs certificates for tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func mustCA(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	a := &authority{key: key, file: filepath.Join(t.TempDir(), name+".pem"), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, &key.PublicKey, key)
	noError(t, err)
	writePEM(t, a.file, "CERTIFICATE", der)
	return a
}

// mustIssue writes a certificate for this machine, and its key.
func (a *authority) mustIssue(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	noError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, a.cert, &key.PublicKey, a.key)
	noError(t, err)
	certFile, keyFile = filepath.Join(t.TempDir(), fmt.Sprint(name, ".pem")), filepath.Join(t.TempDir(), fmt.Sprint(name, ".key"))
	writePEM(t, certFile, "CERTIFICATE", der)
	der, err = x509.MarshalPKCS8PrivateKey(key)
	noError(t, err)
	writePEM(t, keyFile, "PRIVATE KEY", der)
	return certFile, keyFile
}

func writePEM(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	noError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
}
