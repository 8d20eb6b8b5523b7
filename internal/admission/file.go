package admission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"
)

const (
	// maxFile bounds the file's size, in bytes.
	maxFile = 64 << 10
	// fileLook is how often the file is read: a secret is changed everywhere within a second.
	fileLook = time.Second
)

// ReadFile gives a file's tokens, which Run reads again.
func ReadFile(path string) (*Tokens, error) {
	t := &Tokens{path: path}
	read, err := t.read()
	if err != nil {
		return nil, err
	}
	t.now.Store(read)
	return t, nil
}

func (t *Tokens) read() (*tokens, error) {
	f, err := os.Open(t.path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch err := errors.Join(err, f.Close()); {
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", t.path, err)
	case len(text) > maxFile:
		return nil, fmt.Errorf("%s: more than %d bytes: it is no file of tokens", t.path, maxFile)
	case bytes.IndexByte(text, 0) >= 0:
		return nil, fmt.Errorf("%s: it is no text", t.path)
	}
	read, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.path, err)
	}
	return read, nil
}

// Reload reads the file again, and says whether anything changed. After an error the tokens are those of before.
func (t *Tokens) Reload() (changed bool, err error) {
	read, err := t.read()
	if err != nil {
		return false, err
	}
	if t.now.Load().same(read) {
		return false, nil
	}
	t.now.Store(read)
	return true, nil
}

func (t *tokens) same(o *tokens) bool {
	if t.optional != o.optional || len(t.sums) != len(o.sums) {
		return false
	}
	for i := range t.sums {
		if t.sums[i] != o.sums[i] {
			return false
		}
	}
	return true
}

// Run reads the file again and again until ctx ends; without a file it only waits. It tells of what changed, and once
// of a file that can't be used.
func (t *Tokens) Run(ctx context.Context, logger *slog.Logger) error {
	if t == nil || t.path == "" {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(fileLook)
	defer tick.Stop()
	for told := ""; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		changed, err := t.Reload()
		switch {
		case err != nil && err.Error() != told:
			told = err.Error()
			logger.Warn("the cluster's tokens can't be read: those of before are good still", "err", err,
				"do", "mend the file of --cluster-token-file")
		case changed || err == nil && told != "":
			told = ""
			logger.Info("the cluster's tokens are read", "file", t.path, "tokens", len(t.load().sums),
				"optional", t.Optional())
		}
	}
}
