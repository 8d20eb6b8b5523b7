package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// maxShift bounds what is added to ports, of which 9090 is the highest.
const maxShift = 50_000

// port is a port of the compose file as it is here.
func (t translation) port(number string) string {
	n, err := strconv.Atoi(number)
	if err != nil || t.shift == 0 {
		return number
	}
	return strconv.Itoa(n + t.shift)
}

// allPorts gives every port that the service listens at, like "8080/tcp": those that its command line and environment
// name beside those that it tells.
func (s *Service) allPorts() []string {
	ports := slices.Clone(s.Ports)
	own := regexp.MustCompile(regexp.QuoteMeta(s.Address) + `:([0-9]+)\b`)
	for _, text := range slices.Concat(s.Args, s.Env) {
		for _, found := range own.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(ports, found[1]+"/tcp") && !slices.Contains(ports, found[1]+"/udp") {
				ports = append(ports, found[1]+"/tcp")
			}
		}
	}
	return ports
}

// checkPorts refuses a stack whose ports others have, and says who.
func (p *Plan) checkPorts(ctx context.Context) error {
	for _, s := range p.Services {
		for _, port := range s.allPorts() {
			number, protocol, _ := strings.Cut(port, "/")
			address := net.JoinHostPort(s.Address, number)
			var err error
			var l io.Closer
			if protocol == "udp" {
				l, err = new(net.ListenConfig).ListenPacket(ctx, "udp", address)
			} else {
				l, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
			}
			if errors.Is(err, syscall.EADDRINUSE) {
				return taken(s.Name, address, protocol)
			}
			if errors.Is(err, syscall.EADDRNOTAVAIL) {
				return fmt.Errorf("%s: this system's loopback has one address only: the stack needs Linux", address)
			}
			if err != nil {
				return fmt.Errorf("service %s: %w", s.Name, err)
			}
			if err := l.Close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// taken says who has a service's port, and the way out: one who listens at all addresses has the port of all networks.
func taken(service, address, protocol string) error {
	const (
		addresses = "choose other addresses: make stack STACK='-net 127.21.0'"
		ports     = "choose other ports: make stack STACK='-shift 10000' adds that to each"
	)
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	who, known := holder(at, protocol)
	switch {
	case !known:
		return fmt.Errorf("%s of service %s is taken by another program, or another stack: stop that, or %s; if that "+
			"program listens at all addresses, %s", address, service, addresses, ports)
	case who.everywhere:
		return fmt.Errorf("%s of service %s is taken: %s listens at port %d of all addresses: stop it, or %s",
			address, service, who.name, at.Port(), ports)
	}
	return fmt.Errorf("%s of service %s is taken by %s, perhaps of another stack: stop it, or %s", address, service,
		who.name, addresses)
}
