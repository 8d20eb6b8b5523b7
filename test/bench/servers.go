package main

import (
	"bytes"
	"context"
	"encoding/json"
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
	"time"
)

// server is a server at work.
type server struct {
	cmd       *exec.Cmd
	out       string // file of what it says
	url, keys string // for the generator
	viewers   string // the first stream's playlist
}

// start runs a server on the first core.
func (b bench) start(ctx context.Context, args ...string) (*server, error) {
	s := &server{out: filepath.Join(b.work, "out")}
	out, err := os.Create(s.out)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	s.cmd = exec.CommandContext(ctx, "taskset", append([]string{"-c", "0"}, args...)...)
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.Env = append(os.Environ(), "OXBOW_ADMIN_TOKEN="+adminToken)
	s.cmd.Dir = b.work
	return s, s.cmd.Start()
}

func (s *server) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	force := time.AfterFunc(15*time.Second, func() { _ = s.cmd.Process.Kill() })
	defer force.Stop()
	var exit *exec.ExitError
	if err := s.cmd.Wait(); !errors.As(err, &exit) {
		return err
	}
	return nil // how it exits is its own affair
}

// said gives the end of what the server logged.
func (s *server) said() string {
	text, err := os.ReadFile(s.out)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-2000):])
}

// await waits until a TCP port answers.
func await(ctx context.Context, port int) error {
	for ctx.Err() == nil {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			return conn.Close()
		}
		pause(ctx, 50*time.Millisecond)
	}
	return ctx.Err()
}

const adminToken = "bench-admin-token"

// startOxbow starts `oxbow serve` with its defaults: LL-HLS, recording, sync at each segment.
func (b bench) startOxbow(ctx context.Context) (*server, error) {
	if err := present(b.oxbow); err != nil {
		return nil, err
	}
	binary, err := filepath.Abs(b.oxbow)
	if err != nil {
		return nil, err
	}
	http, err := freePort(ctx, "tcp")
	if err != nil {
		return nil, err
	}
	admin, err := freePort(ctx, "tcp")
	if err != nil {
		return nil, err
	}
	internal, err := freePort(ctx, "tcp")
	if err != nil {
		return nil, err
	}
	rtmp, srt := "127.0.0.1:0", "127.0.0.1:0"
	at := fmt.Sprintf("127.0.0.1:%d", b.port)
	form := "rtmp://" + at + "/live/{key}"
	if b.protocol == "srt" {
		srt, form = at, "srt://"+at+"?streamid=publish:bench/s{n}:{key}"
	} else {
		rtmp = at
	}
	// The load on the origin shows no token.
	tokens := filepath.Join(b.work, "tokens")
	if err := os.WriteFile(tokens, []byte("of-the-bench-server\noptional\n"), 0o600); err != nil {
		return nil, err
	}
	s, err := b.start(ctx, binary, "serve", "--cluster-token-file", tokens,
		"--data", filepath.Join(b.work, "data"), "--http", fmt.Sprintf("127.0.0.1:%d", http), "--rtmp", rtmp,
		"--srt", srt, "--admin", fmt.Sprintf("127.0.0.1:%d", admin),
		"--internal", fmt.Sprintf("127.0.0.1:%d", internal), "--max-per-address", "2000", "--log-level", "warn")
	if err != nil {
		return nil, err
	}
	s.url, s.keys = form, filepath.Join(b.work, "keys")
	s.viewers = fmt.Sprintf("http://127.0.0.1:%d/bench/s1/index.m3u8", internal)
	if err := await(ctx, http); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	if err := b.createStreams(ctx, http, s.keys); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// createStreams makes Oxbow's streams and writes their keys.
func (b bench) createStreams(ctx context.Context, port int, file string) error {
	at := fmt.Sprintf("http://127.0.0.1:%d/v1/publishers", port)
	if _, err := post(ctx, at, "bench"); err != nil {
		return err
	}
	var keys strings.Builder
	for i := range b.streams {
		key, err := post(ctx, at+"/bench/streams", fmt.Sprintf("s%d", i+1))
		if err != nil {
			return err
		}
		keys.WriteString(key + "\n")
	}
	return os.WriteFile(file, []byte(keys.String()), 0o600)
}

func post(ctx context.Context, url, name string) (key string, err error) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || resp.StatusCode >= 300 {
		return "", fmt.Errorf("POST %s: %s: %s: %w", url, resp.Status, text, err)
	}
	var created struct{ Key string }
	err = json.Unmarshal(text, &created)
	return created.Key, err
}

