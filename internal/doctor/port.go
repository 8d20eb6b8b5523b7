package doctor

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Port is an address that a role listens on.
type Port struct {
	// Flag names it: "--rtmp". Network is "tcp" or "udp".
	Flag    string
	Network string
	Address string
}

// checkPorts binds each port for a moment.
func checkPorts(ctx context.Context, r *Report, ports []Port) {
	for _, p := range ports {
		name := "port " + p.Flag
		err := p.bind(ctx)
		switch {
		case err == nil:
			r.ok(name, "%s %s is free", p.Network, p.Address)
		case errors.Is(err, syscall.EADDRINUSE):
			level, who, do := Fail, holder(p), "stop it, or choose another port with "+p.Flag
			if strings.Contains(who, " oxbow") {
				level, do = Warn, "well if that is the server in question; else "+do
			}
			r.add(level, name, do,
				"%s %s is held by %s", p.Network, p.Address, who)
		case errors.Is(err, syscall.EACCES):
			r.add(Fail, name, "use a port above 1023, or grant CAP_NET_BIND_SERVICE", "%s %s is not allowed", p.Network,
				p.Address)
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			r.add(Fail, name, "name an address of this machine, or :PORT for all", "%s is no address of this machine", p.Address)
		default:
			r.add(Fail, name, "write it as HOST:PORT", "%s", reason(err))
		}
	}
}

func (p Port) bind(ctx context.Context) error {
	var config net.ListenConfig
	if p.Network == "udp" {
		conn, err := config.ListenPacket(ctx, "udp", p.Address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	l, err := config.Listen(ctx, "tcp", p.Address)
	if err != nil {
		return err
	}
	return l.Close()
}

// holder says who has a port, as far as this user may see.
func holder(p Port) string {
	const nobody = "another program, which this user may not see"
	_, port, err := net.SplitHostPort(p.Address)
	if err != nil {
		return nobody
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nobody
	}
	inodes := map[string]bool{}
	for _, table := range []string{p.Network, p.Network + "6"} {
		sockets(table, uint16(n), inodes)
	}
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil || len(inodes) == 0 {
		return nobody
	}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil || !inodes[target] {
			continue
		}
		pid := strings.Split(link, "/")[2]
		command, err := os.ReadFile("/proc/" + pid + "/comm")
		if err == nil {
			return "process " + pid + ", " + strings.TrimSpace(string(command))
		}
	}
	return nobody
}

// sockets collects the sockets that listen on a port, as /proc/PID/fd names them.
func sockets(table string, port uint16, inodes map[string]bool) {
	f, err := os.Open("/proc/net/" + table)
	if err != nil {
		return
	}
	defer f.Close()
	const listens, unconnected = "0A", "07"
	for scanner := bufio.NewScanner(f); scanner.Scan(); {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 10 || !strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			continue
		}
		if fields[3] == listens || fields[3] == unconnected {
			inodes["socket:["+fields[9]+"]"] = true
		}
	}
}
