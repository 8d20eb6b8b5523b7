//go:build !unix

package diskcache

import (
	"errors"
	"os"
)

// lockFile does nothing: the operator keeps two processes from one directory.
func lockFile(*os.File) error { return nil }

func noSpace(error) bool { return false }

func broken(error) bool { return false }

func readOnly(err error) bool { return errors.Is(err, os.ErrPermission) }
