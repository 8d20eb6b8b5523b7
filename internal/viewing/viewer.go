package viewing

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/cmcd"
	"github.com/oxbow-video/oxbow/internal/media"
)

// viewer is one, or a crowd of whom nobody can say how to tell them apart. Its shard's lock guards it. Times are
// nanoseconds of the book's clock.
type viewer struct {
	channel *channel // nil before it was answered
	begun   int64
	seen    int64
	from    int64 // since when it is counted as being here
	pause   int64 // the longest of late
	open    int   // requests that are not answered yet
	// watching: it was answered with media or a media playlist.
	watching bool
	// crowd is of those without CMCD.
	crowd *crowd
	size  int64 // of the crowd, else 1
	most  int64 // that it was; 0 before the crowd's size was known
	alone int64 // ms that it was there before
	// opened is of the multivariant playlist that it was answered with; nil is none.
	opened *channel
	// early has the figures of who tells of itself before it was answered; then it is nil.
	early *figures
	quality
}

// quality is what a player tells by CMCD.
type quality struct {
	told    bool // it has told something
	started bool // it is past its start, which counted says was counted here
	counted bool
	video   bool
	// arrived: it has begun at another edge, and had not started when it came.
	arrived bool
	failed  bool
	stalled bool
	// untold: the stall that was counted last is known by the player's state, and bs is still to come of it.
	untold bool
	// urgent is when a request was urgent last, before the start or in a stall; zero is never.
	urgent int64
	// empty is when the stall's buffer ran empty; fetched and buffer are the last report's of media.
	empty, fetched int64
	buffer         time.Duration
	// dry is when the buffer ran empty before the reports up to noticed: a stall that one soon after tells of began then.
	// Of a player's requests at the end of a stall only one tells of it, and not always the first. Waits says that they
	// were of a player that stood still.
	dry, noticed int64
	waits        bool
	// requested are the last requests for sound, and for pictures.
	requested [2]requested
	// What the session counts itself, and what was counted of it here.
	stalls, stalledMS, errors int
	// sequence is that of its last report here, of a player that counts them; else 0.
	sequence int
}

// requested is a request for media, with what was told by it.
type requested struct {
	object            uint64 // a hash
	buffer, bandwidth int
	urgent, starved   bool
}

// away is how long it may let pass between requests.
func (v *viewer) away() int64 {
	return min(max(2*v.pause+int64(time.Second), int64(leastAway)), int64(mostAway))
}

// here says that it is there.
func (v *viewer) here(now int64) bool {
	return v.watching && now >= v.from && v.near(now)
}

// near says that it asks, or has of late.
func (v *viewer) near(now int64) bool { return v.open > 0 || now-v.seen <= v.away() }

// touch is called at each sign of it.
func (v *viewer) touch(now int64, f *figures) {
	span := now - v.seen
	if span <= 0 {
		return
	}
	if v.near(now) {
		if v.watching && f != nil {
			ms := now/1e6 - v.seen/1e6 // so that what is cut off each time is not lost
			f.WatchMS += ms * v.size
			if v.most == 0 {
				v.alone += ms
			}
			if v.told {
				f.CMCDWatchMS += ms
			}
		}
		if v.open == 0 {
			v.pause = max(span, v.pause-v.pause/8)
		}
	}
	v.seen = now
}

// again says that a request was sent before, and is repeated since no answer came: it tells what was so then.
func (v *viewer) again(d *cmcd.Data, object uint64) bool {
	if !d.Object.Media() || d.Has&cmcd.HasBuffer == 0 {
		return false
	}
	last := &v.requested[0]
	if d.Object != cmcd.ObjectAudio {
		last = &v.requested[1]
	}
	before := *last
	*last = requested{object, d.Buffer, d.Throughput, d.Urgent, d.Starved}
	return *last == before
}

