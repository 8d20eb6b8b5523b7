package test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// localStack is `make stack` in a directory and a loopback network of its own.
type localStack struct {
	tb      testing.TB
	program string
	network string
	dir     string
}

// newStack builds deploy/stack; what a failed test leaves is taken down.
func newStack(tb testing.TB) *localStack {
	tb.Helper()
	needTool(tb, "redis-server")
	s := &localStack{
		tb: tb, program: filepath.Join(tb.TempDir(), "stack-of-tests"), dir: filepath.Join(tb.TempDir(), "stack"),
		network: fmt.Sprintf("127.%d.%d", 64+rand.IntN(128), rand.IntN(256)),
	}
	build := exec.Command("go", "build", "-o", s.program, "./deploy/stack")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build: %v\n%s", err, out)
	}
	tb.Cleanup(func() {
		if _, err := os.Stat(s.dir); err == nil {
			out, err := s.command("logs", "-lines", "40").CombinedOutput()
			tb.Logf("the stack was left behind (%v):\n%s", err, out)
			s.must("down")
		}
	})
	return s
}

func (s *localStack) command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.program, slices.Concat(args[:1], []string{
		"-dir", s.dir, "-net", s.network, "-oxbow", oxbowBinary,
	}, args[1:])...)
	cmd.Dir = ".."
	return cmd
}

func (s *localStack) must(args ...string) string {
	s.tb.Helper()
	out, err := s.command(args...).CombinedOutput()
	if err != nil {
		s.tb.Fatalf("stack %s: %v\n%s", args[0], err, out)
	}
	return string(out)
}

// service is one of the stack's as its state file tells of it.
type stackService struct {
	State    string
	Restarts int
	Process  struct{ PID int }
}

func (s *localStack) state() (state struct {
	Supervisor struct{ PID int }
	Services   map[string]stackService
}) {
	s.tb.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "state.json"))
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err != nil {
		s.tb.Fatal(err)
	}
	return state
}

// address gives a service's port.
func (s *localStack) address(service string, port int) string {
	s.tb.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "plan.json"))
	if err != nil {
		s.tb.Fatal(err)
	}
	var plan struct {
		Services []struct{ Name, Address string }
	}
	if err := json.Unmarshal(text, &plan); err != nil {
		s.tb.Fatal(err)
	}
	for _, known := range plan.Services {
		if known.Name == service {
			return known.Address + ":" + strconv.Itoa(port)
		}
	}
	s.tb.Fatalf("there is no service %s", service)
	return ""
}

// oxbow runs one of the operators' commands against the stack's API.
func (s *localStack) oxbow(args ...string) string {
	s.tb.Helper()
	cmd := exec.Command(oxbowBinary, args...)
	cmd.Env = append(os.Environ(), "OXBOW_API=http://"+s.address("api", 8080),
		"OXBOW_TOKEN_FILE="+filepath.Join(s.dir, "secrets", "admin_token"))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		s.tb.Fatalf("oxbow %s: %v\n%s%s", strings.Join(args, " "), err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String())
}

// wantNothing looks for what a stack may leave: files, processes, listeners.
func (s *localStack) wantNothing() {
	s.tb.Helper()
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		s.tb.Errorf("%s is left (%v)", s.dir, err)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		s.tb.Fatal(err)
	}
	for _, name := range lines {
		line, err := os.ReadFile(name)
		if own := strconv.Itoa(os.Getpid()); err != nil || strings.Contains(name, "/"+own+"/") {
			continue // it has ended
		}
		if text := string(line); strings.Contains(text, s.network+".") || strings.Contains(text, s.dir) {
			s.tb.Errorf("%s runs still: %s", name, strings.ReplaceAll(text, "\x00", " "))
		}
	}
	for _, l := range listeners(s.tb) {
		if strings.HasPrefix(l, s.network+".") {
			s.tb.Errorf("%s is still listened at", l)
		}
	}
}

