package inspect

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// maxGaps is the most runs of gaps that a report lists.
const maxGaps = 1000

// Options of an inspection.
type Options struct {
	// Source names the recording for the report.
	Source string
	// Fast leaves the media itself unread: index, manifest and playlists only.
	Fast bool
	// Progress is told what is checked now, and how far that is: bytes of a file, or segments of a playlist. Nil is fine.
	// Calls do not overlap.
	Progress func(At)
}

// At is where an inspection is.
type At struct {
	// Name is of the file, as findings name it.
	Name string
	// Done and Total are bytes, of playlists Segments.
	Done, Total int64
	Segments    bool
}

// recordingCheck is one inspection under way.
type recordingCheck struct {
	folder   Folder
	fast     bool
	report   *Report
	manifest *reclog.Manifest
	tell     func(At)
	// listed are the byte ranges that the index names, by track, which static playlists must list too.
	listed map[string][]listedRange
}

// listedRange is a segment that has media.
type listedRange struct {
	take         int
	offset, size int64
}

const manifestName = "recording.json"

// Recording inspects a recording's files. It fails only where nothing can be said: media.ErrNotFound when there is no
// manifest, and errors of reading. A manifest that does not parse is a finding. When ctx is cancelled, the report has
// what was found so far, beside the error.
func Recording(ctx context.Context, folder Folder, o Options) (*Report, error) {
	data, err := folder.ReadFile(ctx, manifestName)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", o.Source, err)
	}
	c := &recordingCheck{
		folder: folder, fast: o.Fast, listed: make(map[string][]listedRange), tell: o.progress(),
		report: &Report{Source: o.Source, MediaRead: !o.Fast, Findings: []Finding{}, Takes: []Take{}},
	}
	c.report.Bytes = int64(len(data))
	if c.manifest, err = reclog.ParseManifest(data); err != nil {
		c.report.add(Error, "manifest", manifestName, doCopy, "%v", err)
		return c.report, nil
	}
	return c.report.end(o, c.run(ctx))
}

// progress gives what is told how far the inspection is.
func (o *Options) progress() func(At) {
	if o.Progress == nil {
		return func(At) {}
	}
	return o.Progress
}

// end gives the report, also what there is of one that was cut off.
func (r *Report) end(o Options, err error) (*Report, error) {
	switch {
	case errors.Is(err, context.Canceled):
		r.Interrupted = true
		return r, fmt.Errorf("inspect %s: %w", o.Source, err)
	case err != nil:
		return nil, fmt.Errorf("inspect %s: %w", o.Source, err)
	}
	return r, nil
}

