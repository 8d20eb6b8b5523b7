package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
)

// A server's environment and file must not narrow what an operator asks on the same machine.
func TestOperatorsFlagsAreOfOneCall(t *testing.T) {
	parser, err := newParser(new(commands), &bytes.Buffer{}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{
		"api": "OXBOW_API", "token": "OXBOW_TOKEN OXBOW_ADMIN_TOKEN", "token-file": "OXBOW_TOKEN_FILE",
		"timeout": "OXBOW_TIMEOUT",
	}
	for _, leaf := range parser.Model.Leaves(false) {
		if top := topOf(leaf); top.Group == nil || top.Group.Key != "operate" {
			continue
		}
		seen := 0
		for _, flag := range slices.Concat(flagsUnder(leaf)...) {
			if settings[flag.Name] != "" {
				seen++
			}
			if got := strings.Join(flag.Envs, " "); got != settings[flag.Name] {
				t.Errorf("%s --%s is %q in the environment", leaf.Path(), flag.Name, got)
			}
			if flag.Help == "" {
				t.Errorf("%s --%s has no help", leaf.Path(), flag.Name)
			}
		}
		if seen != len(settings) {
			t.Errorf("%s has %d of the flags that every command has", leaf.Path(), seen)
		}
	}
}

// topOf gives the command below the program that a command is under.
func topOf(n *kong.Node) *kong.Node {
	for n.Parent.Type != kong.ApplicationNode {
		n = n.Parent
	}
	return n
}

func flagsUnder(n *kong.Node) (all [][]*kong.Flag) {
	for ; n.Type != kong.ApplicationNode; n = n.Parent {
		all = append(all, n.Flags)
	}
	return all
}

func TestConfigurationFileHasTheAPIButNoFilters(t *testing.T) {
	t.Setenv("OXBOW_LIMIT", "1")
	t.Setenv("OXBOW_CLUSTER", "elsewhere")
	file := mustWriteFile(t, "api: http://h:1\ntoken-file: /run/token\ncluster: elsewhere\n")
	cli, err := parse(t, "recording", "list", "--config", file)
	if err != nil {
		t.Fatal(err)
	}
	got := cli.Operator.Recording
	if got.API != "http://h:1" || got.TokenFile != "/run/token" || got.List.Cluster != "" || got.List.Limit != 50 {
		t.Errorf("%+v", got)
	}
	if _, err := parse(t, "recording", "list", "--config", mustWriteFile(t, "wide: true\n")); err == nil ||
		!strings.Contains(err.Error(), "unknown keys: wide") {
		t.Errorf("a filter in the file: %v", err)
	}
}

// The first help that anybody sees fits on a screen or two: commands in groups, one line each.
func TestHelpIsReadable(t *testing.T) {
	var out bytes.Buffer
	parser, err := newParser(new(commands), &out, &out)
	if err != nil {
		t.Fatal(err)
	}
	parser.Exit = func(int) {}
	_, _ = parser.Parse([]string{"--help"}) // kong goes on behind its exit
	text := out.String()
	for _, want := range []string{"\nServers:\n  serve ", "\nOperate, by the REST API", "\n  publisher ", "\nTools:\n  bench "} {
		if !strings.Contains(text, want) {
			t.Errorf("the help has no %q:\n%s", want, text)
		}
	}
	if lines := strings.Count(text, "\n"); lines > 72 {
		t.Errorf("the help has %d lines", lines)
	}
}

func TestExitCodes(t *testing.T) {
	t.Setenv("OXBOW_TOKEN", "")
	t.Setenv("OXBOW_ADMIN_TOKEN", "")
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"publisher", "list"}, 2},                                        // no token
		{[]string{"publisher", "list", "--token", "x", "--api", "h"}, 2},          // no URL
		{[]string{"publisher", "set", "acme", "--token", "x"}, 2},                 // nothing to set
		{[]string{"stream", "create", "acme"}, 2},                                 // no stream
		{[]string{"clip", "create", "x", "--start", "1", "--token", "x"}, 2},      // no end
		{[]string{"publisher", "list", "--token", "x", "--api", closedAPI(t)}, 1}, // nobody there
		{[]string{"publisher", "list", "--token-file", "/nonexistent"}, 1},
		{[]string{"publisher", "list", "--since", "1h"}, 2},
		{[]string{"recording", "list", "--since", "soon"}, 2},
	} {
		var out, errs bytes.Buffer
		if got := call(c.args, &out, &errs); got != c.want || out.Len() > 0 || errs.Len() == 0 {
			t.Errorf("%v: %d, want %d: %s%s", c.args, got, c.want, out.String(), errs.String())
		}
	}
}

func TestUsageErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--token", "x", "publisher", "list"}, "flags are written behind their command"},
		{[]string{"key", "rotate", "acme/show"}, "See: oxbow key rotate --help\n"}, // no <stream>, which shells read from
		{[]string{"stream", "create", "Acme/show"}, "of a-z 0-9 _ -, and the first a letter or digit"},
		{[]string{"recording", "list", "--sort"}, "--sort: missing value: started_at, "},
		{[]string{"recording", "list", "--sort", "--quiet"}, "--sort: missing value: started_at, "},
		{[]string{"publishr", "list"}, `did you mean "publisher"?`},
		{[]string{"settings", "retentoin"}, `did you mean "retention"?`},
	} {
		var out, errs bytes.Buffer
		if got := call(c.args, &out, &errs); got != 2 || !strings.Contains(errs.String(), c.want) {
			t.Errorf("%v: %d %s, want %s", c.args, got, errs.String(), c.want)
		}
	}
	for _, args := range [][]string{{"--sort", "-bytes", "--quiet"}, {"--sort=-bytes", "-q"}} {
		cli, err := parse(t, slices.Concat([]string{"recording", "list"}, args)...)
		if got := cli.Operator.Recording; err != nil || got.List.Sort != "-bytes" || !got.Quiet {
			t.Errorf("%v: %q %v", args, got.List.Sort, err)
		}
	}
}

func closedAPI(t *testing.T) string { return "http://" + awayAddress(t) }
