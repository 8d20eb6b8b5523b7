package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// goLicence is the text of Go's own licence.
func goLicence(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(runtime.GOROOT(), "LICENSE")) //nolint:staticcheck // the one that runs the test
	if err != nil {
		t.Skipf("no GOROOT: %v", err)
	}
	return string(text)
}

func TestCheckRefusesWhatNobodyAllowed(t *testing.T) {
	text := goLicence(t)
	known := paper{name: "LICENSE", text: text}
	known.recognise()
	for _, c := range []struct {
		name string
		one  component
		says string // "": allowed
	}{
		{"BSD", component{papers: []paper{known}}, ""},
		{"no paper", component{}, "no licence is found"},
		{"a notice alone", component{papers: []paper{{name: "NOTICE", text: "hello"}}}, "no licence is found"},
		{"words of nobody", component{papers: []paper{known, {name: "LICENSE.other", text: "You may."}}}, "LICENSE.other is not recognised"},
		{"copyleft", component{papers: []paper{{name: "COPYING", ids: []string{"GPL-3.0"}, covered: 100}}}, "GPL-3.0 in COPYING is not in the allow-list"},
		{"weak copyleft", component{papers: []paper{{name: "LICENSE", ids: []string{"MIT", "MPL-2.0"}, covered: 100}}}, "MPL-2.0"},
		{"it says something else", component{declared: "MIT", papers: []paper{known}}, "it says MIT, and its files BSD-3-Clause"},
		{"read by a person", component{papers: []paper{{name: "LICENSE", ids: []string{"MIT"}, covered: 1, judged: true}}}, ""},
	} {
		c.one.kind, c.one.name, c.one.version = "golang", "example.com/x", "v1.0.0"
		err := check([]component{c.one})
		if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.name, err, c.says)
		}
	}
}

func TestJudgementIsOfOneVersion(t *testing.T) {
	for version, want := range map[string]bool{"v1.12.1": true, "v1.12.2": false} {
		c := component{name: "modernc.org/memory", version: version, papers: []paper{{name: "LICENSE-LOGO", text: "https://"}}}
		if c.judge(); c.papers[0].judged != want {
			t.Errorf("%s is judged: %v", version, !want)
		}
	}
}

func TestGather(t *testing.T) {
	dir, text := t.TempDir(), goLicence(t)
	for name, content := range map[string]string{
		"LICENSE": text, "LICENSE-OTHER.md": text, "bundle.js.LICENSE.txt": text, "NOTICE": "n", "license.go": "package x",
		"README.md": "r", "licensing.txt": "l",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	papers, err := gather(dir, "sub/")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, p := range papers {
		found = append(found, p.name+"="+strings.Join(p.ids, "+"))
	}
	want := "sub/LICENSE=BSD-3-Clause sub/LICENSE-OTHER.md=BSD-3-Clause sub/NOTICE= sub/bundle.js.LICENSE.txt=BSD-3-Clause"
	if got := strings.Join(found, " "); got != want {
		t.Errorf("gathered %s, want %s", got, want)
	}
	if err := os.WriteFile(filepath.Join(dir, "COPYING"), make([]byte, mostPaper+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := gather(dir, ""); err == nil {
		t.Error("a licence of megabytes is taken")
	}
}

func TestSBOM(t *testing.T) {
	all := []component{
		{kind: "golang", name: "example.com/x", version: "v1.0.0+incompatible", papers: []paper{{name: "LICENSE", ids: []string{"MIT"}}}},
		{kind: "npm", name: "@a/b", version: "1.0.0", digest: "00", papers: []paper{{name: "LICENSE", ids: []string{"PublicDomain"}}}},
	}
	first, err := cyclonedx(all, "v1", "2026-11-22T09:00:00Z")
	if err != nil {
		t.Fatal(err)
	}
	if second, err := cyclonedx(all, "v1", "2026-11-22T09:00:00Z"); err != nil || !bytes.Equal(first, second) {
		t.Errorf("two lists of one source differ: %v", err)
	}
	var list struct {
		BOMFormat, SpecVersion, SerialNumber string
		Components                           []struct {
			Purl     string
			Licenses []struct{ License map[string]string }
		}
		Dependencies []struct{ DependsOn []string }
	}
	if err := json.Unmarshal(first, &list); err != nil {
		t.Fatal(err)
	}
	if list.BOMFormat != "CycloneDX" || list.SpecVersion != "1.6" || len(list.SerialNumber) != len("urn:uuid:")+36 ||
		len(list.Components) != 2 || len(list.Dependencies[0].DependsOn) != 2 ||
		list.Components[0].Purl != "pkg:golang/example.com/x@v1.0.0%2Bincompatible" ||
		list.Components[1].Purl != "pkg:npm/%40a/b@1.0.0" ||
		list.Components[0].Licenses[0].License["id"] != "MIT" ||
		list.Components[1].Licenses[0].License["name"] != "PublicDomain" {
		t.Errorf("the list is\n%s", first)
	}
	if _, err := cyclonedx(all, "v1", "yesterday"); err == nil {
		t.Error("a date that is none is taken")
	}
}
