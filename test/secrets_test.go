package test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	srt "github.com/datarhei/gosrt"
)

// hush begins every secret that the processes of these tests are given: nothing that they tell may have it in it.
const hush = "hush-"

// hushSecrets are what one looks for: secrets that are given begin with hush, those that Oxbow makes are noted.
type hushSecrets struct {
	tb   testing.TB
	made []string
}

// note has what Oxbow made be looked for, too.
func (h *hushSecrets) note(secret string) {
	h.tb.Helper()
	if len(secret) < 8 {
		h.tb.Fatalf("%q is no secret", secret)
	}
	h.made = append(h.made, secret)
}

// kept fails the test if the text has a secret in it, also as Basic authentication would have it.
func (h *hushSecrets) kept(where, text string) {
	h.tb.Helper()
	given := regexp.MustCompile(hush + `|[a-zA-Z0-9+/]{3}` + base64.StdEncoding.EncodeToString([]byte("r:hush"))[4:8])
	if at := given.FindStringIndex(text); at != nil {
		h.tb.Errorf("%s tells a secret: %.300q", where, text[max(0, at[0]-200):])
	}
	for _, secret := range h.made {
		if i := strings.Index(text, secret); i >= 0 {
			h.tb.Errorf("%s tells what was made: %.300q", where, text[max(0, i-200):])
		}
	}
}

// keptByAdmin looks through what a process tells at its admin port.
func (h *hushSecrets) keptByAdmin(name, admin string) {
	h.tb.Helper()
	for _, path := range []string{
		"/metrics", "/healthz", "/readyz", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/nothing/t/" + hush,
	} {
		status, text, header := fetch("http://"+admin+path, nil)
		if status == 0 {
			h.tb.Errorf("%s: %s: %s", name, path, text)
		}
		h.kept(name+" at "+path, fmt.Sprint(header, string(text)))
	}
}

// refusingServer is a service that lets nobody in. answer is given what came on a connection.
func refusingServer(tb testing.TB, answer func(conn net.Conn, sent []byte) error) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				for buf := make([]byte, 4096); ; {
					n, err := conn.Read(buf)
					if err != nil || answer(conn, buf[:n]) != nil {
						return
					}
				}
			}()
		}
	}()
	return l.Addr().String()
}

// refuseSQL is a PostgreSQL server that asks for the password as it is, and says that it is wrong.
func refuseSQL(conn net.Conn, sent []byte) error {
	const says = "SFATAL\x00C28P01\x00Mpassword authentication failed for user \"oxbow\"\x00\x00"
	switch {
	case len(sent) == 8: // may it be TLS?
		_, err := io.WriteString(conn, "N")
		return err
	case sent[0] == 'p':
		_, err := io.WriteString(conn, "E\x00\x00\x00"+string(rune(4+len(says)))+says)
		return err
	}
	_, err := io.WriteString(conn, "R\x00\x00\x00\x08\x00\x00\x00\x03")
	return err
}

func refuseRedis(conn net.Conn, _ []byte) error {
	_, err := io.WriteString(conn, "-WRONGPASS invalid username-password pair or user is disabled.\r\n")
	return err
}

// refusingHTTP answers everything with the status and what it was asked, as servers do that help to find faults.
func refusingHTTP(tb testing.TB, status int, form string) string {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, form, fmt.Sprint(r.URL, r.Header))
	}))
	tb.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// hushRole is a process with secrets among its flags, which are the worst place for them.
type hushRole struct {
	*child
	admin, http, internal, rtmp, srt string
}

// startHushRole starts a role, and waits until it says that it is up.
func startHushRole(tb testing.TB, name string, env []string, args ...string) *hushRole {
	tb.Helper()
	r := &hushRole{child: newChild(tb, name), admin: steadyAddress(tb)}
	args = append([]string{name, "--admin", r.admin, "--log-level", "debug"}, args...)
	for flag, to := range map[string]*string{
		"--http": &r.http, "--internal": &r.internal, "--rtmp": &r.rtmp, "--srt": &r.srt,
	} {
		if flag == "--http" && name == "archiver" || flag == "--internal" && name == "archiver" ||
			(flag == "--rtmp" || flag == "--srt") && name != "ingest" {
			continue
		}
		*to = steadyAddress(tb)
		args = append(args, flag, *to)
	}
	cmd := exec.Command(oxbowBinary, args...)
	cmd.Env = append(os.Environ(), env...)
	if err := r.start(cmd); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("%s's log:\n%s", name, r.out.tail(40))
		}
	})
	if name == "edge" { // which is up when it knows who may watch what: nobody tells it
		r.tells("playback policies can not be had")
	} else {
		r.tells(" is up")
	}
	return r
}

