package porttest

import (
	"net"
	"runtime"
	"testing"
)

func TestAddressIsGivenOnce(t *testing.T) {
	addr, err := Loopback(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a server may end, and start again
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	port := portOf(t, addr)
	if _, err := try(t.Context(), port); err == nil && runtime.GOOS == "linux" {
		t.Errorf("%s was given twice", addr)
	}
}

func TestWhatIsTakenIsNotGiven(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		addr, err := Loopback(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, lock := range kept.locks {
			if err := lock.Close(); err != nil {
				t.Fatal(err)
			}
		}
		kept.locks = nil
		var config net.ListenConfig
		if network == "udp" {
			p, err := config.ListenPacket(t.Context(), network, addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Close() })
		} else {
			l, err := config.Listen(t.Context(), network, addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
		}
		if _, err := try(t.Context(), portOf(t, addr)); err == nil {
			t.Errorf("the port of %s %s was given", network, addr)
		}
	}
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return a.Port
}
