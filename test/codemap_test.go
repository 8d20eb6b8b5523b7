package test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"testing"
)

// TestCodeMapHasEveryPackage holds docs/code.md against the table of import rules, which TestImportRules holds against
// the packages that there are.
func TestCodeMapHasEveryPackage(t *testing.T) {
	text, err := os.ReadFile("../docs/code.md")
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, row := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (.+) \\|$").FindAllStringSubmatch(string(text), -1) {
		told = append(told, row[1])
	}
	slices.Sort(told)
	if want := slices.Sorted(maps.Keys(allowed)); !slices.Equal(told, want) {
		for _, name := range want {
			if !slices.Contains(told, name) {
				t.Errorf("docs/code.md has no line of %s", name)
			}
		}
		for i, name := range told {
			if !slices.Contains(want, name) || i > 0 && told[i-1] == name {
				t.Errorf("docs/code.md has a line of %s, which is no package, or two", name)
			}
		}
	}
}
