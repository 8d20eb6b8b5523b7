package cacheproxy

import "errors"

// errLeaving ends what is waited for when this process is about to end. Players ask again after a 503, by another
// connection, which leads to another process or to the one that comes after this.
var errLeaving = errors.New("this edge is about to end")

// EndWaits answers everybody who waits for an answer to begin, blocking reloads among them, with 503 and Retry-After,
// and so it does with whoever asks from now on for what would have to be fetched. Bodies that are on their way, and
// what is cached, go on. It is for the last moment before the server cuts all connections.
func (p *Proxy) EndWaits() {
	p.leaving.Store(true)
	p.flights.endWaits()
}

// EndWaits is as Proxy's.
func (p *Reverse) EndWaits() {
	p.leaving.Store(true)
	p.flights.endWaits()
}

// endWaits cancels the flights that have no head yet.
func (fs *flights) endWaits() {
	for _, f := range fs.all() {
		if !f.opened() {
			f.cancel(errLeaving)
		}
	}
}
