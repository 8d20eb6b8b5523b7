package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	acmeclient "github.com/mholt/acmez/v3/acme"
)

// acmeFlags say which certificates a certificate authority gives by ACME (RFC 8555).
type acmeFlags struct {
	Domains   domainNames   `placeholder:"NAME,.." help:"Names to get certificates for by ACME, which is to agree to the authority's terms. It connects to port 443 or 80 of each name: forward them to --https and --http."`
	Email     string        `placeholder:"ADDRESS" help:"Where the authority may write to about the certificates."`
	Directory string        `default:"https://acme-v02.api.letsencrypt.org/directory" placeholder:"URL" help:"The authority's ACME directory (default: Let's Encrypt's)."`
	CA        string        `name:"directory-ca" placeholder:"FILE" help:"Certificates, PEM, that sign a private --acme-directory's own."`
	Storage   string        `placeholder:"DIR" help:"Directory for certificates, their keys and the account; processes that share it get each certificate once (serve: acme in --data)."`
	KeyID     string        `name:"eab-id" placeholder:"ID" help:"Key ID of an external account, where the authority wants one."`
	Key       string        `name:"eab-key" placeholder:"KEY" help:"Its MAC key, base64url."`
	Check     time.Duration `default:"10m" placeholder:"DURATION" help:"How often certificates are looked at; in the last third of its time one is renewed (default: ${default})."`
}

// domainNames is a flag's list of host names.
type domainNames []string

// Wildcards need a record in DNS, which is out of our reach.
var domainName = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// maxDomain is the longest name that a certificate may have.
const maxDomain = 253

// UnmarshalText reads the list.
func (d *domainNames) UnmarshalText(text []byte) error {
	*d = nil
	for name := range strings.SplitSeq(string(text), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		_, notAddress := netip.ParseAddr(name)
		switch {
		case strings.HasPrefix(name, "*."):
			return fmt.Errorf("%q: wildcards need DNS: name each host, or use --tls-cert", name)
		case len(name) > maxDomain || !domainName.MatchString(name) || notAddress == nil:
			return fmt.Errorf("%q is no host name: use names like live.example.com, without scheme and port", name)
		}
		if !slices.Contains(*d, name) {
			*d = append(*d, name)
		}
	}
	return nil
}

// acmeIssuer gets certificates and renews them. What it knows is in its directory, which is locked per certificate: of
// several processes one asks the authority, and all answer its questions.
type acmeIssuer struct {
	flags  acmeFlags
	logger *slog.Logger
	cache  *certmagic.Cache
	magic  *certmagic.Config
	issuer *certmagic.ACMEIssuer
}

// openACME makes an issuer for a server that listens at both addresses. It asks for nothing before Run.
func openACME(flags acmeFlags, https, plain net.Addr, logger *slog.Logger) (*acmeIssuer, error) {
	if err := flags.check(); err != nil {
		return nil, err
	}
	roots, err := flags.roots()
	if err != nil {
		return nil, err
	}
	a := &acmeIssuer{flags: flags, logger: logger}
	heard := newZapLogger(logger)
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic, nil },
		RenewCheckInterval: flags.Check,
		Logger:             heard,
	})
	a.magic = certmagic.New(a.cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: flags.Storage}, Logger: heard, OnEvent: a.tell,
		DefaultServerName: flags.Domains[0], FallbackServerName: flags.Domains[0],
	})
	account := certmagic.ACMEIssuer{
		CA: flags.Directory, Email: flags.Email, Agreed: true, TrustedRoots: roots, Logger: heard,
		// It would open these ports itself if they were not ours.
		ListenHost: host(https), AltTLSALPNPort: port(https), AltHTTPPort: port(plain),
	}
	if flags.KeyID != "" {
		account.ExternalAccount = &acmeclient.EAB{KeyID: flags.KeyID, MACKey: flags.Key}
	}
	a.issuer = certmagic.NewACMEIssuer(a.magic, account)
	a.magic.Issuers = []certmagic.Issuer{a.issuer}
	return a, nil
}

func host(address net.Addr) string {
	host, _, _ := net.SplitHostPort(reachable(address))
	return host
}

