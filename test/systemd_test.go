package test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// unitRoles are the roles that have a unit of systemd.
var unitRoles = []string{"serve", "ingest", "archiver", "edge", "api"}

// documentedFlags gives the flags of a command of docs/flags.md, which is held against the command line elsewhere, with
// their defaults.
func documentedFlags(tb testing.TB, command string) map[string]string {
	tb.Helper()
	text, err := os.ReadFile("../docs/flags.md")
	if err != nil {
		tb.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `--([a-z0-9-]+)[^`]*` \\|[^|]*\\| (?:`([^`|]*)`)?")
	found := make(map[string]string)
	for _, section := range strings.Split(string(text), "\n## ") {
		name, table, _ := strings.Cut(section, "\n")
		if name != "oxbow "+command && name != "Of all commands" {
			continue
		}
		for _, match := range row.FindAllStringSubmatch(table, -1) {
			found[match[1]] = match[2]
		}
	}
	if len(found) < 10 {
		tb.Fatalf("docs/flags.md has %d flags of oxbow %s", len(found), command)
	}
	return found
}

// TestUnits has systemd judge its units, with the example of credentials, and how well they are hardened: 2.0 of 10.
func TestUnits(t *testing.T) {
	t.Parallel()
	needTool(t, "systemd-analyze")
	dir := t.TempDir()
	program := filepath.Join(dir, "oxbow")
	if err := os.Symlink(oxbowBinary, program); err != nil {
		t.Fatal(err)
	}
	copyUnit := func(from, to string, edit func(string) string) {
		text, err := os.ReadFile("../deploy/systemd/" + from)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, to)), 0o755)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, to), []byte(edit(string(text))), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	asIs := func(text string) string { return text }
	copyUnit("oxbow-.service.d/10-common.conf", "oxbow-.service.d/10-common.conf", asIs)
	analyze := func(args ...string) (string, error) {
		cmd := exec.Command("systemd-analyze", args...)
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":", "SYSTEMD_COLORS=0")
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, role := range unitRoles {
		unit := "oxbow-" + role + ".service"
		copyUnit(unit, unit, func(text string) string {
			if !strings.Contains(text, "\nExecStart=/usr/bin/oxbow "+role+" --config=/etc/oxbow/"+role+".yaml\n") {
				t.Errorf("%s does not start oxbow %s with its configuration", unit, role)
			}
			text = strings.ReplaceAll(text, "Documentation=man:oxbow(1) ", "Documentation=") // it is not installed here
			return strings.ReplaceAll(text, "=/usr/bin/oxbow ", "="+program+" ")
		})
		copyUnit("examples/credentials.conf", unit+".d/credentials.conf", func(text string) string {
			return strings.ReplaceAll(text, "\n#LoadCredential", "\nLoadCredential")
		})
		if out, err := analyze("verify", filepath.Join(dir, unit)); err != nil || strings.TrimSpace(out) != "" {
			t.Errorf("verify %s: %v\n%s", unit, err, out)
		}
		if out, err := analyze("security", "--no-pager", "--offline=true", "--threshold=20", unit); err != nil {
			t.Errorf("security of %s: %v\n%s", unit, err, out)
		}
	}
	broken := filepath.Join(dir, "oxbow-broken.service")
	if err := os.WriteFile(broken, []byte("[Service]\nExecStart=/nowhere/oxbow\nNoSuchKey=1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := analyze("verify", broken); err == nil && strings.TrimSpace(out) == "" {
		t.Error("systemd-analyze finds nothing wrong with a broken unit")
	}
}

