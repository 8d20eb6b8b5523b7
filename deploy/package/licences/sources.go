package main

import (
	"context"
	"debug/buildinfo"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// goModules gives the modules that a program was built of, by its build information, with the papers of their roots and
// of the directories that its packages are in; and Go's own library.
func goModules(ctx context.Context, binary string) ([]component, error) {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: run make build first", binary, err)
	}
	list := exec.CommandContext(ctx, "go", "list", "-deps", "-f",
		"{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", info.Path)
	for _, s := range info.Settings {
		if slices.Contains([]string{"GOOS", "GOARCH", "CGO_ENABLED"}, s.Key) {
			list.Env = append(list.Env, s.Key+"="+s.Value)
		}
	}
	list.Env = append(os.Environ(), list.Env...)
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("go list -deps %s: %w", info.Path, err)
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOROOT: %w", err)
	}
	std := component{kind: "golang", name: "std", version: strings.TrimPrefix(info.GoVersion, "go")}
	if std.papers, err = gather(strings.TrimSpace(string(root)), ""); err != nil {
		return nil, err
	}
	all := []component{std}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		c := component{kind: "golang", name: dep.Path, version: dep.Version}
		if err := c.gatherModule(string(out)); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// gatherModule reads the papers of a module, with the packages' directories as go list told them.
func (c *component) gatherModule(listed string) error {
	seen := make(map[string]bool)
	for line := range strings.Lines(listed) {
		fields := strings.Split(strings.TrimSpace(line), "\t")
		if len(fields) != 4 || fields[0] != c.name || fields[1] != c.version {
			continue
		}
		for root, dir := fields[2], fields[3]; !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			below, err := filepath.Rel(root, dir)
			if err != nil {
				return err
			}
			prefix := ""
			if below != "." {
				prefix = filepath.ToSlash(below) + "/"
			}
			papers, err := gather(dir, prefix)
			if err != nil {
				return err
			}
			c.papers = append(c.papers, papers...)
			if dir == root {
				break
			}
		}
	}
	if len(seen) == 0 {
		return fmt.Errorf("%s %s is in the program and not in the source: build it again", c.name, c.version)
	}
	slices.SortFunc(c.papers, func(a, b paper) int {
		return strings.Compare(fmt.Sprintf("%3d%s", strings.Count(a.name, "/"), a.name),
			fmt.Sprintf("%3d%s", strings.Count(b.name, "/"), b.name))
	})
	return nil
}

// npmPackages gives the packages that the web page is made of, none if it was not made. What a package has bundled
// itself is in its own papers.
func npmPackages(web string) ([]component, error) {
	if web == "" {
		return nil, nil
	}
	if _, err := os.Stat(filepath.Join(web, "dist", "index.html")); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintln(os.Stderr, "licences: the program has no web page, so no npm packages")
		return nil, nil
	}
	var page struct{ Dependencies map[string]string }
	if err := readJSON(filepath.Join(web, "package.json"), &page); err != nil {
		return nil, err
	}
	var lock struct {
		Packages map[string]struct{ Version, Integrity string }
	}
	if err := readJSON(filepath.Join(web, "package-lock.json"), &lock); err != nil {
		return nil, err
	}
	var all []component
	for name, version := range page.Dependencies {
		dir := filepath.Join(web, "node_modules", name)
		var its struct{ Name, Version, License string }
		if err := readJSON(filepath.Join(dir, "package.json"), &its); err != nil {
			return nil, fmt.Errorf("%w: run npm ci in %s", err, web)
		}
		locked := lock.Packages["node_modules/"+name]
		if its.Version != version || locked.Version != version {
			return nil, fmt.Errorf("%s is %s, locked at %s, and %s is wanted: run npm ci in %s",
				name, its.Version, locked.Version, version, web)
		}
		c := component{kind: "npm", name: name, version: version, declared: its.License}
		sum, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(locked.Integrity, "sha512-"))
		if err != nil || len(sum) != 64 {
			return nil, fmt.Errorf("%s: package-lock.json has no SHA-512 of it", name)
		}
		c.digest = hex.EncodeToString(sum)
		if c.papers, err = gather(dir, ""); err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

func readJSON(name string, into any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