func port(address net.Addr) int {
	if tcp, ok := address.(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

func (f acmeFlags) check() error {
	switch {
	case !strings.HasPrefix(f.Directory, "https://"):
		return fmt.Errorf("--acme-directory %q: use the URL of the authority's directory, like https://HOST/directory",
			f.Directory)
	case (f.KeyID == "") != (f.Key == ""):
		return errors.New("--acme-eab-id and --acme-eab-key: give both, as the authority gave them")
	case f.Check < time.Second:
		return fmt.Errorf("--acme-check %v: at least a second", f.Check)
	case f.Storage == "":
		return errors.New("--acme-storage: name a directory that outlives this process: an authority gives a name " +
			"no more than a few certificates a week")
	}
	if err := os.MkdirAll(f.Storage, 0o700); err != nil {
		return fmt.Errorf("--acme-storage: %w: choose a directory that this user may write", err)
	}
	try, err := os.CreateTemp(f.Storage, "try-*")
	if err != nil {
		return fmt.Errorf("--acme-storage: %w: choose a directory that this user may write", err)
	}
	return errors.Join(try.Close(), os.Remove(filepath.Clean(try.Name())))
}

// roots gives those that the directory's own certificate is checked with; nil is the system's.
func (f acmeFlags) roots() (*x509.CertPool, error) {
	if f.CA == "" {
		return nil, nil
	}
	text, err := readPEM("--acme-directory-ca", f.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--acme-directory-ca %s: no certificate in it: want PEM, which begins with "+
			"-----BEGIN CERTIFICATE-----", f.CA)
	}
	return pool, nil
}

// Run gets what is missing and renews what grows old, until ctx ends. What fails is tried again for a month, at longer
// and longer intervals.
func (a *acmeIssuer) Run(ctx context.Context) error {
	defer a.cache.Stop()
	if err := a.magic.ManageAsync(ctx, a.flags.Domains); err != nil {
		return fmt.Errorf("--acme-domains: %w", err)
	}
	<-ctx.Done()
	return nil
}

// tell logs what happens to certificates.
func (a *acmeIssuer) tell(_ context.Context, event string, data map[string]any) error {
	switch event {
	case "cert_obtained":
		a.logger.Info("certificate obtained", "name", data["identifier"], "renewal", data["renewal"],
			"from", a.flags.Directory)
	case "cert_failed":
		a.logger.Error("certificate not obtained: it is tried again", "name", data["identifier"],
			"renewal", data["renewal"], "from", a.flags.Directory, "err", data["error"],
			"do", "see that the name leads to this server, with port 443 at --https or port 80 at --http")
	}
	return nil
}

// has says that a certificate of the name is ours to give.
func (a *acmeIssuer) has(name string) bool {
	return slices.Contains(a.flags.Domains, strings.ToLower(strings.TrimSuffix(name, ".")))
}

const (
	challengeProtocol = "acme-tls/1" // RFC 8737
	challengePath     = "/.well-known/acme-challenge/"
)

// asked says that the authority asks, by tls-alpn-01, and nobody else would.
func (a *acmeIssuer) asked(hello *tls.ClientHelloInfo) bool {
	return len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == challengeProtocol
}

var errNotOurName = errors.New("the name is none of --acme-domains")

// challenge answers the authority. Names that are not ours are not looked up: anybody may ask.
func (a *acmeIssuer) challenge(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !a.has(hello.ServerName) {
		return nil, errNotOurName
	}
	return a.magic.GetCertificate(hello)
}

// certificate gives the one of the name, or of the first name for names that are not ours.
func (a *acmeIssuer) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if !a.has(hello.ServerName) {
		other := *hello
		other.ServerName = a.flags.Domains[0]
		hello = &other
	}
	return a.magic.GetCertificate(hello)
}

// answer answers the authority by http-01. It is false for what is not its.
func (a *acmeIssuer) answer(w http.ResponseWriter, r *http.Request) bool {
	if !strings.HasPrefix(r.URL.Path, challengePath) {
		return false
	}
	name, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		name = r.Host
	}
	return a.has(name) && a.issuer.HandleHTTPChallenge(w, r)
}
