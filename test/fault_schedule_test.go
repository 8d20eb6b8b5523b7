package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// scheduled is one fault of a schedule: it begins and is healed.
type scheduled struct {
	from, to time.Duration
	what     string
	begin    func()
	heal     func()
}

// schedule is faults drawn at random for a fleet with a show in each cluster. At most one ingest node of a cluster is
// away at a time, and a service once at a time, so that there is always a way on, though not always at once.
type schedule struct {
	f        *fleet
	shows    map[string]*clusterShow // by cluster
	volumes  map[string]string       // by cluster: of their own, if mounting is allowed here
	random   *rand.Rand
	busy     map[string]time.Duration // what is under a fault, until when
	faults   []scheduled
	troubled map[string][]outage // nodes that were stopped or cut off, when
	began    time.Time
}

const (
	scheduleLength = 11 * time.Second
	// scheduleCalm is how long a cluster is left alone after a fault of one of its nodes.
	scheduleCalm = 3 * time.Second
)

// TestFaultSchedules is must-show 4: faults drawn at random over shows in two clusters. A hundred schedules, two at a
// time, take about half an hour on two cores:
//
//	OXBOW_FAULT_RUNS=100 go test ./test -run 'TestFaultSchedules$' -count=1 -parallel 2 -timeout 60m -v | tee faults.log
//
// Each tells how it went as a line with "schedule N of 100". OXBOW_TEST_SEED repeats one. Without either there is one
// that is always the same.
func TestFaultSchedules(t *testing.T) {
	t.Parallel()
	runs, seed := 1, uint64(1)
	if full() {
		runs, seed = 6, uint64(time.Now().UnixNano())
	}
	if n, err := strconv.Atoi(os.Getenv("OXBOW_FAULT_RUNS")); err == nil {
		runs, seed = n, uint64(time.Now().UnixNano())
	}
	if s, err := strconv.ParseUint(os.Getenv("OXBOW_TEST_SEED"), 10, 64); err == nil {
		runs, seed = 1, s
	}
	var over, failed atomic.Int64
	for i := range runs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			p := &schedule{}
			began := time.Now()
			t.Cleanup(func() {
				end := "passed"
				if t.Failed() {
					failed.Add(1)
					end = fmt.Sprintf("FAILED, OXBOW_TEST_SEED=%d repeats it:%s\n", seed+uint64(i), p)
				}
				t.Logf("schedule %d of %d (%d failed) %s in %v", over.Add(1), runs, failed.Load(), end, time.Since(began).Round(time.Second))
			})
			p.run(t, seed+uint64(i))
		})
	}
}

// run has a fleet of its own go through the faults of a seed.
func (p *schedule) run(t *testing.T, seed uint64) {
	t.Helper()
	p.random = rand.New(rand.NewPCG(seed, 0))
	p.shows, p.busy, p.troubled = map[string]*clusterShow{}, map[string]time.Duration{}, map[string][]outage{}
	p.volumes = map[string]string{}
	clusters, recordings := []string{"a", "b"}, map[string]string{}
	for _, cluster := range clusters {
		if dir, err := mountVolume(t, "-t", "tmpfs", "-o", "size=32m", "tmpfs"); err == nil {
			p.volumes[cluster], recordings[cluster] = dir, filepath.Join(dir, "recordings")
		}
	}
	p.f = startFleet(t, clusterConfig{clusters: len(clusters), recordings: recordings})
	for _, cluster := range clusters {
		p.shows[cluster] = p.f.newShow("in-"+cluster, nil)
	}
	p.draw()
	for _, cluster := range clusters {
		s, delay := p.shows[cluster], time.Duration(300+p.random.IntN(1200))*time.Millisecond
		s.encoder = startEncoder(t, faultFilm(t), delay, p.f.targets(s.key, cluster+"1", cluster+"2")...)
	}
	for _, s := range p.shows {
		s.watched(8)
	}
	p.happen()
	text := ""
	for _, s := range p.shows {
		s.watched(8)
		s.encoder.finish()
	}
	for _, cluster := range clusters {
		s := p.shows[cluster]
		v := s.finish()
		v.oneRecording(t)
		p.judgeTails(t, cluster, &v)
		text += fmt.Sprintf("; %s: %d connections, %s, %d gaps, longest wait %d ms", cluster, len(v.connected), v.frames, v.gaps,
			v.longest.Milliseconds())
	}
	figure(t, "schedule "+strconv.FormatUint(seed, 10), "%d faults%s", len(p.faults), text)
}

