package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// Variables that make the test's binary another process of a check.
const (
	probeVariable   = "OXBOW_DOCTOR_PROBE"
	strangerOnDir   = "OXBOW_DOCTOR_STRANGER"
	strangersNobody = 65534
)

func TestMain(m *testing.M) {
	if file := os.Getenv(probeVariable); file != "" {
		got, err := ProbeLock(file)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(got)
		os.Exit(0)
	}
	if dir := os.Getenv(strangerOnDir); dir != "" {
		if err := Run(context.Background(), Config{Recordings: dir}).Print(os.Stdout); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// elsewhere locks in another process.
func elsewhere(ctx context.Context, file string) (bool, error) {
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), probeVariable+"="+file)
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)) == "true", err
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// mustFind gives a check of a report.
func mustFind(tb testing.TB, r *Report, name string) Check {
	tb.Helper()
	for _, c := range r.Checks {
		if c.Name == name {
			if c.Level != OK && c.Do == "" {
				tb.Errorf("it does not say what to do: %+v", c)
			}
			return c
		}
	}
	tb.Fatalf("no check %q: %+v", name, r.Checks)
	return Check{}
}

func wantCheck(tb testing.TB, r *Report, name string, level Level, part string) {
	tb.Helper()
	if c := mustFind(tb, r, name); c.Level != level || !strings.Contains(c.Text+" "+c.Do, part) {
		tb.Errorf("%+v, want %s with %q", c, level, part)
	}
}

func TestSoundDirectory(t *testing.T) {
	dir := t.TempDir()
	r := Run(t.Context(), Config{Recordings: dir, LockElsewhere: elsewhere})
	for _, name := range []string{"create", "append", "rename", "sync", "lock"} {
		wantCheck(t, r, "directory "+name, OK, "")
	}
	mustFind(t, r, "directory room")
	mustFind(t, r, "directory mount")
	if c := mustFind(t, r, "directory speed"); !strings.Contains(c.Text, "MB/s") {
		t.Errorf("%+v", c)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func TestBadDirectories(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for path, want := range map[string]Check{
		filepath.Join(dir, "none"): {Level: Warn, Text: "is not there"},
		file:                       {Level: Fail, Text: "is a file"},
		file + "/x":                {Level: Fail, Text: "not a directory"},
	} {
		wantCheck(t, Run(t.Context(), Config{Recordings: path}), "directory", want.Level, want.Text)
	}
}

// As another user, who may not write.
func TestDirectoryOfAnother(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("another user needs root")
	}
	dir, err := os.MkdirTemp("", "oxbow-doctor-test")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	binary := filepath.Join(dir, "doctor")
	data, err := os.ReadFile(os.Args[0])
	must(t, err)
	syscall.ForkLock.RLock() // a child of another test would hold it open for writing: "text file busy"
	must(t, os.WriteFile(binary, data, 0o755))
	syscall.ForkLock.RUnlock()
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), strangerOnDir+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: strangersNobody, Gid: strangersNobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "FAIL  directory create") || !strings.Contains(string(out), "let user 65534 write") {
		t.Errorf("%s", out)
	}
}

// mustMount mounts a file system of its own for a test, or skips it.
func mustMount(t *testing.T, args ...string) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", append(args, dir)...).CombinedOutput(); err != nil {
		t.Skipf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}

func TestFullVolume(t *testing.T) {
	dir := mustMount(t, "-t", "tmpfs", "-o", "size=2m", "tmpfs")
	r := Run(t.Context(), Config{Recordings: dir})
	wantCheck(t, r, "directory mount", Warn, "lost with the power")
	wantCheck(t, r, "directory room", Fail, "make room")
	wantCheck(t, r, "directory speed", Fail, "no space left")
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("it left %v, %v", left, err)
	}
}

func TestReadOnlyVolume(t *testing.T) {
	dir := mustMount(t, "-t", "tmpfs", "-o", "ro", "tmpfs")
	r := Run(t.Context(), Config{Recordings: dir})
	wantCheck(t, r, "directory mount", Fail, "read-only")
	wantCheck(t, r, "directory create", Fail, "read-only file system")
}

// A lock that keeps nobody out, and one that is never given up, are told apart.
func TestBadLocks(t *testing.T) {
	for name, test := range map[string]struct {
		answers []bool
		err     error
		level   Level
		text    string
	}{
		"no lock":      {[]bool{true}, nil, Fail, "two processes"},
		"stuck":        {[]bool{false, false}, nil, Fail, "refused"},
		"no answer":    {[]bool{false}, errors.New("broken"), Warn, "broken"},
		"as it should": {[]bool{false, true}, nil, OK, "keeps"},
	} {
		t.Run(name, func(t *testing.T) {
			n := 0
			r := Run(t.Context(), Config{Recordings: t.TempDir(), LockElsewhere: func(context.Context, string) (bool, error) {
				n++
				return test.answers[min(n, len(test.answers))-1], test.err
			}})
			wantCheck(t, r, "directory lock", test.level, test.text)
		})
	}
}

