package main

import (
	"crypto/x509"
	"errors"

	"github.com/oxbow-video/oxbow/internal/doctor"
)

// edge gives what the flags say of an edge, or of the API that steers its viewers; nil if nothing.
func (c *doctorCommand) edge() *doctor.Edge {
	e := &doctor.Edge{
		PublicURL: string(c.PublicURL), SteeringURL: string(c.SteeringURL), Authorization: c.secret.Shown(),
		Certificates: c.TLS.toCheck(),
	}
	for _, list := range []struct {
		flag string
		urls baseURLs
	}{{"--siblings", c.Siblings}, {"--shields", c.Shields}} {
		for _, url := range list.urls {
			e.Peers = append(e.Peers, doctor.Peer{Flag: list.flag, URL: url})
		}
	}
	if e.PublicURL == "" && e.SteeringURL == "" && len(e.Peers)+len(e.Certificates) == 0 {
		return nil
	}
	return e
}

// toCheck reads the files, each with what is wrong with it.
func (f *tlsFlags) toCheck() (all []doctor.Certificate) {
	if len(f.Cert) != len(f.Key) {
		return []doctor.Certificate{{Err: errors.New("--tls-cert and --tls-key have different numbers of files: " +
			"give each certificate its key, in the same order")}}
	}
	for i, file := range f.Cert {
		one := doctor.Certificate{File: file}
		pair, err := pairFiles{cert: file, key: f.Key[i]}.load()
		if one.Err = err; err == nil {
			one.Chain = append(one.Chain, pair.Leaf)
			for _, der := range pair.Certificate[1:] {
				if issuer, err := x509.ParseCertificate(der); err == nil {
					one.Chain = append(one.Chain, issuer)
				}
			}
		}
		all = append(all, one)
	}
	return all
}
