package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFlagsAreReadFromFiles(t *testing.T) {
	serve := []string{"serve"}
	config := mustWriteFile(t, "srt-passphrase: hush-of-config\nhttp: \":7\"\n")
	value := mustWriteFile(t, "hush-of-file\n")
	for name, c := range map[string]struct {
		env  map[string]string
		args []string
		want string // of --srt-passphrase
	}{
		"file":                       {map[string]string{"OXBOW_SRT_PASSPHRASE_FILE": value}, serve, "hush-of-file"},
		"flag before file":           {map[string]string{"OXBOW_SRT_PASSPHRASE_FILE": value}, []string{"serve", "--srt-passphrase", "x"}, "x"},
		"file before config":         {map[string]string{"OXBOW_SRT_PASSPHRASE_FILE": value}, []string{"serve", "--config", config}, "hush-of-file"},
		"config":                     {nil, []string{"serve", "--config", config}, "hush-of-config"},
		"empty variable beside file": {map[string]string{"OXBOW_SRT_PASSPHRASE": "", "OXBOW_SRT_PASSPHRASE_FILE": value}, serve, "hush-of-file"},
		"empty variable of a file":   {map[string]string{"OXBOW_SRT_PASSPHRASE": "y", "OXBOW_SRT_PASSPHRASE_FILE": ""}, serve, "y"},
		"CRLF":                       {map[string]string{"OXBOW_SRT_PASSPHRASE_FILE": mustWriteFile(t, "a b \r\n")}, serve, "a b "},
		"two newlines":               {map[string]string{"OXBOW_SRT_PASSPHRASE_FILE": mustWriteFile(t, "a\n\n")}, serve, "a\n"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, text := range c.env {
				t.Setenv(key, text)
			}
			cli, err := parse(t, c.args...)
			if err != nil || cli.Serve.SRTPassphrase != c.want {
				t.Errorf("%q, %v; want %q", cli.Serve.SRTPassphrase, err, c.want)
			}
		})
	}
}

func TestRequiredFlagsAreReadFromFiles(t *testing.T) {
	t.Setenv("OXBOW_CATALOG_FILE", mustWriteFile(t, "sqlite:x.db\n"))
	t.Setenv("OXBOW_REGISTRY_FILE", mustWriteFile(t, "redis://h"))
	t.Setenv("OXBOW_ADMIN_TOKEN_FILE", mustWriteFile(t, "hush-admin\n"))
	t.Setenv("OXBOW_HTTP_FILE", mustWriteFile(t, "127.0.0.1:9"))
	t.Setenv("OXBOW_API_PROXIES_FILE", mustWriteFile(t, "10.0.0.0/8,::1\n"))
	cli, err := parse(t, "api")
	if err != nil {
		t.Fatal(err)
	}
	if got := cli.API; got.Catalog != "sqlite:x.db" || got.Registry != "redis://h" || got.AdminToken != "hush-admin" ||
		got.HTTP != "127.0.0.1:9" || len(got.APIProxies) != 2 {
		t.Errorf("%+v", got)
	}
	cli, err = parse(t, "publisher", "list")
	if err != nil || cli.Operator.Publisher.Token != "hush-admin" {
		t.Errorf("the operator's token: %q, %v", cli.Operator.Publisher.Token, err)
	}
	t.Setenv("OXBOW_TOKEN", "other") // which goes before OXBOW_ADMIN_TOKEN, in either shape
	if cli, err = parse(t, "publisher", "list"); err != nil || cli.Operator.Publisher.Token != "other" {
		t.Errorf("the operator's token: %q, %v", cli.Operator.Publisher.Token, err)
	}
}

func TestFlagsOfTheirOwnAreNoFilesOfOthers(t *testing.T) {
	file := mustWriteFile(t, "hush-0123456789-cluster\n")
	t.Setenv("OXBOW_CLUSTER_TOKEN_FILE", file)
	cli, err := parse(t, "edge", "--directory", "http://h")
	if err != nil || cli.Edge.ClusterTokenFile != file || cli.Edge.ClusterToken != "" {
		t.Errorf("%+v, %v", cli.Edge.tokenFlags, err)
	}
}

func TestBadFilesOfFlagsAreNamed(t *testing.T) {
	const variable = "OXBOW_SRT_PASSPHRASE_FILE"
	for name, c := range map[string]struct {
		env  map[string]string
		want []string
	}{
		"both":      {map[string]string{variable: mustWriteFile(t, "hush-x"), "OXBOW_SRT_PASSPHRASE": "hush-y"}, []string{variable, "set one of them"}},
		"missing":   {map[string]string{variable: "/nonexistent/x"}, []string{variable, "/nonexistent/x"}},
		"directory": {map[string]string{variable: t.TempDir()}, []string{variable, "directory"}},
		"empty":     {map[string]string{variable: mustWriteFile(t, "\n")}, []string{variable, "empty"}},
		"long":      {map[string]string{variable: mustWriteFile(t, strings.Repeat("hush", 20_000))}, []string{variable, "65536 bytes"}},
		"binary":    {map[string]string{variable: mustWriteFile(t, "hush\x00")}, []string{variable, "no text"}},
		"config":    {map[string]string{"OXBOW_CONFIG_FILE": mustWriteFile(t, "x")}, []string{"OXBOW_CONFIG_FILE", "OXBOW_CONFIG"}},
	} {
		t.Run(name, func(t *testing.T) {
			for key, text := range c.env {
				t.Setenv(key, text)
			}
			_, err := parse(t, "serve")
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hush") {
					t.Errorf("%v, want %q", err, want)
				}
			}
		})
	}
}

func TestTokenFlags(t *testing.T) {
	good := mustWriteFile(t, "hush-0123456789-cluster\n")
	for name, c := range map[string]struct {
		flags tokenFlags
		want  string // of the error; empty is none
	}{
		"none":    {tokenFlags{}, ""},
		"fixed":   {tokenFlags{ClusterToken: "x"}, ""},
		"file":    {tokenFlags{ClusterTokenFile: good}, ""},
		"both":    {tokenFlags{ClusterToken: "x", ClusterTokenFile: good}, "give one of them"},
		"missing": {tokenFlags{ClusterTokenFile: filepath.Join(t.TempDir(), "x")}, "no such file"},
		"newline": {tokenFlags{ClusterToken: "hush\nhush"}, "printable ASCII"},
	} {
		tokens, err := c.flags.open()
		switch {
		case c.want == "" && (err != nil || tokens.Known() != c.flags.given()):
			t.Errorf("%s: %v", name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hush")):
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if a, b := (&tokenFlags{}).orRandom(), (&tokenFlags{}).orRandom(); len(a.ClusterToken) < 20 || a == b {
		t.Error("serve's own token is none")
	}
	if _, err := os.Stat(good); err != nil {
		t.Fatal(err)
	}
}
