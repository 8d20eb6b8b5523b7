package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
)

// secretsScript makes the secrets, here as for Docker.
const secretsScript = "deploy/secrets.sh"

// prepare makes the stack's directory: secrets, volumes, mounted files, the plan.
func (c *command) prepare(ctx context.Context, plan *Plan) error {
	for _, dir := range []string{"", "logs", "secrets-here", "volumes", "files"} {
		mode := fs.FileMode(0o755)
		if dir == "secrets-here" {
			mode = 0o700
		}
		if err := os.MkdirAll(filepath.Join(c.Dir, dir), mode); err != nil {
			return err
		}
	}
	if err := writeJSON(filepath.Join(c.Dir, planFile), plan); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "/bin/sh", filepath.Join(plan.Root, secretsScript),
		filepath.Join(c.Dir, "secrets")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", secretsScript, err, bytes.TrimSpace(out))
	}
	project, err := loadProject(ctx, c.File, []string{"*"}, nil)
	if err != nil {
		return err
	}
	t := translation{hosts: addresses(project, c.Network), shift: c.Shift}
	// Names in the secrets are translated too, in copies: those of deploy/secrets.sh stay as Docker would have them.
	if err := t.copyTree(filepath.Join(c.Dir, "secrets"), filepath.Join(c.Dir, "secrets-here"), 0o600); err != nil {
		return err
	}
	for _, s := range plan.Services {
		if s.Database != nil {
			if err := s.Database.makeDirectory(); err != nil {
				return err
			}
		}
		if err := plan.makeMounts(project.Services[s.Name], t); err != nil {
			return fmt.Errorf("service %s: %w", s.Name, err)
		}
	}
	return nil
}

// makeMounts makes a service's volumes, and copies of the files that it is given.
func (p *Plan) makeMounts(s types.ServiceConfig, t translation) error {
	for _, v := range s.Volumes {
		var err error
		if v.Type == types.VolumeTypeBind {
			err = t.copyTree(v.Source, filepath.Join(p.Dir, "files", p.relative(v.Source)), 0o644)
		} else if s.Name != "postgres" {
			err = os.MkdirAll(filepath.Join(p.Dir, "volumes", v.Source), 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies a file or a directory with the names in it translated.
func (t translation) copyTree(from, to string, mode fs.FileMode) error {
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := to + strings.TrimPrefix(name, from)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		return os.WriteFile(target, []byte(t.names(string(text))), mode)
	})
}

func copyFile(from, to string, mode fs.FileMode) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, mode)
}

// remove takes away all files of a stack.
func (c *command) remove(plan *Plan) error {
	var err error
	for _, s := range plan.Services {
		if s.Database != nil && s.Database.Outside {
			err = errors.Join(err, os.RemoveAll(s.Database.Data))
		}
	}
	return errors.Join(err, os.RemoveAll(c.Dir))
}

// logName is where a service's output goes.
func logName(dir, service string) string { return filepath.Join(dir, "logs", service+".log") }

// tail gives a log's last lines.
func tail(name string, lines int) string {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "  (it told nothing)"
	}
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(text), "\n"), "\n")
	return "  " + strings.Join(all[max(0, len(all)-lines):], "\n  ")
}
