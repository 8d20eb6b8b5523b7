// Command deb makes Oxbow's Debian package out of a built binary, by nfpm's library: its command would need what it
// makes of other kinds too. `make package` runs it, in the repository's root.
//
// What it makes has the same bytes for the same source: every time in it is the commit's.
package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
)

func main() {
	var p pack
	flag.StringVar(&p.config, "config", "deploy/package/nfpm.yaml", "nfpm's configuration")
	flag.StringVar(&p.arch, "arch", "", "architecture, as Go names it")
	flag.StringVar(&p.version, "version", "", "version, as git describe tells it")
	flag.StringVar(&p.date, "date", "", "time of the commit, RFC 3339")
	flag.StringVar(&p.maintainer, "maintainer", "Oxbow maintainers <maintainers@oxbow.invalid>", "who made the package")
	flag.StringVar(&p.binary, "binary", "", "the program of that architecture")
	flag.StringVar(&p.native, "native", "", "the program for this machine, which is asked for its completions")
	flag.StringVar(&p.notices, "notices", "dist", "directory with what make licences wrote")
	flag.StringVar(&p.out, "out", "dist", "directory for the package")
	flag.Parse()
	name, err := p.make(context.Background())
	if err != nil {
		fmt.Fprintf(os.Stderr, "deb: %v\n", err)
		os.Exit(1)
	}
	fmt.Println(name)
}

// pack is one package to make.
type pack struct {
	config, arch, version, date, maintainer, binary, native, notices, out string

	at   time.Time
	made string // directory of what is made for the package alone
}

// make gives the package's file.
func (p *pack) make(ctx context.Context) (name string, err error) {
	if p.at, err = time.Parse(time.RFC3339, p.date); err != nil {
		return "", fmt.Errorf("-date %q: use the commit's, like 2026-11-22T09:00:00Z", p.date)
	}
	p.at = p.at.UTC()
	if p.made, err = os.MkdirTemp("", "oxbow-deb-"); err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(p.made)) }()
	version, err := debianVersion(p.version, p.at)
	if err != nil {
		return "", err
	}
	values := map[string]string{
		"ARCH": p.arch, "VERSION": version, "MAINTAINER": p.maintainer, "BINARY": p.binary, "MADE": p.made,
	}
	config, err := nfpm.ParseFileWithEnvMapping(p.config, func(name string) string { return values[name] })
	if err != nil {
		return "", fmt.Errorf("read %s: %w", p.config, err)
	}
	if err := p.document(version); err != nil {
		return "", err
	}
	completions, err := p.completions(ctx)
	if err != nil {
		return "", err
	}
	info := nfpm.WithDefaults(&config.Info)
	info.MTime = p.at
	info.Contents = append(info.Contents, completions...)
	if err := nfpm.PrepareForPackager(info, "deb"); err != nil {
		return "", err
	}
	var file bytes.Buffer
	if err := deb.Default.Package(info, &file); err != nil {
		return "", err
	}
	name = filepath.Join(p.out, deb.Default.ConventionalFileName(info))
	return name, errors.Join(os.MkdirAll(p.out, 0o755), os.WriteFile(name, file.Bytes(), 0o644))
}

// document makes the package's papers.
func (p *pack) document(version string) error {
	manual, err := os.ReadFile(filepath.Join(filepath.Dir(p.config), "oxbow.1"))
	if err != nil {
		return err
	}
	manual = bytes.ReplaceAll(manual, []byte("@DATE@"), []byte(p.at.Format(time.DateOnly)))
	manual = bytes.ReplaceAll(manual, []byte("@VERSION@"), []byte(p.version))
	changes := fmt.Sprintf("oxbow (%s) unstable; urgency=medium\n\n  * Built from %s.\n\n -- %s  %s\n",
		version, p.version, p.maintainer, p.at.Format(time.RFC1123Z))
	own, err := p.ownLicence()
	if err != nil {
		return err
	}
	errs := []error{
		p.zip("oxbow.1.gz", manual), p.zip("changelog.gz", []byte(changes)),
		os.WriteFile(filepath.Join(p.made, "copyright"), own, 0o600),
	}
	for _, name := range []string{"sbom.json", "third-party-notices.txt"} {
		text, err := os.ReadFile(filepath.Join(p.notices, name))
		if err != nil {
			return fmt.Errorf("%w: run make licences first", err)
		}
		errs = append(errs, p.zip(name+".gz", text))
	}
	return errors.Join(errs...)
}