// report takes over what a player told with a request. Away says that it was taken for gone before that.
func (v *viewer) report(d *cmcd.Data, k kind, steered, away bool, now int64, f *figures) {
	if !v.told {
		v.told = true
		v.arrive(d, k, steered, f)
	} else if steered && v.elsewhere(d, away) {
		v.know(d)
	}
	v.sequence = max(v.sequence, d.Sequence)
	v.start(d, now, f)
	v.stall(d, now, f)
	v.fail(d, f)
	if !d.Object.Media() {
		return
	}
	v.video = v.video || d.Object != cmcd.ObjectAudio
	if d.Has&cmcd.HasThroughput != 0 {
		f.throughput[media.HistogramStep(int64(d.Throughput))]++
	}
	// The bitrate that hls.js tells with sound is that of the whole variant.
	const rated = cmcd.HasBitrate | cmcd.HasDuration
	if d.Has&rated == rated && (d.Object != cmcd.ObjectAudio || !v.video) {
		ms := int64(min(d.Duration, 60_000))
		f.MediaMS += ms
		f.BitrateSum += ms * int64(d.Bitrate)
	}
	if d.Has&cmcd.HasBuffer != 0 {
		f.Buffers++
		f.BufferMS += int64(d.Buffer)
		v.notice(d, now)
		v.fetched, v.buffer = now, time.Duration(d.Buffer)*time.Millisecond
		if d.Rate > 0 {
			v.buffer = v.buffer * 1000 / time.Duration(d.Rate)
		}
	}
}

// notice keeps when the buffer ran empty, if it has by what was told of it last. Requests that follow each other at the
// end of a stall tell of a buffer that is empty still, or again: the first of them is the one to go by.
func (v *viewer) notice(d *cmcd.Data, now int64) {
	soon := now-v.noticed < int64(together)
	v.waits = v.waits && (d.Urgent || soon)
	out := v.fetched + int64(v.buffer)
	switch {
	case !v.started || v.stalled || v.fetched == 0 || now <= out:
	case v.waits && d.Urgent:
		v.noticed = now
	case !v.waits:
		v.dry, v.noticed, v.waits = out, now, d.Urgent
	}
}

// arrive is told of a session's first report here.
func (v *viewer) arrive(d *cmcd.Data, k kind, steered bool, f *figures) {
	begins := fresh(d, k)
	if begins && (k == kindFirst || !steered) {
		f.Starts++
		f.CMCDStarts++
		return
	}
	// The edge that it has left counts it for as long as that does not know: it is not to be there twice.
	v.from += v.away()
	if begins {
		v.arrived = true // its start may be seen here
		return
	}
	v.started = true // but a start that is told is counted: it is told once, to whichever edge
	v.know(d)
}

// missed is how many reports in a row a player may have sent that came to no edge: those of retries.
const missed = 4

// elsewhere says of a session that was here that it was at another edge meanwhile: it has told that one of what it
// counts. A player that counts its reports says so by the gap, others by their absence.
func (v *viewer) elsewhere(d *cmcd.Data, away bool) bool {
	if d.Has&cmcd.HasSequence != 0 && v.sequence > 0 {
		return d.Sequence > v.sequence+1+missed
	}
	return away
}

// know takes what a session has counted for known: another edge was told of it. What no answer came to was not told.
func (v *viewer) know(d *cmcd.Data) {
	v.stalls = max(v.stalls, d.Stalls-d.NewStalls)
	v.stalledMS = max(v.stalledMS, d.Stalled-d.NewStalled)
	if !d.ErrorCodes {
		v.errors = max(v.errors, d.Errors)
	}
}

// fresh says of a session's first report here that the session begins with it. Who comes from another edge asks for a
// media playlist first, which is urgent only before anything was shown.
func fresh(d *cmcd.Data, k kind) bool {
	switch {
	case k == kindFirst, d.State == cmcd.StateStarting, d.State == cmcd.StatePreloading:
		return true
	case d.Has&cmcd.HasStartup != 0, d.State != cmcd.StateUnknown:
		return false
	}
	return d.Urgent && !d.Starved && d.Stalls == 0 // else it stands still, and has played before
}

// start finds out how long the start took: what the player tells, once, or else the time from the first request to the
// last that was urgent, for that one is sent as the first media is there. Who counts its stalls tells its start, too.
func (v *viewer) start(d *cmcd.Data, now int64, f *figures) {
	switch {
	case d.Has&cmcd.HasStartup != 0 && !v.counted:
		v.count(int64(d.Startup), f)
		return
	case v.started, d.Has&(cmcd.HasStartup|cmcd.HasStalls) != 0:
		return
	}
	if v.arrived && d.Object.Media() {
		v.arrived = false
		// Not urgent: what it started with it was not given here.
		v.started = !d.Urgent && d.State != cmcd.StateStarting && d.State != cmcd.StatePreloading
		if v.started {
			return
		}
	}
	took := int64(-1)
	switch {
	case d.State == cmcd.StateStarting || d.State == cmcd.StatePreloading || d.State == cmcd.StateUnknown && d.Urgent:
		v.urgent = now
	case v.urgent != 0 && (d.State == cmcd.StatePlaying || d.State == cmcd.StateUnknown):
		took = (v.urgent - v.begun) / 1e6
	}
	if took >= 0 {
		v.count(took, f)
	}
}

