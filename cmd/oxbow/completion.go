package main

import (
	"bufio"
	"embed"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// completions has, for each shell, a script that asks `oxbow complete` at each press of the key.
//
//go:embed completion
var completions embed.FS

// completionCommand is `oxbow completion`.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help says how it is installed.
func (completionCommand) Help() string {
	return "For one session: source <(oxbow completion bash), or of zsh; oxbow completion fish | source. For good: " +
		"write it to /etc/bash_completion.d/oxbow, to a file _oxbow in zsh's $fpath, or to " +
		"~/.config/fish/completions/oxbow.fish. Where OXBOW_API and OXBOW_TOKEN are set, it completes the names of " +
		"publishers, streams, recordings and nodes too."
}

// Run prints the script.
func (c *completionCommand) Run(ctx runContext) error {
	script, err := completions.ReadFile("completion/oxbow." + c.Shell)
	if err != nil {
		return err
	}
	_, err = ctx.stdout.Write(script)
	return err
}

// completeCommand is what the scripts ask: `oxbow complete SHELL -- WORD...`, of which the last word is the one to
// complete. The first line of the answer is what else may stand there: files, directories, or nothing; each other line
// a word, and behind a tab what it is.
type completeCommand struct {
	Shell string   `arg:""`
	Words []string `arg:"" optional:"" passthrough:""`
}

// Run answers. What can't be completed is no error: a person is typing.
func (c *completeCommand) Run(ctx runContext) error {
	words := c.Words
	if len(words) > 0 && words[0] == "--" {
		words = words[1:]
	}
	parser, err := newParser(new(commands), io.Discard, io.Discard)
	if err != nil {
		return err
	}
	l := typedLine{app: parser.Model, names: func(kind, prefix string) []string {
		return apiNames(ctx, completionPatience, kind, prefix)
	}}
	answer := l.complete(words)
	if c.Shell == "bash" && len(words) > 0 {
		answer.cutWord(words[len(words)-1])
	}
	w := bufio.NewWriter(ctx.stdout)
	_, _ = fmt.Fprintln(w, answer.files) // Flush gives the error
	for _, word := range answer.words {
		about, _, _ := strings.Cut(word.about, "\n")
		_, _ = fmt.Fprintf(w, "%s\t%s\n", word.text, about)
	}
	return w.Flush()
}

// answer is what may stand in the place of a word.
type answer struct {
	files string // "files", "dirs" or "none"
	words []candidate
}

type candidate struct{ text, about string }

// cutWord takes off what bash does not: for it a word begins anew behind = and :.
func (a *answer) cutWord(word string) {
	cut := word[:strings.LastIndexAny(word, "=:")+1]
	for i := range a.words {
		a.words[i].text = strings.TrimPrefix(a.words[i].text, cut)
	}
}

// typedLine is a command line that somebody is typing.
type typedLine struct {
	app   *kong.Application
	names func(kind, prefix string) []string

	node  *kong.Node
	given map[string]bool // flags
	args  int             // positional arguments before the last word
	plain bool            // behind --
}

// complete gives what may stand in the place of the last word.
func (l *typedLine) complete(words []string) answer {
	l.node, l.given = l.app.Node, map[string]bool{}
	if len(words) == 0 {
		words = []string{""}
	}
	last := words[len(words)-1]
	var value *kong.Flag // whose value is next
	for _, word := range words[:len(words)-1] {
		switch {
		case value != nil:
			value = nil
		case l.plain || !strings.HasPrefix(word, "-") || word == "-":
			l.word(word)
		case word == "--":
			l.plain = true
		default:
			value = l.flag(word)
		}
	}
	switch {
	case value != nil:
		return l.valueOf(value.Value, "", last)
	case !l.plain && strings.HasPrefix(last, "--") && strings.Contains(last, "="):
		name, rest, _ := strings.Cut(last, "=")
		if flag := l.named(strings.TrimPrefix(name, "--")); flag != nil {
			return l.valueOf(flag.Value, name+"=", rest)
		}
		return answer{files: "none"}
	case !l.plain && strings.HasPrefix(last, "-"):
		return l.flags(last)
	}
	return l.argument(last)
}

// word takes a word that is no flag: a command, or an argument of one.
func (l *typedLine) word(word string) {
	for _, child := range l.node.Children {
		if child.Name == word {
			l.node = child
			return
		}
	}
	l.args++
}

// flag takes a flag, and gives it if its value is the next word.
func (l *typedLine) flag(word string) *kong.Flag {
	name, _, whole := strings.Cut(strings.TrimLeft(word, "-"), "=")
	flag := l.named(name)
	if flag == nil {
		return nil
	}
	l.given[flag.Name] = true
	if whole || flag.IsBool() || flag.IsCounter() {
		return nil
	}
	return flag
}

// named gives a flag by its name or its letter.
func (l *typedLine) named(name string) *kong.Flag {
	for _, group := range l.node.AllFlags(true) {
		for _, flag := range group {
			if flag.Name == name || flag.Short != 0 && string(flag.Short) == name {
				return flag
			}
		}
	}
	return nil
}

func (l *typedLine) flags(prefix string) answer {
	a := answer{files: "none"}
	for _, group := range l.node.AllFlags(true) {
		for _, flag := range group {
			if text := "--" + flag.Name; strings.HasPrefix(text, prefix) && (!l.given[flag.Name] || flag.IsSlice()) {
				a.words = append(a.words, candidate{text, flag.Help})
			}
		}
	}
	return a
}

// argument completes a command, or a positional argument.
func (l *typedLine) argument(prefix string) answer {
	a := answer{files: "none"}
	if l.isHelp() {
		return l.helped(prefix)
	}
	for _, child := range l.node.Children {
		if !child.Hidden && l.args == 0 && strings.HasPrefix(child.Name, prefix) {
			a.words = append(a.words, candidate{child.Name, child.Help})
		}
	}
	if n := len(l.node.Positional); n > 0 {
		at := l.args
		if at >= n && l.node.Positional[n-1].IsCumulative() {
			at = n - 1
		}
		if at < n {
			return l.valueOf(l.node.Positional[at], "", prefix)
		}
	}
	return a
}

// isHelp says that the line is one of `oxbow help`, whose arguments are commands.
func (l *typedLine) isHelp() bool { return l.node.Name == "help" && l.node.Parent == l.app.Node }

// helped completes a command that is to be explained. The commands before it are not kept: it is of the first level.
func (l *typedLine) helped(prefix string) answer {
	a := answer{files: "none"}
	for _, child := range l.app.Children {
		if !child.Hidden && l.args == 0 && strings.HasPrefix(child.Name, prefix) {
			a.words = append(a.words, candidate{child.Name, child.Help})
		}
	}
	return a
}
