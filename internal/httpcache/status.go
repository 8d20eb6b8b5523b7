package httpcache

import (
	"strconv"
	"strings"
	"time"
)

// Status is what one cache says of how it answered (RFC 9211).
type Status struct {
	// Cache is the cache's name.
	Cache string
	// Forward is why the request went on: bypass, method, uri-miss, vary-miss, stale, partial, request. Empty is a hit.
	Forward string
	// ForwardStatus is what was answered to that; zero is not told.
	ForwardStatus int
	Stored        bool
	Collapsed     bool
	// TTL is how long a hit is fresh yet, negative if it is stale.
	TTL time.Duration
	// Detail is a word of the cache's own.
	Detail string
}

// Append gives the field's value with this cache's behind those of the caches nearer to the origin.
func (s Status) Append(passed []string) string {
	var b strings.Builder
	for _, line := range passed {
		b.WriteString(line)
		b.WriteString(", ")
	}
	b.WriteString(s.Cache)
	if s.Forward == "" {
		b.WriteString("; hit; ttl=")
		b.WriteString(strconv.FormatInt(int64(s.TTL/time.Second), 10))
	} else {
		b.WriteString("; fwd=")
		b.WriteString(s.Forward)
		if s.ForwardStatus != 0 {
			b.WriteString("; fwd-status=")
			b.WriteString(strconv.Itoa(s.ForwardStatus))
		}
		if s.Stored {
			b.WriteString("; stored")
		}
		if s.Collapsed {
			b.WriteString("; collapsed")
		}
	}
	if s.Detail != "" {
		b.WriteString("; detail=")
		b.WriteString(s.Detail)
	}
	return b.String()
}
