package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"

	"github.com/oxbow-video/oxbow/internal/admission"
)

// tokenFlags are the secret of the cluster's processes.
type tokenFlags struct {
	ClusterToken     string `placeholder:"TOKEN" help:"Secret that the processes of all clusters share, without which nobody is answered at their --internal ports (default: none, but with serve a random one). Others on this machine see command lines: rather use --cluster-token-file."`
	ClusterTokenFile string `placeholder:"FILE" help:"File with 1 to 4 such secrets, one a line: the first is shown to others, all are taken. It is read again when it changes, so that a secret is changed without a restart."`
}

// given says whether there is a secret.
func (f *tokenFlags) given() bool { return f.ClusterToken != "" || f.ClusterTokenFile != "" }

// open reads the tokens.
func (f *tokenFlags) open() (*admission.Tokens, error) {
	if f.ClusterTokenFile == "" {
		tokens, err := admission.Fixed(f.ClusterToken)
		if err != nil {
			return nil, fmt.Errorf("--cluster-token: %w", err)
		}
		return tokens, nil
	}
	if f.ClusterToken != "" {
		return nil, errors.New("--cluster-token-file: --cluster-token is given too: give one of them")
	}
	tokens, err := admission.ReadFile(f.ClusterTokenFile)
	if err != nil {
		return nil, fmt.Errorf("--cluster-token-file: %w", err)
	}
	return tokens, nil
}

// orRandom gives a process that is alone a secret that nobody knows, if it has none.
func (f *tokenFlags) orRandom() tokenFlags {
	if f.given() {
		return *f
	}
	return tokenFlags{ClusterToken: rand.Text()}
}

// openTokens reads the tokens, follows their file, and makes the guard of --internal.
func (n *node) openTokens(ctx context.Context, f tokenFlags) (err error) {
	if n.tokens, err = f.open(); err != nil {
		return usageError{err}
	}
	if short := len(f.ClusterToken); short > 0 && short < admission.MinToken {
		n.logger.Warn("--cluster-token is short enough to be guessed", "bytes", short,
			"do", "use at least 16 bytes, like those of openssl rand -hex 32")
	}
	if n.tokens.Optional() {
		n.logger.Warn("whoever reaches --internal is answered without a token", "file", f.ClusterTokenFile,
			"do", "remove the line optional when all processes of the cluster have their tokens")
	}
	n.guard = admission.NewGuard(n.tokens, n.logger, n.metrics)
	n.services.add(ctx, "cluster tokens", func(ctx context.Context) error { return n.tokens.Run(ctx, n.logger) })
	return nil
}

// serveInternal serves the port that the cluster's processes ask, which needs a token but for /healthz.
func (n *node) serveInternal(control, directory, origin http.Handler) func(context.Context) error {
	open := func(path string) bool { return path == "/healthz" }
	return serveHTTP(n.internal, n.guard.Handler(internalHandler(control, directory, origin), open), n.logger)
}