// ownLicence is what the package says of Oxbow's own: the licence that the repository has, or that it has none.
func (p *pack) ownLicence() ([]byte, error) {
	text := "Oxbow: https://github.com/oxbow-video/oxbow\n" +
		fmt.Sprintf("Copyright %d the authors of Oxbow\n\n", p.at.Year()) +
		"What others wrote in /usr/bin/oxbow, with their licences, is in third-party-notices.txt.gz beside this file.\n\n"
	licence, err := os.ReadFile("LICENSE")
	if errors.Is(err, os.ErrNotExist) {
		text += "The source that this package was built from names no licence of its own: all rights reserved.\n"
		return []byte(text), nil
	}
	return append([]byte(text), licence...), err
}

// zip writes a file without the name and the time that gzip would note.
func (p *pack) zip(name string, text []byte) error {
	var file bytes.Buffer
	w, err := gzip.NewWriterLevel(&file, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, bytes.NewReader(text)); err != nil {
		return err
	}
	return errors.Join(w.Close(), os.WriteFile(filepath.Join(p.made, name), file.Bytes(), 0o600))
}

// completions asks the program for its completions.
func (p *pack) completions(ctx context.Context) (files.Contents, error) {
	var found files.Contents
	for shell, name := range map[string]string{
		"bash": "/usr/share/bash-completion/completions/oxbow", "zsh": "/usr/share/zsh/vendor-completions/_oxbow",
		"fish": "/usr/share/fish/vendor_completions.d/oxbow.fish",
	} {
		script, err := exec.CommandContext(ctx, p.native, "completion", shell).Output()
		if err != nil {
			return nil, fmt.Errorf("%s completion %s: %w", p.native, shell, err)
		}
		if len(script) == 0 {
			return nil, fmt.Errorf("%s completion %s: it says nothing", p.native, shell)
		}
		file := filepath.Join(p.made, shell)
		if err := os.WriteFile(file, script, 0o600); err != nil {
			return nil, err
		}
		found = append(found, &files.Content{
			Source: file, Destination: name, FileInfo: &files.ContentFileInfo{Mode: 0o644},
		})
	}
	return found, nil
}

// debianVersion makes a Debian version of what git describe tells, so that newer ones sort behind older ones: a release
// candidate in front of its release, commits after a tag behind it, and a repository without tags by time.
func debianVersion(described string, at time.Time) (string, error) {
	text, dirty := strings.CutSuffix(described, "-dirty")
	tagged := len(text) > 1 && text[0] == 'v' && text[1] >= '0' && text[1] <= '9'
	version := strings.TrimPrefix(text, "v")
	if tagged {
		if parts := strings.Split(version, "-"); len(parts) > 2 && strings.HasPrefix(parts[len(parts)-1], "g") {
			behind := parts[len(parts)-2:]
			version = strings.Join(parts[:len(parts)-2], "~") + "+" + behind[0] + "." + behind[1]
		} else {
			version = strings.ReplaceAll(version, "-", "~")
		}
	} else {
		version = "0~" + at.Format("20060102150405") + "." + text
	}
	if dirty {
		version += "+dirty"
	}
	for _, r := range version {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+~", r) {
			return "", fmt.Errorf("-version %q has %q, which no Debian version has", described, r)
		}
	}
	if text == "" {
		return "", errors.New("-version: give one, like v1.2.3")
	}
	return version, nil
}
