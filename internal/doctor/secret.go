package doctor

import (
	"fmt"
	"net"
	"os"
)

// Secrets is what is looked at of how secrets are kept; its zero value is nothing.
type Secrets struct {
	// Files have secrets, by what names them: a flag, or a variable of the environment.
	Files []SecretFile
	// OnCommandLine are the flags with secrets that every user of this machine sees.
	OnCommandLine []string
	// Tokenless says that processes of a cluster are to be asked, or to be answered, without a token. Optional says that
	// there is one, and that who shows none is answered too.
	Tokenless, Optional bool
	// Admin is the address of --admin; empty is none.
	Admin string
}

// SecretFile is a file and what names it.
type SecretFile struct{ Of, Path string }

// readableByAll is the permission bit of those who are neither the file's owner nor of its group: that others of the
// group read it is how Kubernetes and systemd hand secrets over.
const readableByAll = 0o004

func (s Secrets) check(r *Report) {
	for _, f := range s.Files {
		info, err := os.Stat(f.Path)
		switch {
		case err != nil:
			r.add(Fail, "secret file", "correct "+f.Of, "%s: %s", f.Path, reason(err))
		case !info.Mode().IsRegular():
			r.ok("secret file", "%s of %s is no regular file, which nobody reads twice", f.Path, f.Of)
		case info.Mode().Perm()&readableByAll != 0:
			r.add(Warn, "secret file", fmt.Sprintf("chmod o= %s", f.Path), "every user of this machine may read %s of %s",
				f.Path, f.Of)
		default:
			r.ok("secret file", "%s of %s is kept from others", f.Path, f.Of)
		}
	}
	for _, flag := range s.OnCommandLine {
		r.add(Warn, "secret flag", "put it into a file, and name that in OXBOW_<FLAG>_FILE",
			"%s is on the command line, which every user of this machine sees", flag)
	}
	switch {
	case s.Tokenless:
		r.add(Warn, "cluster token", "give all processes the same --cluster-token-file (docs/security.md)",
			"there is none: whoever reaches an --internal port is answered")
	case s.Optional:
		r.add(Warn, "cluster token", "remove the line optional when all processes have their tokens",
			"who shows none is answered all the same")
	}
	if host, _, err := net.SplitHostPort(s.Admin); err == nil && host != "localhost" {
		if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
			r.add(Warn, "admin port", "let only Prometheus and balancers reach it, or bind it to 127.0.0.1",
				"%s answers other machines: it tells them metrics, with names of publishers and nodes", s.Admin)
		}
	}
}