// listeners gives the IPv4 addresses that TCP listens at and UDP has, of Linux's tables.
func listeners(tb testing.TB) (all []string) {
	tb.Helper()
	for _, table := range []struct{ name, state string }{{"tcp", "0A"}, {"udp", "07"}} {
		text, err := os.ReadFile("/proc/net/" + table.name)
		if err != nil {
			tb.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) < 4 || fields[3] != table.state {
				continue
			}
			host, port, _ := strings.Cut(fields[1], ":")
			ip, err := strconv.ParseUint(host, 16, 32)
			if err != nil {
				continue // the heading
			}
			number, err := strconv.ParseUint(port, 16, 16)
			if err != nil {
				tb.Fatal(err)
			}
			var b [4]byte
			binary.NativeEndian.PutUint32(b[:], uint32(ip))
			all = append(all, netip.AddrPortFrom(netip.AddrFrom4(b), uint16(number)).String())
		}
	}
	return all
}

// picturesAt decodes up to so many seconds of a stream and gives how many pictures it had.
func picturesAt(tb testing.TB, url string, seconds int) int {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, needTool(tb, "ffmpeg"), "-v", "error", "-nostdin", "-i", url, "-t", strconv.Itoa(seconds),
		"-map", "0:v", "-fps_mode", "passthrough", "-f", "framemd5", "-")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		tb.Errorf("watch %s: %v\n%s", url, err, errs.String())
	}
	n := 0
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// TestStack is the life of the whole topology of docker-compose.yml as processes: up in time, a show of cluster a watched
// at both edges, gone on with at the other node when its owner is killed, archived, watched again, and nothing left.
func TestStack(t *testing.T) {
	onlyFull(t)
	source := encodeSource(t, 8, "320x180", "300k")
	s := newStack(t)
	begun := time.Now()
	told := s.must("up", "-profiles", "demo")
	took := time.Since(begun)
	if took > time.Minute && !strings.Contains(told, "building versitygw") {
		t.Errorf("up after %v, want 60 s at most:\n%s", took, told)
	}
	if again := s.must("up"); !strings.Contains(again, "up already") {
		t.Errorf("a second up says:\n%s", again)
	}
	s.must("status")
	if !strings.Contains(told, "demo") {
		t.Errorf("the profile's service is not there:\n%s", told)
	}
	edges := []string{"http://" + s.address("edge-1", 8080), "http://" + s.address("edge-2", 8080)}

	s.oxbow("publisher", "create", "acme", "--set", "archive_delay=0s", "--set", "local_retention=1s")
	key := s.oxbow("stream", "create", "acme/show", "--quiet")
	to := func(node string) (*process, *exec.Cmd) {
		cmd := exec.Command(needTool(t, "ffmpeg"), "-hide_banner", "-nostdin", "-re", "-stream_loop", "-1", "-i", source, "-c", "copy", "-f", "flv",
			"rtmp://"+s.address(node, 1935)+"/live/"+key)
		return startProcess(t, cmd), cmd
	}
	watch := func(edge string) int { return picturesAt(t, edge+"/acme/show/index.m3u8", 3) }
	eventually(t, 60*time.Second, "the demo's show is there", func() bool {
		status, _, _ := fetch(edges[0]+"/demo/live/index.m3u8", nil)
		return status == 200
	})
	first, _ := to("ingest-a1")
	for _, edge := range edges {
		eventually(t, 30*time.Second, "the show is at "+edge, func() bool {
			status, _, _ := fetch(edge+"/acme/show/index.m3u8", nil)
			return status == 200
		})
		if n := watch(edge); n < 30 {
			t.Errorf("%d pictures at %s, want 90", n, edge)
		}
	}

	owner := s.state().Services["ingest-a1"].Process.PID
	if err := syscall.Kill(owner, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "ffmpeg has lost its node", first.over)
	_, second := to("ingest-a2")
	eventually(t, 20*time.Second, "the show goes on at the other node", func() bool {
		return strings.Contains(s.oxbow("session", "list", "--json"), `"ingest-a2"`)
	})
	for _, edge := range edges {
		if n := watch(edge); n < 30 {
			t.Errorf("%d pictures at %s after the owner was killed, want 90", n, edge)
		}
	}
	eventually(t, 30*time.Second, "the killed node is there again", func() bool {
		now := s.state().Services["ingest-a1"]
		return now.State == "healthy" && now.Restarts == 1 && now.Process.PID != owner
	})

	if err := second.Process.Signal(os.Interrupt); err != nil { // it takes its leave, and the show ends
		t.Fatal(err)
	}
	type row struct{ ID, State string }
	var rows []row
	eventually(t, 90*time.Second, "the show is archived", func() bool {
		if err := json.Unmarshal([]byte(s.oxbow("recording", "list", "acme/show", "--json")), &rows); err != nil {
			t.Fatal(err)
		}
		return len(rows) == 1 && rows[0].State == "archived"
	})
	local := filepath.Join(s.dir, "volumes", "recordings-a", "recordings", "acme", "show", rows[0].ID)
	eventually(t, 60*time.Second, "only the archive has it", func() bool {
		_, err := os.Stat(local)
		return os.IsNotExist(err)
	})
	if _, err := os.Stat(filepath.Join(s.dir, "volumes", "s3", "shows", "live", "acme", "show", rows[0].ID)); err != nil {
		t.Errorf("the S3 server does not have the recording: %v", err)
	}
	var seen []int
	for _, edge := range edges {
		seen = append(seen, picturesAt(t, edge+"/acme/show/"+rows[0].ID+"/index.m3u8", 3600))
	}
	if seen[0] != seen[1] || seen[0] < 100 {
		t.Errorf("from the archive the edges show %v pictures", seen)
	}
	ending := time.Now()
	s.must("down")
	figure(t, "make stack", "up after %.1f s, down after %.1f s; %d pictures of a show with a killed owner, from the archive",
		took.Seconds(), time.Since(ending).Seconds(), seen[0])
	s.wantNothing()
}

