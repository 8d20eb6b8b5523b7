package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// What to do, where several findings have the same answer.
const (
	doReopen = "restart the ingest node, or let the archiver close it: recovery rebuilds the index from the media"
	doCopy   = "compare it with the other copy (archive or cluster directory) and put back the file that is whole"
)

// slack is by how much times may miss each other for rounding from one timescale to another.
const slack = 2 * time.Millisecond

// trackCheck walks one track of one take: its index and its bytes, side by side.
type trackCheck struct {
	*recordingCheck
	take  *media.Take
	track media.Track
	last  bool // the take is the recording's last one
	below media.MSN
	out   Track

	file, index string
	size        int64 // of the track's file
	media       *stream
	p           part

	pos  int64     // behind the last segment's bytes
	next media.MSN // that the next line should have
	dts  int64     // where the next line should begin; negative: anywhere
	was  line      // the line before
	keys keyTimes
	time int64 // ticks, fillers left out
	rate int64 // ticks that have media
}

// keyTimes sums the distances of random access points.
type keyTimes struct {
	last, sum, most int64
	count           int64
}

func (k *keyTimes) at(ticks int64) {
	if k.count++; k.count > 1 {
		k.sum, k.most = k.sum+ticks-k.last, max(k.most, ticks-k.last)
	}
	k.last = ticks
}

// cut forgets the last one: what comes next is behind a gap.
func (k *keyTimes) cut(other *keyTimes) {
	other.sum, other.most, other.count = other.sum+k.sum, max(other.most, k.most), other.count+max(k.count-1, 0)
	*k = keyTimes{}
}

// open says that the take still grows: what is torn at its end is being written.
func (c *trackCheck) open() bool { return !c.take.Sealed && c.last && c.manifest.State.Growing() }

func (c *trackCheck) run(ctx context.Context) error {
	c.next, c.dts, c.pos = c.take.FirstMSN, -1, c.track.InitSize
	c.out = Track{
		Name: c.track.Name, Codec: c.track.CodecString, Width: c.track.Width, Height: c.track.Height,
		FirstMSN: c.take.FirstMSN,
	}
	data, err := c.folder.ReadFile(ctx, c.index)
	if errors.Is(err, media.ErrNotFound) {
		c.report.add(Error, "missing-file", c.index, doReopen, "the index is not there")
		err = nil
	}
	if err != nil {
		return err
	}
	if c.manifest.Source != "" {
		c.report.Bytes += int64(len(data))
		c.pos, c.size = -1, math.MaxInt64 // where its first segment begins in another's file is its own affair
		return c.walk(ctx, data)
	}
	object, err := c.folder.Stat(ctx, c.file)
	if errors.Is(err, media.ErrNotFound) {
		c.report.add(Error, "missing-file", c.file, doCopy, "the media is not there")
		return nil
	}
	if err != nil {
		return err
	}
	c.size = object.Size
	c.report.Bytes += c.size + int64(len(data))
	if err := c.checkInit(ctx); err != nil {
		return err
	}
	if !c.fast {
		c.media = newStream(ctx, c.folder, c.file, min(c.pos, c.size), c.size)
		defer func() { _ = c.media.close() }()
	}
	if err := c.walk(ctx, data); err != nil {
		return err
	}
	return c.tail(ctx)
}

// walk checks the index line by line.
func (c *trackCheck) walk(ctx context.Context, data []byte) error {
	var all keyTimes
	for l, err := range lines(data) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c.media != nil {
			c.tell(At{Name: c.file, Done: c.media.at(), Total: c.size})
		}
		if err := c.line(l, err); err != nil {
			return err
		}
		if l.Gap {
			c.keys.cut(&all)
		}
	}
	c.keys.cut(&all)
	c.finish(all)
	return nil
}

func (c *trackCheck) finish(all keyTimes) {
	scale := float64(c.track.Timescale)
	c.out.LastMSN, c.out.Seconds = c.next-1, float64(c.time)/scale
	if c.rate > 0 {
		c.out.Rate = int64(float64(c.out.Bytes) * 8 * scale / float64(c.rate))
	}
	if c.track.Kind == media.Video && all.count > 0 {
		c.out.KeyAverage, c.out.KeyMax = float64(all.sum)/float64(all.count)/scale, float64(all.most)/scale
	}
	c.out.ends = media.Duration(max(c.dts, 0), c.track.Timescale)
}

func (c *trackCheck) checkInit(ctx context.Context) error {
	where := c.file + " init section"
	if c.track.InitSize > c.size {
		c.report.add(Error, "init", where, doCopy, "the file has %d bytes, the init section %d", c.size, c.track.InitSize)
		return nil
	}
	r, err := c.folder.OpenRange(ctx, c.file, 0, c.track.InitSize)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if err := checkInit(data, c.track); err != nil {
		c.report.add(Error, "init", where, doCopy, "%v", err)
	}
	return nil
}

