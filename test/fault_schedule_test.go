package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
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
	// orphaned is the cluster whose show ends with the death of its node and its publisher; the others' publishers end them.
	orphaned string
}

const (
	scheduleLength = 11 * time.Second
	// scheduleCalm is how long a cluster is left alone after a fault of one of its nodes.
	scheduleCalm = 3 * time.Second
)

// TestFaultSchedules: faults drawn at random over shows in two clusters. `make faults` runs a hundred
// schedules, four at a time, and each tells how it went as a line with "schedule N of 100". OXBOW_FAULT_RUNS says how
// many, OXBOW_TEST_SEED repeats one. Without either it is left to make e2e.
func TestFaultSchedules(t *testing.T) {
	runs, seed := 0, uint64(time.Now().UnixNano())
	if full() {
		runs = 6
	}
	if n, err := strconv.Atoi(os.Getenv("OXBOW_FAULT_RUNS")); err == nil {
		runs = n
	}
	if s, err := strconv.ParseUint(os.Getenv("OXBOW_TEST_SEED"), 10, 64); err == nil {
		runs, seed = 1, s
	}
	if runs == 0 {
		t.Skip("a row of make e2e, and of make faults")
	}
	t.Parallel()
	var over, failed atomic.Int64
	for i := range runs {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			p := &schedule{}
			began := time.Now()
			t.Cleanup(func() {
				end := ""
				if t.Failed() {
					failed.Add(1)
					end = fmt.Sprintf(" FAILED; OXBOW_TEST_SEED=%d repeats it:%s", seed+uint64(i), p)
				}
				t.Logf("schedule %d of %d in %v, %d failed:%s", over.Add(1), runs, time.Since(began).Round(time.Second),
					failed.Load(), end)
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
		p.shows[cluster] = p.f.newShow("in-"+cluster, map[string]any{"reconnect_window": "12s"})
	}
	p.draw()
	if p.random.IntN(4) == 0 {
		p.orphaned = clusters[p.random.IntN(len(clusters))]
	}
	for _, cluster := range clusters {
		s, delay := p.shows[cluster], time.Duration(300+p.random.IntN(1200))*time.Millisecond
		s.encoder = startEncoder(t, faultFilm(t), delay, p.f.targets(s.key, cluster+"1", cluster+"2")...)
	}
	for _, s := range p.shows {
		s.watched(8)
	}
	p.happen()
	for _, cluster := range clusters {
		p.shows[cluster].watched(8)
	}
	for _, cluster := range clusters {
		s := p.shows[cluster]
		if cluster == p.orphaned {
			p.f.members[p.owner(cluster)].kill()
			s.encoder.leave()
		} else {
			s.encoder.finish()
		}
	}
	text := ""
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
	if p.orphaned != "" {
		text += "\nat the end: the publisher of cluster " + p.orphaned + " and its node die"
	}
	return text
}

// draw makes the schedule.
func (p *schedule) draw() {
	kinds := []func(from, to time.Duration) *scheduled{
		p.killNode, p.killNode, p.drainNode, p.pauseNode, p.partitionNode, p.cutPublisher, p.slowLines, p.fillVolume,
		p.restartRedis, p.restartRedis, p.restartSQL, p.restartStore, p.killArchiver, p.killEdge,
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

// owner names the node that the cluster's publisher is connected to, or was last.
func (p *schedule) owner(cluster string) string {
	s := p.shows[cluster]
	all := s.encoder.connected()
	if len(all) == 0 {
		return cluster + "1"
	}
	return fmt.Sprintf("%s%d", cluster, all[len(all)-1].target+1)
}

// publishes says whether the cluster's publisher is connected to the node now.
func (p *schedule) publishes(m *member) bool {
	all := p.shows[m.cluster].encoder.connected()
	return len(all) > 0 && all[len(all)-1].ended.IsZero() && p.owner(m.cluster) == m.name
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