func (c *recordingCheck) run(ctx context.Context) error {
	c.checkManifest()
	next, end := media.MSN(1), time.Duration(-1)
	if c.manifest.Clip != nil {
		next = 0 // it has the numbers that its source's segments have
	}
	for i := range c.manifest.Takes {
		take := &c.manifest.Takes[i]
		if next > 0 && take.FirstMSN != next {
			c.report.add(Error, "msn", "take "+strconv.Itoa(take.Number), doReopen,
				"its first segment is %d, and %d was expected", take.FirstMSN, next)
		}
		got, err := c.take(ctx, i)
		if err != nil {
			c.report.Takes = append(c.report.Takes, got)
			return err
		}
		if len(got.Tracks) > 0 && got.Tracks[0].Segments > 0 {
			start := got.Tracks[0].starts[0]
			c.takeFollows(take, start, end)
			next, end = got.Tracks[0].LastMSN+1, got.Tracks[0].ends
		} else {
			next, end = 0, -1
		}
		for j := range got.Tracks {
			got.Tracks[j].starts = nil
		}
		c.report.Takes = append(c.report.Takes, got)
	}
	for _, t := range c.report.Takes {
		longest := 0.0
		for _, tr := range t.Tracks {
			longest = max(longest, tr.Seconds)
		}
		c.report.Seconds += longest
	}
	for _, step := range []func(context.Context) error{c.checkMetadata, c.checkPlaylists, c.checkFiles} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// takeFollows checks that a take's timeline runs on behind the one before.
func (c *recordingCheck) takeFollows(take *media.Take, start, end time.Duration) {
	where := "take " + strconv.Itoa(take.Number)
	switch apart := start - end; {
	case end < 0:
	case apart < -c.manifest.Constants.TargetDuration-slack:
		c.report.add(Error, "timeline", where, doReopen, "it begins %v before the take before ends", -apart)
	case apart > time.Second:
		c.report.add(Warning, "timeline", where, "players jump over it; nothing that was received is missing",
			"%v lie between it and the take before, without a filler", apart)
	}
}

func (c *recordingCheck) checkManifest() {
	m, r := c.manifest, c.report
	r.Recording, r.Publisher, r.Stream, r.State = m.ID, m.Publisher, m.Stream, m.State
	r.StartedAt, r.EndedAt = m.StartedAt, m.EndedAt
	for _, d := range m.Damage {
		r.add(Error, "damage", fmt.Sprintf("%s at %d", d.File, d.Offset),
			"the bytes are kept: see the .corrupt files, or the archive's copy",
			"recovery met it and could not repair it: %s", d.Reason)
	}
	if m.StartedAt.IsZero() {
		r.add(Error, "manifest", manifestName, doCopy, "it has no started_at")
	}
	switch {
	case m.State.Growing():
		r.add(Info, "growing", manifestName, "", "the recording is %s: what is at its end is being written", m.State)
	case m.EndedAt.IsZero():
		r.add(Error, "manifest", manifestName, doReopen, "its state is %s, and it has no ended_at", m.State)
	case m.EndedAt.Before(m.StartedAt):
		r.add(Error, "manifest", manifestName, "look at the clocks of the nodes: oxbow doctor", "it ends before it starts")
	}
	if m.Source != "" {
		c.fast, r.MediaRead = true, false
		r.add(Info, "clip", manifestName, "", "it is a clip without media of its own: that is in recording %s, see there",
			m.Source)
	}
	for i, t := range m.Takes {
		if !t.Sealed && (i+1 < len(m.Takes) || !m.State.Growing()) {
			r.add(Error, "unsealed", "take "+strconv.Itoa(t.Number), doReopen,
				"it is not sealed, so its index need not be all: a crash or a failed sync")
		}
	}
	if len(m.Takes) == 0 && !m.State.Growing() {
		r.add(Warning, "empty", manifestName, "delete it if nothing is missed", "the recording has no take")
	}
}

// take checks a take's tracks, each alone and then side by side.
func (c *recordingCheck) take(ctx context.Context, at int) (Take, error) {
	take := &c.manifest.Takes[at]
	out := Take{Number: take.Number, Epoch: take.Epoch, StartedAt: take.StartedAt, Sealed: take.Sealed}
	below := reclog.MaxMSN + 1
	if at+1 < len(c.manifest.Takes) {
		below = c.manifest.Takes[at+1].FirstMSN
	}
	for _, tr := range take.Tracks {
		base := strconv.Itoa(take.Number) + "/" + tr.Name
		t := &trackCheck{
			recordingCheck: c, take: take, track: tr, last: at+1 == len(c.manifest.Takes), below: below,
			file: base + ".mp4", index: base + ".idx",
		}
		if c.manifest.Source != "" {
			t.file, t.index = c.mediaBase()+t.file, base+reclog.SourceIndexSuffix
		}
		if err := t.run(ctx); err != nil {
			return out, err
		}
		out.Tracks = append(out.Tracks, t.out)
	}
	c.compare(take, &out)
	return out, nil
}

// mediaBase leads to the folder that has the media.
func (c *recordingCheck) mediaBase() string {
	if c.manifest.Source == "" {
		return ""
	}
	return "../" + string(c.manifest.Source) + "/"
}

// compare checks that the tracks of a take have the same MSNs at the same times.
func (c *recordingCheck) compare(take *media.Take, out *Take) {
	last := at(c.manifest.Takes, take) == len(c.manifest.Takes)-1
	var worst time.Duration
	var where media.MSN
	for i := 1; i < len(out.Tracks); i++ {
		a, b := &out.Tracks[0], &out.Tracks[i]
		if a.LastMSN != b.LastMSN && a.Segments > 0 && b.Segments > 0 {
			severity, do := Error, doReopen
			if !take.Sealed && last && c.manifest.State.Growing() {
				severity, do = Info, ""
			}
			c.report.add(severity, "tracks", "take "+strconv.Itoa(take.Number), do,
				"%s ends with segment %d and %s with %d", a.Name, a.LastMSN, b.Name, b.LastMSN)
		}
		if a.holes || b.holes {
			continue
		}
		for j := range min(len(a.starts), len(b.starts)) {
			if apart := (a.starts[j] - b.starts[j]).Abs(); apart > worst {
				worst, where = apart, a.FirstMSN+media.MSN(j)
			}
		}
	}
	out.Skew = worst.Seconds()
	if limit := max(500*time.Millisecond, c.manifest.Constants.PartTarget); worst > limit {
		c.report.add(Warning, "skew", fmt.Sprintf("take %d segment %d", take.Number, where),
			"look at the publisher: its audio and video are this far apart", "the tracks' segments begin %v apart", worst)
	}
}

func at(takes []media.Take, take *media.Take) int {
	for i := range takes {
		if takes[i].Number == take.Number {
			return i
		}
	}
	return -1
}

// gap notes a segment without media, as one with the run that it continues.
func (r *Report) gap(g Gap) {
	if n := len(r.Gaps); n > 0 {
		last := &r.Gaps[n-1]
		if last.Take == g.Take && last.Track == g.Track && last.Filler == g.Filler && last.To == g.From-1 {
			last.To, last.Seconds = g.To, last.Seconds+g.Seconds
			return
		}
	}
	name := "gap"
	if g.Filler {
		name = "filler"
	}
	if len(r.Gaps) < maxGaps {
		r.Gaps = append(r.Gaps, g)
	}
	where := fmt.Sprintf("%d/%s segment %d", g.Take, g.Track, g.From)
	from := ""
	if !g.Date.IsZero() {
		from = " from " + g.Date.Format(time.RFC3339) + " on"
	}
	if g.Filler {
		r.add(Info, name, where, "", "the publisher was away%s", from)
		return
	}
	r.add(Warning, name, where, "see the node's log and its alarms at that time: storage, or a loss of power",
		"media is missing%s", from)
}

// missing says whether an error is that of a file that is not there.
func missing(err error) bool { return errors.Is(err, media.ErrNotFound) }
