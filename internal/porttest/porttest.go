// Package porttest gives tests addresses for servers that are other programs.
package porttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"sync"
)

// first and count are the ports: below those that Linux gives to outgoing connections, and to who asks for any.
const first, count = 20_000, 12_000

// kept holds the locks of this process, which end with it.
var kept struct {
	sync.Mutex
	locks []io.Closer
}

// Loopback gives an address of loopback at which nobody listens, by TCP or UDP. It is this process's until it ends: no
// other that asks here is given it, and no connection takes it. So a server may start at it late, end, and start again.
func Loopback(ctx context.Context) (string, error) {
	var err error
	for range 1000 {
		var addr string
		if addr, err = try(ctx, first+rand.IntN(count)); err == nil {
			return addr, nil
		}
	}
	return "", fmt.Errorf("no free port of loopback: %w", err)
}

// try gives the address with this port if nobody has it, and keeps it.
func try(ctx context.Context, port int) (string, error) {
	var config net.ListenConfig
	var lock io.Closer
	if runtime.GOOS == "linux" { // whose abstract names leave no files
		var err error
		if lock, err = config.Listen(ctx, "unix", "@oxbow-porttest-"+strconv.Itoa(port)); err != nil {
			return "", err
		}
	}
	addr := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	err := probe(ctx, addr)
	if lock == nil {
		return addr, err
	}
	if err != nil {
		return "", errors.Join(err, lock.Close())
	}
	kept.Lock()
	defer kept.Unlock()
	kept.locks = append(kept.locks, lock)
	return addr, nil
}

// probe fails if somebody listens.
func probe(ctx context.Context, addr string) error {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	p, err := config.ListenPacket(ctx, "udp", addr)
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return errors.Join(l.Close(), p.Close())
}
