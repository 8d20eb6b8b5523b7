package objstore

import (
	"net/http"
	"sync/atomic"
)

// counter counts the requests that carry something and are under way at a time.
type counter struct{ now, most atomic.Int64 }

func (c *counter) hook(p *proxy) func(string, int, http.ResponseWriter, *http.Request) bool {
	return func(_ string, _ int, w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut && r.Method != http.MethodPost {
			return false
		}
		now := c.now.Add(1)
		for most := c.most.Load(); now > most && !c.most.CompareAndSwap(most, now); {
			most = c.most.Load()
		}
		defer c.now.Add(-1)
		p.forward.ServeHTTP(w, r)
		return true
	}
}