// tells waits until the process has said all of it.
func (r *hushRole) tells(words ...string) {
	r.tb.Helper()
	for _, word := range words {
		eventually(r.tb, time.Minute, r.name+" says "+word, func() bool { return strings.Contains(r.out.String(), word) })
	}
}

// hushAsk is a request that has a secret in it.
type hushAsk struct {
	method, target string
	header         http.Header
	body           string
}

// ask makes requests, and looks through the answers. What a redirect leads to is the asker's own text.
func (h *hushSecrets) ask(asks ...hushAsk) {
	h.tb.Helper()
	for _, a := range asks {
		ctx, cancel := context.WithTimeout(h.tb.Context(), 30*time.Second)
		req, err := http.NewRequestWithContext(ctx, a.method, "http://"+a.target, strings.NewReader(a.body))
		if err != nil {
			h.tb.Fatal(err)
		}
		if a.header != nil {
			req.Header = a.header
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			cancel()
			h.tb.Errorf("%s %s: %v", a.method, a.target, err)
			continue
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		cancel()
		resp.Header.Del("Location")
		if resp.StatusCode/100 != 3 {
			h.kept(a.method+" "+a.target, fmt.Sprint(resp.Header, string(text), err))
		}
	}
}

func bearer(token string) http.Header {
	return http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Cookie": {"id=" + hush}}
}

// hushPaths are requests with playback tokens in all the places that people put them, and some more.
func hushPaths(host string) (asks []hushAsk) {
	for _, path := range []string{
		"/t/eyJhush-jwt.eyJ.x/acme/show/index.m3u8", "//t/eyJhush-jwt.eyJ.x/acme/show/index.m3u8", "/t/hush-jwt",
		"/%74/eyJhush-jwt.eyJ.x/acme/show/index.m3u8", "/t//eyJhush-jwt.eyJ.x/acme/show/index.m3u8", "/t/hush-jwt/../x",
		"/x/../t/hush-jwt/acme/show/index.m3u8", "/acme/show/index.m3u8?token=eyJhush-jwt.eyJ.x",
		"/acme/show/index.m3u8?a=1&token=hush-jwt&token=hush-2", "/watch/acme/show?token=hush-jwt",
		"/acme/show/01k00000000000000000000000/1/video/1.m4s?token=hush-jwt", "/v1/publishers?token=hush-query",
		"/t/hush-jwt/v1/publishers", "/v1/steering/acme/show?token=hush-jwt",
	} {
		asks = append(asks, hushAsk{method: "GET", target: host + path, header: bearer("hush-wrong-token")},
			hushAsk{method: "POST", target: host + path, body: "hush-body"})
	}
	return asks
}

// publishHushed comes to a node with keys in all the places of RTMP and SRT, and is let in nowhere.
func (h *hushSecrets) publishHushed(r *hushRole) {
	h.tb.Helper()
	for _, url := range []string{
		"rtmp://" + r.rtmp + "/live/hush-stream-key", "rtmp://" + r.rtmp + "/acme/show?key=hush-stream-key",
		"rtmp://" + r.rtmp + "/live/show?key=hush-stream-key", "rtmp://user:hush-password@" + r.rtmp + "/live/x",
		"rtmp://" + r.rtmp + "/hush-app/x/y/hush-stream-key",
	} {
		out, err := tryRun(h.tb, time.Minute, oxbowBinary, "bench", "publish", "--url", url, "--file",
			filepath.Join("..", "cmd", "oxbow", "sample.flv"), "--duration", "100ms", "--ramp", "0s")
		if err == nil {
			h.tb.Errorf("%s is let in: %s", url, out)
		}
		h.kept("bench publish", out)
	}
	for _, id := range []string{
		"publish:acme/show:hush-stream-key", "hush-stream-key", "publish:hush-stream-key",
		"#!::r=acme/show,m=publish,u=hush-stream-key", "#!::m=publish,s=hush-stream-key", "#!::hush=hush-stream-key",
		"publish:acme/show?key=hush-stream-key", "read:hush-key",
	} {
		for _, passphrase := range []string{"hush-passphrase-0123", "hush-wrong-passphrase", ""} {
			cfg := srt.DefaultConfig()
			cfg.StreamId, cfg.Passphrase = id, passphrase
			if conn, err := srt.Dial("srt", r.srt, cfg); err == nil {
				_ = conn.Close()
				h.tb.Errorf("SRT with %s is let in", id)
			}
		}
	}
}

// fail runs commands that must fail, and looks through what they say.
func (h *hushSecrets) fail(env []string, commands [][]string) {
	h.tb.Helper()
	var tools sync.WaitGroup
	for _, args := range commands {
		tools.Go(func() {
			what := strings.Join(args[:2], " ")
			ctx, cancel := context.WithTimeout(h.tb.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, oxbowBinary, args...)
			cmd.Env = append(os.Environ(), env...)
			out, err := cmd.CombinedOutput()
			if err == nil || ctx.Err() != nil {
				h.tb.Errorf("%s: %v %v: %s", what, err, ctx.Err(), out)
			}
			h.kept(what, string(out))
		})
	}
	tools.Wait()
}

// TestRolesTellNoSecretsToThemWhoRefuse gives each role its secrets on the command line, by services that refuse all of
// them, has it asked and published to with wrong ones, and reads all that it tells.
func TestRolesTellNoSecretsToThemWhoRefuse(t *testing.T) {
	t.Parallel()
	h := &hushSecrets{tb: t}
	sql, redis := refusingServer(t, refuseSQL), refusingServer(t, refuseRedis)
	s3 := refusingHTTP(t, http.StatusForbidden, `<?xml version="1.0"?><Error><Code>SignatureDoesNotMatch</Code>`+
		`<Message>The signature does not match</Message><StringToSign>%s</StringToSign></Error>`)
	other := refusingHTTP(t, http.StatusInternalServerError, `{"title":"Internal","status":500,"detail":"%s"}`)
	dir := t.TempDir()
	env := []string{
		"AWS_ACCESS_KEY_ID=visible", "AWS_SECRET_ACCESS_KEY=hush-s3", "OXBOW_ARCHIVE_FAR_ACCESS_KEY=visible",
		"OXBOW_ARCHIVE_FAR_SECRET_KEY=hush-far",
	}
	token := []string{"--cluster-token", "hush-cluster-0123456789"}
	catalog := func(at string) []string {
		return []string{"--catalog", "postgres://oxbow:hush-sql@" + at + "/oxbow?sslmode=prefer"}
	}
	services := func(sql, redis string) []string {
		return append(append([]string{"--registry", "redis://oxbow:hush-redis@" + redis}, token...), catalog(sql)...)
	}
	away := steadyAddress(t)
	stores := []string{
		"--archive", "s3://shows/live?region=r&endpoint=http://" + s3, "--archives",
		"far=s3://shows?region=r&endpoint=http://" + other,
	}
	with := func(lists ...[]string) (all []string) {
		for _, list := range lists {
			all = append(all, list...)
		}
		return all
	}
	access := filepath.Join(dir, "access.log")
	roles := []*hushRole{
		startHushRole(t, "api", env, with(services(away, away), []string{"--admin-token", "hush-admin-0123456789"})...),
		startHushRole(t, "ingest", env, with(services(away, away), []string{
			"--recordings", filepath.Join(dir, "a"), "--srt-passphrase", "hush-passphrase-0123",
		})...),
		startHushRole(t, "archiver", env, with(services(away, away), stores, []string{
			"--recordings", filepath.Join(dir, "a"), "--archive-poll", "100ms",
		})...),
		startHushRole(t, "edge", env, with(token, stores, []string{
			"--directory", "http://" + other, "--access-log", access, "--siblings", "http://" + other,
		})...),
	}
	api, ingest := roles[0], roles[1]
	for _, role := range roles[:3] {
		role.tells("registry away", "catalog is away")
	}
	for _, role := range roles {
		if role.http != "" {
			h.ask(hushPaths(role.http)...)
		}
		if role.internal != "" {
			h.ask(hushPaths(role.internal)...)
			h.ask(hushAsk{method: "GET", target: role.internal + "/internal/v1/playback", header: bearer("hush-cluster-0123456789")},
				hushAsk{method: "POST", target: role.internal + "/internal/v1/node/drain", header: http.Header{
					"Authorization": {"Basic " + base64.StdEncoding.EncodeToString([]byte("user:hush"))}}})
		}
	}
	admin := bearer("hush-admin-0123456789")
	h.ask(
		hushAsk{"POST", api.http + "/v1/webhooks", admin, `{"url":"https://u:hush-p@h/hush?hush","secret":"hush-secret"}`},
		hushAsk{"PUT", api.http + "/v1/publishers/acme/streams/show/source", admin, `{"url":"rtmp://u:hush-p@h/live/hush-key"}`},
		hushAsk{"PUT", api.http + "/v1/publishers/acme/streams/show/source", admin, `{"url":"hush://u:hush-p@h/live/hush-key"}`},
		hushAsk{"POST", api.http + "/v1/publishers/acme/playback-keys", admin, `{"algorithm":"hush","secret":"hush-secret"}`},
		hushAsk{"PATCH", api.http + "/v1/publishers/acme", admin, `{"srt_passphrase":"hush"}`},
		hushAsk{"PATCH", api.http + "/v1/publishers/acme/streams/show", admin, `{"srt_passphrase":"hush-"`},
		hushAsk{"GET", api.http + "/v1/publishers", admin, ""},
	)
	h.publishHushed(ingest)
	ingest.tells("publish refused")
	for _, role := range roles {
		h.keptByAdmin(role.name, role.admin)
	}
	h.fail(env, [][]string{
		with([]string{"migrate", "--wait", "1s"}, catalog(away)), with([]string{"migrate"}, catalog(sql)),
		with([]string{"doctor"}, services(sql, redis), stores[:2]), with([]string{"doctor"}, services(away, away), stores[:2]),
		with([]string{"reindex", "--recordings", dir}, catalog(sql), stores),
		with([]string{"api"}, services(sql, away)), with([]string{"api"}, services(away, redis)),
		with([]string{"ingest", "--recordings", dir}, services(sql, redis)),
		with([]string{"archiver", "--recordings", dir}, services(sql, redis), stores),
		{"publisher", "list", "--api", "http://" + api.http, "--token", "hush-wrong"},
		{"publisher", "list", "--api", "http://" + other, "--token", "hush-wrong"},
		{"webhook", "create", "https://u:hush-p@h/hush?hush", "--api", "http://" + other, "--token", "hush-wrong"},
		{"source", "set", "acme/show", "--url", "rtmp://u:hush-p@h/live/hush-key", "--api", "http://" + api.http, "--token", "hush-wrong"},
		{"inspect", "http://u:hush-p@" + other + "/t/hush-jwt/acme/show/index.m3u8?X-Amz-Signature=hush-sign"},
		{"inspect", "s3://key:hush-s3@shows?region=r"},
		{"inspect", "s3://shows/x?region=r&secret=hush-s3"},
		{"archiver", "--archive", "s3://shows/x?region=r&secret=hush-s3"},
		{"archiver", "--archives", "far=s3://shows/x?region=r&secret=hush-s3"},
		{"bench", "view", "--url", "htp://" + other + "/t/hush-jwt/acme/show/index.m3u8"},
	})
	for _, role := range roles {
		role.stop(syscall.SIGTERM, memberStop)
		h.kept(role.name+"'s log", role.out.String())
	}
	h.kept("the access log", mustRead(t, access))
	if n := strings.Count(mustRead(t, access), "\n"); n < 10 {
		t.Errorf("%d lines are in the access log", n)
	}
}
