package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/blakesmith/ar"
)

func TestDebianVersion(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 23, 11, 0, time.UTC)
	for _, c := range []struct{ described, want string }{
		{"v1.2.3", "1.2.3"},
		{"v1.2.3-rc1", "1.2.3~rc1"},
		{"v1.2.3-14-g5fcfab67cd20", "1.2.3+14.g5fcfab67cd20"},
		{"v1.2.3-rc1-14-g5fcfab67cd20-dirty", "1.2.3~rc1+14.g5fcfab67cd20+dirty"},
		{"5fcfab67cd20", "0~20261122092311.5fcfab67cd20"},
		{"5fcfab67cd20-dirty", "0~20261122092311.5fcfab67cd20+dirty"},
		{"dev", "0~20261122092311.dev"},
		{"", ""},
		{"v1.2/3", ""},
		{"v1 2", ""},
	} {
		got, err := debianVersion(c.described, at)
		if got != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%q: %q, %v; want %q", c.described, got, err, c.want)
		}
	}
}

// packed makes a package of a stand-in for the program.
func packed(t *testing.T, touched time.Time) []byte {
	t.Helper()
	t.Chdir("../../..") // as make does
	dir := t.TempDir()
	program := filepath.Join(dir, "oxbow")
	write := func(name, text string, mode os.FileMode) {
		syscall.ForkLock.RLock() // it is executed: a child of another test must not hold it open
		defer syscall.ForkLock.RUnlock()
		if err := os.WriteFile(name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, touched, touched); err != nil {
			t.Fatal(err)
		}
	}
	write(program, "#!/bin/sh\necho \"complete $*\"\n", 0o755)
	write(filepath.Join(dir, "sbom.json"), "{}", 0o644)
	write(filepath.Join(dir, "third-party-notices.txt"), "notices", 0o644)
	p := pack{
		config: "deploy/package/nfpm.yaml", arch: "arm64", version: "v1.2.3", date: "2026-11-22T09:23:11Z",
		maintainer: "Somebody <s@example.com>", binary: program, native: program, notices: dir, out: filepath.Join(dir, "out"),
	}
	name, err := p.make(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if filepath.Base(name) != "oxbow_1.2.3_arm64.deb" {
		t.Errorf("the package is called %s", name)
	}
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestPackageIsTheSameTwice(t *testing.T) {
	t.Chdir(".") // puts the directory back after packed
	first := packed(t, time.Unix(1e9, 0))
	t.Chdir("deploy/package/deb")
	if second := packed(t, time.Unix(1.7e9, 0)); !bytes.Equal(first, second) {
		t.Error("two packages of one source differ")
	}
}

// member is a file of the package.
type member struct {
	mode int64
	text string
}

// members lists what a package has, by its parts control and data.
func members(t *testing.T, file []byte) map[string]map[string]member {
	t.Helper()
	all := make(map[string]map[string]member)
	for outer := ar.NewReader(bytes.NewReader(file)); ; {
		header, err := outer.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		part, kind, _ := strings.Cut(strings.TrimRight(header.Name, " /"), ".")
		if kind != "tar.gz" {
			continue
		}
		unpacked, err := gzip.NewReader(outer)
		if err != nil {
			t.Fatalf("%s: %v", header.Name, err)
		}
		all[part] = make(map[string]member)
		for inner := tar.NewReader(unpacked); ; {
			header, err := inner.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(inner)
			if err != nil {
				t.Fatal(err)
			}
			if header.Uid != 0 || header.Gid != 0 || header.ModTime.Unix() != 1795339391 {
				t.Errorf("%s is of user %d and %v", header.Name, header.Uid, header.ModTime)
			}
			all[part][strings.TrimPrefix(header.Name, ".")] = member{header.Mode & 0o7777, string(text)}
		}
	}
}

func TestPackageHasWhatItShould(t *testing.T) {
	all := members(t, packed(t, time.Unix(1e9, 0)))
	control, data := all["control"], all["data"]
	for name, mode := range map[string]int64{
		"/usr/bin/oxbow": 0o755, "/etc/oxbow/edge.yaml": 0o644, "/etc/oxbow/credentials/": 0o700,
		"/usr/lib/systemd/system/oxbow-.service.d/10-common.conf": 0o644, "/usr/lib/sysusers.d/oxbow.conf": 0o644,
		"/usr/lib/tmpfiles.d/oxbow.conf": 0o644, "/usr/share/man/man1/oxbow.1.gz": 0o644,
		"/usr/share/doc/oxbow/copyright": 0o644, "/usr/share/doc/oxbow/sbom.json.gz": 0o644,
		"/usr/share/doc/oxbow/third-party-notices.txt.gz": 0o644, "/usr/share/bash-completion/completions/oxbow": 0o644,
		"/usr/share/zsh/vendor-completions/_oxbow": 0o644, "/usr/share/fish/vendor_completions.d/oxbow.fish": 0o644,
	} {
		if file, found := data[name]; !found || file.mode != mode {
			t.Errorf("%s: found %v, mode %o, want %o", name, found, file.mode, mode)
		}
	}
	if script := data["/usr/share/zsh/vendor-completions/_oxbow"].text; script != "complete completion zsh\n" {
		t.Errorf("zsh's completions are %q", script)
	}
	units, err := filepath.Glob("deploy/systemd/*.service")
	if err != nil || len(units) < 5 {
		t.Fatalf("units %v, %v", units, err)
	}
	for _, unit := range units {
		role := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(unit), "oxbow-"), ".service")
		if data["/usr/lib/systemd/system/"+filepath.Base(unit)].text == "" {
			t.Errorf("the package lacks %s", unit)
		}
		config := fmt.Sprintf("/etc/oxbow/%s.yaml", role)
		if data[config].text == "" || !strings.Contains(control["/conffiles"].text, config+"\n") {
			t.Errorf("%s is not in the package, or no conffile", config)
		}
		for _, script := range []string{"postinst", "prerm", "postrm"} {
			if !strings.Contains(control["/"+script].text, role) {
				t.Errorf("%s does not know oxbow-%s", script, role)
			}
		}
	}
	for _, want := range []string{"Package: oxbow\n", "Version: 1.2.3\n", "Architecture: arm64\n", "Maintainer: Somebody"} {
		if !strings.Contains(control["/control"].text, want) {
			t.Errorf("control lacks %q:\n%s", want, control["/control"].text)
		}
	}
	for _, script := range []string{"/postinst", "/prerm", "/postrm"} {
		if control[script].mode != 0o755 || strings.Contains(control[script].text, "enable") {
			t.Errorf("%s has mode %o, or enables something", script, control[script].mode)
		}
	}
}

func TestPackageRefusals(t *testing.T) {
	t.Chdir("../../..")
	notices := t.TempDir()
	for _, name := range []string{"sbom.json", "third-party-notices.txt"} {
		if err := os.WriteFile(filepath.Join(notices, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		p    pack
		says string
	}{
		{"no date", pack{version: "v1"}, "-date"},
		{"no version", pack{date: "2026-11-22T09:23:11Z"}, "-version"},
		{"no configuration", pack{date: "2026-11-22T09:23:11Z", version: "v1", config: "nowhere.yaml"}, "nowhere.yaml"},
		{"no notices", pack{
			date: "2026-11-22T09:23:11Z", version: "v1", config: "deploy/package/nfpm.yaml", notices: "nowhere",
		}, "make licences"},
		{"no completions", pack{
			date: "2026-11-22T09:23:11Z", version: "v1", config: "deploy/package/nfpm.yaml", notices: notices, native: "true",
		}, "completion"},
	} {
		if _, err := c.p.make(t.Context()); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}
