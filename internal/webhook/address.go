package webhook

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// errPrivate does not tell the address: who made the webhook is not to learn what a name means inside.
var errPrivate = errors.New("the URL leads to no public address: only an administrator may set one that leads inside")

// publicOnly refuses connections to addresses that are not of the public internet. It is a net.Dialer's Control, which
// sees what a name has resolved to: a check of the name before would be undone by a second answer of its server.
func publicOnly(_, address string, _ syscall.RawConn) error {
	target, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %.60q: %w", address, errPrivate)
	}
	if !public(target.Addr()) {
		return errPrivate
	}
	return nil
}

// public says whether an address is one of the public internet.
func public(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	if inner, ok := embedded(addr); ok {
		return public(inner)
	}
	// What is not of 2000::/3 has been given to nobody: IPv4 in old ways, networks' own NAT64, site-local addresses.
	if addr.Is6() && !netip.MustParsePrefix("2000::/3").Contains(addr) {
		return false
	}
	if !addr.IsGlobalUnicast() || addr.IsPrivate() { // which leaves out loopback, link-local, multicast, unspecified
		return false
	}
	for _, reserved := range []string{
		"0.0.0.0/8",       // this network
		"100.64.0.0/10",   // carriers' NAT
		"192.0.0.0/24",    // protocol assignments
		"192.0.2.0/24",    // documentation, as the next two
		"198.51.100.0/24", //
		"203.0.113.0/24",  //
		"192.88.99.0/24",  // 6to4 relays
		"198.18.0.0/15",   // benchmarks
		"240.0.0.0/4",     // reserved, and broadcast
		"2001::/23",       // protocol assignments, Teredo among them
		"2001:db8::/32",   // documentation
		"3fff::/20",       // documentation
	} {
		if netip.MustParsePrefix(reserved).Contains(addr) {
			return false
		}
	}
	return true
}

// embedded gives the IPv4 address that packets to an address end up at: of NAT64 (RFC 6052, 2.1) and 6to4 (RFC 3056).
func embedded(addr netip.Addr) (netip.Addr, bool) {
	bytes := addr.As16()
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(addr):
		return netip.AddrFrom4([4]byte(bytes[12:])), true
	case netip.MustParsePrefix("2002::/16").Contains(addr):
		return netip.AddrFrom4([4]byte(bytes[2:6])), true
	}
	return netip.Addr{}, false
}