// TestStackInTrouble has a stack whose start is interrupted, whose addresses are taken, and whose supervisor is killed:
// each leaves nothing.
func TestStackInTrouble(t *testing.T) {
	onlyFull(t)
	s := newStack(t)
	up := s.command("up")
	out := &output{}
	up.Stdout, up.Stderr = out, out
	if err := up.Start(); err != nil {
		t.Fatal(err)
	}
	// versitygw may have to be built before.
	eventually(t, 5*time.Minute, "the first service is up", func() bool { return strings.Contains(out.String(), "healthy") })
	if err := up.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := up.Wait(); err == nil || !strings.Contains(out.String(), "interrupted") {
		t.Errorf("an interrupted up: %v\n%s", err, out.String())
	}
	s.wantNothing()

	s.must("up")
	other := newStack(t)
	other.network = s.network
	text, err := other.command("up").CombinedOutput()
	if err == nil || !strings.Contains(string(text), "perhaps of another stack: stop it") {
		t.Errorf("a second stack of the same addresses: %v\n%s", err, text)
	}
	if _, err := os.Stat(other.dir); !os.IsNotExist(err) {
		t.Errorf("it left %s", other.dir)
	}
	if err := syscall.Kill(s.state().Supervisor.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, 10*time.Second, "status says that the supervisor has gone", func() bool {
		text, err := s.command("status").CombinedOutput()
		return err != nil && strings.Contains(string(text), "supervisor has gone")
	})
	if text, err := s.command("up").CombinedOutput(); err == nil || !strings.Contains(string(text), "not taken down") {
		t.Errorf("up over what was left: %v\n%s", err, text)
	}
	s.must("down")
	s.wantNothing()
}
