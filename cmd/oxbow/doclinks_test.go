package main

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

const repository = "../.."

var (
	fences    = regexp.MustCompile("(?ms)^```.*?^```[ \t]*$")
	codeSpans = regexp.MustCompile("`[^`\n]*`")
	links     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	images    = regexp.MustCompile(`(?:src|srcset)="([^"]+)"`)
	linkTexts = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// pages are the README and all of docs, by their paths in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	root := os.DirFS(repository)
	all := map[string]string{}
	read := func(name string) {
		text, err := fs.ReadFile(root, name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = string(text)
	}
	read("README.md")
	err := fs.WalkDir(root, "docs", func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, ".md") {
			read(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 30 {
		t.Fatalf("only %d pages", len(all))
	}
	return all
}

// linksOf gives the targets of a page's links and pictures that are in the repository, as they are written.
func linksOf(text string) (targets []string) {
	plain := fences.ReplaceAllString(text, "")
	for _, m := range images.FindAllStringSubmatch(plain, -1) {
		targets = append(targets, m[1])
	}
	for _, m := range links.FindAllStringSubmatch(codeSpans.ReplaceAllString(plain, ""), -1) {
		targets = append(targets, m[1])
	}
	return slices.DeleteFunc(targets, func(s string) bool { return strings.Contains(s, "://") || strings.HasPrefix(s, "mailto:") })
}

// anchorsOf gives what a page's headings are linked by, as GitHub makes it of their texts.
func anchorsOf(text string) map[string]bool {
	anchors := map[string]bool{}
	for line := range strings.Lines(fences.ReplaceAllString(text, "")) {
		level := strings.TrimLeft(line, "#")
		if level == line || !strings.HasPrefix(level, " ") {
			continue
		}
		heading := linkTexts.ReplaceAllString(strings.TrimSpace(level), "$1")
		anchors[strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, heading)] = true
	}
	return anchors
}

// resolveLink gives the path in the repository, and the anchor, that a page's link means.
func resolveLink(page, target string) (name, anchor string) {
	name, anchor, _ = strings.Cut(target, "#")
	if name == "" {
		return page, anchor
	}
	return path.Join(path.Dir(page), name), anchor
}

// TestDocsLinksLead wants a file, and a heading, behind each link of the README and docs.
func TestDocsLinksLead(t *testing.T) {
	all := pages(t)
	anchors := map[string]map[string]bool{}
	for page, text := range all {
		anchors[page] = anchorsOf(text)
	}
	for page, text := range all {
		for _, target := range linksOf(text) {
			name, anchor := resolveLink(page, target)
			if _, err := fs.Stat(os.DirFS(repository), name); err != nil {
				t.Errorf("%s links to %s, which there is not", page, target)
				continue
			}
			if to, ok := anchors[name]; anchor != "" && ok && !to[anchor] {
				t.Errorf("%s links to %s: %s has no such heading", page, target, name)
			}
		}
	}
}

// TestDocsIndexLeadsEverywhere wants every page of docs to be found from docs/README.md. A link to a directory is one to
// all of its pages, since GitHub lists them.
func TestDocsIndexLeadsEverywhere(t *testing.T) {
	all := pages(t)
	seen, next := map[string]bool{}, []string{"docs/README.md"}
	for len(next) > 0 {
		page := next[0]
		next = next[1:]
		if seen[page] {
			continue
		}
		seen[page] = true
		for _, target := range linksOf(all[page]) {
			name, _ := resolveLink(page, target)
			for other := range all {
				if other == name || path.Dir(other) == name {
					next = append(next, other)
				}
			}
		}
	}
	for page := range all {
		if !seen[page] {
			t.Errorf("nothing that docs/README.md leads to links to %s", page)
		}
	}
}

// TestReadmeIsShort: what is longer is read by nobody, and belongs into docs.
func TestReadmeIsShort(t *testing.T) {
	if n := strings.Count(pages(t)["README.md"], "\n"); n > 200 {
		t.Errorf("README.md has %d lines, 200 at most", n)
	}
}

// TestConfigExamplesLoad reads each example of a configuration file as the command that it is named by does.
func TestConfigExamplesLoad(t *testing.T) {
	for _, c := range []struct {
		command string
		more    []string
	}{{"serve", nil}, {"edge", nil}, {"ingest", nil}} {
		name := repository + "/docs/examples/" + c.command + ".yaml"
		if _, err := parse(t, append([]string{c.command, "--config", name}, c.more...)...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	files, err := os.ReadDir(repository + "/docs/examples")
	if err != nil || len(files) != 3 {
		t.Errorf("docs/examples has %d files, and this test reads 3 (%v)", len(files), err)
	}
}