// where names a line's segment.
func (c *trackCheck) where(l line) string {
	return c.index + " line " + strconv.Itoa(l.number) + ", segment " + strconv.FormatInt(int64(l.MSN), 10)
}

// line checks one line of the index. An error is one of reading, not a finding.
func (c *trackCheck) line(l line, bad error) error {
	if bad != nil {
		where := c.index + " line " + strconv.Itoa(l.number)
		if errors.Is(bad, errTornLine) && !c.take.Sealed {
			c.report.add(Info, "growing", where, "", "the last line is being written")
			return nil
		}
		c.report.add(Error, "index-line", where, doReopen, "the line does not parse: %v", bad)
		return nil
	}
	if l.MSN >= c.below {
		c.report.add(Info, "fenced", c.where(l), "",
			"it belongs to the next take: a writer wrote on that had lost the stream")
		return nil
	}
	if l.MSN < c.next {
		c.report.add(Error, "index-order", c.where(l), doReopen, "segment %d was expected", c.next)
		return nil
	}
	if l.MSN > c.next {
		c.report.add(Error, "msn", c.where(l), doReopen, "segments %d to %d have no line", c.next, l.MSN-1)
		c.dts, c.out.holes = -1, true
	}
	c.next = l.MSN + 1
	c.timeline(l)
	c.count(l)
	if !c.bytes(l) || c.fast || l.Size == 0 {
		if c.fast && l.Size > 0 {
			c.keysOf(l)
		}
		return nil
	}
	return c.parts(l)
}

// keysOf takes the random access points from the index.
func (c *trackCheck) keysOf(l line) {
	for _, f := range l.IFrames {
		c.keys.at(l.DTS + f[0])
	}
	if len(l.IFrames) == 0 && l.Sync {
		c.keys.at(l.DTS)
	}
}

// timeline checks that a segment begins where the one before ended.
func (c *trackCheck) timeline(l line) {
	scale := c.track.Timescale
	if c.dts >= 0 {
		apart := media.Duration(l.DTS-c.dts, scale)
		switch {
		case apart < -slack && (!c.was.Gap || c.was.Size > 0):
			c.report.add(Error, "timeline", c.where(l), doReopen,
				"it begins %v before segment %d ends", -apart, c.was.MSN)
		case apart > slack:
			c.report.add(Error, "timeline", c.where(l), doReopen,
				"it begins %v after segment %d ends: the time between is in no segment", apart, c.was.MSN)
		}
	}
	want := c.take.Anchor.Add(media.Duration(l.DTS, scale))
	if apart := l.Date.Sub(want); apart.Abs() > slack {
		c.report.add(Warning, "date", c.where(l), "players that seek by date miss by this much; nothing is lost",
			"its date is %v off its decode time", apart)
	}
	c.dts, c.was = l.DTS+l.Duration, l
}

func (c *trackCheck) count(l line) {
	scale := c.track.Timescale
	if c.out.Segments == 0 {
		c.out.Start = media.Duration(l.DTS, scale).Seconds()
	}
	c.out.Segments++
	c.out.starts = append(c.out.starts, media.Duration(l.DTS, scale))
	c.out.Bytes += l.Size
	switch {
	case l.Filler:
		c.out.Fillers++
	case l.Gap:
		c.out.Gaps++
		c.time += l.Duration
	default:
		c.time += l.Duration
	}
	if l.Size > 0 {
		c.rate += l.Duration
	}
	if l.Size > 0 && !l.Gap {
		c.listed[c.track.Name] = append(c.listed[c.track.Name], listedRange{c.take.Number, l.Offset, l.Size})
	}
	if l.Gap {
		c.report.gap(Gap{
			Take: c.take.Number, Track: c.track.Name, From: l.MSN, To: l.MSN, Date: l.Date, Filler: l.Filler,
			Start: media.Duration(l.DTS, scale).Seconds(), Seconds: media.Duration(l.Duration, scale).Seconds(),
		})
	}
}

// bytes checks a line's range against the one before and the file; false: there is nothing to be read.
func (c *trackCheck) bytes(l line) bool {
	if c.pos < 0 {
		c.pos = l.Offset
	}
	switch {
	case l.Offset < c.pos:
		c.report.add(Error, "overlap", c.where(l), doReopen, "its bytes begin at %d, and those before end at %d",
			l.Offset, c.pos)
		return false
	case l.Offset > c.pos && l.Gap:
		c.report.add(Info, "lost-bytes", fmt.Sprintf("%s at %d", c.file, c.pos), "",
			"%d bytes before the gap of segment %d belong to it: its other parts were lost", l.Offset-c.pos, l.MSN)
	case l.Offset > c.pos && (!c.was.Gap || c.was.MSN != l.MSN-1):
		c.report.add(Error, "hole", fmt.Sprintf("%s at %d", c.file, c.pos), doReopen,
			"%d bytes before segment %d are in no segment", l.Offset-c.pos, l.MSN)
	}
	if l.Offset+l.Size > c.size {
		c.report.add(Error, "short-file", c.where(l), doCopy,
			"its bytes end at %d, and the file has %d", l.Offset+l.Size, c.size)
		c.pos = max(c.pos, c.size)
		return false
	}
	c.pos = l.Offset + l.Size
	return true
}

