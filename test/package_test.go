package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// writeLicences runs the command of make licences for the program under test.
func writeLicences(t *testing.T, out string) {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	web := "web"
	if _, err := os.Stat(filepath.Join(root, "web", "node_modules")); err != nil {
		web = ""
	}
	cmd := exec.Command(packageTool(t, "licences"), "-binary", oxbowBinary, "-date", "2026-11-22T09:00:00Z",
		"-web", web, "-out", out)
	cmd.Dir = root
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
}

// packageTool builds a command of the module deploy/package.
func packageTool(t *testing.T, name string) string {
	t.Helper()
	tool := filepath.Join(t.TempDir(), name)
	run(t, 5*time.Minute, "go", "build", "-C", filepath.Join("..", "deploy", "package"), "-o", tool, "./"+name)
	return tool
}

// TestLicences holds what others wrote in the program against the allow-list of licences. With the web page's packages
// where they are installed.
func TestLicences(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	writeLicences(t, out)
	for name, want := range map[string]string{
		"sbom.json": "pkg:golang/github.com/alecthomas/kong@", "third-party-notices.txt": "Redistribution and use in source",
	} {
		if text, err := os.ReadFile(filepath.Join(out, name)); err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s: %v, or it lacks %q", name, err, want)
		}
	}
}

// TestReproducible builds a commit twice, in two places, once with nothing in the build cache.
func TestReproducible(t *testing.T) {
	onlyFull(t)
	needTool(t, "npm")
	cmd := exec.Command("sh", "deploy/package/reproducible.sh")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "TARGETS=build")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "are the same in both builds") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPackageInstalls takes the package through its life: it is installed, upgraded, removed, purged. What it does to
// services is told to a systemctl that only writes it down.
func TestPackageInstalls(t *testing.T) {
	onlyFull(t)
	needTool(t, "dpkg")
	packages := t.TempDir()
	writeLicences(t, packages)
	tool := packageTool(t, "deb")
	for _, version := range []string{"v1.0.0", "v1.1.0-rc1", "v1.1.0"} {
		cmd := exec.Command(tool, "-arch", runtime.GOARCH, "-version", version, "-date", "2026-11-22T09:00:00Z",
			"-binary", oxbowBinary, "-native", oxbowBinary, "-notices", packages, "-out", packages)
		cmd.Dir = ".."
		if said, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
	}
	m := startSpareMachine(t, packages)
	m.do(`rm -f /usr/sbin/policy-rc.d /usr/bin/systemctl
		mkdir -p /run/systemd/system
		printf '#!/bin/sh\necho "$*" >>/told\n' >/usr/bin/systemctl
		chmod 755 /usr/bin/systemctl`)
	install := func(version string) string {
		return "dpkg -i --force-confold /mnt/oxbow_" + version + "_*.deb >/log 2>&1 || { cat /log; exit 1; }\n"
	}

	m.wants(install("1.0.0")+"cat /told", "daemon-reload")
	m.wants("stat -c '%a %U:%G %n' /usr/bin/oxbow /var/lib/oxbow /etc/oxbow /etc/oxbow/edge.yaml /etc/oxbow/credentials",
		"755 root:root /usr/bin/oxbow", "750 oxbow:oxbow /var/lib/oxbow", "750 root:oxbow /etc/oxbow",
		"644 root:root /etc/oxbow/edge.yaml", "700 root:root /etc/oxbow/credentials")
	m.wants("getent passwd oxbow | cut -d: -f1,6,7", "oxbow:/var/lib/oxbow:/usr/sbin/nologin")
	m.wants(`cd /var/lib/oxbow
		runuser -u oxbow -- sh -ec 'cat /etc/oxbow/*.yaml >/dev/null; mkdir recordings; echo it serves'
		runuser -u oxbow -- ls /etc/oxbow/credentials 2>/dev/null || echo not the secrets`, "it serves", "not the secrets")
	m.wants("head -n 1 /usr/share/bash-completion/completions/oxbow | cut -d' ' -f1-4", "# Completion of oxbow")
	m.wants("/usr/bin/oxbow --version | cut -d' ' -f1; dpkg --verify oxbow", "oxbow")

	// What the operator changed stays, and what runs goes on until the new program is there; edges ask the API.
	m.do("echo 'site: mine' >>/etc/oxbow/edge.yaml; : >/told")
	m.wants(install("1.1.0~rc1")+"cat /told; tail -n 1 /etc/oxbow/edge.yaml", "daemon-reload",
		"try-restart oxbow-api.service", "try-restart oxbow-archiver.service", "try-restart oxbow-ingest.service",
		"try-restart oxbow-edge.service", "try-restart oxbow-serve.service", "site: mine")
	m.wants(": >/told; export OXBOW_RESTART=no; "+install("1.1.0")+"cat /told; dpkg-query -W -f '${Version}' oxbow",
		"daemon-reload", "1.1.0")

	const links = "/etc/systemd/system/multi-user.target.wants"
	m.do("mkdir -p " + links + "; ln -s /usr/lib/systemd/system/oxbow-edge.service " + links + "; : >/told")
	m.wants("dpkg -r oxbow >/dev/null; cat /told; tail -n 1 /etc/oxbow/edge.yaml; test -e /usr/bin/oxbow || echo removed",
		"stop oxbow-serve.service oxbow-edge.service oxbow-ingest.service oxbow-archiver.service oxbow-api.service",
		"daemon-reload", "site: mine", "removed")
	m.do("dpkg -P oxbow >/dev/null")
	m.wants("test ! -L "+links+"/oxbow-edge.service; test ! -d /etc/oxbow; ls -d /var/lib/oxbow/*; id -nu oxbow",
		"/var/lib/oxbow/recordings", "oxbow")
}