func TestMounts(t *testing.T) {
	const table = `rootfs / ext4 rw 0 0
nas:/rec /mnt nfs4 rw,hard,lookupcache=positive 0 0
nas:/rec /mnt/soft nfs4 rw,soft,lookupcache=positive 0 0
nas:/rec /mnt/late nfs rw,hard 0 0
nas:/rec /mnt/nolock nfs rw,hard,nolock,lookupcache=none 0 0
tmpfs /mnt/with\040space tmpfs rw 0 0
overlay /var overlay rw 0 0
ext /ro ext4 ro 0 0
s /share cifs rw 0 0
f /fuse fuse.s3fs rw 0 0
`
	for path, want := range map[string]struct {
		dir   string
		level Level
		part  string
	}{
		"/home/x":           {"/", OK, ""},
		"/mnt/a":            {"/mnt", OK, "lookupcache"},
		"/mntx":             {"/", OK, ""},
		"/mnt/soft":         {"/mnt/soft", Warn, "hard"},
		"/mnt/late/a":       {"/mnt/late", Warn, "lookupcache=positive"},
		"/mnt/nolock/a":     {"/mnt/nolock", Fail, "nolock"},
		"/mnt/with space/a": {"/mnt/with space", Warn, "power"},
		"/var/lib":          {"/var", Warn, "container"},
		"/ro/a":             {"/ro", Fail, "read-only"},
		"/share/a":          {"/share", Fail, "POSIX"},
		"/fuse/a":           {"/fuse", Warn, "POSIX"},
	} {
		m := mountOf(path, table)
		level, do, text := m.judge()
		if m.dir != want.dir || level != want.level || !strings.Contains(do+text, want.part) || level != OK && do == "" {
			t.Errorf("%s: %+v, %s %q %q, want %+v", path, m, level, do, text, want)
		}
	}
}

func TestRoom(t *testing.T) {
	const gb = 1 << 30
	for name, test := range map[string]struct {
		free, total, inodes, all int64
		want                     Level
	}{
		"much":             {100 * gb, 200 * gb, 1e6, 1e7, OK},
		"uncounted inodes": {100 * gb, 200 * gb, 0, 0, OK},
		"few inodes":       {100 * gb, 200 * gb, 10, 1e7, Warn},
		"a twentieth":      {100 * gb, 4000 * gb, 1e6, 1e7, Warn},
		"little":           {5 * gb, 20 * gb, 1e6, 1e7, Warn},
		"nothing":          {gb / 2, 20 * gb, 1e6, 1e7, Fail},
	} {
		if level, _, _ := roomOf(test.free, test.total, test.inodes, test.all); level != test.want {
			t.Errorf("%s: %s, want %s", name, level, test.want)
		}
	}
}

func TestPorts(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	defer conn.Close()
	r := Run(t.Context(), Config{Ports: []Port{
		{"--rtmp", "tcp", l.Addr().String()}, {"--srt", "udp", conn.LocalAddr().String()},
		{"--http", "tcp", "127.0.0.1:0"}, {"--admin", "tcp", "192.0.2.1:1"}, {"--internal", "tcp", "nonsense"},
	}})
	called, err := os.ReadFile("/proc/self/comm")
	must(t, err)
	self := "process " + strconv.Itoa(os.Getpid()) + ", " + strings.TrimSpace(string(called))
	wantCheck(t, r, "port --rtmp", Fail, self)
	wantCheck(t, r, "port --srt", Fail, self)
	wantCheck(t, r, "port --http", OK, "free")
	wantCheck(t, r, "port --admin", Fail, "no address of this machine")
	wantCheck(t, r, "port --internal", Fail, "HOST:PORT")
}

