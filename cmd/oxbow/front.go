package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/front"
)

// frontFlags say what one client may take, and how it is known.
type frontFlags struct {
	ProxyProtocol bool `name:"proxy-protocol" help:"The proxies of --trusted-proxies begin each connection with a header of the PROXY protocol, version 1 or 2; what they send without one is closed."`

	ClientConnections int             `name:"client-connections" default:"8192" placeholder:"N" help:"Most connections at a time of one IPv4 address or IPv6 /64; 0 is no limit (default: ${default})."`
	ClientRequests    int             `name:"client-requests" default:"0" placeholder:"N" help:"Most requests a second of one IPv4 address or IPv6 /64, and twice that at once: those above wait for up to a second, and get 503 beyond that; 0 is no limit (default: ${default}). A low-latency viewer makes up to 20."`
	ClientBandwidth   byteSize        `name:"client-bandwidth" placeholder:"SIZE" help:"Most bytes a second that one IPv4 address or IPv6 /64 is sent, like 20MiB; what is above waits (default: no limit)."`
	ClientExempt      addressPrefixes `name:"client-exempt" placeholder:"CIDR,..." help:"Networks that have no such limits: offices, monitoring, other edges. Those of --trusted-proxies never have (default: none)."`

	accessLogFlags `embed:""`
}

// leastBandwidth is the least --client-bandwidth: below it not even sound gets through.
const leastBandwidth = 64 << 10

// check says what is wrong with the flags.
func (f *frontFlags) check(trusted []netip.Prefix) error {
	switch {
	case f.ProxyProtocol && len(trusted) == 0:
		return errors.New("--proxy-protocol: say who the proxies are, with --trusted-proxies")
	case f.ClientConnections < 0:
		return fmt.Errorf("--client-connections %d: use a number of connections, or 0 for no limit", f.ClientConnections)
	case f.ClientRequests < 0:
		return fmt.Errorf("--client-requests %d: use a number of requests a second, or 0 for no limit", f.ClientRequests)
	case f.ClientBandwidth != 0 && f.ClientBandwidth < leastBandwidth:
		return fmt.Errorf("--client-bandwidth %d: use at least 64KiB, or leave it out for no limit", f.ClientBandwidth)
	}
	return nil
}

// clientsFront is the front of a process's ports for viewers, which count each client once.
type clientsFront struct {
	*front.Book
	config front.ListenerConfig
	// observers are told of all requests.
	observers []cacheproxy.Observer
}

// openFront makes the front. Trusted are the proxies in front of it.
func (n *node) openFront(ctx runContext, f frontFlags, trusted []netip.Prefix) (clientsFront, error) {
	if err := f.check(trusted); err != nil {
		return clientsFront{}, err
	}
	book := front.NewBook(front.Config{
		Connections: f.ClientConnections, Requests: float64(f.ClientRequests), Bytes: float64(f.ClientBandwidth),
		Exempt: slices.Concat(f.ClientExempt, trusted),
	}, prometheus.Registerer(n.metrics))
	config := front.ListenerConfig{Book: book, Logger: n.logger}
	if f.ProxyProtocol {
		config.Proxies = trusted
	}
	observers, err := n.openAccessLog(ctx, f.accessLogFlags, ctx.stdout)
	return clientsFront{Book: book, config: config, observers: observers}, err
}

// listener gives one of the ports as its clients come in. Plain says that it speaks HTTP without TLS.
func (c clientsFront) listener(l net.Listener, plain bool) net.Listener {
	config := c.config
	config.PlainHTTP = plain
	return front.NewListener(l, config)
}

// behindProxies gives a port of publishers, or none, whose connections tell by the PROXY protocol who they are from.
// The limits of publishers are ingest's own.
func (n *node) behindProxies(l net.Listener) net.Listener {
	if l == nil || len(n.RTMPProxies) == 0 {
		return l
	}
	return front.NewListener(l, front.ListenerConfig{
		Book: front.NewBook(front.Config{}, nil), Proxies: n.RTMPProxies, Logger: n.logger,
	})
}