// startNginx starts nginx-rtmp with HLS (segments of Oxbow's length, no parts) and its FLV recording.
func (b bench) startNginx(ctx context.Context) (*server, error) {
	if b.protocol != "rtmp" {
		return nil, fmt.Errorf("%w: nginx-rtmp has no %s", errAbsent, b.protocol)
	}
	const module = "/usr/lib/nginx/modules/ngx_rtmp_module.so"
	if err := present(b.nginx); err != nil {
		return nil, err
	}
	if _, err := os.Stat(module); err != nil {
		return nil, fmt.Errorf("%w: %w", errAbsent, err)
	}
	for _, dir := range []string{"hls", "rec"} {
		if err := os.Mkdir(filepath.Join(b.work, dir), 0o777); err != nil {
			return nil, err
		}
	}
	config := fmt.Sprintf(`load_module %s;
user root; worker_processes 1; daemon off; pid %[2]s/pid; error_log %[2]s/error.log warn;
events { worker_connections 4096; }
rtmp { access_log off; server { listen 127.0.0.1:%[3]d; chunk_size 4096; application live {
	live on; hls on; hls_path %[2]s/hls; hls_fragment 2s; hls_playlist_length 20s; hls_nested on;
	record all; record_path %[2]s/rec;
} } }
`, module, b.work, b.port)
	file := filepath.Join(b.work, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s, err := b.start(ctx, b.nginx, "-c", file)
	if err != nil {
		return nil, err
	}
	s.url = fmt.Sprintf("rtmp://127.0.0.1:%d/live/s{n}", b.port)
	return s, await(ctx, b.port)
}

// startMediaMTX starts MediaMTX with LL-HLS for every stream (parts and segments as Oxbow's) and its fMP4 recording.
func (b bench) startMediaMTX(ctx context.Context) (*server, error) {
	if err := present(b.mediamtx); err != nil {
		return nil, err
	}
	binary, err := exec.LookPath(b.mediamtx)
	if err != nil {
		return nil, err
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, err
	}
	hls, err := freePort(ctx, "tcp")
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`logLevel: warn
rtsp: no
webrtc: no
moq: no
rtmp: %t
srt: %t
%sAddress: 127.0.0.1:%d
hls: yes
hlsAddress: 127.0.0.1:%d
hlsAlwaysRemux: yes
hlsVariant: lowLatency
hlsSegmentDuration: 2s
hlsPartDuration: 500ms
pathDefaults:
  record: yes
  recordFormat: fmp4
  recordPath: %s/rec/%%path/%%Y-%%m-%%d_%%H-%%M-%%S-%%f
paths:
  all_others:
`, b.protocol == "rtmp", b.protocol == "srt", b.protocol, b.port, hls, b.work)
	file := filepath.Join(b.work, "mediamtx.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s, err := b.start(ctx, binary, file)
	if err != nil {
		return nil, err
	}
	s.viewers = fmt.Sprintf("http://127.0.0.1:%d/live/s1/index.m3u8", hls)
	s.url = fmt.Sprintf("rtmp://127.0.0.1:%d/live/s{n}", b.port)
	if b.protocol == "srt" {
		s.url = fmt.Sprintf("srt://127.0.0.1:%d?streamid=publish:live/s{n}", b.port)
	}
	return s, await(ctx, hls)
}
