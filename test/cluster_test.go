package test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// clusterConfig says how big a fleet is. Zero values are one cluster of two ingest nodes, an archiver, an API and two
// edges.
type clusterConfig struct {
	clusters int
	nodes    int // ingest nodes of a cluster
	edges    int
	// noArchiver leaves the archivers out until they are started by hand.
	noArchiver bool
	// recordings gives a cluster's directory where it is not an ordinary one.
	recordings map[string]string
	// ingestFlags, archiverFlags and apiFlags are more of them.
	ingestFlags, archiverFlags, apiFlags []string
	// edgeFlags are more of an edge's, by its name and address.
	edgeFlags func(name, http string) []string
}

// fleet is clusters of real processes with the services that they share. Each process has lines of its own to the
// services, and publishers, edges and other nodes reach it over lines, so that each of them can be cut alone.
type fleet struct {
	tb      testing.TB
	config  clusterConfig
	redis   *redisServer
	sql     *postgres
	s3      *objstoretest.Gateway
	api     *oxbow // for calls of the REST API
	members map[string]*member
}

// member is one process of a fleet.
type member struct {
	*child
	fleet   *fleet
	role    string
	cluster string
	args    []string
	env     []string
	admin   string

	// Lines from it to the services, and to it from those who ask it; nil where it has none.
	toRedis, toSQL, toS3, toDirectory *faultProxy
	internal, rtmp                    *faultProxy
	http, srt                         string
}

const (
	memberStart = 30 * time.Second
	memberStop  = 30 * time.Second
	bucket      = "shows"
)

// startFleet starts the services and then every process.
func startFleet(tb testing.TB, config clusterConfig) *fleet {
	tb.Helper()
	orOne := func(n, otherwise int) int {
		if n == 0 {
			return otherwise
		}
		return n
	}
	config.clusters, config.nodes, config.edges = orOne(config.clusters, 1), orOne(config.nodes, 2), orOne(config.edges, 2)
	f := &fleet{tb: tb, config: config, redis: newRedis(tb), members: map[string]*member{}}
	sql := startPostgres(tb)
	f.s3 = objstoretest.MustStartGateway(tb)
	f.s3.MustMakeBucket(tb, bucket)
	f.redis.start()
	f.sql = sql()
	tb.Cleanup(f.tellRows)
	run(tb, time.Minute, oxbowBinary, "migrate", "--catalog", f.sql.url(f.sql.Addr))

	api := f.newAPI("api")
	for c := range config.clusters {
		f.newCluster(string(rune('a' + c)))
	}
	for e := range config.edges {
		f.newEdge(fmt.Sprintf("edge%d", e+1), api)
	}
	f.api = &oxbow{tb: tb, http: api.http, admin: api.admin, out: api.out}
	var started []*member
	for _, name := range slices.Sorted(maps.Keys(f.members)) {
		if m := f.members[name]; m.role != "archiver" || !config.noArchiver {
			m.launch()
			started = append(started, m)
		}
	}
	for _, m := range started {
		m.awaitStart()
	}
	return f
}

// newMember prepares a process with its lines to the registry and the catalog, if its role has them.
func (f *fleet) newMember(name, role string, shared bool) *member {
	m := &member{child: newChild(f.tb, name), fleet: f, role: role, admin: steadyAddress(f.tb)}
	m.args = []string{role, "--admin", m.admin, "--log-level", "debug"}
	if shared {
		m.toRedis, m.toSQL = newFaultProxy(f.tb, f.redis.address), newFaultProxy(f.tb, f.sql.Addr)
		m.args = append(m.args, "--registry", f.redis.url(m.toRedis.address), "--catalog", f.sql.url(m.toSQL.address))
	}
	f.members[name] = m
	f.tb.Cleanup(func() {
		m.kill()
		if f.tb.Failed() {
			f.tb.Logf("%s's log:\n%s", name, m.log())
		}
	})
	return m
}

