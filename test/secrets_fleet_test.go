package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
)

// hushFleet is a cluster whose services have passwords.
type hushFleet struct {
	*fleet
	*hushSecrets
	t   *testing.T
	dir string

	mu    sync.Mutex
	hooks []string // what a webhook's receiver was sent
}

const hushAdmin, hushCluster = "hush-admin-0123456789", "hush-cluster-0123456789"

// startHushFleet starts it, and has each process begin anew with passwords on its command line.
func startHushFleet(t *testing.T) *hushFleet {
	t.Helper()
	token := []string{"--cluster-token", hushCluster}
	dir := t.TempDir()
	f := startFleet(t, clusterConfig{
		nodes: 1, edges: 1, ingestFlags: token, archiverFlags: token, apiFlags: token,
		edgeFlags: func(string, string) []string { return append(token, "--access-log", dir+"/access.log") },
	})
	const rule = "ACL SETUSER oxbow on >hush-redis ~* &* +@all"
	if answer, err := f.redis.ask(rule); err != nil || answer != "OK" {
		t.Fatalf("%s: %s %v", rule, answer, err)
	}
	h := &hushFleet{fleet: f, hushSecrets: &hushSecrets{tb: t}, t: t, dir: dir}
	h.note(f.s3.SecretKey)
	h.note(catalogtest.Password)
	for _, m := range f.members {
		m.drain()
		for i, arg := range m.args {
			arg = strings.Replace(arg, "redis://", "redis://oxbow:hush-redis@", 1)
			m.args[i] = arg
		}
		if m.role == "api" {
			m.args = append(m.args, "--admin-token", hushAdmin)
			m.env = nil
		}
	}
	for _, m := range f.members {
		m.launch()
	}
	for _, m := range f.members {
		m.awaitStart()
	}
	return h
}

