package test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// TestRTMPLimitsPerAddress: behind a proxy that tells it, the limit of connections is of the publisher's IPv4 address or
// IPv6 /64, and who uses his up takes nothing from others.
func TestRTMPLimitsPerAddress(t *testing.T) {
	t.Parallel()
	const limit = 6
	server := newOxbow(t, "--rtmp-proxies", "127.0.0.9/32", "--max-per-address", fmt.Sprint(limit))
	server.start("serve")
	var open []net.Conn
	t.Cleanup(func() {
		for _, conn := range open {
			_ = conn.Close()
		}
	})
	arrived, crowded := 0, 0
	// come opens connections of clients in turn, and waits until as many more have been sent away as should be.
	come := func(count, away int, clients ...string) {
		t.Helper()
		for i := range count {
			conn, err := proxied(t.Context(), server.rtmp, clients[i%len(clients)])
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, conn)
		}
		arrived, crowded = arrived+count, crowded+away
		eventually(t, 20*time.Second, fmt.Sprintf("%d connections, %d of them sent away", arrived, crowded), func() bool {
			_, text := server.try("http://" + server.admin + "/metrics")
			return strings.Contains(string(text), fmt.Sprintf("oxbow_ingest_connections_total{protocol=\"rtmp\"} %d\n", arrived)) &&
				strings.Contains(string(text), fmt.Sprintf("oxbow_ingest_refused_total{reason=\"crowded\"} %d\n", crowded))
		})
	}
	come(limit, 0, "198.51.100.7")
	come(3, 3, "198.51.100.7")
	come(limit, 0, "198.51.100.8")
	come(limit, 0, "2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:2::2")
	come(2, 2, "2001:db8:1:2::3")
	come(limit, 0, "2001:db8:1:3::1")
	come(1, 1, "2001:db8:1:3:8000::1")
	come(limit, 0, "::ffff:198.51.100.9")
	come(2, 2, "198.51.100.9") // the same address in its own form

	conn, err := net.Dial("tcp", server.rtmp) // past the proxy, who says what he likes
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("PROXY TCP4 198.51.100.8 192.0.2.1 4711 1935\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := conn.Read(make([]byte, 1)); err == nil {
		t.Errorf("somebody else's header is answered: %d", n)
	}
	if now := server.metrics("oxbow_ingest_refused_total", `reason="crowded"`); now != float64(crowded) {
		t.Errorf("somebody else's header sent %v away", now-float64(crowded))
	}
}
