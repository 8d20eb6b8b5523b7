package main

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// Who is in the way is named, with what to do: other addresses do not help against who listens at all of them.
func TestTakenPortsAreToldWithTheirHolder(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a whole loopback network, and tells whose a port is")
	}
	const own = "127.9.8.7"
	name, err := os.ReadFile("/proc/self/comm")
	if err != nil {
		t.Fatal(err)
	}
	me := fmt.Sprintf("%s (process %d)", strings.TrimSpace(string(name)), os.Getpid())
	listen := func(network, address string) string {
		var at net.Addr
		if strings.HasPrefix(network, "udp") {
			c, err := net.ListenPacket(network, address)
			if err != nil {
				t.Skipf("%s %s: %v", network, address, err)
			}
			t.Cleanup(func() { _ = c.Close() })
			at = c.LocalAddr()
		} else {
			l, err := net.Listen(network, address)
			if err != nil {
				t.Skipf("%s %s: %v", network, address, err)
			}
			t.Cleanup(func() { _ = l.Close() })
			at = l.Addr()
		}
		_, port, err := net.SplitHostPort(at.String())
		if err != nil {
			t.Fatal(err)
		}
		return port
	}
	for _, c := range []struct{ network, address, do string }{
		{"tcp4", own + ":0", "STACK='-net"}, {"tcp4", "0.0.0.0:0", "STACK='-shift"}, {"tcp", "[::]:0", "STACK='-shift"},
		{"udp4", own + ":0", "STACK='-net"}, {"udp4", "0.0.0.0:0", "STACK='-shift"},
	} {
		t.Run(c.network+" "+c.address, func(t *testing.T) {
			port := listen(c.network, c.address)
			s := Service{Name: "api", Address: own, Env: []string{"OXBOW_HTTP=" + own + ":" + port}}
			if strings.HasPrefix(c.network, "udp") {
				s.Ports = []string{port + "/udp"}
			}
			err := (&Plan{Services: []Service{s}}).checkPorts(t.Context())
			if err == nil {
				t.Fatal("the port is taken, and nobody says so")
			}
			for _, want := range []string{own + ":" + port, "service api", me, c.do} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("no %q in: %v", want, err)
				}
			}
		})
	}
}

func TestKernelAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:1F90":                         "127.0.0.1:8080",
		"00000000:0050":                         "0.0.0.0:80",
		"00000000000000000000000000000000:1F90": "[::]:8080",
		"0000000000000000FFFF00000100007F:1F90": "127.0.0.1:8080",
		"00000000000000000000000001000000:0001": "[::1]:1",
	} {
		if got, ok := kernelAddress(text); !ok || got != netip.MustParseAddrPort(want) {
			t.Errorf("%s is %v, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "local_address", "0100007F", "01:1F90", "0100007F:1F901"} {
		if got, ok := kernelAddress(text); ok {
			t.Errorf("%q is %v", text, got)
		}
	}
}

// Every port of a stack is shifted, in what listens and in what asks, and each service has its own.
func TestShiftMovesEveryPort(t *testing.T) {
	if _, err := postgresBinaries(); err != nil {
		skip(t, err.Error())
	}
	dir := t.TempDir()
	for _, name := range []string{"redis-server", "prometheus"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	file, err := filepath.Abs(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	ports := func(shift int) (all []string, listening int) {
		plan, err := newPlan(t.Context(), Options{
			File: file, Dir: "/s", Network: "127.1.2", Oxbow: "/b/oxbow", VersityGW: "/b/versitygw", Shift: shift,
			Profiles: []string{"demo"},
		})
		if err != nil {
			t.Fatal(err)
		}
		known := regexp.MustCompile(`127\.1\.2\.[0-9]+:([0-9]+)`)
		for _, s := range plan.Services {
			listening += len(s.allPorts())
			texts := slices.Concat(s.Args, s.Env)
			if s.Health != nil {
				texts = slices.Concat(texts, s.Health.Args)
			}
			for _, text := range texts {
				for _, found := range known.FindAllStringSubmatch(text, -1) {
					all = append(all, found[1])
				}
			}
			for i, arg := range s.Args {
				if arg == "-p" || arg == "--port" {
					all = append(all, s.Args[i+1])
				}
			}
			for _, port := range s.Ports {
				number, _, _ := strings.Cut(port, "/")
				all = append(all, number)
			}
		}
		return all, listening
	}
	plain, listening := ports(0)
	shifted, still := ports(20_000)
	if len(plain) != len(shifted) || len(plain) < 50 || listening != still || listening < 25 {
		t.Fatalf("%d ports, %d when shifted; %d and %d listeners", len(plain), len(shifted), listening, still)
	}
	for i, port := range plain {
		number, err := strconv.Atoi(port)
		if want := strconv.Itoa(number + 20_000); err != nil || shifted[i] != want {
			t.Errorf("%s becomes %s, want %s", port, shifted[i], want)
		}
	}
}
