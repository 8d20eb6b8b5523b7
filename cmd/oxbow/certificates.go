package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// tlsFlags name the files of the server's certificates.
type tlsFlags struct {
	Cert fileNames `name:"cert" placeholder:"FILE,.." help:"Certificates for --https and --rtmps: PEM, the server's own first, intermediates after it. More files are for more names; who asks for none of them gets the first. A replaced file is taken up without a restart."`
	Key  fileNames `name:"key" placeholder:"FILE,.." help:"Private keys of --tls-cert, in its order: PEM, not encrypted."`
}

// fileNames is a flag's list of files.
type fileNames []string

// UnmarshalText reads the list.
func (f *fileNames) UnmarshalText(text []byte) error {
	*f = nil
	for name := range strings.SplitSeq(string(text), ",") {
		if name = strings.TrimSpace(name); name == "" {
			return fmt.Errorf("%q is no list of files: use FILE, or FILE,FILE", text)
		}
		*f = append(*f, name)
	}
	return nil
}

// certificates are all that the server has: pairs of files, and what a certificate authority gives by ACME.
type certificates struct {
	pairs []*certificate
	acme  *acmeIssuer // nil without --acme-domains
}

// openCertificates reads the flags' files. Without any there is nothing, which is no error.
func openCertificates(flags tlsFlags, logger *slog.Logger) (*certificates, error) {
	switch {
	case len(flags.Cert) == 0 && len(flags.Key) == 0:
		return nil, nil
	case len(flags.Key) == 0:
		return nil, errors.New("--tls-cert without --tls-key: give the certificate's private key, too")
	case len(flags.Cert) == 0:
		return nil, errors.New("--tls-key without --tls-cert: give the key's certificate, too")
	case len(flags.Cert) != len(flags.Key):
		return nil, fmt.Errorf("--tls-cert has %d files and --tls-key %d: give each certificate its key, in the same order",
			len(flags.Cert), len(flags.Key))
	}
	c := &certificates{}
	for i, name := range flags.Cert {
		pair, err := openCertificate(pairFiles{cert: name, key: flags.Key[i]}, logger)
		if err != nil {
			return nil, err
		}
		c.pairs = append(c.pairs, pair)
	}
	return c, nil
}

// aeadSuites are those of TLS 1.2 that HTTP/2 allows (RFC 9113 appendix A): forward secret, with authenticated
// encryption. TLS 1.3 has no others.
var aeadSuites = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// config is the configuration of a TLS listener; protocols are those that it offers to choose from (ALPN).
//
// Session tickets are crypto/tls's own: a key of this process's memory alone, a new one each day and none older than a
// week, so that no file gives away what was said before.
func (c *certificates) config(protocols ...string) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		CipherSuites:   aeadSuites,
		NextProtos:     protocols,
		GetCertificate: c.get,
	}
}

// get chooses for a client: the first pair of files that has the name asked for and a key of a kind that the client
// knows, else ACME's if the name is one of its, else the first there is.
func (c *certificates) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.acme != nil && c.acme.asked(hello) {
		return c.acme.challenge(hello)
	}
	for _, pair := range c.pairs {
		if served := pair.current(); len(c.pairs) == 1 && c.acme == nil || hello.SupportsCertificate(served) == nil {
			return served, nil
		}
	}
	if c.acme != nil && (len(c.pairs) == 0 || c.acme.has(hello.ServerName)) {
		return c.acme.certificate(hello)
	}
	return c.pairs[0].current(), nil
}
