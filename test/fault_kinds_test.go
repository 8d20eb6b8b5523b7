package test

import (
	"fmt"
	"os"
	"sync"
	"time"
)

// victim is the ingest node that a fault is for: one of two, or whoever has the publisher when the fault begins.
type victim struct {
	what string
	pick func() *member
}

// node draws an ingest node of a cluster that is left alone.
func (p *schedule) node(from, to time.Duration) *victim {
	cluster, number := string(rune('a'+p.random.IntN(2))), p.random.IntN(4)
	if !p.take("cluster "+cluster, from, to+scheduleCalm) {
		return nil
	}
	if name := fmt.Sprintf("%s%d", cluster, number); number == 1 || number == 2 {
		return &victim{name, func() *member { return p.f.members[name] }}
	}
	return &victim{"the owner in " + cluster, sync.OnceValue(func() *member { return p.f.members[p.owner(cluster)] })}
}

// trouble notes that what a node was sent from now on may be lost; the function that it gives ends that.
func (p *schedule) trouble(name string) (over func()) {
	p.troubled[name] = append(p.troubled[name], outage{from: time.Now()})
	last := len(p.troubled[name]) - 1
	return func() { p.troubled[name][last].to = time.Now() }
}

func (p *schedule) killNode(from, to time.Duration) *scheduled {
	v := p.node(from, to)
	if v == nil {
		return nil
	}
	return &scheduled{what: "kill -9 " + v.what, begin: func() { v.pick().kill() }, heal: func() { v.pick().launch() }}
}

func (p *schedule) drainNode(from, to time.Duration) *scheduled {
	v := p.node(from, to)
	if v == nil {
		return nil
	}
	return &scheduled{what: "drain " + v.what, begin: func() { v.pick().drain() }, heal: func() { v.pick().launch() }}
}

func (p *schedule) pauseNode(from, to time.Duration) *scheduled {
	v := p.node(from, to)
	if v == nil {
		return nil
	}
	moves, hold := to-from > 2*time.Second, p.random.IntN(2) == 0
	over := func() {}
	return &scheduled{
		what: fmt.Sprintf("SIGSTOP %s, its publisher moves: %v, without a word: %v", v.what, moves, hold),
		begin: func() {
			m := v.pick()
			over = p.trouble(m.name)
			m.pause()
			if moves && p.publishes(m) {
				encoder := p.shows[m.cluster].encoder
				encoder.awaitPictures(10, 5*time.Second)
				encoder.move(hold)
			}
		},
		heal: func() { v.pick().resume(); over() },
	}
}

func (p *schedule) partitionNode(from, to time.Duration) *scheduled {
	v := p.node(from, to)
	if v == nil {
		return nil
	}
	sides := []string{"Redis", "SQL", "edges and other nodes"}
	side := p.random.IntN(len(sides))
	line := func() *faultProxy {
		m := v.pick()
		return []*faultProxy{m.toRedis, m.toSQL, m.internal}[side]
	}
	return &scheduled{
		what: "partition " + v.what + " from " + sides[side], begin: func() { line().hole() }, heal: func() { line().pass() },
	}
}

func (p *schedule) cutPublisher(from, _ time.Duration) *scheduled {
	v := p.node(from, from)
	if v == nil {
		return nil
	}
	return &scheduled{what: "cut the publishers of " + v.what, begin: func() { v.pick().rtmp.cut() }, heal: func() {}}
}

func (p *schedule) slowLines(from, to time.Duration) *scheduled {
	v := p.node(from, to)
	if v == nil {
		return nil
	}
	slow := proxyLine{delay: time.Duration(20+p.random.IntN(180)) * time.Millisecond}
	set := func(line proxyLine) func() {
		return func() { v.pick().eachLine(func(l *faultProxy) { l.set(line) }) }
	}
	return &scheduled{what: fmt.Sprintf("the lines of %s are slow by %v", v.what, slow.delay), begin: set(slow), heal: set(proxyLine{})}
}

// fillVolume leaves a cluster no room for its recordings. What is live meanwhile may be gaps in the archive.
func (p *schedule) fillVolume(from, to time.Duration) *scheduled {
	const before, after = 2 * faultSegment, 4 * time.Second // the segments that are cut, and until it is tried again
	cluster := string(rune('a' + p.random.IntN(2)))
	dir, s := p.volumes[cluster], p.shows[cluster]
	if dir == "" || !p.take("cluster "+cluster, from, to+after+scheduleCalm) {
		return nil
	}
	ballast := ""
	return &scheduled{
		what: "no room on the volume of cluster " + cluster,
		begin: func() {
			ballast = fillVolume(p.f.tb, dir)
			s.outages = append(s.outages, outage{time.Now().Add(-before), time.Now().Add(to - from + after)})
		},
		heal: func() {
			if err := os.Remove(ballast); err != nil {
				p.f.tb.Errorf("empty the volume: %v", err)
			}
			s.outages[len(s.outages)-1].to = time.Now().Add(after)
		},
	}
}

func (p *schedule) restartRedis(from, to time.Duration) *scheduled {
	if !p.take("redis", from, to+scheduleCalm) {
		return nil
	}
	if p.random.IntN(2) == 0 {
		return &scheduled{what: "Redis away, back empty", begin: p.f.redis.kill, heal: p.f.redis.startEmpty}
	}
	return &scheduled{what: "Redis away", begin: p.f.redis.kill, heal: p.f.redis.start}
}

func (p *schedule) restartSQL(from, to time.Duration) *scheduled {
	if !p.take("sql", from, to+scheduleCalm) {
		return nil
	}
	return &scheduled{what: "SQL away", begin: p.f.sql.kill, heal: p.f.sql.start}
}

func (p *schedule) restartStore(from, to time.Duration) *scheduled {
	if !p.take("store", from, to+scheduleCalm) {
		return nil
	}
	return &scheduled{what: "S3 away", begin: func() { p.f.s3.Kill(p.f.tb) }, heal: func() { p.f.s3.MustStart(p.f.tb) }}
}

func (p *schedule) killArchiver(from, to time.Duration) *scheduled {
	return p.killOther(string(rune('a'+p.random.IntN(2)))+"-archiver", from, to)
}

func (p *schedule) killEdge(from, to time.Duration) *scheduled {
	return p.killOther(fmt.Sprintf("edge%d", 1+p.random.IntN(2)), from, to)
}

func (p *schedule) killOther(name string, from, to time.Duration) *scheduled {
	if !p.take(name, from, to+scheduleCalm) {
		return nil
	}
	m := p.f.members[name]
	return &scheduled{what: "kill -9 " + name, begin: m.kill, heal: m.launch}
}
