package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// listenAddress is a flag's HOST:PORT to listen on. Port 0 takes any free one.
type listenAddress string

// UnmarshalText checks the address's form.
func (a *listenAddress) UnmarshalText(text []byte) error {
	_, port, err := net.SplitHostPort(string(text))
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("%q is no address: use HOST:PORT, or :PORT for all interfaces, like :8080", text)
	}
	*a = listenAddress(text)
	return nil
}

// listen opens the address for a flag and says in its error what to do.
func (a listenAddress) listen(ctx context.Context, flag string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", string(a))
	if err != nil {
		return nil, a.explain(err, flag)
	}
	return l, nil
}

// explain says of a failure to listen what to do.
func (a listenAddress) explain(err error, flag string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s %s: another program listens there: stop it, or choose another port with %s", flag, a, flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%s %s: not allowed: use a port above 1023, or grant CAP_NET_BIND_SERVICE", flag, a)
	}
	return fmt.Errorf("%s %s: %w", flag, a, err)
}

// reachable gives the host:port under which a client on this machine reaches what listens on the address.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// byteSize is a flag's size: a number of bytes, or one with KiB, MiB or GiB behind it.
type byteSize int64

// UnmarshalText reads the size.
func (b *byteSize) UnmarshalText(text []byte) error {
	number, factor := string(text), int64(1)
	for suffix, f := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, factor = n, f
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
	if err != nil || n <= 0 || n > math.MaxInt64/factor {
		return fmt.Errorf("%q is no size: use a number of bytes, or one like 256MiB or 2GiB", text)
	}
	*b = byteSize(n * factor)
	return nil
}