// call asks the API, whose answer must be of the status, and gives it.
func (h *hushFleet) call(want int, method, path, body string) string {
	h.t.Helper()
	req, err := http.NewRequest(method, "http://"+h.api.http+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header = bearer(hushAdmin)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	if resp.StatusCode != want {
		h.t.Errorf("%s %s: %d %s, want %d", method, path, resp.StatusCode, text, want)
	}
	return string(text)
}

// made asks for something with a secret, which is noted, and gives all that was told.
func (h *hushFleet) made(method, path, body, secret string) map[string]any {
	h.t.Helper()
	text, told := h.call(http.StatusCreated, method, path, body), map[string]any{}
	if err := json.Unmarshal([]byte(text), &told); err != nil {
		h.t.Fatalf("%s: %v", text, err)
	}
	value, _ := told[secret].(string)
	h.note(value)
	return told
}

// ServeHTTP is the receiver of webhooks, and a source that refuses and says what it was asked.
func (h *hushFleet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if r.Method == http.MethodPost {
		h.mu.Lock()
		h.hooks = append(h.hooks, string(body))
		h.mu.Unlock()
		w.WriteHeader(http.StatusInternalServerError)
	} else if strings.HasSuffix(r.URL.Path, "moved.m3u8") {
		http.Redirect(w, r, "http://u:hush-moved@127.0.0.1:1/hush-moved?token=hush-moved", http.StatusFound)
		return
	} else {
		w.WriteHeader(http.StatusUnauthorized)
	}
	_, _ = fmt.Fprint(w, r.URL, r.Header, string(body))
}

// settle makes a publisher with secrets of all kinds, and gives the key of its show and a token for it.
func (h *hushFleet) settle(receiver string) (key, token string) {
	h.call(201, "POST", "/v1/publishers", `{"name":"acme","playback":"signed","archive_delay":"0s"}`)
	h.call(200, "PATCH", "/v1/publishers/acme", `{"segment_duration":"1s"}`)
	show := h.made("POST", "/v1/publishers/acme/streams", `{"name":"show"}`, "key")
	key, _ = show["key"].(string)
	h.made("POST", "/v1/publishers/acme/playback-keys", `{"label":"site"}`, "secret")
	signed := h.made("POST", "/v1/publishers/acme/playback-tokens", `{"stream":"show","expires_in":"10m"}`, "token")
	token, _ = signed["token"].(string)
	h.made("POST", "/v1/tokens", `{"label":"hand","scopes":["read"]}`, "token")
	h.made("POST", "/v1/webhooks", `{"url":"`+receiver+`/hook"}`, "secret")
	for name, url := range map[string]string{
		"rtmp": "rtmp://puller:hush-pull@" + h.redis.address + "/live/hush-pullkey?auth=hush-query",
		"hls":  strings.Replace(receiver, "http://", "http://puller:hush-pull@", 1) + "/t/hush-jwt/live.m3u8?token=hush-query",
		"move": receiver + "/moved.m3u8?token=hush-query",
		"srt":  "srt://" + h.member("a1").srt + "?streamid=publish:acme/x:hush-key&passphrase=hush-passphrase",
	} {
		h.made("POST", "/v1/publishers/acme/streams", `{"name":"`+name+`"}`, "key")
		h.call(200, "PUT", "/v1/publishers/acme/streams/"+name+"/source", `{"url":"`+url+`"}`)
	}
	h.call(200, "PATCH", "/v1/publishers/acme/streams/srt", `{"srt_passphrase":"hush-passphrase-0123"}`)
	return key, token
}

// lookThrough reads all that the API and the commands of operators tell.
func (h *hushFleet) lookThrough() {
	h.t.Helper()
	for _, path := range []string{
		"/v1/publishers", "/v1/publishers/acme", "/v1/publishers/acme/streams", "/v1/publishers/acme/streams/show",
		"/v1/publishers/acme/streams/rtmp/source", "/v1/publishers/acme/streams/hls/source", "/v1/publishers/acme/streams/move/source",
		"/v1/publishers/acme/streams/srt/source", "/v1/publishers/acme/streams/show/keys", "/v1/publishers/acme/playback-keys",
		"/v1/tokens", "/v1/audit", "/v1/events", "/v1/nodes", "/v1/archives", "/v1/sessions", "/v1/recordings", "/v1/webhooks",
		"/v1/token", "/v1/listing",
	} {
		h.kept(path, h.call(200, "GET", path, ""))
	}
	for _, args := range [][]string{
		{"publisher", "list"}, {"stream", "show", "acme/show"}, {"key", "list", "acme/show"}, {"source", "list"},
		{"session", "list"}, {"recording", "list"}, {"node", "list"}, {"archive", "list"}, {"playback-key", "list", "acme"},
		{"token", "list"}, {"webhook", "list"}, {"audit"}, {"viewers"},
	} {
		h.kept(strings.Join(args, " "), h.operate(append(args, "--token", hushAdmin)...))
		h.kept(strings.Join(args, " ")+" --json", h.operate(append(args, "--token", hushAdmin, "--json")...))
		h.kept(strings.Join(args, " "), h.operate(append(args, "--token", "hush-wrong")...))
	}
	for _, m := range h.members {
		h.keptByAdmin(m.name, m.admin)
	}
}

// operate runs a command, which may fail, and gives all that it prints.
func (h *hushFleet) operate(args ...string) string {
	cmd := exec.Command(oxbowBinary, append(args, "--api", "http://"+h.api.http)...)
	cmd.Env = os.Environ()
	out, _ := cmd.CombinedOutput()
	return string(out)
}

func (h *hushFleet) everyone(words ...string) {
	h.t.Helper()
	for _, word := range words {
		for _, m := range h.members {
			if m.role != "edge" {
				eventually(h.t, time.Minute, m.name+" tells: "+word, func() bool { return strings.Contains(m.out.String(), word) })
			}
		}
	}
}

// TestClusterTellsNoSecrets has a cluster do all that needs secrets, with right and with wrong ones, then takes its
// services' passwords, database and bucket from it, and reads all that its processes told meanwhile.
func TestClusterTellsNoSecrets(t *testing.T) {
	onlyFull(t)
	h := startHushFleet(t)
	receiver := httptest.NewServer(h)
	t.Cleanup(receiver.Close)
	key, token := h.settle(receiver.URL)
	node, edge := h.member("a1"), h.member("edge1")

	encoder := startEncoder(t, faultFilm(t), time.Second, h.targets(key, "a1")...)
	encoder.awaitPictures(60, 30*time.Second)
	for _, url := range []string{"/t/" + token + "/acme/show/index.m3u8", "/acme/show/index.m3u8?token=" + token} {
		eventually(t, 30*time.Second, "who has a token watches", func() bool {
			status, _, _ := fetch("http://"+edge.http+url, nil)
			return status == http.StatusOK
		})
	}
	h.ask(hushPaths(edge.http)...)
	h.ask(hushPaths(h.api.http)...)
	h.ask(hushPaths(node.internal.address)...)
	h.publishHushed(&hushRole{child: node.child, rtmp: node.rtmp.address, srt: node.srt})
	second := startEncoder(t, faultFilm(t), time.Second, "rtmp://"+node.rtmp.address+"/acme/show?key="+key)
	second.awaitPictures(10, 30*time.Second)
	encoder.leave()
	second.finish()
	eventually(t, time.Minute, "the sources have failed, and the webhook", func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return strings.Contains(node.out.String(), "source lost") && len(h.hooks) > 2
	})
	h.lookThrough()

	for _, rule := range []string{"ACL SETUSER oxbow resetpass >another", "CLIENT KILL USER oxbow"} {
		if answer, err := h.redis.ask(rule); err != nil || strings.HasPrefix(answer, "ERR") {
			t.Fatalf("%s: %s %v", rule, answer, err)
		}
	}
	h.dropDatabase()
	h.s3.Kill(t)
	h.everyone("temporarily unavailable: Redis")
	h.ask(hushPaths(edge.http)...)
	h.ask(hushPaths(h.api.http)...)
	h.publishHushed(&hushRole{child: node.child, rtmp: node.rtmp.address, srt: node.srt})
	for _, m := range h.members {
		h.keptByAdmin(m.name, m.admin)
		m.kill()
		h.kept(m.name+"'s log", m.out.String())
		t.Logf("%s: %d lines looked through", m.name, strings.Count(m.out.String(), "\n"))
	}
	h.kept("the access log", mustRead(t, h.dir+"/access.log"))
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, body := range h.hooks {
		h.kept("a webhook's body", body)
	}
	t.Logf("%d bodies of webhooks, %d secrets that were made", len(h.hooks), len(h.hushSecrets.made))
}
