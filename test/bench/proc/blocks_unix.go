//go:build unix

package proc

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// blocksOf gives which file it is, and the bytes that it takes up: of a sparse file those that are there.
func blocksOf(name string) (inode string, size int64, err error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "", 0, errors.ErrUnsupported
	}
	return fmt.Sprintf("%d:%d", stat.Dev, stat.Ino), stat.Blocks * 512, nil
}
