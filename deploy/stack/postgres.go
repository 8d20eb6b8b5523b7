package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/compose-spec/compose-go/v2/types"
)

// Database is what the image's entry point makes of its environment at the first start.
type Database struct {
	// Data is the server's directory, Outside says that it is not below the stack's, which the user cannot enter.
	Data, User, Name, PasswordFile string
	Outside                        bool
	InitArgs                       []string
	// UID and GID are who runs the server, which refuses root; 0 is who runs the stack.
	UID, GID uint32
}

// adaptPostgres has the server run from its binaries' directory, with what the image's entry point would prepare.
func adaptPostgres(out *Service, _ types.ServiceConfig, t translation) error {
	bin, err := postgresBinaries()
	if err != nil {
		return err
	}
	d := &Database{Name: "postgres", User: "postgres"}
	for _, variable := range out.Env {
		name, value, _ := strings.Cut(variable, "=")
		switch name {
		case "POSTGRES_USER":
			d.User = value
		case "POSTGRES_DB":
			d.Name = value
		case "POSTGRES_PASSWORD_FILE":
			d.PasswordFile = value
		case "POSTGRES_INITDB_ARGS":
			d.InitArgs = strings.Fields(value)
		}
	}
	for _, m := range t.mounts {
		if m.inside == "/var/lib/postgresql/data" {
			d.Data = m.here
		}
	}
	if d.Data == "" || d.PasswordFile == "" {
		return errors.New("postgres needs a volume at /var/lib/postgresql/data and POSTGRES_PASSWORD_FILE")
	}
	if err := d.unprivileged(); err != nil {
		return err
	}
	if d.UID != 0 && !open(d.Data) {
		sum := sha256.Sum256([]byte(d.Data))
		d.Data, d.Outside = filepath.Join(os.TempDir(), fmt.Sprintf("oxbow-stack-%x", sum[:6])), true
	}
	out.Database, out.Signal = d, "INT" // its fast shutdown
	out.Args = slices.Concat([]string{
		filepath.Join(bin, "postgres"), "-D", d.cluster(), "-h", t.own, "-p", t.port("5432"), "-k", "",
	}, out.Args[1:])
	out.Env = append(out.Env, "LC_ALL=C.UTF-8")
	out.Ports = append(out.Ports, t.port("5432")+"/tcp")
	if out.Health != nil {
		out.Health.Args[0] = filepath.Join(bin, filepath.Base(out.Health.Args[0]))
	}
	return nil
}

// cluster is what initdb makes.
func (d *Database) cluster() string { return filepath.Join(d.Data, "cluster") }

// open says that others may enter all directories above.
func open(name string) bool {
	for name != "/" {
		name = filepath.Dir(name)
		if info, err := os.Stat(name); err == nil && info.Mode()&0o001 == 0 {
			return false
		}
	}
	return true
}

// makeDirectory makes the server's, which nobody else may enter.
func (d *Database) makeDirectory() error {
	if err := os.MkdirAll(filepath.Dir(d.Data), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(d.Data, 0o700); err != nil {
		return fmt.Errorf("%w: a stack before left it: remove it", err)
	}
	if d.UID == 0 {
		return nil
	}
	return os.Chown(d.Data, int(d.UID), int(d.GID))
}

// postgresBinaries finds the newest version's directory of Debian, or the one in PATH.
func postgresBinaries() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb") // the pattern is right
	if len(found) > 0 {
		version := func(name string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(name)))) // 0 is the oldest
			return n
		}
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New("PostgreSQL is not installed (Debian: apt-get install postgresql)")
	}
	return filepath.Dir(initdb), nil
}

// unprivileged chooses who runs the server where this process is root.
func (d *Database) unprivileged() error {
	if os.Geteuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			return fmt.Errorf("user %s: %w", name, err)
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			return fmt.Errorf("user %s: %w", name, err)
		}
		d.UID, d.GID = uint32(uid), uint32(gid)
		return nil
	}
	return errors.New("PostgreSQL refuses to run as root, and there is neither a user postgres nor nobody: add one")
}

// credential is who runs the server; nil is who runs the stack.
func (d *Database) credential() *syscall.Credential {
	if d == nil || d.UID == 0 {
		return nil
	}
	return &syscall.Credential{Uid: d.UID, Gid: d.GID}
}

// prepare makes the cluster and its database, unless they are there.
func (d *Database) prepare(ctx context.Context, bin string) error {
	if _, err := os.Stat(filepath.Join(d.cluster(), "PG_VERSION")); err == nil {
		return nil
	}
	// A copy, since the server's user gets to nothing else below the stack's directory.
	password, err := os.ReadFile(d.PasswordFile)
	if err != nil {
		return err
	}
	file := filepath.Join(d.Data, ".password")
	if err := os.WriteFile(file, password, 0o600); err != nil {
		return err
	}
	if d.UID != 0 {
		if err := os.Chown(file, int(d.UID), int(d.GID)); err != nil {
			return err
		}
	}
	args := slices.Concat([]string{
		"--pgdata", d.cluster(), "--username", d.User, "--pwfile", file, "--encoding", "UTF8", "--locale", "C.UTF-8",
		"--no-sync",
	}, d.InitArgs)
	if err := d.run(ctx, nil, filepath.Join(bin, "initdb"), args...); err != nil {
		return err
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	create := strings.NewReader("CREATE DATABASE \"" + strings.ReplaceAll(d.Name, `"`, `""`) + "\"\n")
	return d.run(ctx, create, filepath.Join(bin, "postgres"), "--single", "-D", d.cluster(), "postgres")
}

func (d *Database) run(ctx context.Context, in *strings.Reader, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = d.Data
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.credential()}
	if in != nil {
		cmd.Stdin = in
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(name), err, bytes.TrimSpace(out))
	}
	return nil
}