// String lists the faults.
func (p *schedule) String() (text string) {
	for _, fault := range p.faults {
		text += fmt.Sprintf("\n%5.1f s to %5.1f s: %s", fault.from.Seconds(), fault.to.Seconds(), fault.what)
	}
	return text
}

// draw makes the schedule.
func (p *schedule) draw() {
	kinds := []func(from, to time.Duration) *scheduled{
		p.killNode, p.killNode, p.drainNode, p.pauseNode, p.partitionNode, p.cutPublisher, p.restartRedis, p.restartRedis,
		p.restartSQL, p.restartStore, p.killArchiver, p.slowLines, p.fillVolume,
	}
	for at := time.Second; at < scheduleLength; at += time.Duration(500+p.random.IntN(1700)) * time.Millisecond {
		length := time.Duration(500+p.random.IntN(3500)) * time.Millisecond
		for range len(kinds) { // not all are possible beside those that are on already
			if fault := kinds[p.random.IntN(len(kinds))](at, at+length); fault != nil {
				fault.from, fault.to = at, at+length
				p.faults = append(p.faults, *fault)
				break
			}
		}
	}
}

// take says whether nothing else happens to the thing from then on, and claims it.
func (p *schedule) take(thing string, from, until time.Duration) bool {
	if p.busy[thing] > from {
		return false
	}
	p.busy[thing] = until
	return true
}

// node draws an ingest node of a cluster that is left alone.
func (p *schedule) node(from, to time.Duration) *member {
	cluster, number := string(rune('a'+p.random.IntN(2))), 1+p.random.IntN(2)
	if !p.take("cluster "+cluster, from, to+scheduleCalm) {
		return nil
	}
	return p.f.members[fmt.Sprintf("%s%d", cluster, number)]
}

// trouble notes that what a node was sent from now on may be lost; the function that it gives ends that.
func (p *schedule) trouble(name string) (over func()) {
	p.troubled[name] = append(p.troubled[name], outage{from: time.Now()})
	last := len(p.troubled[name]) - 1
	return func() { p.troubled[name][last].to = time.Now() }
}

func (p *schedule) killNode(from, to time.Duration) *scheduled {
	m := p.node(from, to)
	if m == nil {
		return nil
	}
	return &scheduled{what: "kill -9 " + m.name, begin: m.kill, heal: m.launch}
}

func (p *schedule) drainNode(from, to time.Duration) *scheduled {
	m := p.node(from, to)
	if m == nil {
		return nil
	}
	return &scheduled{what: "drain " + m.name, begin: func() { m.drain() }, heal: m.launch}
}

func (p *schedule) pauseNode(from, to time.Duration) *scheduled {
	m := p.node(from, to)
	if m == nil {
		return nil
	}
	moves, hold := to-from > 2*time.Second, p.random.IntN(2) == 0
	over := func() {}
	return &scheduled{
		what: fmt.Sprintf("SIGSTOP %s, its publisher moves: %v, without a word: %v", m.name, moves, hold),
		begin: func() {
			over = p.trouble(m.name)
			m.pause()
			if s := p.shows[m.cluster]; moves && s.publishesTo(m.name) {
				s.encoder.awaitPictures(10, 5*time.Second)
				s.encoder.move(hold)
			}
		},
		heal: func() { m.resume(); over() },
	}
}

