package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/goccy/go-yaml"
)

// maxConfigFile bounds the configuration file's size in bytes.
const maxConfigFile = 1 << 20

// configFile is the --config flag: it puts the file's values under the flags' and the environment's.
type configFile string

// BeforeResolve installs the file as a source of values. The flag itself comes from the command line or OXBOW_CONFIG.
func (configFile) BeforeResolve(k *kong.Kong, ctx *kong.Context, trace *kong.Path) error {
	name, ok := ctx.FlagValue(trace.Flag).(configFile)
	if !ok || name == "" {
		return nil
	}
	resolver, err := readConfigFile(string(name))
	if err != nil {
		return err
	}
	ctx.AddResolver(resolver)
	return nil
}

// fileValues is a configuration file: the flags' names and their values.
type fileValues struct {
	name   string
	values map[string]any
}

func readConfigFile(name string) (*fileValues, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	if info.Size() > maxConfigFile {
		return nil, fmt.Errorf("--config: %s has %d bytes: at most %d", name, info.Size(), maxConfigFile)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	file := &fileValues{name: name}
	if err := yaml.Unmarshal(text, &file.values); err != nil {
		return nil, fmt.Errorf("--config: %s: %w", name, err)
	}
	return file, nil
}

// Validate refuses keys that are no flag's name, so that a misspelt one is not silently without effect.
func (f *fileValues) Validate(app *kong.Application) error {
	known := map[string]bool{}
	var collect func(*kong.Node)
	collect = func(n *kong.Node) {
		for _, flag := range n.Flags {
			known[flag.Name] = known[flag.Name] || len(flag.Envs) > 0 // else it is of one call alone
		}
		for _, child := range n.Children {
			collect(child)
		}
	}
	collect(app.Node)
	var unknown []string
	for key := range f.values {
		if !known[key] || key == "config" || key == "help" || key == "version" {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("%s: unknown keys: %s: use the flags' names as `oxbow serve --help` lists them",
			f.name, strings.Join(unknown, ", "))
	}
	return nil
}

// Resolve gives the file's value for a flag unless the environment sets it: the environment wins. A flag that the
// environment can't set the file can't either.
func (f *fileValues) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if len(flag.Envs) == 0 {
		return nil, nil
	}
	for _, name := range flag.Envs {
		_, set := os.LookupEnv(name)
		if set || os.Getenv(name+fileSuffix) != "" {
			return nil, nil
		}
	}
	value, ok := f.values[flag.Name]
	if !ok {
		return nil, nil
	}
	switch v := value.(type) {
	case nil, map[string]any, []any:
		return nil, errors.New(f.name + ": " + flag.Name + ": want one value")
	default:
		return fmt.Sprint(v), nil
	}
}
