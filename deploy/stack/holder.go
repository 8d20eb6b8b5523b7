package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portHolder is who has a port.
type portHolder struct {
	name       string // like "nginx (process 812)"
	everywhere bool   // it has the port of all addresses
}

// holder looks in Linux's tables for who keeps others from an address: whoever has that, or all addresses.
func holder(at netip.AddrPort, protocol string) (portHolder, bool) {
	state := map[string]string{"tcp": "0A", "udp": "07"}[protocol]
	for _, table := range []string{protocol, protocol + "6"} {
		text, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			continue // not Linux, or no IPv6
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			const local, stateField, inode = 1, 3, 9
			if len(fields) <= inode || fields[stateField] != state {
				continue
			}
			has, ok := kernelAddress(fields[local])
			if !ok || has.Port() != at.Port() || !has.Addr().IsUnspecified() && has.Addr() != at.Addr() {
				continue
			}
			return portHolder{name: socketOwner(fields[inode]), everywhere: has.Addr().IsUnspecified()}, true
		}
	}
	return portHolder{}, false
}

// kernelAddress reads an address of /proc/net/tcp: words of four bytes in the machine's order, in hex, and the port.
func kernelAddress(text string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(text, ":")
	words, err := hex.DecodeString(host)
	number, portErr := strconv.ParseUint(port, 16, 16)
	if err != nil || portErr != nil || len(words)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(words); i += 4 {
		binary.NativeEndian.PutUint32(words[i:], binary.BigEndian.Uint32(words[i:]))
	}
	addr, ok := netip.AddrFromSlice(words)
	return netip.AddrPortFrom(addr.Unmap(), uint16(number)), ok
}

// socketOwner names the program that has a socket open.
func socketOwner(inode string) string {
	files, _ := filepath.Glob("/proc/[0-9]*/fd/*") // the pattern is right
	for _, file := range files {
		if to, err := os.Readlink(file); err != nil || to != "socket:["+inode+"]" {
			continue
		}
		pid := strings.Split(file, "/")[2]
		name, err := os.ReadFile("/proc/" + pid + "/comm")
		if err != nil {
			continue // it ends
		}
		return fmt.Sprintf("%s (process %s)", strings.TrimSpace(string(name)), pid)
	}
	return "a program of another user (sudo ss -lntup tells which)"
}
