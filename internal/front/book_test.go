package front

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newBook(cfg Config) *Book { return NewBook(cfg, prometheus.NewRegistry()) }

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func TestRequestsAboveTheRateWaitAndThenAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(Config{Requests: 10})
		one, other := addr("192.0.2.1"), addr("192.0.2.2")
		for i := range 20 { // two seconds' at once
			if hold, ok := b.Request(one); hold != 0 || !ok {
				t.Fatalf("request %d: %v %v", i, hold, ok)
			}
		}
		for i := range 10 { // each waits a tenth of a second more than the one before
			want := time.Duration(i+1) * 100 * time.Millisecond
			if hold, ok := b.Request(one); hold != want || !ok {
				t.Fatalf("request %d above the rate: %v %v, want %v", i, hold, ok, want)
			}
		}
		for range 1000 { // a refused request costs nothing
			if hold, ok := b.Request(one); ok || hold != 1100*time.Millisecond {
				t.Fatalf("%v %v", hold, ok)
			}
		}
		if hold, ok := b.Request(other); hold != 0 || !ok {
			t.Errorf("another client: %v %v", hold, ok)
		}
		time.Sleep(time.Second)
		if hold, ok := b.Request(one); hold != 100*time.Millisecond || !ok {
			t.Errorf("a second later: %v %v", hold, ok)
		}
		if held, refused := testutil.ToFloat64(b.metrics.held), testutil.ToFloat64(b.metrics.refused); held != 11 ||
			refused != 1000 {
			t.Errorf("%v held, %v refused", held, refused)
		}
	})
}

func TestBytesAreSentAtTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(Config{Bytes: 1 << 20})
		var streams sync.WaitGroup
		begun := time.Now()
		for range 4 { // of one client
			streams.Go(func() {
				for range 16 {
					time.Sleep(b.Bytes(addr("2001:db8:1:2::3"), 256<<10))
				}
			})
		}
		streams.Wait()
		// 16 MiB, of which two seconds' come at once.
		if took := time.Since(begun); took != 14*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

func TestAClientIsAnAddressOrAnIPv6Network(t *testing.T) {
	for _, row := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8:1:2::3", "2001:db8:1:2:ffff::", true},
		{"2001:db8:1:2::3", "2001:db8:1:3::3", false},
		{"fe80::1%eth0", "fe80::2", true},
	} {
		if same := clientOf(addr(row.a)) == clientOf(addr(row.b)); same != row.same {
			t.Errorf("%s and %s: %v", row.a, row.b, same)
		}
	}
}

func TestNobodyExemptIsCounted(t *testing.T) {
	b := newBook(Config{
		Connections: 1, Requests: 1, Bytes: 1, RequestBurst: time.Nanosecond, ByteBurst: time.Nanosecond,
		Exempt: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")},
	})
	for _, a := range []netip.Addr{addr("10.1.2.3"), addr("::ffff:10.1.2.3"), addr("2001:db8::1"), {}} {
		for range 3 {
			hold, ok := b.Request(a)
			if _, let := b.enter(a); !ok || hold != 0 || !let || b.Bytes(a, 1<<20) != 0 {
				t.Errorf("%s is limited", a)
			}
		}
	}
	if clients, connections := b.usage(); clients != 0 || connections != 0 {
		t.Errorf("%d clients, %d connections are remembered", clients, connections)
	}
}

func TestConnectionsOfAClient(t *testing.T) {
	b := newBook(Config{Connections: 2})
	a := addr("192.0.2.1")
	leave, _ := b.enter(a)
	if _, ok := b.enter(a); !ok {
		t.Fatal("the second was refused")
	}
	if _, ok := b.enter(a); ok {
		t.Fatal("the third was let in")
	}
	leave()
	if _, ok := b.enter(a); !ok {
		t.Error("one has left, and the next was refused")
	}
}

func TestClientsThatOweNothingAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBook(Config{Requests: 10, Connections: 10})
		stays := addr("192.0.2.1")
		if _, ok := b.enter(stays); !ok {
			t.Fatal("refused")
		}
		ask := func(round, n int) {
			for i := range n {
				b.Request(netip.AddrFrom4([4]byte{10, byte(round<<4 | i>>16), byte(i >> 8), byte(i)}))
			}
		}
		for round := range 8 {
			time.Sleep(time.Minute)
			ask(round, 20_000)
		}
		if clients, connections := b.usage(); clients > 60_000 || connections != 1 {
			t.Errorf("%d clients, %d connections", clients, connections)
		}
		if c := b.find(stays, b.now()); c.connections != 1 {
			t.Error("who has a connection was forgotten")
		}
		// All of these ask within less than they have earned back: none can be forgotten.
		for round := range 6 {
			ask(round, 65_000)
		}
		clients, _ := b.usage()
		if clients > maxClients || clients < maxClients*3/4 || testutil.ToFloat64(b.metrics.unlimited) == 0 {
			t.Errorf("%d clients", clients)
		}
		time.Sleep(time.Minute)
		ask(9, 65_000)
		if clients, _ := b.usage(); clients > 130_000 {
			t.Errorf("%d clients are remembered after a flood", clients)
		}
	})
}

func TestMetricsAreRegistered(t *testing.T) {
	registry := prometheus.NewRegistry()
	NewBook(Config{}, registry).metrics.headers.WithLabelValues("bad").Inc()
	families, err := registry.Gather()
	if err != nil || len(families) != 8 {
		t.Errorf("%d families, %v", len(families), err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "oxbow_front_") {
			t.Error(f.GetName())
		}
	}
}

// BenchmarkRequest is what the limits cost a request: of clients that are many, and of one that is all of them.
func BenchmarkRequest(b *testing.B) {
	for _, clients := range []int{1, 10_000} {
		for _, limited := range []bool{false, true} {
			b.Run(fmt.Sprintf("clients=%d/limited=%v", clients, limited), func(b *testing.B) {
				cfg := Config{}
				if limited {
					cfg = Config{Requests: 1e9, Bytes: 1e15}
				}
				book := newBook(cfg)
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for i := 0; pb.Next(); i++ {
						n := i % clients
						a := netip.AddrFrom4([4]byte{192, 0, byte(n >> 8), byte(n)})
						if _, ok := book.Request(a); !ok {
							b.Error("refused")
						}
						book.Bytes(a, 60<<10)
					}
				})
			})
		}
	}
}
