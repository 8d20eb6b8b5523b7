package main

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// composeProject reads docker-compose.yml with all of its profiles, and nothing of the environment.
func composeProject(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../../docker-compose.yml"}, cli.WithProfiles([]string{"*"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// The values that secrets' files have, where a flag's form is checked.
var secretsOfCompose = map[string]string{
	"OXBOW_CATALOG":  "postgres://oxbow:x@postgres:5432/oxbow",
	"OXBOW_REGISTRY": "redis://:x@redis:6379",
}

// TestComposeIsTheBinarys holds every command, flag, variable and value of docker-compose.yml against the command line.
func TestComposeIsTheBinarys(t *testing.T) {
	project, services := composeProject(t), 0
	parser, err := newParser(new(commands), io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range project.Services {
		if !strings.HasPrefix(s.Image, "oxbow:") {
			continue
		}
		services++
		t.Run(name, func(t *testing.T) {
			args := []string(s.Command)
			leaf := leafOf(parser.Model, args)
			if leaf == nil {
				t.Fatalf("%q is no command", args)
			}
			for variable, value := range s.Environment {
				if !strings.HasPrefix(variable, "OXBOW_") {
					continue
				}
				set, known := variableOf(t, slices.Concat(flagsOf(leaf), parser.Model.Flags), variable, *value)
				if !known {
					t.Errorf("oxbow %s knows no %s", args[0], variable)
				}
				t.Setenv(set[0], set[1])
			}
			if _, err := parser.Parse(args); err != nil {
				t.Errorf("oxbow %s: %v", strings.Join(args, " "), err)
			}
			if s.HealthCheck != nil && !s.HealthCheck.Disable {
				check := []string(s.HealthCheck.Test)
				if !slices.Equal(check, []string{"CMD", "oxbow", "health"}) {
					t.Fatalf("the health check is %q", check)
				}
				asked, err := valueOf(parser, "admin", check[2:]...)
				if err != nil || asked != listenAddress(*s.Environment["OXBOW_ADMIN"]) {
					t.Errorf("the health check asks %v (%v)", asked, err)
				}
			}
		})
	}
	if services != 11 {
		t.Errorf("%d services run oxbow, want migrate, api, demo, 4 ingest nodes, 2 archivers, 2 edges", services)
	}
}

// leafOf finds the command that the arguments begin with.
func leafOf(app *kong.Application, args []string) *kong.Node {
	node := app.Node
	for _, arg := range args {
		at := slices.IndexFunc(node.Children, func(child *kong.Node) bool { return child.Name == arg })
		if at < 0 {
			break
		}
		node = node.Children[at]
	}
	if node == app.Node || len(node.Children) > 0 {
		return nil
	}
	return node
}

// variableOf says which variable to set to try a service's: a secret's file is not there, so that its flag gets a value
// of the secret's form, and a flag that is a file gets one.
func variableOf(t *testing.T, flags []*kong.Flag, variable, value string) (set [2]string, known bool) {
	t.Helper()
	has := func(name string) bool {
		return slices.ContainsFunc(flags, func(f *kong.Flag) bool { return slices.Contains(f.Envs, name) })
	}
	plain, file := strings.CutSuffix(variable, "_FILE")
	switch {
	case has(variable) && file:
		name := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(name, []byte("secret-of-compose\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return [2]string{variable, name}, true
	case has(variable):
		return [2]string{variable, value}, true
	case file && has(plain):
		if value, ok := secretsOfCompose[plain]; ok {
			return [2]string{plain, value}, true
		}
		return [2]string{plain, "secret-of-compose"}, true
	}
	return [2]string{variable, value}, false
}
