package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/alecthomas/kong"
)

const (
	// maxSecretFile bounds a file that has a flag's value, in bytes.
	maxSecretFile = 64 << 10
	// fileSuffix behind a flag's environment variable names the variable that says where the value is.
	fileSuffix = "_FILE"
)

// valueFiles gives flags the content of the files that OXBOW_<FLAG>_FILE name: so do Docker's and Kubernetes' secrets
// and systemd's credentials come, which neither the environment of child processes has nor ps shows.
type valueFiles struct{ taken map[string]bool }

// secretFiles has flags read from files.
func secretFiles() kong.Option {
	files := &valueFiles{taken: map[string]bool{}}
	return kong.OptionFunc(func(k *kong.Kong) error {
		return errors.Join(
			kong.Resolvers(files).Apply(k),
			kong.PostBuild(func(k *kong.Kong) error { files.collect(k.Model.Node); return nil }).Apply(k))
	})
}

// collect remembers the flags' own variables: OXBOW_CLUSTER_TOKEN_FILE is --cluster-token-file.
func (f *valueFiles) collect(n *kong.Node) {
	for _, flag := range n.Flags {
		for _, name := range flag.Envs {
			f.taken[name] = true
		}
	}
	for _, child := range n.Children {
		f.collect(child)
	}
}

// Validate implements kong.Resolver.
func (*valueFiles) Validate(*kong.Application) error { return nil }

// Resolve gives the file's content for a flag.
func (f *valueFiles) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	file, err := f.of(flag)
	if err != nil || file == "" {
		return nil, err
	}
	text, err := readValueFile(os.Getenv(file))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return text, nil
}

// of gives the variable that names a flag's file; empty if there is none. Of a flag with several variables the first
// one counts that is there, in either shape.
func (f *valueFiles) of(flag *kong.Flag) (string, error) {
	for _, name := range flag.Envs {
		file := name + fileSuffix
		switch plain, there := os.Getenv(name) != "", os.Getenv(file) != "" && !f.taken[file]; {
		case there && flag.Name == "config":
			return "", fmt.Errorf("%s: the configuration file's name is to be in %s", file, name)
		case there && plain:
			return "", fmt.Errorf("%s: %s is set too: set one of them", file, name)
		case there:
			return file, nil
		case plain:
			return "", nil
		}
	}
	return "", nil
}

// readValueFile reads a value: the file's text without the newline at its end.
func readValueFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err // it names the path
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	switch err := errors.Join(err, f.Close()); {
	case err != nil:
		return "", fmt.Errorf("read %s: %w", path, err)
	case len(text) > maxSecretFile:
		return "", fmt.Errorf("%s: more than %d bytes, which is no flag's value", path, maxSecretFile)
	case !utf8.Valid(text) || strings.ContainsRune(string(text), 0):
		return "", fmt.Errorf("%s: it is no text", path)
	}
	value := strings.TrimSuffix(string(text), "\n")
	value = strings.TrimSuffix(value, "\r")
	if value == "" {
		return "", fmt.Errorf("%s: it is empty", path)
	}
	return value, nil
}
