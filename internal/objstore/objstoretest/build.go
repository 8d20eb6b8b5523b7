package objstoretest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const gatewayPackage = "github.com/versity/versitygw/cmd/versitygw"

// build gives versitygw's binary, built at most once per version of the module in test/tools.
func build(ctx context.Context) (string, error) {
	tools, err := findTools()
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(tools, name))
		if err != nil {
			return "", err
		}
		_, _ = sum.Write(text)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	dir = filepath.Join(dir, "oxbow-tools", fmt.Sprintf("%x", sum.Sum(nil)[:8]))
	binary := filepath.Join(dir, "versitygw")
	if info, err := os.Stat(binary); err == nil && info.Mode().IsRegular() {
		return binary, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	// Several test processes may build at a time; each puts its own into place.
	tmp, err := os.MkdirTemp(dir, "build-")
	if err != nil {
		return "", err
	}
	built := filepath.Join(tmp, "versitygw")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", built, gatewayPackage)
	cmd.Dir = tools
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=readonly -buildvcs=false", "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("build versitygw: %w: %s", err, bytes.TrimSpace(out))
	} else {
		err = os.Rename(built, binary)
	}
	return binary, errors.Join(err, os.RemoveAll(tmp))
}

// findTools looks for the module test/tools from the directory of the running test upwards.
func findTools() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		tools := filepath.Join(dir, "test", "tools")
		text, err := os.ReadFile(filepath.Join(tools, "go.mod"))
		if err == nil && strings.Contains(string(text), gatewayPackage) {
			return tools, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("module test/tools not found above the working directory")
		}
		dir = parent
	}
}
