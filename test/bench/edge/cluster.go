//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/catalog/catalogtest"
	"github.com/oxbow-video/oxbow/test/bench/proc"
)

// clusterRow is one measurement of viewers of a real stream. Late is from when the first viewer of all learnt of a
// part.
type clusterRow struct {
	Server    string         `json:"server"`
	Viewers   int            `json:"viewers"`
	Playing   int            `json:"playing"`
	PartMS    float64        `json:"part_target_ms"`
	Requests  float64        `json:"requests_per_second"`
	P50       float64        `json:"late_p50_ms"`
	P99       float64        `json:"late_p99_ms"`
	Max       float64        `json:"late_max_ms"`
	Missed    int64          `json:"missed"`
	Failures  map[string]int `json:"failures"`
	Upstream  float64        `json:"upstream_requests_per_part"` // of Oxbow's edge; it counts them itself
	ServerCPU float64        `json:"server_cores"`
	ClientCPU float64        `json:"client_cores"`
	Memory    float64        `json:"memory_mib"`
}

// cluster is Oxbow's directory service and two ingest nodes, and what they need, on the servers' core.
type cluster struct {
	settings
	dir       string
	children  []*proc.Child
	sql       *catalogtest.Postgres
	api       int // the directory service's port
	nodes     [2]int
	rtmp      int // of the first node, which takes the stream
	http      int
	publisher *proc.Child
}

const (
	clusterToken = "bench-admin-token"
	clusterRamp  = 5 * time.Second
)

// cluster measures with real nodes: one takes a real stream, and viewers watch it through each server.
func (s settings) cluster(ctx context.Context, out *report) (err error) {
	viewers, err := numbers(s.viewers, 20_000)
	if err != nil {
		return err
	}
	c := &cluster{settings: s}
	if c.oxbow, err = filepath.Abs(s.oxbow); err != nil {
		return err
	}
	if c.dir, err = os.MkdirTemp(s.dir, "cluster-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	if err := c.start(ctx); err != nil {
		if errors.Is(err, errAbsent) {
			fmt.Fprintf(os.Stderr, "the cluster is left out: %v\n", err)
			return nil
		}
		return err
	}
	for _, n := range viewers {
		for name := range strings.SplitSeq(s.servers, ",") {
			r, err := c.row(ctx, name, n)
			if errors.Is(err, errAbsent) {
				fmt.Fprintf(os.Stderr, "%s is left out: %v\n", name, err)
				continue
			}
			if err != nil {
				return fmt.Errorf("%s with %d viewers: %w", name, n, err)
			}
			out.Cluster = append(out.Cluster, r)
			fmt.Fprintf(os.Stderr, "%+v\n", r)
		}
	}
	return nil
}

// run starts a process of the cluster and waits for its port.
func (c *cluster) run(ctx context.Context, name string, port int, args ...string) error {
	dir := filepath.Join(c.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	child, err := proc.StartOn(ctx, serverCore, dir, []string{"OXBOW_ADMIN_TOKEN=" + clusterToken}, args...)
	if err != nil {
		return err
	}
	c.children = append(c.children, child)
	ready, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return child.Await(ready, port)
}

func (c *cluster) start(ctx context.Context) (err error) {
	if err := errors.Join(present("redis-server"), present(c.oxbow)); err != nil {
		return err
	}
	if c.sql, err = catalogtest.StartPostgres(ctx); errors.Is(err, catalogtest.ErrMissing) {
		return fmt.Errorf("%w: %w", errAbsent, err)
	} else if err != nil {
		return err
	}
	database, err := c.sql.CreateDatabase(ctx, "bench")
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, c.oxbow, "migrate", "--catalog", database).CombinedOutput(); err != nil {
		return fmt.Errorf("oxbow migrate: %w: %s", err, out)
	}
	var ports [8]int
	for i := range ports {
		if ports[i], err = proc.FreePort(ctx); err != nil {
			return err
		}
	}
	redis := ports[0]
	c.api, c.http, c.nodes, c.rtmp = ports[1], ports[2], [2]int{ports[3], ports[4]}, ports[5]
	if err := c.run(ctx, "redis", redis, "redis-server", "--bind", "127.0.0.1",
		"--port", strconv.Itoa(redis), "--save", "", "--dir", c.dir); err != nil {
		return err
	}
	at := func(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
	shared := []string{"--catalog", database, "--registry", "redis://" + at(redis) + "/0", "--admin", "127.0.0.1:0",
		"--log-level", "warn"}
	if err := c.run(ctx, "api", c.http, append([]string{c.oxbow, "api", "--http", at(c.http), "--internal", at(c.api),
		"--node", "api"}, shared...)...); err != nil {
		return err
	}
	for i, port := range c.nodes {
		name, rtmp := fmt.Sprintf("node%d", i+1), ports[5+i]
		if err := c.run(ctx, name, port, append([]string{c.oxbow, "ingest", "--node", name, "--recordings",
			filepath.Join(c.dir, "recordings"), "--rtmp", at(rtmp), "--srt", "127.0.0.1:0", "--internal", at(port),
			"--advertise", "http://" + at(port)}, shared...)...); err != nil {
			return err
		}
	}
	return c.publish(ctx)
}

// publish makes the stream, and has it published until the cluster stops.
func (c *cluster) publish(ctx context.Context) error {
	if _, err := c.create(ctx, "/v1/publishers", publisher); err != nil {
		return err
	}
	key, err := c.create(ctx, "/v1/publishers/"+publisher+"/streams", stream)
	if err != nil {
		return err
	}
	clip, err := filepath.Abs(c.clip)
	if err != nil {
		return err
	}
	if c.publisher, err = proc.StartOn(ctx, clientCore, c.dir, nil, c.oxbow, "bench", "publish", "--file", clip,
		"--url", fmt.Sprintf("rtmp://127.0.0.1:%d/live/%s", c.rtmp, key), "--duration", "1h"); err != nil {
		return err
	}
	pause(ctx, 10*time.Second) // the playlist gets its length
	return ctx.Err()
}

func (c *cluster) create(ctx context.Context, path, name string) (key string, err error) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, fmt.Sprintf("http://127.0.0.1:%d%s", c.http, path),
		strings.NewReader(string(body)))
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+clusterToken)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var created struct{ Key string }
	if resp.StatusCode >= 300 {
		return "", fmt.Errorf("POST %s: %s", path, resp.Status)
	}
	err = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&created)
	return created.Key, err
}

