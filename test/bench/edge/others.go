//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/oxbow-video/oxbow/test/bench/proc"
)

// present says whether a program is installed.
func present(program string) error {
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%w: %w", errAbsent, err)
	}
	return nil
}

// nginxOpenFiles has nginx keep its cache's files open, which its default does not.
const nginxOpenFiles = "open_file_cache max=10000 inactive=60s; open_file_cache_valid 60s;"

// startNginx starts one worker with proxy_cache and its lock.
func (r rig) startNginx(ctx context.Context, more string) (*proc.Child, error) {
	if err := present("nginx"); err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	config := fmt.Sprintf(`%[1]s worker_processes 1; worker_rlimit_nofile 65536; daemon off; pid %[2]s/pid;
error_log %[2]s/error.log crit;
events { worker_connections 16384; }
http {
	access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; keepalive_timeout 75s; %[3]s
	client_body_temp_path %[2]s/body; fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi; proxy_temp_path %[2]s/proxy;
	proxy_cache_path %[2]s/cache levels=1:2 keys_zone=c:32m max_size=1g inactive=30s use_temp_path=off;
	upstream o { server 127.0.0.1:%[4]d; keepalive 256; }
	server {
		listen 127.0.0.1:%[5]d backlog=4096; %[6]s
		location / {
			proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 60s;
			proxy_cache c; proxy_cache_lock on; proxy_cache_lock_timeout 30s; proxy_cache_lock_age 30s;
			proxy_cache_use_stale updating error timeout; proxy_cache_background_update on;
			proxy_buffers 16 16k; proxy_buffer_size 16k;
		}
	}
}
`, user, r.dir, more, r.origin, r.port, r.nginxTLS())
	file := filepath.Join(r.dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return proc.StartOn(ctx, serverCore, r.dir, nil, "nginx", "-e", filepath.Join(r.dir, "error.log"), "-c", file)
}

// nginxTLS has nginx listen for TLS, too, where that is measured.
func (r rig) nginxTLS() string {
	if !r.tls {
		return ""
	}
	return fmt.Sprintf("listen 127.0.0.1:%d ssl http2 backlog=4096; ssl_certificate %s; ssl_certificate_key %s;",
		r.tlsPort, r.cert, r.key)
}

// startVarnish starts Varnish with a gigabyte of memory and threads for every viewer who waits.
func (r rig) startVarnish(ctx context.Context) (*proc.Child, error) {
	if err := present("varnishd"); err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "%d"; .first_byte_timeout = 60s; .between_bytes_timeout = 60s; }
sub vcl_backend_response { set beresp.grace = 2s; set beresp.keep = 0s; }
`, r.origin)
	file := filepath.Join(r.dir, "bench.vcl")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return proc.StartOn(ctx, serverCore, r.dir, nil, "varnishd", "-F", "-j", "none", "-n", filepath.Join(r.dir, "varnish"),
		"-a", fmt.Sprintf("127.0.0.1:%d", r.port), "-f", file, "-T", "none", "-s", "malloc,1G",
		"-p", "thread_pools=2", "-p", "thread_pool_min=200", "-p", "thread_pool_max=5000", "-p", "listen_depth=4096",
		"-p", "timeout_idle=60")
}

// trafficServerRecords are for a live edge: who finds an object being fetched reads along, and who finds one whose
// answer is still held back looks again every 10 ms for 30 s, instead of going to the origin as well.
var trafficServerRecords = []string{
	"admin.user_id STRING #-1",
	"exec_thread.autoconfig INT 0",
	"exec_thread.limit INT 1",
	"accept_threads INT 0",
	"task_threads INT 1",
	"net.listen_backlog INT 4096",
	"net.connections_throttle INT 30000",
	"net.max_connections_in INT 30000",
	"http.cache.http INT 1",
	"http.keep_alive_enabled_in INT 1",
	"http.keep_alive_no_activity_timeout_in INT 120",
	"http.transaction_no_activity_timeout_in INT 60",
	"http.transaction_no_activity_timeout_out INT 60",
	"http.server_session_sharing.match STRING both",
	"cache.ram_cache.size INT 1073741824",
	"cache.ram_cache_cutoff INT 4194304",
	"cache.enable_read_while_writer INT 1",
	"cache.read_while_writer.max_retries INT 100",
	"cache.read_while_writer_retry.delay INT 10",
	"cache.max_doc_size INT 0",
	"http.background_fill_active_timeout INT 0",
	"http.background_fill_completed_threshold FLOAT 0.0",
	"http.cache.max_open_read_retries INT 3000",
	"http.cache.open_read_retry_time INT 10",
	"http.cache.max_open_write_retries INT 1",
	"http.cache.open_write_fail_action INT 5",
	"log.logging_enabled INT 0",
	"diags.debug.enabled INT 0",
}

// startTrafficServer starts Traffic Server in a tree of its own.
func (r rig) startTrafficServer(ctx context.Context) (*proc.Child, error) {
	if err := present("traffic_server"); err != nil {
		return nil, err
	}
	var root, records strings.Builder
	for _, dir := range []string{"prefix:", "exec_prefix:", "localstatedir:", "sysconfdir:etc", "datadir:cache",
		"runtimedir:run", "logdir:log", "cachedir:cache"} {
		name, sub, _ := strings.Cut(dir, ":")
		if err := os.MkdirAll(filepath.Join(r.dir, sub), 0o755); err != nil {
			return nil, err
		}
		fmt.Fprintf(&root, "%s: %s\n", name, filepath.Join(r.dir, sub))
	}
	root.WriteString("bindir: /usr/bin\nsbindir: /usr/sbin\nincludedir: /usr/include\n" +
		"libdir: /usr/lib\nlibexecdir: /usr/lib\n")
	fmt.Fprintf(&records, "CONFIG proxy.config.http.server_ports STRING %d:ip-in=127.0.0.1\n", r.port)
	for _, record := range trafficServerRecords {
		records.WriteString("CONFIG proxy.config." + record + "\n")
	}
	for name, text := range map[string]string{
		"runroot.yaml":       root.String(),
		"etc/records.config": records.String(),
		"etc/remap.config":   fmt.Sprintf("map / http://127.0.0.1:%d/\n", r.origin),
		"etc/storage.config": filepath.Join(r.dir, "cache") + " 1G\n",
		"etc/ip_allow.yaml":  "ip_allow:\n  - apply: in\n    ip_addrs: 127.0.0.1\n    action: allow\n    methods: ALL\n",
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	env := []string{"TS_RUNROOT=" + filepath.Join(r.dir, "runroot.yaml")}
	return proc.StartOn(ctx, serverCore, r.dir, env, "traffic_server")
}
