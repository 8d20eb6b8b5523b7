package registry

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	defaultPrefix = "oxbow"
	redisPort     = "6379"
	sentinelPort  = "26379"
	maxURL        = 4096 // bytes
	maxHosts      = 64
	maxDB         = 1 << 16
)

// redisURL is a registry's URL as it was understood.
type redisURL struct {
	kind   string // "redis", "sentinel" or "cluster"
	secure bool
	addrs  []string

	username, password                 string
	sentinelUsername, sentinelPassword string

	master string // of a sentinel
	db     int
	prefix string
	tls    tlsFiles
}

// tlsFiles is how a server is known, and how we make ourselves known to it.
type tlsFiles struct {
	ca, cert, key string
	insecure      bool
}

// parseRedisURL reads a URL of one of these forms; no error of it shows a password:
//
//	redis://user:password@host:port/db
//	redis+sentinel://user:password@host:port,host:port/master/db
//	redis+cluster://user:password@host:port,host:port
//
// It is read by hand, as net/url knows one host only and tells what it could not read, passwords too.
func parseRedisURL(text string) (redisURL, error) {
	u := redisURL{prefix: defaultPrefix}
	if len(text) > maxURL {
		return u, badURL("it is longer than %d bytes", maxURL)
	}
	scheme, rest, ok := strings.Cut(text, "://")
	base, kind, plus := strings.Cut(scheme, "+")
	if !plus {
		kind = "redis"
	}
	if !ok || base != "redis" && base != "rediss" || !slices.Contains([]string{"redis", "sentinel", "cluster"}, kind) ||
		plus && kind == "redis" {
		return u, badURL("it starts with redis://, redis+sentinel:// or redis+cluster://; with rediss it uses TLS")
	}
	u.kind, u.secure = kind, base == "rediss"
	rest, query, _ := strings.Cut(rest, "?")
	if strings.Contains(rest+query, "#") {
		return u, badURL("it holds a #: write %%23 for it in a name or password")
	}
	// A password with an unescaped slash would end up in the path, and in errors about it.
	at := strings.LastIndexByte(rest, '@')
	if at >= 0 {
		if strings.Contains(rest[:at], "/") {
			return u, badURL("it holds a / before the @: write %%2F for it in a name or password")
		}
		if err := u.setUser(rest[:at]); err != nil {
			return u, err
		}
	}
	hosts, path, _ := strings.Cut(rest[at+1:], "/")
	if err := u.setHosts(hosts); err != nil {
		return u, err
	}
	if err := u.setPath(path); err != nil {
		return u, err
	}
	return u, u.setParams(query)
}

func badURL(format string, args ...any) error {
	return fmt.Errorf("registry URL: %w: "+format, append([]any{media.ErrInvalid}, args...)...)
}

func (u *redisURL) setUser(text string) error {
	name, password, _ := strings.Cut(text, ":")
	var err1, err2 error
	u.username, err1 = url.PathUnescape(name)
	u.password, err2 = url.PathUnescape(password)
	if err1 != nil || err2 != nil {
		return badURL("the user's name or password holds a %% that is no escape: write %%25 for it")
	}
	if u.username != "" && u.password == "" {
		return badURL("it names a user without a password: write user:password@, or :password@ for the default user")
	}
	return nil
}

func (u *redisURL) setHosts(text string) error {
	list := strings.Split(text, ",")
	if len(list) > maxHosts {
		return badURL("it names more than %d hosts", maxHosts)
	}
	if u.kind == "redis" && len(list) > 1 {
		return badURL("it names %d hosts: redis:// takes one, redis+sentinel:// and redis+cluster:// many", len(list))
	}
	fallback := redisPort
	if u.kind == "sentinel" {
		fallback = sentinelPort
	}
	for _, address := range list {
		host, port, err := net.SplitHostPort(address)
		if err != nil { // without a port, or nothing good at all
			host, port = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]"), fallback
			if strings.Contains(host, ":") && net.ParseIP(host) == nil {
				return badURL("host %.100q: want host, host:port or [address]:port", address)
			}
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return badURL("port %.20q of host %.100q is no number from 1 to 65535", port, host)
		}
		if host == "" || strings.ContainsAny(host, " []%") {
			return badURL("host %.100q: want host, host:port or [address]:port", address)
		}
		u.addrs = append(u.addrs, net.JoinHostPort(host, port))
	}
	return nil
}