// stop ends all that start started, the last one first.
func (c *cluster) stop() (err error) {
	if c.publisher != nil {
		err = c.publisher.Stop()
	}
	for i := len(c.children) - 1; i >= 0; i-- {
		err = errors.Join(err, c.children[i].Stop())
	}
	if c.sql != nil {
		err = errors.Join(err, c.sql.Close())
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// row puts a server in front of the cluster, or of the node that has the stream, and has viewers watch through it.
func (c *cluster) row(ctx context.Context, name string, n int) (r clusterRow, err error) {
	r.Server, r.Viewers = name, n
	window := max(20*time.Second, time.Duration(c.ticks)*tick) // many parts: the edges of the window cut some
	ctx, cancel := context.WithTimeout(ctx, clusterRamp+window+90*time.Second)
	defer cancel()
	front := rig{settings: c.settings, dir: c.dir, origin: c.nodes[0], directory: c.api, cluster: true}
	server := &server{port: c.nodes[0]}
	if name == "none" {
		server.Child = c.children[2] // the first node
	} else {
		if server, err = front.startServer(ctx, name); err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, server.Stop()) }()
	}
	pause(ctx, time.Second)
	measured := make(chan error, 1)
	go func() { measured <- c.watch(ctx, server, window, &r) }()
	text, err := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(clientCore), c.oxbow, "bench", "view", "--json",
		"--url", fmt.Sprintf("http://127.0.0.1:%d/%s/%s/index.m3u8", server.port, publisher, stream),
		"--viewers", strconv.Itoa(n), "--ramp", clusterRamp.String(), "--duration", window.String()).Output()
	if watched := <-measured; err == nil {
		err = watched
	}
	if err != nil {
		return r, fmt.Errorf("viewers: %w: %s; the server said: %s", err, text, server.Said())
	}
	var seen struct {
		clusterRow
		Renditions int     `json:"renditions"`
		CPU        float64 `json:"own_cpu_seconds"`
	}
	if err := json.Unmarshal(text, &seen); err != nil {
		return r, fmt.Errorf("viewers: %w", err)
	}
	cpu, memory, upstream := r.ServerCPU, r.Memory, r.Upstream
	r = seen.clusterRow
	r.Server, r.Viewers, r.ServerCPU, r.Memory = name, n, cpu, memory
	r.ClientCPU = seen.CPU / (clusterRamp + window).Seconds()
	if parts := window.Seconds() * 0.8 * 1000 / r.PartMS * float64(seen.Renditions); parts > 0 {
		r.Upstream = upstream / parts
	}
	return r, nil
}

// watch takes a server's use of four fifths of the window, and what our edge asked upstream meanwhile.
func (c *cluster) watch(ctx context.Context, server *server, window time.Duration, r *clusterRow) error {
	pause(ctx, clusterRamp+window/10)
	before, err := proc.CPUOf(server.PID())
	if err != nil {
		return err
	}
	asked, err := server.upstreamParts(ctx)
	if err != nil {
		return err
	}
	pause(ctx, window*8/10)
	now, err := server.upstreamParts(ctx)
	after, err2 := proc.UsageOf(server.PID())
	r.ServerCPU = (after.CPU - before.CPU).Seconds() / after.At.Sub(before.At).Seconds()
	r.Memory, r.Upstream = mib(after.Memory()), now-asked
	return errors.Join(err, err2)
}

// upstreamParts is how many parts our edge has asked upstreams for; of other servers it is not known.
func (s *server) upstreamParts(ctx context.Context) (float64, error) {
	if s.admin == 0 {
		return 0, nil
	}
	text, err := talk(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/metrics", s.admin), nil)
	return gauge(text, `oxbow_cacheproxy_upstream_requests_total{kind="part"}`), err
}

func (r *report) printCluster(b *strings.Builder) {
	keys, rows := groups(r.Cluster, func(c clusterRow) int { return c.Viewers })
	for _, n := range keys {
		fmt.Fprintf(b, "\n### A real stream from two ingest nodes and a directory service, parts of %.0f ms, %d viewers\n\n"+
			"Late is from when the first viewer learnt of a part until a viewer had it whole.\n\n"+
			"| server | late p50 ms | late p99 ms | late max ms | upstream requests per part | playing | missed | requests/s | "+
			"server cores | client cores | memory MiB |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n", rows[n][0].PartMS, n)
		for _, c := range rows[n] {
			upstream := "not known"
			if strings.HasPrefix(c.Server, "oxbow") {
				upstream = fmt.Sprintf("%.2f", c.Upstream)
			}
			fmt.Fprintf(b, "| %s | %.1f | %.1f | %.1f | %s | %d | %d | %.0f | %.2f | %.2f | %.0f |\n", titles[c.Server], c.P50,
				c.P99, c.Max, upstream, c.Playing, c.Missed, c.Requests, c.ServerCPU, c.ClientCPU, c.Memory)
		}
	}
}
