package cacheproxy

import "sync/atomic"

// load counts what the edge bears, for those who ask how much that is.
type load struct{ begun, ended, sent atomic.Int64 }

// Busy gives how many requests came so far, how many of them are under way, and the bytes of bodies that were sent. A
// body that is under way is counted when it ends.
func (p *Proxy) Busy() (requests int64, open int, sent int64) {
	ended := p.load.ended.Load() // first: it never passes the other
	begun := p.load.begun.Load()
	return begun, int(begun - ended), p.load.sent.Load()
}

// Trouble says in a few words why viewers had better be elsewhere, as far as what is behind the edge is concerned;
// empty is none.
func (p *Proxy) Trouble() string {
	if p.policies.Load() == nil {
		return "no directory has told yet who may watch"
	}
	return ""
}