func (p *schedule) partitionNode(from, to time.Duration) *scheduled {
	m := p.node(from, to)
	if m == nil {
		return nil
	}
	lines := map[string]*faultProxy{"Redis": m.toRedis, "SQL": m.toSQL, "edges and other nodes": m.internal}
	side := []string{"Redis", "SQL", "edges and other nodes"}[p.random.IntN(3)]
	return &scheduled{what: "partition " + m.name + " from " + side, begin: lines[side].hole, heal: lines[side].pass}
}

func (p *schedule) cutPublisher(from, _ time.Duration) *scheduled {
	m := p.node(from, from)
	if m == nil {
		return nil
	}
	return &scheduled{what: "cut the publishers of " + m.name, begin: m.rtmp.cut, heal: func() {}}
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
	m := p.f.members[string(rune('a'+p.random.IntN(2)))+"-archiver"]
	if !p.take(m.name, from, to+scheduleCalm) {
		return nil
	}
	return &scheduled{what: "kill -9 " + m.name, begin: m.kill, heal: m.launch}
}

func (p *schedule) slowLines(from, to time.Duration) *scheduled {
	name := fmt.Sprintf("%c%d", 'a'+p.random.IntN(2), 1+p.random.IntN(2))
	if !p.take("lines of "+name, from, to) || !p.take("cluster "+name[:1], from, to+scheduleCalm) {
		return nil
	}
	m := p.f.members[name]
	slow := proxyLine{delay: time.Duration(20+p.random.IntN(180)) * time.Millisecond}
	set := func(line proxyLine) func() {
		return func() { m.eachLine(func(l *faultProxy) { l.set(line) }) }
	}
	return &scheduled{what: fmt.Sprintf("%s's lines are slow by %v", name, slow.delay), begin: set(slow), heal: set(proxyLine{})}
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

// happen lets the faults happen, and has everybody back at the end, as a service manager would.
func (p *schedule) happen() {
	type step struct {
		at time.Duration
		do func()
	}
	var steps []step
	for _, fault := range p.faults {
		steps = append(steps, step{fault.from, fault.begin}, step{fault.to, fault.heal})
	}
	slices.SortStableFunc(steps, func(a, b step) int { return int(a.at - b.at) })
	p.began = time.Now()
	for _, s := range steps {
		due := time.NewTimer(time.Until(p.began.Add(s.at)))
		<-due.C
		s.do()
	}
	for _, m := range p.f.members {
		if !m.running() {
			m.start() // it found its services away
		}
	}
}

// publishesTo says whether the show's publisher is connected to the node now.
func (s *clusterShow) publishesTo(node string) bool {
	all := s.encoder.connected()
	if len(all) == 0 {
		return false
	}
	c := all[len(all)-1]
	return c.ended.IsZero() && strings.Contains(s.encoder.targets[c.target], s.f.member(node).rtmp.address)
}

// judgeTails allows a connection to lose what was in the open part and under way, and all that its node was sent while
// it was stopped.
func (p *schedule) judgeTails(t *testing.T, cluster string, v *showVerdict) {
	t.Helper()
	for i, tail := range v.frames.tails {
		c := v.connected[i]
		if len(c.sent) == 0 || tail.missing == 0 {
			continue
		}
		node := fmt.Sprintf("%s%d", cluster, c.target+1)
		until := c.sent[len(c.sent)-1].at
		for _, o := range p.troubled[node] {
			if o.from.Before(until) && o.to.After(c.first) {
				until = o.from
			}
		}
		lost := c.sent[len(c.sent)-tail.missing].at
		if until.Sub(lost) > faultPart+underWay+faultSlack {
			t.Errorf("connection %d to %s: its last %d pictures are missing, from %v before its end or trouble",
				i, node, tail.missing, until.Sub(lost))
		}
	}
}