// parts reads a segment's bytes.
func (c *trackCheck) parts(l line) error {
	if l.Offset < c.media.at() {
		return nil // an overlap, told
	}
	if err := c.media.skip(l.Offset - c.media.at()); err != nil {
		return err
	}
	var duration int64
	end, dts, index := l.Offset+l.Size, l.DTS, -1
	for c.media.at() < end {
		at := c.media.at()
		where := fmt.Sprintf("%s at %d, segment %d", c.file, at, l.MSN)
		err := c.media.next(&c.p)
		if err == nil && c.media.at() > end {
			err = fmt.Errorf("%w: it ends at %d, the segment at %d", errBox, c.media.at(), end)
		}
		if errors.Is(err, errBox) || errors.Is(err, errTorn) {
			c.report.add(Error, "media", where, doCopy, "the bytes are no whole moof and mdat: %v", err)
			return c.resync(end)
		}
		if err != nil {
			return err
		}
		if index < 0 && c.p.sync != l.Sync && !l.Gap {
			c.report.add(Error, "sync", where, doReopen, "it begins with a random access point: %v; its line says %v",
				c.p.sync, l.Sync)
		}
		if c.p.msn != l.MSN || c.p.index <= index || (c.p.index != index+1 && !l.Gap) {
			c.report.add(Error, "sequence", where, doCopy, "it is part %d.%d, and %d.%d was expected",
				c.p.msn, c.p.index, l.MSN, index+1)
		}
		if apart := media.Duration(c.p.dts-dts, c.track.Timescale); apart.Abs() > 0 && !l.Gap {
			c.report.add(Error, "tfdt", where, doCopy, "its decode time is %v off the one before and its length", apart)
		}
		index, dts, duration = c.p.index, c.p.dts+c.p.duration, duration+c.p.duration
		c.out.Parts++
		for _, key := range c.p.keys {
			c.keys.at(key)
		}
	}
	if duration != l.Duration && !l.Gap {
		c.report.add(Error, "duration", c.where(l), doReopen,
			"its samples last %v, its line says %v", media.Duration(duration, c.track.Timescale),
			media.Duration(l.Duration, c.track.Timescale))
	}
	return nil
}

// resync goes on behind a segment that could not be read; also back, where a box's size led past its end.
func (c *trackCheck) resync(end int64) error {
	if c.media.at() <= end {
		return c.media.skip(end - c.media.at())
	}
	err := c.media.close()
	c.media = newStream(c.media.ctx, c.folder, c.file, end, c.size)
	return err
}

// tail looks at what lies behind the last line.
func (c *trackCheck) tail(ctx context.Context) error {
	if c.size <= c.pos || c.pos < c.track.InitSize {
		return nil
	}
	s := newStream(ctx, c.folder, c.file, c.pos, c.size)
	defer func() { _ = s.close() }()
	parts, first := 0, part{}
	var err error
	var p part
	for s.left() > 0 && err == nil && !c.fast {
		if err = s.next(&p); err == nil {
			if parts++; parts == 1 {
				first = part{msn: p.msn, index: p.index}
			}
		}
	}
	if err != nil && !errors.Is(err, errBox) && !errors.Is(err, errTorn) {
		return err
	}
	where, n := fmt.Sprintf("%s at %d", c.file, c.pos), c.size-c.pos
	what := "they were not looked at"
	switch {
	case parts > 0 && err == nil:
		what = fmt.Sprintf("%d whole parts from %d.%d on", parts, first.msn, first.index)
	case parts > 0:
		what = fmt.Sprintf("%d whole parts from %d.%d on, then %d bytes of a torn one", parts, first.msn, first.index,
			s.left())
	case errors.Is(err, errTorn):
		what = "a torn part"
	case err != nil:
		what = "no part: " + err.Error()
	}
	switch {
	case c.open() && !errors.Is(err, errBox):
		c.report.add(Info, "growing", where, "", "%d bytes of the open segment: %s", n, what)
	case !c.take.Sealed:
		c.report.add(Warning, "trailing", where, doReopen, "%d bytes are in no segment yet: %s", n, what)
	default:
		c.report.add(Info, "trailing", where,
			"nothing: a writer that had lost the stream wrote them, and no one is sent them",
			"%d bytes behind the last segment of a sealed take: %s", n, what)
	}
	return nil
}