func TestClocks(t *testing.T) {
	for name, test := range map[string]struct {
		off   time.Duration
		level Level
	}{
		"same":    {0, OK},
		"early":   {-2 * time.Second, Warn},
		"late":    {3 * time.Minute, Warn},
		"far off": {-6 * time.Minute, Fail},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := &Report{}
			checkOffset(t.Context(), r, "clock", func(context.Context) (time.Time, error) { return time.Now().Add(test.off), nil })
			if r.Checks[0].Level != test.level {
				t.Errorf("%s: %+v", name, r.Checks[0])
			}
		})
	}
	// A service that is slow to answer says nothing of its clock.
	synctest.Test(t, func(t *testing.T) {
		r := &Report{}
		checkOffset(t.Context(), r, "clock", func(context.Context) (time.Time, error) {
			at := time.Now()
			time.Sleep(serviceTimeout - time.Second)
			return at, nil
		})
		if r.Checks[0].Level != OK {
			t.Errorf("%+v", r.Checks[0])
		}
	})
	store, err := objstore.OpenDir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	away := func(context.Context) (time.Time, error) { return time.Time{}, errors.New("away") }
	r := Run(t.Context(), Config{
		Archives: []Archive{{Store: store, Date: away}},
		Registry: &Registry{Time: func(context.Context) (time.Time, error) { return time.Now().Add(time.Hour), nil }},
		Catalog:  &Catalog{Time: func(context.Context) (time.Time, error) { return time.Now(), nil }},
	})
	mustFind(t, r, "clock")
	wantCheck(t, r, "clock archive", Warn, "away")
	wantCheck(t, r, "clock registry", Fail, "NTP"[:0])
	wantCheck(t, r, "clock catalog", OK, "off")
}

func TestNTP(t *testing.T) {
	for name, test := range map[string]struct {
		state  int
		status int32
		err    error
		level  Level
	}{
		"synchronised": {0, 0x2001, nil, OK},
		"not":          {5, 0x40, nil, Warn},
		"status alone": {0, 0x40, nil, Warn},
		"forbidden":    {0, 0, syscall.EPERM, Warn},
	} {
		r := &Report{}
		checkNTP(r, func() (int, int32, time.Duration, error) { return test.state, test.status, 0, test.err })
		if r.Checks[0].Level != test.level {
			t.Errorf("%s: %+v", name, r.Checks[0])
		}
	}
}

func TestHTTPDate(t *testing.T) {
	date := time.Now().Add(-time.Hour)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusForbidden)
	}))
	defer server.Close()
	got, err := HTTPDate(t.Context(), server.Client(), server.URL)
	if err != nil || got.Sub(date).Abs() > time.Second {
		t.Errorf("%v, %v, want %v", got, err, date)
	}
}

func TestDirStore(t *testing.T) {
	dir := t.TempDir()
	store, err := objstore.OpenDir(dir)
	must(t, err)
	defer store.Close()
	r := Run(t.Context(), Config{Archives: []Archive{{Store: store}}})
	if r.Failed > 0 {
		t.Errorf("%+v", r.Checks)
	}
	must(t, os.RemoveAll(dir))
	wantCheck(t, Run(t.Context(), Config{Archives: []Archive{{Store: store}}}), "archive put", Fail, "s3:PutObject")
}

func TestBucket(t *testing.T) {
	gateway := objstoretest.MustStartGateway(t)
	gateway.MustMakeBucket(t, "doctor")
	open := func(bucket, secret string) *objstore.S3 {
		s3, err := objstore.OpenS3(t.Context(), objstore.S3Config{
			Endpoint: gateway.Endpoint, Region: "us-east-1", Bucket: bucket, AccessKey: gateway.AccessKey, SecretKey: secret,
		})
		must(t, err)
		t.Cleanup(s3.Close)
		return s3
	}
	good := open("doctor", gateway.SecretKey)
	date := func(ctx context.Context) (time.Time, error) {
		return HTTPDate(ctx, http.DefaultClient, gateway.Endpoint)
	}
	r := Run(t.Context(), Config{Archives: []Archive{{Store: good, Date: date}, {Name: "eu", Store: good}}})
	for _, step := range []string{"put", "get", "list", "multipart", "abort", "delete", "checksums"} {
		wantCheck(t, r, "archive "+step, OK, "")
		wantCheck(t, r, "archive eu "+step, OK, "")
	}
	wantCheck(t, r, "clock archive", OK, "")
	if left := objstoretest.MustKeys(t, good, ""); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	wantCheck(t, Run(t.Context(), Config{Archives: []Archive{{Store: open("doctor", "wrong")}}}), "archive put", Fail, "keys")
	wantCheck(t, Run(t.Context(), Config{Archives: []Archive{{Store: open("none", gateway.SecretKey)}}}), "archive put", Fail, "bucket")
}

