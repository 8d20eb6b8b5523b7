package cacheproxy

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/diskcache"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/slab"
	"github.com/oxbow-video/oxbow/internal/transport"
)

// Config holds the proxy's limits. The zero value of every field but Directories is usable, and means what its comment
// says.
type Config struct {
	// Directories are the base URLs of the processes that are the directory service, without a slash at their ends. One
	// is used, chosen at random, and the others when it fails.
	Directories []string
	// Tokens are shown to the directories, to nodes and to other edges, which are asked for them here (Peers), and to
	// nobody else. Nil is none.
	Tokens *admission.Tokens
	// Guard refuses and tells of those who show Peers no token. Nil means that they are refused, and nobody is told.
	Guard *admission.Guard
	// ID is this edge's among those that ask each other (SetPeers), and in Cache-Status. Empty is an edge that is alone.
	ID string
	// Asked says that other edges ask this one, at Peers. Without, all is its siblings' to fetch, and none its own.
	Asked bool
	// MaxBytes bounds the memory cache, overhead included. Zero means 256 MiB.
	MaxBytes int64
	// Disk keeps media beyond memory, and over a restart. Nil means that nothing is kept.
	Disk *diskcache.Store
	// Arena gives the memory for bodies; its use is told in the metrics. Nil is one of its own.
	Arena *slab.Arena
	// MaxObjectBytes is the largest body that is fetched for viewers of one object; a larger one is an upstream's error.
	// Downloads (recording.mp4) pass through and have no such limit. Zero means 64 MiB.
	MaxObjectBytes int64
	// MaxPlaylistBytes is the largest playlist, as text. Zero means 16 MiB.
	MaxPlaylistBytes int64
	// MaxFlights bounds the upstream fetches under way. Zero means 4096.
	MaxFlights int
	// MaxWaiters bounds the requests that wait for or read from a fetch under way. Zero means 65536.
	MaxWaiters int
	// PartTTL is how long a live part stays, at the most. Zero means 30 s.
	PartTTL time.Duration
	// BlockTimeout bounds the wait for the header of an answer that may be held back: blocking reloads and parts. It
	// must be more than three target durations. Zero means 40 s.
	BlockTimeout time.Duration
	// FetchTimeout bounds the wait for any other answer's header. Playlists get three times that, for a node holds their
	// first requests until a show has something to list. Zero means 5 s.
	FetchTimeout time.Duration
	// StallTimeout bounds a pause within an upstream's body. Zero means 10 s.
	StallTimeout time.Duration
	// WriteTimeout bounds one write of up to 256 KiB to a viewer. Zero means 30 s.
	WriteTimeout time.Duration
	// Linger is how long a fetch may go on after its last viewer has left. Zero means 5 s.
	Linger time.Duration
	// TrustedProxies are the addresses of proxies in front of the edge: what they say in X-Forwarded-For is believed, for
	// tokens that are bound to an address. Empty means nobody.
	TrustedProxies []netip.Prefix
	// Transport carries requests to ingest nodes and the directory. Nil means a pooled HTTP/1.1 transport of its own.
	Transport http.RoundTripper
	// OnUpstream is told of every request to an upstream, before it is sent: the node's host, or "archive", and the
	// request's URI. Nil means nobody is told.
	OnUpstream func(upstream, uri string)
	// Observers are told of every request and of what came of it. There are at most four.
	Observers []Observer
	// Limits bounds what one client takes. Nil is no limit.
	Limits Limits
	// OnGone is told of every recording that is known to be deleted, for those who keep bytes of it. It must not wait. Nil
	// means nobody is told.
	OnGone func(path media.StreamPath, id media.RecordingID)
	// OnPurge is told of what is purged, for those who keep bytes of it: "publisher", "publisher/stream" or
	// "publisher/stream/recording", and until when what came is to be forgotten. It must not wait. Nil means nobody is
	// told.
	OnPurge func(scope string, until time.Time)
	// Purges remembers what was purged, for those who keep bytes too. Nil is one of its own.
	Purges *Purges
}

func (c Config) withDefaults() Config {
	orBytes(&c.MaxBytes, 256<<20)
	orBytes(&c.MaxObjectBytes, 64<<20)
	orBytes(&c.MaxPlaylistBytes, 16<<20)
	orCount(&c.MaxFlights, 4096)
	orCount(&c.MaxWaiters, 65536)
	orSpan(&c.PartTTL, 30*time.Second)
	orSpan(&c.BlockTimeout, 40*time.Second)
	orSpan(&c.FetchTimeout, 5*time.Second)
	orSpan(&c.StallTimeout, 10*time.Second)
	orSpan(&c.WriteTimeout, 30*time.Second)
	orSpan(&c.Linger, 5*time.Second)
	if c.Arena == nil {
		c.Arena = slab.New()
	}
	if c.OnUpstream == nil {
		c.OnUpstream = func(string, string) {}
	}
	if c.OnGone == nil {
		c.OnGone = func(media.StreamPath, media.RecordingID) {}
	}
	if c.OnPurge == nil {
		c.OnPurge = func(string, time.Time) {}
	}
	if c.Purges == nil {
		c.Purges = new(Purges)
	}
	return c
}

func orBytes(v *int64, zero int64) {
	if *v <= 0 {
		*v = zero
	}
}

func orCount(v *int, zero int) {
	if *v <= 0 {
		*v = zero
	}
}

func orSpan(v *time.Duration, zero time.Duration) {
	if *v <= 0 {
		*v = zero
	}
}

// newTransport makes the pooled transport to nodes. It has no overall timeout, since blocking reloads and long bodies
// are bounded per request (roundTrip), and it never follows a redirect, being a bare transport.
//
// HTTP/1.1, and not one connection of HTTP/2 without TLS, by measurement (BenchmarkTransport, two cores, CPU time of
// both ends; HTTP/2 with windows of 4 MiB and 64 MiB and frames of 256 KiB):
//
//	                                     HTTP/1.1 pool             HTTP/2
//	1,000 held reloads, 4 KB: to last    28 ms, 83 us CPU each     27 ms, 92 us
//	60 KiB parts, 1 reader               56 us, 59 us CPU each     135 us, 140 us
//	60 KiB parts, 64 readers             56 us, 62 us              72 us, 119 us
//	1 MiB segments, 1 reader             0.24 ms, 0.23 ms CPU      0.64 ms, 0.67 ms
//	1 MiB segments, 16 readers           0.32 ms, 0.30 ms          0.43 ms, 0.62 ms
//
// HTTP/2 saves 999 connections and nothing else: bodies cost it twice the CPU, and a lost packet would hold them all.
// What the reloads need is that their connections are kept: with 256 idle ones per host, as it was, the last of 1,000
// reloads came after 86 ms and each took 222 us of CPU, for 744 connections were opened anew in every round.
func newTransport() *transport.Transport { return transport.New(newPool()) }

func newPool() *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		DialContext:            (&net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:    3 * time.Second,
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		// A part of a live stream then comes with its header in one or two reads, and waiters are woken once.
		ReadBufferSize:     64 << 10,
		DisableCompression: true,
		Protocols:          protocols,
	}
}
