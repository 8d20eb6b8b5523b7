package front

import (
	"cmp"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Config says what one client may take. Zero is no limit.
type Config struct {
	// Connections is how many a client may have at a time.
	Connections int
	// Requests is how many a second a client may make. It may make those of RequestBurst at once.
	Requests float64
	// RequestBurst is a time. Zero means 2 s.
	RequestBurst time.Duration
	// Bytes is how many a second of bodies a client is sent. It is sent those of ByteBurst at once.
	Bytes float64
	// ByteBurst is a time. Zero means 2 s.
	ByteBurst time.Duration
	// Exempt are networks without limits: monitoring, and proxies in front of us, who speak for many.
	Exempt []netip.Prefix
}

// maxHold is how long a request waits rather than being refused.
const maxHold = time.Second

const (
	shards = 64
	// maxClients bounds the clients that are remembered.
	maxClients = 256 << 10
	// minSwept is how many clients a shard has before it looks for those to forget.
	minSwept = 64
)

// Book keeps the accounts of all clients. Its methods may be called by many at a time.
type Book struct {
	cfg     Config
	begun   time.Time
	seed    uint64
	shards  [shards]shard
	metrics *metrics
}

// shard has some of the clients.
type shard struct {
	mu      sync.Mutex
	clients map[netip.Addr]*client
	// sweepAt is how many clients cause the next look for those to forget, and sweepNext when that may be at the
	// earliest: a shard that is full of those that can't be forgotten is not looked through for every one that is new.
	sweepAt     int
	sweepNext   int64
	connections int
	_           [64]byte // the next shard's lock is on another line
}

// client is one client's account.
type client struct {
	connections     int // under its shard's mu
	requests, bytes bucket
}

// NewBook makes a book.
func NewBook(cfg Config, registerer prometheus.Registerer) *Book {
	cfg.RequestBurst = cmp.Or(cfg.RequestBurst, 2*time.Second)
	cfg.ByteBurst = cmp.Or(cfg.ByteBurst, 2*time.Second)
	b := &Book{cfg: cfg, begun: time.Now(), seed: rand.Uint64()}
	for i := range b.shards {
		b.shards[i].clients, b.shards[i].sweepAt = make(map[netip.Addr]*client), minSwept
	}
	b.metrics = newMetrics(registerer, b)
	return b
}

// Request takes one request of the client's. Hold is how long to wait before it is answered; if it is not ok it is to
// be refused, and may come again after that time.
func (b *Book) Request(addr netip.Addr) (hold time.Duration, ok bool) {
	if b.cfg.Requests <= 0 || b.exempt(addr) {
		return 0, true
	}
	now := b.now()
	c := b.find(addr, now)
	if c == nil {
		return 0, true
	}
	held, ok := c.requests.take(now, cost(1, b.cfg.Requests), int64(b.cfg.RequestBurst), int64(maxHold))
	switch {
	case !ok:
		b.metrics.refused.Inc()
	case held > 0:
		b.metrics.held.Inc()
	}
	return time.Duration(held), ok
}

// Bytes takes n bytes of the client's, and says how long to wait before they are sent.
func (b *Book) Bytes(addr netip.Addr, n int) time.Duration {
	if b.cfg.Bytes <= 0 || b.exempt(addr) {
		return 0
	}
	now := b.now()
	c := b.find(addr, now)
	if c == nil {
		return 0
	}
	held, _ := c.bytes.take(now, cost(n, b.cfg.Bytes), int64(b.cfg.ByteBurst), math.MaxInt64)
	if held > 0 {
		b.metrics.paced.Add(time.Duration(held).Seconds())
	}
	return time.Duration(held)
}

// enter counts a connection. Unless it is refused, leave is called when it has ended; nil is nothing to be called.
func (b *Book) enter(addr netip.Addr) (leave func(), ok bool) {
	if b.cfg.Connections <= 0 || b.exempt(addr) {
		return nil, true
	}
	addr = clientOf(addr)
	s := b.shard(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := b.clientLocked(s, addr, b.now())
	switch {
	case c == nil:
		return nil, true
	case c.connections >= b.cfg.Connections:
		b.metrics.refusedConnections.Inc()
		return nil, false
	}
	c.connections++
	s.connections++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		c.connections--
		s.connections--
	}, true
}

func (b *Book) now() int64 { return int64(time.Since(b.begun)) }

// cost is how long it takes to earn so many.
func cost(n int, rate float64) int64 { return int64(float64(n) / rate * float64(time.Second)) }

func (b *Book) exempt(addr netip.Addr) bool {
	if !addr.IsValid() {
		return true
	}
	addr = addr.Unmap()
	for _, prefix := range b.cfg.Exempt {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// clientOf gives what stands for all addresses of a client.
func clientOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if addr.Is4() {
		return addr
	}
	prefix := addr.As16()
	clear(prefix[8:])
	return netip.AddrFrom16(prefix)
}

// find gives the client's account, or none for want of room.
func (b *Book) find(addr netip.Addr, now int64) *client {
	addr = clientOf(addr)
	s := b.shard(addr)
	s.mu.Lock()
	defer s.mu.Unlock()
	return b.clientLocked(s, addr, now)
}

func (b *Book) shard(addr netip.Addr) *shard {
	const mix = 0x9E3779B97F4A7C15
	bytes := addr.As16()
	h := (binary.BigEndian.Uint64(bytes[:8]) ^ b.seed) * mix
	h = (h ^ h>>32 ^ binary.BigEndian.Uint64(bytes[8:])) * mix
	return &b.shards[h>>58] // of 64
}

func (b *Book) clientLocked(s *shard, addr netip.Addr, now int64) *client {
	if c := s.clients[addr]; c != nil {
		return c
	}
	if len(s.clients) >= s.sweepAt && now >= s.sweepNext {
		s.forgetLocked(now)
		s.sweepAt = min(max(minSwept, 2*len(s.clients)), maxClients/shards)
		s.sweepNext = now + int64(time.Second)
	}
	if len(s.clients) >= maxClients/shards {
		b.metrics.unlimited.Inc()
		return nil
	}
	c := new(client)
	s.clients[addr] = c
	return c
}

// forgetLocked forgets the clients that have nothing and owe nothing.
func (s *shard) forgetLocked(now int64) {
	for addr, c := range s.clients {
		if c.connections == 0 && c.requests.full(now) && c.bytes.full(now) {
			delete(s.clients, addr)
		}
	}
}

// usage gives how many clients are remembered, and how many connections are counted.
func (b *Book) usage() (clients, connections int) {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		clients += len(s.clients)
		connections += s.connections
		s.mu.Unlock()
	}
	return clients, connections
}