// TestUnitsWaitForDrains holds TimeoutStopSec against what a role's stop may take.
func TestUnitsWaitForDrains(t *testing.T) {
	const rest = 25 * time.Second // services.go's patience with a volume that hangs, and what comes behind it
	limit := regexp.MustCompile(`(?m)^TimeoutStopSec=(\S+)$`)
	for _, role := range unitRoles {
		text, err := os.ReadFile("../deploy/systemd/oxbow-" + role + ".service")
		if err != nil {
			t.Fatal(err)
		}
		match := limit.FindSubmatch(text)
		if match == nil {
			t.Fatalf("oxbow-%s.service has no TimeoutStopSec", role)
		}
		given, err := time.ParseDuration(string(match[1]))
		if err != nil {
			t.Fatal(err)
		}
		var drain time.Duration
		if text := documentedFlags(t, role)["drain-timeout"]; text != "" {
			if drain, err = time.ParseDuration(text); err != nil {
				t.Fatal(err)
			}
		}
		if given < drain+rest {
			t.Errorf("oxbow-%s.service waits %v for a stop that may take %v", role, given, drain+rest)
		}
	}
}

// TestConfigurationExamples holds the packaged files, with what is commented out there, against the roles' flags.
func TestConfigurationExamples(t *testing.T) {
	key := regexp.MustCompile(`(?m)^#?([a-z0-9-]+): `)
	for _, role := range unitRoles {
		text, err := os.ReadFile("../deploy/package/etc/" + role + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		flags, keys := documentedFlags(t, role), key.FindAllSubmatch(text, -1)
		if len(keys) == 0 {
			t.Errorf("%s.yaml says nothing", role)
		}
		for _, match := range keys {
			if _, known := flags[string(match[1])]; !known {
				t.Errorf("%s.yaml has %s, which oxbow %s does not know", role, match[1], role)
			}
		}
	}
}

// TestCredentialsExample holds each variable of the example against the roles' flags: it names a credential that is
// loaded in the line above.
func TestCredentialsExample(t *testing.T) {
	text, err := os.ReadFile("../deploy/systemd/examples/credentials.conf")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{"AWS_SHARED_CREDENTIALS_FILE": true}
	for _, role := range unitRoles {
		for flag := range documentedFlags(t, role) {
			known["OXBOW_"+strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))+"_FILE"] = true
		}
	}
	pair := regexp.MustCompile(`(?m)^#?LoadCredential=(\S+):/etc/oxbow/credentials/(\S+)\n#?Environment=(\S+)=%d/(\S+)$`)
	pairs := pair.FindAllStringSubmatch(string(text), -1)
	loaded, set := strings.Count(string(text), "LoadCredential="), strings.Count(string(text), "Environment=")
	if loaded != len(pairs) || set != len(pairs) || loaded < 5 {
		t.Errorf("%d credentials and %d variables, of which %d belong together", loaded, set, len(pairs))
	}
	for _, match := range pairs {
		if match[1] != match[2] || match[1] != match[4] || !known[match[3]] {
			t.Errorf("%s is no flag's file, or has another name than what is loaded:\n%s", match[3], match[0])
		}
	}
}

// TestServiceManagerIsTold runs a server as systemd does.
func TestServiceManagerIsTold(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	told, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer told.Close()
	var log bytes.Buffer
	cmd := exec.Command(oxbowBinary, "edge", "--upstream", "http://127.0.0.1:1",
		"--http", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=200000")
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	await := func(want string) {
		t.Helper()
		if err := told.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		for buf := make([]byte, 4096); ; {
			n, err := told.Read(buf)
			if err != nil {
				t.Fatalf("%s is not told: %v\n%s", want, err, log.String())
			}
			if text := string(buf[:n]); strings.HasPrefix(text, want) {
				return
			}
		}
	}
	await("READY=1")
	await("WATCHDOG=1")
	for _, s := range []struct {
		signal syscall.Signal
		want   []string
	}{{syscall.SIGHUP, []string{"RELOADING=1\nMONOTONIC_USEC=", "READY=1"}}, {syscall.SIGTERM, []string{"STOPPING=1"}}} {
		if err := cmd.Process.Signal(s.signal); err != nil {
			t.Fatal(err)
		}
		for _, want := range s.want {
			await(want)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, log.String())
	}
}