// log gives the end of what the process told, without the requests that it answered.
func (m *member) log() string {
	var lines []string
	for line := range strings.Lines(m.out.String()) {
		if !strings.Contains(line, "msg=request ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-100):], "")
}

// tellRows shows the catalog's recordings of a test that failed.
func (f *fleet) tellRows() {
	if f.tb.Failed() {
		rows, err := f.sql.Query(context.Background(), database, "SELECT * FROM recordings")
		f.tb.Logf("recordings (%v):\n%s", err, rows)
	}
}

// useArchive gives it a line to the S3 server.
func (m *member) useArchive() {
	s3 := m.fleet.s3
	m.toS3 = newFaultProxy(m.fleet.tb, strings.TrimPrefix(s3.Endpoint, "http://"))
	m.args = append(m.args, "--archive", "s3://"+bucket+"/live?region=us-east-1&endpoint=http://"+m.toS3.address)
	m.env = []string{"AWS_ACCESS_KEY_ID=" + s3.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s3.SecretKey}
}

func (f *fleet) newAPI(name string) *member {
	m := f.newMember(name, "api", true)
	internal := steadyAddress(f.tb)
	m.http, m.internal = steadyAddress(f.tb), newFaultProxy(f.tb, internal)
	m.args = append(m.args, "--http", m.http, "--internal", internal, "--node", name, "--webhook-timeout", "1s")
	m.args = append(m.args, f.config.apiFlags...)
	m.env = []string{"OXBOW_ADMIN_TOKEN=" + adminToken}
	return m
}

func (f *fleet) newCluster(cluster string) {
	dir := f.recordings(cluster)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		f.tb.Fatal(err)
	}
	for n := range f.config.nodes {
		name := fmt.Sprintf("%s%d", cluster, n+1)
		m := f.newMember(name, "ingest", true)
		internal, rtmp := steadyAddress(f.tb), steadyAddress(f.tb)
		m.internal, m.rtmp, m.srt = newFaultProxy(f.tb, internal), newFaultProxy(f.tb, rtmp), steadyAddress(f.tb)
		m.cluster = cluster
		m.args = append(m.args, "--cluster", cluster, "--node", name, "--recordings", dir, "--rtmp", rtmp, "--srt", m.srt,
			"--internal", internal, "--advertise", "http://"+m.internal.address)
		m.args = append(m.args, f.config.ingestFlags...)
	}
	f.newArchiver(cluster, cluster+"-archiver")
}

// newArchiver prepares an archiver of a cluster, to be started by hand if the cluster has one already.
func (f *fleet) newArchiver(cluster, name string) *member {
	m := f.newMember(name, "archiver", true)
	m.cluster = cluster
	m.useArchive()
	m.args = append(m.args, "--cluster", cluster, "--node", m.name, "--recordings", f.recordings(cluster),
		"--archive-grace", "1s", "--archive-poll", "500ms")
	m.args = append(m.args, f.config.archiverFlags...)
	return m
}

// list has the catalog know what was written into a cluster's directory by hand.
func (f *fleet) list(cluster string) {
	f.tb.Helper()
	cmd := exec.Command(oxbowBinary, "reindex", "--cluster", cluster, "--recordings", f.recordings(cluster),
		"--catalog", f.sql.url(f.sql.Addr), "--archive", "s3://"+bucket+"/live?region=us-east-1&endpoint="+f.s3.Endpoint)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+f.s3.AccessKey, "AWS_SECRET_ACCESS_KEY="+f.s3.SecretKey)
	if out, err := cmd.CombinedOutput(); err != nil {
		f.tb.Fatalf("reindex: %v\n%s", err, out)
	}
}

func (f *fleet) newEdge(name string, api *member) {
	m := f.newMember(name, "edge", false)
	m.http, m.toDirectory = steadyAddress(f.tb), newFaultProxy(f.tb, api.internal.address)
	m.useArchive()
	id := strings.NewReplacer(" ", "-", "/", "-").Replace(name)
	m.args = append(m.args, "--http", m.http, "--directory", "http://"+m.toDirectory.address, "--node", id,
		"--drain-timeout", "0s")
	if f.config.edgeFlags != nil {
		m.args = append(m.args, f.config.edgeFlags(name, m.http)...)
	}
}

// recordings is a cluster's shared directory.
func (f *fleet) recordings(cluster string) string {
	if dir := f.config.recordings[cluster]; dir != "" {
		return dir
	}
	if f.config.recordings == nil {
		f.config.recordings = map[string]string{}
	}
	f.config.recordings[cluster] = filepath.Join(f.tb.TempDir(), "recordings")
	return f.config.recordings[cluster]
}

// member gives a process by its name: a1, a2, a-archiver, b1, ..., api, edge1, ...
func (f *fleet) member(name string) *member {
	f.tb.Helper()
	m := f.members[name]
	if m == nil {
		f.tb.Fatalf("nobody is called %s", name)
	}
	return m
}

// targets gives the addresses that publishers of a cluster use, and the key's place in them.
func (f *fleet) targets(key string, names ...string) (urls []string) {
	f.tb.Helper()
	for _, name := range names {
		urls = append(urls, "rtmp://"+f.member(name).rtmp.address+"/live/"+key)
	}
	return urls
}

// launch starts the process and does not wait until it is ready.
func (m *member) launch() {
	m.fleet.tb.Helper()
	cmd := exec.Command(oxbowBinary, m.args...)
	cmd.Env = append(os.Environ(), m.env...)
	if err := m.child.start(cmd); err != nil {
		m.fleet.tb.Fatal(err)
	}
}

// start starts the process, again on the same addresses, and waits until it is ready.
func (m *member) start() {
	m.fleet.tb.Helper()
	m.launch()
	m.awaitStart()
}

// awaitStart waits until a process that was launched is ready.
func (m *member) awaitStart() {
	m.fleet.tb.Helper()
	m.awaitReady(memberStart, func() error {
		if status, body, _ := fetch("http://"+m.admin+"/readyz", nil); status != http.StatusOK {
			return fmt.Errorf("readyz: %d %s", status, body)
		}
		return nil
	})
}

// drain ends the process as a service manager does, and gives how long that took.
func (m *member) drain() time.Duration {
	m.fleet.tb.Helper()
	return m.stop(syscall.SIGTERM, memberStop)
}

// isolate lets nothing pass between the process and anybody.
func (m *member) isolate() { m.eachLine((*faultProxy).hole) }

func (m *member) eachLine(act func(*faultProxy)) {
	for _, line := range []*faultProxy{m.toRedis, m.toSQL, m.toS3, m.toDirectory, m.internal, m.rtmp} {
		if line != nil {
			act(line)
		}
	}
}

// metric sums a metric's series with the labels.
func (m *member) metric(name string, labels ...string) float64 {
	m.fleet.tb.Helper()
	return (&oxbow{tb: m.fleet.tb, admin: m.admin, out: m.out}).metrics(name, labels...)
}

// bucketFolder is the folder of the bucket in which the recordings are.
func (f *fleet) bucketFolder() string { return filepath.Join(f.s3.Dir, bucket, "live") }