func (u *redisURL) setPath(path string) error {
	if u.kind == "cluster" {
		if path != "" {
			return badURL("%.100q after the hosts: a Redis Cluster has no databases", path)
		}
		return nil
	}
	if u.kind == "sentinel" {
		u.master, path, _ = strings.Cut(path, "/")
		if u.master == "" || strings.ContainsAny(u.master, " %") {
			return badURL("no master named: want redis+sentinel://host,host/MASTER, as in the sentinels' configuration")
		}
	}
	if path == "" {
		return nil
	}
	db, err := strconv.ParseUint(path, 10, 32)
	if err != nil || db > maxDB {
		return badURL("database %.40q is no number from 0 to %d", path, maxDB)
	}
	u.db = int(db)
	return nil
}

func (u *redisURL) setParams(query string) error {
	known := []string{"prefix"}
	if u.secure {
		known = append(known, "ca", "cert", "key", "insecure_skip_verify")
	}
	if u.kind == "sentinel" {
		known = append(known, "sentinel_username", "sentinel_password")
	}
	params, err := url.ParseQuery(query)
	if err != nil {
		return badURL("what follows the ? holds a %% or ; that is no part of name=value&name=value")
	}
	for name, values := range params {
		if !slices.Contains(known, name) {
			return badURL("parameter %.40q: such a URL takes %s", name, strings.Join(known, ", "))
		}
		if len(values) > 1 || values[0] == "" {
			return badURL("parameter %s: give it one value, or leave it out", name)
		}
	}
	if prefix := params.Get("prefix"); prefix != "" {
		u.prefix = prefix
	}
	if err := media.CheckStreamName(u.prefix); err != nil {
		return badURL("prefix: %s", err.Error())
	}
	u.sentinelUsername, u.sentinelPassword = params.Get("sentinel_username"), params.Get("sentinel_password")
	u.tls = tlsFiles{ca: params.Get("ca"), cert: params.Get("cert"), key: params.Get("key")}
	if (u.tls.cert == "") != (u.tls.key == "") {
		return badURL("cert and key go together: one is missing")
	}
	if text := params.Get("insecure_skip_verify"); text != "" {
		if u.tls.insecure, err = strconv.ParseBool(text); err != nil {
			return badURL("insecure_skip_verify is %.20q: want true or false", text)
		}
	}
	return nil
}

// config reads the files that the URL names.
func (f tlsFiles) config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		InsecureSkipVerify: f.insecure,
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return nil, fmt.Errorf("registry's certificate authority: %w", err)
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("registry's certificate authority %s: %w: no PEM certificate in it", f.ca, media.ErrInvalid)
		}
	}
	if f.cert != "" {
		pair, err := tls.LoadX509KeyPair(f.cert, f.key)
		if err != nil {
			return nil, fmt.Errorf("registry's client certificate %s: %w", f.cert, err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// client makes the client that the URL asks for. It connects when it is first used.
func (u *redisURL) client() (redis.UniversalClient, error) {
	o := redis.UniversalOptions{
		Addrs: u.addrs, Username: u.username, Password: u.password, DB: u.db, MasterName: u.master,
		SentinelUsername: u.sentinelUsername, SentinelPassword: u.sentinelPassword,
		DialTimeout: netTimeout, ReadTimeout: netTimeout, WriteTimeout: netTimeout, PoolTimeout: netTimeout,
		DialerRetries: 1, MaxRetries: 1, MinRetryBackoff: retryPause, MaxRetryBackoff: retryPause,
		ContextTimeoutEnabled: true,
		FailingTimeoutSeconds: 1,  // a node of a Redis Cluster that is back is asked again at once
		PipelinePoolSize:      -1, // all that we do is pipelined: one pool is enough
		// What follows would need more rights, for nothing that we use.
		DisableIdentity:          true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	if u.secure {
		var err error
		if o.TLSConfig, err = u.tls.config(); err != nil {
			return nil, err
		}
	}
	switch u.kind {
	case "sentinel":
		return redis.NewFailoverClient(o.Failover()), nil
	case "cluster":
		return redis.NewClusterClient(o.Cluster()), nil
	}
	return redis.NewClient(o.Simple()), nil
}