// count takes a start of so many milliseconds.
func (v *viewer) count(took int64, f *figures) {
	v.started, v.counted, v.urgent = true, true, 0
	f.Startups++
	f.StartupMS += took
	f.startups[media.HistogramStep(took)]++
}

// stall counts stalls and how long they were. What a player does not count itself follows from its requests: it stood
// still from when the buffer that it told of last had played out until the last request that was urgent, for that one
// is sent as the media is there that playing waited for.
func (v *viewer) stall(d *cmcd.Data, now int64, f *figures) {
	if d.Has&cmcd.HasStalls != 0 {
		if d.Has&cmcd.HasNewStalls != 0 { // whichever edge was told of the others
			v.stalls = max(v.stalls, d.Stalls-d.NewStalls)
		}
		if d.Has&cmcd.HasNewStalled != 0 {
			v.stalledMS = max(v.stalledMS, d.Stalled-d.NewStalled)
		}
		if n := d.Stalls - v.stalls; n > 0 { // reports overtake each other
			f.Stalls += int64(n)
			v.stalls = d.Stalls
		}
		if n := d.Stalled - v.stalledMS; d.Has&cmcd.HasStalled != 0 && n > 0 {
			f.StalledMS += int64(n)
			v.stalledMS = d.Stalled
		}
		return
	}
	if !v.started {
		return
	}
	still := d.State == cmcd.StateStalled || d.State == cmcd.StateUnknown && d.Urgent && d.Object.Media()
	switch {
	case d.Starved && v.untold:
		v.untold = false
		if still {
			v.urgent = now
		} else {
			v.endStall(f)
		}
	case d.Starved || d.State == cmcd.StateStalled && !v.stalled:
		v.untold = !d.Starved
		if !v.stalled || d.Starved && d.State == cmcd.StateUnknown && !d.Urgent {
			v.endStall(f)
			v.stalled = true
			v.empty = now
			if v.fetched > 0 {
				v.empty = min(now, v.fetched+int64(v.buffer))
			}
			if v.waits || now-v.noticed < int64(together) {
				v.empty = min(v.empty, v.dry)
			}
			v.dry, v.noticed, v.waits = 0, -int64(together), false
			f.Stalls++
			v.stalls++
		}
		v.urgent = now
	case v.stalled && still:
		v.urgent = now
	case v.stalled && (d.Object.Media() || d.State == cmcd.StatePlaying):
		v.endStall(f)
	}
}

// together is how far apart requests are that the end of a stall lets go.
const together = time.Second

func (v *viewer) endStall(f *figures) {
	if !v.stalled {
		return
	}
	v.stalled = false
	ms := max(0, v.urgent-v.empty) / 1e6
	f.StalledMS += ms
	v.stalledMS += int(ms)
	v.urgent = 0
}

// fail counts the errors that the player tells.
func (v *viewer) fail(d *cmcd.Data, f *figures) {
	switch {
	case d.Has&cmcd.HasErrors != 0 && d.ErrorCodes:
		f.Errors += int64(min(d.Errors, 16))
	case d.Has&cmcd.HasErrors != 0 && d.Errors > v.errors:
		f.Errors += int64(d.Errors - v.errors)
		v.errors = d.Errors
	case d.State == cmcd.StateFailed && !v.failed:
		v.failed = true
		f.Errors++
	}
}

// grow takes over the size of the crowd. Those who are known of only now were there from the beginning; who comes later
// begins then.
func (v *viewer) grow(size int64, f *figures) {
	if size == 0 || f == nil || !v.watching {
		return
	}
	if v.most == 0 {
		f.WatchMS += (size - 1) * v.alone
		v.most = 1
	}
	f.Starts += max(0, size-v.most)
	v.size, v.most = size, max(size, v.most)
}
