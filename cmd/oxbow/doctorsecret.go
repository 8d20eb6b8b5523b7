package main

import (
	"slices"
	"strings"

	"github.com/oxbow-video/oxbow/internal/doctor"
)

// secretFlags are those whose values are secrets, or have passwords in them.
func secretFlags() []string {
	return []string{
		"--admin-token", "--archive", "--archives", "--catalog", "--cluster-token", "--registry", "--srt-passphrase",
	}
}

// secrets says how those that the flags and the environment name are kept.
func (c *doctorCommand) secrets(args, environment []string) (s doctor.Secrets) {
	if c.ClusterTokenFile != "" {
		s.Files = append(s.Files, doctor.SecretFile{Of: "--cluster-token-file", Path: c.ClusterTokenFile})
	}
	for _, key := range c.TLS.Key {
		s.Files = append(s.Files, doctor.SecretFile{Of: "--tls-key", Path: key})
	}
	for _, pair := range environment {
		name, path, _ := strings.Cut(pair, "=")
		flag, file := strings.CutSuffix(name, fileSuffix)
		flag = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(flag, "OXBOW_"), "_", "-"))
		if file && path != "" && strings.HasPrefix(name, "OXBOW_") && slices.Contains(secretFlags(), "--"+flag) &&
			path != c.ClusterTokenFile {
			s.Files = append(s.Files, doctor.SecretFile{Of: name, Path: path})
		}
	}
	for i, arg := range args {
		flag, value, valued := strings.Cut(arg, "=")
		if !valued && i+1 < len(args) {
			value = args[i+1]
		}
		if !slices.Contains(secretFlags(), flag) || strings.Contains(value, "://") && !strings.Contains(value, "@") ||
			strings.HasPrefix(value, "sqlite:") || strings.HasPrefix(value, "dir:") || value == memoryRegistry {
			continue // an address without a password
		}
		s.OnCommandLine = append(s.OnCommandLine, flag)
	}
	s.Tokenless = !c.given() && c.Recordings == "" && (c.Internal != "" && !private(c.Internal) || len(c.Directory) > 0)
	s.Optional = c.secret.Optional()
	s.Admin = string(c.Admin)
	return s
}
