package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxPEM bounds the size of a certificate's or key's file in bytes.
const maxPEM = 1 << 20

// pairFiles are the files of a certificate and of its key.
type pairFiles struct{ cert, key string }

// certificate is the server's certificate as its files have it: they are looked at with every handshake, and what
// replaces them is served from then on. Files that are broken leave the last good certificate in place, with one log
// line for each change.
type certificate struct {
	files  pairFiles
	logger *slog.Logger

	mu     sync.Mutex
	served *tls.Certificate
	seen   [2]fileStamp // of the files when they were read last
}

// fileStamp tells a file from what replaces it: one that is as long and came within the same tick of the file system's
// clock is another inode. The zero stamp is a file that cannot be looked at.
type fileStamp struct {
	modified time.Time
	size     int64
	inode    uint64
}

// openCertificate reads the certificate.
func openCertificate(files pairFiles, logger *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, logger: logger}
	c.seen = c.stamps()
	var err error
	if c.served, err = files.load(); err != nil {
		return nil, err
	}
	c.warn()
	return c, nil
}

// current gives the certificate to serve.
func (c *certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	stamps := c.stamps()
	if stamps == c.seen {
		return c.served
	}
	c.seen = stamps // taken before the files are read: a change from here on is seen the next time
	renewed, err := c.files.load()
	if err != nil {
		c.logger.Error("certificate not renewed: serving the one before", "err", err)
		return c.served
	}
	c.served = renewed
	c.logger.Info("certificate renewed", "names", strings.Join(renewed.Leaf.DNSNames, " "), "until", renewed.Leaf.NotAfter)
	c.warn()
	return c.served
}

func (c *certificate) stamps() [2]fileStamp {
	var stamps [2]fileStamp
	for i, name := range []string{c.files.cert, c.files.key} {
		if info, err := os.Stat(name); err == nil {
			stamps[i] = fileStamp{modified: info.ModTime(), size: info.Size()}
			if system, ok := info.Sys().(*syscall.Stat_t); ok {
				stamps[i].inode = system.Ino
			}
		}
	}
	return stamps
}

// warn logs what clients will not like.
func (c *certificate) warn() {
	leaf, now := c.served.Leaf, time.Now()
	switch {
	case now.After(leaf.NotAfter):
		c.logger.Warn("the certificate has expired: clients that check it will refuse", "file", c.files.cert,
			"until", leaf.NotAfter)
	case now.Before(leaf.NotBefore):
		c.logger.Warn("the certificate is not valid yet: clients that check it will refuse", "file", c.files.cert,
			"from", leaf.NotBefore)
	}
}

// load reads both files. Its errors say what is right, and nothing of what is in the key's file.
func (f pairFiles) load() (*tls.Certificate, error) {
	chain, err := readPEM("--tls-cert", f.cert)
	if err != nil {
		return nil, err
	}
	leaf, err := firstCertificate(chain)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s: %w", f.cert, err)
	}
	key, err := readPEM("--tls-key", f.key)
	if err != nil {
		return nil, err
	}
	if err := checkKeyForm(key); err != nil {
		return nil, fmt.Errorf("--tls-key %s: %w", f.key, err)
	}
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-key %s: it must be the private key of the first certificate in %s: %w",
			f.key, f.cert, err)
	}
	pair.Leaf = leaf
	return &pair, nil
}

func readPEM(flag, name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err == nil && info.Size() > maxPEM {
		err = fmt.Errorf("%s has %d bytes: at most %d", name, info.Size(), maxPEM)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return text, nil
}

func firstCertificate(text []byte) (*x509.Certificate, error) {
	hasKey := false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			return x509.ParseCertificate(block.Bytes)
		}
		hasKey = hasKey || strings.HasSuffix(block.Type, "PRIVATE KEY")
	}
	if hasKey {
		return nil, errors.New("it holds a private key and no certificate: are --tls-cert and --tls-key swapped?")
	}
	return nil, errors.New("no certificate in it: want PEM, which begins with -----BEGIN CERTIFICATE-----")
}

func checkKeyForm(text []byte) error {
	hasCertificate := false
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
			return errors.New("the key is encrypted: decrypt it with openssl pkey -in FILE -out PLAIN")
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return nil
		}
		hasCertificate = hasCertificate || block.Type == "CERTIFICATE"
	}
	if hasCertificate {
		return errors.New("it holds a certificate and no private key: are --tls-cert and --tls-key swapped?")
	}
	return errors.New("no private key in it: want PEM, which begins with -----BEGIN PRIVATE KEY-----")
}
