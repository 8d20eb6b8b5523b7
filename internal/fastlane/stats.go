package fastlane

import "sync/atomic"

// Reason says why a connection was handed over.
type Reason uint8

const (
	taken            Reason = iota
	reasonMethod            // neither GET nor HEAD, among them HTTP/2's preface, and what is no HTTP
	reasonVersion           // not HTTP/1.1
	reasonTarget            // not the origin form, or with escapes or rare characters in the path
	reasonPath              // not one of the Handler's
	reasonField             // a line that is no plain field, or too many
	reasonHost              // not exactly one good Host
	reasonBody              // a body, or Expect
	reasonConnection        // Upgrade, or a Connection other than close and keep-alive
	reasonLine              // a line that does not end in CRLF, or not at all, or an empty first one
	reasonSize              // a head of more than 8 KiB
	reasonSystem            // no TCP connection, or not on Linux
	reasons
)

// String gives the value of the metric's label.
func (r Reason) String() string {
	return [...]string{
		"taken", "method", "version", "target", "path", "field", "host", "body", "connection", "line", "size", "system",
	}[r]
}

// cutting says why the lane closed a connection.
type cutting uint8

const (
	cutIdle cutting = iota
	cutHead
	cutWrite
	cutLeft
	cuttings
)

func (c cutting) String() string { return [...]string{"idle", "head", "write", "left"}[c] }

// Stats are a Server's counts since its start, but for Open.
type Stats struct {
	Open        int // connections in the lane now
	Connections uint64
	Requests    uint64
	HandedOver  map[string]uint64 // by reason
	Closed      map[string]uint64 // by reason
}

type counters struct {
	connections, requests atomic.Uint64
	handed                [reasons]atomic.Uint64
	cut                   [cuttings]atomic.Uint64
}

// Stats gives the counts as they are now. Its maps have all reasons.
func (s *Server) Stats() Stats {
	stats := Stats{
		Connections: s.count.connections.Load(), Requests: s.count.requests.Load(),
		HandedOver: make(map[string]uint64), Closed: make(map[string]uint64),
	}
	for r := taken + 1; r < reasons; r++ {
		stats.HandedOver[r.String()] = s.count.handed[r].Load()
	}
	for c := range cuttings {
		stats.Closed[c.String()] = s.count.cut[c].Load()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stats.Open = len(s.mu.conns)
	return stats
}
