package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// component is a module or a package that is in the program.
type component struct {
	kind, name, version string // kind: golang or npm
	declared            string // the licence that it says it has; "" where there is no such field
	digest              string // SHA-512 of its archive, hex; "" where it is not known
	papers              []paper
}

// paper is a file about rights.
type paper struct {
	name, text string
	// ids are the licences that are recognised in it, by SPDX.
	ids []string
	// covered is how much of it they are, in percent.
	covered float64
	judged  bool // a person has read it
}

func (c component) purl() string {
	name := c.name
	if scope, rest, scoped := strings.Cut(name, "/"); c.kind == "npm" && scoped {
		name = strings.Replace(scope, "@", "%40", 1) + "/" + rest
	}
	return "pkg:" + c.kind + "/" + name + "@" + strings.ReplaceAll(c.version, "+", "%2B")
}

// licences are the ids of all papers, sorted.
func (c component) licences() []string {
	found := make(map[string]int)
	for _, p := range c.papers {
		for _, id := range p.ids {
			found[id]++
		}
	}
	return sortedKeys(found)
}

func sortedKeys(m map[string]int) []string { return slices.Sorted(maps.Keys(m)) }

var (
	// licencePaper has the licence itself; it must be recognised.
	licencePaper = regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|.*[-.]licen[cs]e)([-.].*)?$`)
	// otherPaper comes with it.
	otherPaper = regexp.MustCompile(`(?i)^(notice|patents|copyright)([-.].*)?$`)
)

// allowed are the licences that ask for no more than that their words and names are passed on. A licence that is not
// here is for a person to read first: most of all one that asks for the source of what it is part of.
var allowed = []string{
	"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0", "ISC", "MIT", "MIT-0", "PublicDomain",
	"SQLite", "Unlicense", "Zlib",
}

// leastCovered is how much of a licence file must be words that are recognised, in percent; the rest are names and
// addresses, mostly.
const leastCovered = 60

// mostPaper bounds a paper.
const mostPaper = 4 << 20

// gather reads the papers of a directory; prefix goes in front of their names.
func gather(dir, prefix string) (papers []paper, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		name := e.Name()
		isLicence := licencePaper.MatchString(name) && !strings.HasSuffix(name, ".go")
		if e.IsDir() || !isLicence && !otherPaper.MatchString(name) {
			continue
		}
		if info, err := e.Info(); err != nil || info.Size() > mostPaper {
			return nil, errors.Join(err, fmt.Errorf("%s: larger than a licence", filepath.Join(dir, name)))
		}
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		p := paper{name: prefix + name, text: string(text)}
		if isLicence {
			p.recognise()
		}
		papers = append(papers, p)
	}
	return papers, nil
}

// recognise fills in what licences a paper has.
func (p *paper) recognise() {
	found := licensecheck.Scan([]byte(p.text))
	p.covered = found.Percent
	for _, m := range found.Match {
		if !m.IsURL && !slices.Contains(p.ids, m.ID) {
			p.ids = append(p.ids, m.ID)
		}
	}
	if len(p.ids) == 0 && strings.Contains(p.text, "public domain") {
		p.ids, p.covered = []string{"PublicDomain"}, 100
	}
}

// judged are what a person has read because no rule fits, of one version: the next one is to be read again. The reason
// is in the notices.
var judged = map[string]string{
	"github.com/benburkert/openpgp@v0.0.0-20160410205803-c2471f86866c": "A fork of golang.org/x/crypto/openpgp " +
		"(BSD-3-Clause) whose repository has no licence of its own. SRT's AES key wrap is its.",
	"modernc.org/libc@v1.78.0 LICENSE-3RD-PARTY.md": "Licences that are each recognised, with words about them between.",
	"modernc.org/memory@v1.12.1 LICENSE-LOGO":       "The address of a picture that is not in the program.",
	"modernc.org/sqlite@v1.60.1 LICENSE-3RD-PARTY.md": "It lists what is not in the program too, as it says: what is " +
		"under MPL-2.0 there is in the graph of its modules only.",
	"hls.js@1.7.4 LICENSE": "The notice that Apache-2.0 asks for, with its address, and whose work parts are.",
}

// unknownLicence is what SPDX says where nothing is said.
const unknownLicence = "NOASSERTION"

// judge applies what a person has said: of a paper only the licences count that may be, and a component without papers
// has none.
func (c *component) judge() {
	key := c.name + "@" + c.version
	if reason := judged[key]; reason != "" && len(c.papers) == 0 {
		c.papers = []paper{{name: "(no licence file)", text: reason, ids: []string{unknownLicence}, judged: true}}
	}
	for i := range c.papers {
		p := &c.papers[i]
		reason := judged[key+" "+p.name]
		if reason == "" {
			continue
		}
		p.judged, p.text = true, "["+reason+"]\n\n"+p.text
		p.ids = slices.DeleteFunc(p.ids, func(id string) bool { return !slices.Contains(allowed, id) })
	}
}

// check names everything that is wrong with the licences.
func check(all []component) error {
	var wrong []error
	for _, c := range all {
		refuse := func(format string, args ...any) {
			wrong = append(wrong, fmt.Errorf("%s %s: %s", c.name, c.version, fmt.Sprintf(format, args...)))
		}
		if len(c.licences()) == 0 {
			refuse("no licence is found")
		}
		for _, p := range c.papers {
			for _, id := range p.ids {
				if !p.judged && !slices.Contains(allowed, id) {
					refuse("the licence %s in %s is not in the allow-list", id, p.name)
				}
			}
			if !p.judged && licencePaper.MatchString(filepath.Base(p.name)) && p.covered < leastCovered {
				refuse("%s is not recognised: %.0f %% of it is known, as %s", p.name, p.covered, strings.Join(p.ids, ", "))
			}
		}
		if c.declared != "" && !slices.Contains(c.licences(), c.declared) {
			refuse("it says %s, and its files %s", c.declared, strings.Join(c.licences(), ", "))
		}
	}
	return errors.Join(wrong...)
}