func TestRedisSettings(t *testing.T) {
	const good = "# Server\r\nredis_version:7.0.15\r\nmaxmemory_policy:noeviction\r\naof_enabled:1\r\nrole:master\r\n"
	for name, test := range map[string]struct {
		old, with, check string
		level            Level
	}{
		"good":     {"", "", "registry version", OK},
		"old":      {"7.0.15", "6.2.7", "registry version", Fail},
		"unknown":  {"redis_version", "x", "registry version", Fail},
		"eviction": {"noeviction", "allkeys-lru", "registry eviction", Fail},
		"memory":   {"aof_enabled:1", "aof_enabled:0", "registry persistence", Warn},
		"replica":  {"role:master", "role:slave", "registry role", Fail},
	} {
		r := &Report{}
		judgeRedis(r, "", strings.Replace(good, test.old, test.with, 1))
		if c := mustFind(t, r, test.check); c.Level != test.level {
			t.Errorf("%s: %+v", name, r.Checks)
		}
	}
}

// By a real Redis server's INFO, which the adapter hands on.
func TestRealRedis(t *testing.T) {
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skip("no redis-server")
	}
	address := filepath.Join(t.TempDir(), "redis.sock")
	cmd := exec.CommandContext(t.Context(), binary, "--port", "0", "--unixsocket", address, "--save", "", "--dir", t.TempDir(),
		"--maxmemory-policy", "allkeys-lru")
	must(t, cmd.Start())
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	ask := func(ctx context.Context, command string) (string, error) {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", address)
		if err != nil {
			return "", err
		}
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(time.Minute)))
		if _, err := fmt.Fprintf(conn, "%s\r\nQUIT\r\n", command); err != nil {
			return "", err
		}
		text, err := io.ReadAll(conn)
		return string(text), err
	}
	for tick := time.NewTicker(10 * time.Millisecond); ; <-tick.C {
		if _, err := ask(t.Context(), "PING"); err == nil {
			break
		}
		must(t, t.Context().Err())
	}
	registry := &Registry{
		Name: address,
		Info: func(ctx context.Context) (map[string]string, error) {
			text, err := ask(ctx, "INFO")
			return map[string]string{address: text}, err
		},
		Ping:   func(ctx context.Context) error { _, err := ask(ctx, "PING"); return err },
		Rights: func(context.Context) error { return errors.New("NOPERM this user has no permissions to run 'xadd'") },
	}
	r := Run(t.Context(), Config{Registry: registry})
	if c := mustFind(t, r, "registry"); c.Level == Fail || !strings.Contains(c.Text, address) { // it may be far from here
		t.Errorf("%+v", c)
	}
	wantCheck(t, r, "registry version", OK, ".")
	wantCheck(t, r, "registry eviction", Fail, "allkeys-lru")
	wantCheck(t, r, "registry persistence", Warn, "appendonly")
	wantCheck(t, r, "registry rights", Fail, "xadd")
}

func TestCatalog(t *testing.T) {
	versions := func(has, knows int64) *Catalog {
		return &Catalog{
			Name: "sql", Ping: func(context.Context) error { return nil },
			Versions: func(context.Context) (int64, int64, error) { return has, knows, nil },
			Server:   func(context.Context) (string, error) { return "PostgreSQL 15.1", nil },
			Rights:   func(context.Context) error { return nil },
		}
	}
	synctest.Test(t, func(t *testing.T) { // where a round trip takes no time
		r := Run(t.Context(), Config{Catalog: versions(5, 5)})
		for _, name := range []string{"catalog", "catalog version", "catalog schema", "catalog rights"} {
			wantCheck(t, r, name, OK, "")
		}
	})
	wantCheck(t, Run(t.Context(), Config{Catalog: versions(4, 5)}), "catalog schema", Fail, "oxbow migrate")
	wantCheck(t, Run(t.Context(), Config{Catalog: versions(6, 5)}), "catalog schema", Fail, "newer oxbow")
	away := &Catalog{Name: "sql", Ping: func(context.Context) error { return context.DeadlineExceeded }}
	wantCheck(t, Run(t.Context(), Config{Catalog: away}), "catalog", Fail, "no answer in time")
}

func TestKernel(t *testing.T) {
	for name, test := range map[string]struct {
		run   func(*Report)
		level Level
	}{
		"buffer enough": {func(r *Report) { checkReceive(r, 100, 100, nil) }, OK},
		"buffer small":  {func(r *Report) { checkReceive(r, 100, 99, nil) }, Warn},
		"unknown":       {func(r *Report) { checkReceive(r, 100, 0, os.ErrNotExist) }, Warn},
		"files enough":  {func(r *Report) { checkFiles(r, 1<<20) }, OK},
		"files few":     {func(r *Report) { checkFiles(r, 8192) }, Warn},
		"files too few": {func(r *Report) { checkFiles(r, 1024) }, Fail},
	} {
		r := &Report{}
		if test.run(r); r.Checks[0].Level != test.level {
			t.Errorf("%s: %+v", name, r.Checks[0])
		}
	}
	mustFind(t, Run(t.Context(), Config{ReceiveBuffer: 1}), "kernel rmem_max")
}
