package viewing

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// minutes are the rows of the minutes that are over.
type minutes struct {
	sync.Mutex
	minute int64 // the one that is not
	slot   int64 // that was counted last: a twelfth of a minute, since 1970
	done   []media.ViewingRow
	newest []media.ViewingRow // of the minute before
}

// Run sweeps each second until ctx ends.
func (b *Book) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.Sweep()
		case <-ctx.Done():
			return nil
		}
	}
}

// Sweep counts who is there, forgets who has left, and closes the minute if it is over.
func (b *Book) Sweep() {
	wall, now := b.config.Now().Unix(), b.now()
	b.minutes.Lock()
	defer b.minutes.Unlock()
	if minute := wall / 60 * 60; minute != b.minutes.minute {
		b.close()
		b.minutes.minute = minute
	}
	counts, refs := make(map[*channel]int64), make(map[*channel]int)
	for i := range b.shards {
		b.sweepShard(i, now, counts, refs)
	}
	const slotSpan = int64(media.ViewingSpan/time.Second) / media.ViewingSamples
	slot := wall / slotSpan
	var all int64
	b.channels.Lock()
	for name, c := range b.channels.byName {
		c.viewers = counts[c]
		all += c.viewers
		if slot != b.minutes.slot {
			c.samples[slot%media.ViewingSamples] = c.viewers
		}
		if refs[c] == 0 && now-c.used.Load() > int64(idleStream) {
			delete(b.channels.byName, name)
		}
	}
	b.channels.Unlock()
	b.minutes.slot = slot
	b.present.Store(all)
}

func (b *Book) sweepShard(i int, now int64, counts map[*channel]int64, refs map[*channel]int) {
	s := &b.shards[i].mu
	s.Lock()
	defer s.Unlock()
	for key, v := range s.viewers {
		if v.here(now) && v.channel != nil {
			counts[v.channel] += v.size
		}
		keep := forget
		if !v.watching {
			keep = forgetUnsure
		}
		if v.open == 0 && now-v.seen > int64(keep) {
			if v.early != nil && v.opened != nil && b.config.Steered { // it went on at another edge, which counts no start
				v.opened.part(uint8(i)).add(v.early)
			}
			delete(s.viewers, key)
			b.known.Add(-1)
			continue
		}
		if v.channel != nil {
			refs[v.channel]++
		}
	}
}

// close takes the rows of the minute that is over. The minutes are locked.
func (b *Book) close() {
	m := &b.minutes
	m.newest = b.rows(m.minute, true)
	m.done = append(m.done, m.newest...)
	for i := range m.newest {
		b.metrics.fold(&m.newest[i].Viewing)
	}
	if more := len(m.done) - b.config.MaxRows; more > 0 {
		m.done = slices.Delete(m.done, 0, more)
		b.metrics.droppedRows.Add(float64(more))
	}
}

// rows gives the channels' of a minute. The minutes are locked.
func (b *Book) rows(minute int64, anew bool) []media.ViewingRow {
	b.channels.RLock()
	all := slices.Collect(maps.Values(b.channels.byName))
	b.channels.RUnlock()
	var rows []media.ViewingRow
	for _, c := range all {
		if row, ok := b.row(c, minute, anew); ok {
			rows = append(rows, row)
		}
	}
	return rows
}

const (
	// maxDone bounds the rows of minutes that are over in one report; the others come with the next. maxOpen bounds those
	// of the minute that is not, of the most watched.
	maxDone = 4_000
	maxOpen = 10_000
)

// Report gives what is to be told now. Taken is called when a directory has put Done away.
func (b *Book) Report() (r media.ViewingReport, taken func()) {
	m := &b.minutes
	m.Lock()
	defer m.Unlock()
	r.Viewers = b.counts()
	r.Rows = append(b.rows(m.minute, false), m.newest...)
	if len(r.Rows) > maxOpen {
		slices.SortFunc(r.Rows, func(a, b media.ViewingRow) int { return int(b.WatchMS - a.WatchMS) })
		r.Rows = r.Rows[:maxOpen]
	}
	n := min(len(m.done), maxDone)
	r.Done = slices.Clone(m.done[:n])
	if n == 0 {
		return r, func() {}
	}
	last := m.done[n-1].ViewingKey
	return r, func() {
		m.Lock()
		defer m.Unlock()
		// More may have come, and the oldest gone.
		for i, row := range slices.Backward(m.done[:min(n, len(m.done))]) {
			if row.ViewingKey == last {
				m.done = slices.Delete(m.done, 0, i+1)
				return
			}
		}
	}
}

// CloseMinute ends the minute before its time, for an edge that stops: its last rows are to be told.
func (b *Book) CloseMinute() {
	b.minutes.Lock()
	defer b.minutes.Unlock()
	b.close()
}
