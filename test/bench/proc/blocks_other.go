//go:build !unix

package proc

import "errors"

func blocksOf(string) (inode string, size int64, err error) { return "", 0, errors.ErrUnsupported }
