// Command licences lists what others wrote in a built oxbow: the Go modules that its build information names, Go's
// own library, and the npm packages of the web page inside. It writes into a directory
//
//   - sbom.json, a CycloneDX 1.6 list for programs;
//   - third-party-notices.txt, the licences' own words, as most of them ask to be passed on.
//
// It fails, and says of what, when a licence is missing, not recognised, or not in the allow-list. The same source
// gives the same bytes. `make licences` runs it in the repository's root.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	var binary, version, date, web, out string
	flag.StringVar(&binary, "binary", "bin/oxbow", "the built program")
	flag.StringVar(&version, "version", "dev", "its version")
	flag.StringVar(&date, "date", "", "time of its commit, RFC 3339")
	flag.StringVar(&web, "web", "web", "directory of the web page; none: it is left out")
	flag.StringVar(&out, "out", "dist", "directory to write into")
	flag.Parse()
	if err := run(context.Background(), binary, version, date, web, out); err != nil {
		fmt.Fprintf(os.Stderr, "licences: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, binary, version, date, web, out string) error {
	modules, err := goModules(ctx, binary)
	if err != nil {
		return err
	}
	packages, err := npmPackages(web)
	if err != nil {
		return err
	}
	all := slices.Concat(modules, packages)
	slices.SortFunc(all, func(a, b component) int { return cmp.Compare(a.purl(), b.purl()) })
	for i := range all {
		all[i].judge()
	}
	if err := check(all); err != nil {
		return err
	}
	sbom, err := cyclonedx(all, version, date)
	if err != nil {
		return err
	}
	if err := errors.Join(
		os.MkdirAll(out, 0o755),
		os.WriteFile(filepath.Join(out, "sbom.json"), sbom, 0o644),
		os.WriteFile(filepath.Join(out, "third-party-notices.txt"), notices(all), 0o644),
	); err != nil {
		return err
	}
	counts := make(map[string]int)
	for _, c := range all {
		for _, id := range c.licences() {
			counts[id]++
		}
	}
	for _, id := range sortedKeys(counts) {
		fmt.Printf("%-14s %4d\n", id, counts[id])
	}
	fmt.Printf("%d Go modules, %d npm packages: see %s\n", len(modules), len(packages), out)
	return nil
}

// notices are the components with the words of their licences.
func notices(all []component) []byte {
	var text strings.Builder
	text.WriteString("What others wrote in oxbow, and the licences that it comes under.\n")
	for _, c := range all {
		fmt.Fprintf(&text, "\n%s\n%s %s (%s)\n", strings.Repeat("=", 78), c.name, c.version, strings.Join(c.licences(), ", "))
		for _, p := range c.papers {
			fmt.Fprintf(&text, "\n--- %s\n\n%s\n", p.name, strings.TrimSpace(strings.ReplaceAll(p.text, "\r\n", "\n")))
		}
	}
	return []byte(text.String())
}
