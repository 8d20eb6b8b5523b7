package loadgen

import (
	"context"
	"net/url"
	"time"
)

const (
	// pieceRetries and pieceTimeouts are how often hls.js retries a fragment or part.
	pieceRetries  = 6
	pieceTimeouts = 4
	// maxAhead is how much a player loads ahead, and fullPause how often it looks again then.
	maxAhead  = 30 * time.Second
	fullPause = 100 * time.Millisecond
)

// job is a piece to load, or with init an initialization section.
type job struct {
	at    *url.URL
	piece piece
	epoch int
	init  bool
	whole bool // a segment, of which parts are loaded already
}

// loads loads what the track's playlist lists, one after the other.
func (p *player) loads(ctx context.Context, t *track) {
	timer := time.NewTimer(0)
	c, stop := &httpClient{}, func() bool { return true }
	defer func() { stop(); c.close() }()
	for ctx.Err() == nil {
		j, changed, full := p.next(t)
		if j == nil {
			timer.Reset(forever)
			if full {
				timer.Reset(fullPause)
			}
			select {
			case <-changed:
			case <-timer.C:
			case <-ctx.Done():
			}
			continue
		}
		if host := hostPort(j.at); c.addr != host {
			stop()
			c.close()
			c = &httpClient{addr: host, timeout: requestTimeout, dialer: p.dialer}
			stop = context.AfterFunc(ctx, c.interrupt)
		}
		began := time.Now()
		a, err := p.get(ctx, c, j.at, false)
		if ctx.Err() != nil {
			return
		}
		if f := faultOf(a, err); f != nil {
			if wait := p.pieceFailed(t, f); wait > 0 && !pause(ctx, timer, time.Now().Add(wait)) {
				return
			}
			continue
		}
		p.got(t, j, a.size, time.Since(began))
	}
}

// next gives what to load now; nil is nothing until changed is closed, or for fullPause.
func (p *player) next(t *track) (j *job, changed chan struct{}, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t.uri == nil || t.listed != t.epoch || len(t.list.pieces) == 0 {
		return nil, p.changed, false
	}
	if !t.joined {
		t.join()
	}
	if p.ahead(t, time.Now()) > maxAhead {
		return nil, p.changed, true
	}
	if e := &t.list; e.init != "" && (t.inited != t.epoch || t.init != e.init) {
		if at, err := t.uri.Parse(e.init); err == nil {
			p.mark(at, p.tellLocked(t, "i", 0))
			return &job{at: at, epoch: t.epoch, init: true, piece: piece{uri: e.init}}, p.changed, false
		}
	}
	if found, whole := t.seek(); found != nil {
		at, err := t.uri.Parse(found.uri)
		if err != nil {
			p.give("piece: " + err.Error())
			return nil, p.changed, false
		}
		p.mark(at, p.tellLocked(t, t.kind, found.length))
		return &job{at: at, piece: *found, epoch: t.epoch, whole: whole}, p.changed, false
	}
	p.settle()
	return nil, p.changed, false
}

// join begins as far behind the end of the playlist as it asks for, three target durations if it asks for nothing.
func (t *track) join() {
	e := &t.list
	hold := e.holdBack
	if hold == 0 {
		hold = 3 * e.target
	}
	at, behind := 0, time.Duration(0)
	for i := len(e.pieces) - 1; i >= 0 && !e.ended; i-- {
		at = i
		if behind += e.pieces[i].length; behind >= hold {
			break
		}
	}
	t.joined = true
	t.msn, t.part = e.pieces[at].msn, max(e.pieces[at].part, 0)
	t.end = min(hold-behind, 0)
	if e.ended {
		t.end = 0
	}
}

// seek finds the next piece in the playlist, and passes gaps. whole is a segment of which parts are loaded.
func (t *track) seek() (found *piece, whole bool) {
	for i := range t.list.pieces {
		p := &t.list.pieces[i]
		switch {
		case p.part >= 0 && p.before(t.msn, t.part), p.part < 0 && p.msn < t.msn:
		case p.gap:
			t.pass(p)
		default:
			return p, p.part < 0 && p.msn == t.msn && t.part > 0
		}
	}
	return nil, false
}

// pass goes on behind a piece.
func (t *track) pass(p *piece) {
	if p.part < 0 {
		t.msn, t.part, t.into = p.msn+1, 0, 0
		return
	}
	if p.msn != t.msn {
		t.into = 0
	}
	t.msn, t.part = p.msn, p.part+1
}

// settle notes that a show that is over is loaded whole. Callers hold mu.
func (p *player) settle() {
	for _, t := range p.tracks {
		if t.uri != nil && (t.listed != t.epoch || !t.list.ended || !t.joined) {
			return
		}
		if found, _ := t.seek(); t.uri != nil && found != nil {
			return
		}
	}
	p.over = true
}

// got books a piece that is loaded.
func (p *player) got(t *track, j *job, size int64, took time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if j.init {
		t.inited, t.init = j.epoch, j.piece.uri
		return
	}
	length := j.piece.length
	if j.whole {
		length = max(length-t.into, 0)
	}
	missed := j.piece.msn - t.msn
	if t.part > 0 {
		missed-- // that one was loaded, by its parts
	}
	p.truth.Missed += max(missed, 0)
	p.head.run(now, p.end())
	t.end += length
	t.pass(&j.piece)
	if j.piece.part >= 0 {
		t.into += length
	}
	p.head.feed(now, p.end())
	p.pieceErrors = 0
	if took > 0 {
		p.estimate += (8*float64(size)/took.Seconds() - p.estimate) * 0.1
	}
	p.truth.Host = j.at.Host
	if n := len(p.truth.Moves); n > 0 && j.epoch == t.epoch {
		if last := &p.truth.Moves[n-1]; last.MediaMS < 0 {
			last.MediaMS = float64(now.UnixMilli() - last.AtMS)
		}
	}
}

// pieceFailed decides about a piece that failed, and gives how long to wait.
func (p *player) pieceFailed(t *track, f *fault) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	why := "piece: " + f.Error()
	p.truth.Faults[why]++
	n, retries := p.pieceErrors, pieceRetries
	if f.timeout {
		retries = pieceTimeouts
	}
	p.pieceErrors++
	if f.again() && n < retries {
		return f.delay(n)
	}
	if p.elsewhere(t == p.tracks[0], why, time.Now()) {
		return 0
	}
	if n >= retries {
		p.give(why)
	}
	return f.delay(n)
}
