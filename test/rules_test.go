package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/test/hlscheck"
)

// TestEveryRuleIsInATestsName looks for each rule that the checker knows in the names of the tree's tests: functions, and
// texts that may name subtests, as CMF19 or CMF-19. What a failure says, "CMF-19: ...", is no name.
func TestEveryRuleIsInATestsName(t *testing.T) {
	t.Parallel()
	id := regexp.MustCompile(`(?:^|[^A-Z])([A-Z]{2,4})-?([0-9]+)(?:[A-Za-z]|$)`)
	named := map[string]bool{}
	note := func(name string) {
		// Ids follow each other with one character between them, which a match would take from the next.
		for _, word := range strings.FieldsFunc(name, func(r rune) bool { return r == '_' || r == ' ' || r == '/' || r == ',' }) {
			for _, m := range id.FindAllStringSubmatch(strings.TrimPrefix(word, "Test"), -1) {
				named[m[1]+"-"+m[2]] = true
			}
		}
	}
	err := filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || strings.HasPrefix(entry.Name(), ".") && path != ".."):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if strings.HasPrefix(n.Name.Name, "Test") {
					note(n.Name.Name)
				}
			case *ast.BasicLit:
				if n.Kind == token.STRING && len(n.Value) < 100 {
					note(strings.Trim(n.Value, "\"`"))
				}
			}
			return true
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range hlscheck.Rules() {
		if !named[rule.ID] {
			t.Errorf("%s is in no test's name", rule.ID)
		}
	}
}
