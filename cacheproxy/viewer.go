package cacheproxy

import (
	"net/netip"
	"strings"
)

// viewer gives where a request comes from: the peer of its connection, or, as long as that is one of TrustedProxies,
// whom it says that it speaks for. Not valid: nobody can know.
func (c *Config) viewer(a asker) func() netip.Addr {
	return func() netip.Addr { return c.viewerOf(a) }
}

func (c *Config) viewerOf(a asker) netip.Addr { return proxies(c.TrustedProxies).viewer(a) }

// proxies are those that are believed.
type proxies []netip.Prefix

func (p proxies) viewer(a asker) netip.Addr {
	addr := a.remote().Unmap().WithZone("")
	if !addr.IsValid() || !p.trust(addr) {
		return addr
	}
	lines := a.values("X-Forwarded-For")
	for i := len(lines) - 1; i >= 0; i-- {
		line, more := lines[i], true
		for more {
			if !p.trust(addr) {
				return addr
			}
			hop := line
			if at := strings.LastIndexByte(line, ','); at >= 0 {
				line, hop = line[:at], line[at+1:]
			} else {
				more = false
			}
			if addr = parseHop(strings.TrimSpace(hop)); !addr.IsValid() {
				return addr // a proxy that we trust did not say
			}
		}
	}
	return addr
}

func (p proxies) trust(addr netip.Addr) bool {
	for _, prefix := range p {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// parseHop reads an address of X-Forwarded-For; some proxies write a port behind it.
func parseHop(text string) netip.Addr {
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(text, "["), "]"))
	if err != nil {
		with, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}
		}
		addr = with.Addr()
	}
	return addr.Unmap().WithZone("")
}
