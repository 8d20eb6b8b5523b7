package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

var (
	fenced     = regexp.MustCompile("(?ms)^```(?:sh|console)?\n(.*?)^```")
	spanned    = regexp.MustCompile("`([^`\n]+)`")
	ourCommand = regexp.MustCompile(`(?:^|[\s(=])(?:\./bin/)?oxbow ([a-z]+(?:[\s-].*)?)$`)
	flagName   = regexp.MustCompile(`(?:^|\s)--([a-z0-9-]+)`)
)

// TestDocsCommandsExist looks up each command that the README and docs show, with its flags. Where they end another
// program may begin, so a line counts until a pipe, a bracket or a remark.
func TestDocsCommandsExist(t *testing.T) {
	app, found := model(t), 0
	for page, text := range pages(t) {
		var lines []string
		for _, block := range fenced.FindAllStringSubmatch(text, -1) {
			lines = append(lines, strings.Split(strings.ReplaceAll(block[1], "\\\n", " "), "\n")...)
		}
		for _, span := range spanned.FindAllStringSubmatch(fences.ReplaceAllString(text, ""), -1) {
			if strings.HasPrefix(span[1], "oxbow ") {
				lines = append(lines, span[1])
			}
		}
		for _, line := range lines {
			m := ourCommand.FindStringSubmatch(line)
			if m == nil || strings.HasPrefix(line, "kubectl ") { // where oxbow is a namespace
				continue
			}
			rest, _, _ := strings.Cut(m[1], " #")
			if i := strings.IndexAny(rest, "|)&;"); i >= 0 {
				rest = rest[:i]
			}
			found++
			if why := unknownIn(app, rest); why != "" {
				t.Errorf("%s shows %q: there is no %s", page, rest, why)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d commands: has their form changed?", found)
	}
}

// unknownIn gives what a command line has that the program has not.
func unknownIn(app *kong.Application, line string) string {
	node := app.Node
	for word := range strings.FieldsSeq(line) {
		if len(node.Children) == 0 {
			break
		}
		next := childOf(node, word)
		if next == nil {
			if node == app.Node && strings.ToLower(word) == word && !strings.HasPrefix(word, "-") {
				return "command " + word
			}
			break
		}
		node = next
	}
	known := map[string]bool{}
	var collect func(n *kong.Node)
	collect = func(n *kong.Node) {
		for _, f := range n.Flags {
			known[f.Name] = true
			known["no-"+f.Name] = f.Tag.Negatable != ""
		}
		for _, child := range n.Children { // of `oxbow bench --json` it is not told which
			collect(child)
		}
	}
	collect(node)
	for n := node.Parent; n != nil; n = n.Parent {
		for _, f := range n.Flags {
			known[f.Name] = true
		}
	}
	for _, f := range flagName.FindAllStringSubmatch(line, -1) {
		if !known[f[1]] {
			return "flag --" + f[1]
		}
	}
	return ""
}

func childOf(node *kong.Node, word string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == word {
			return child
		}
	}
	return nil
}
