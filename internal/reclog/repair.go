package reclog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/oxbow-video/oxbow/internal/media"
)

// recovery brings one take to its end. It may be cut short and run again at any point.
type recovery struct {
	w  *Writer
	m  *Manifest
	at int
	// ends are the decode times at which the take before ends, by track.
	ends   []int64
	tracks []*trackRecovery
}

// trackRecovery is one track's side.
type trackRecovery struct {
	media string // file names
	index string
	rel   string // of the media file, in the recording
	size  int64  // of the media file; 0 if it is missing
	init  int64
	text  []byte // of the index
	scan  indexScan
	lines []media.Segment
	end   int64 // where the good bytes end
	// foreign: what lies behind end is to be kept aside.
	foreign bool
	// suspect: the index is torn, damaged or short of lines, so the file may have what it lacks.
	suspect bool
}

// verified is how many of the newest segments of an index are looked up in the file: those that the operating system
// may not have written yet at a loss of power, if nobody synced.
const verified = 64

func (rc *recovery) take() *media.Take { return &rc.m.Takes[rc.at] }

// run gives the decode times at which the take ends, by track.
func (rc *recovery) run() ([]int64, error) {
	take := rc.take()
	for _, tr := range take.Tracks {
		t, err := rc.read(tr)
		if err != nil {
			return nil, err
		}
		rc.tracks = append(rc.tracks, t)
	}
	last := rc.want()
	clean := take.Sealed && !rc.anew()
	for _, t := range rc.tracks {
		t.suspect = t.suspect || len(t.lines) != int(last-take.FirstMSN+1)
		clean = clean && !t.suspect
	}
	if clean {
		return endsOf(rc.lines(), rc.ends), nil
	}
	for i := range rc.tracks {
		if err := rc.rebuild(i); err != nil {
			return nil, err
		}
	}
	lines := rc.lines()
	if err := complete(take, lines, rc.want(), rc.m.Constants, rc.ends); err != nil {
		return nil, err
	}
	for i, t := range rc.tracks {
		t.lines = lines[i]
		if err := rc.write(t); err != nil {
			return nil, err
		}
	}
	return endsOf(lines, rc.ends), syncDir(rc.w.root.fsys, filepath.Dir(rc.tracks[0].media))
}

// anew says that the take's index and metadata are replaced although they are good: gaps and pieces are appended to the
// newest take, sealed or not, and another process may be about to.
func (rc *recovery) anew() bool { return rc.w.root.shared && rc.at == len(rc.m.Takes)-1 }

func (rc *recovery) lines() [][]media.Segment {
	lines := make([][]media.Segment, len(rc.tracks))
	for i, t := range rc.tracks {
		lines[i] = t.lines
	}
	return lines
}

// want is the MSN that every track should end with, as far as is known. A take without any segment gets a gap: its
// first segment may have been announced and lost with the power, and neither its number nor its MSN may come again.
func (rc *recovery) want() media.MSN {
	if below := belowOf(rc.m.Takes, rc.at); below <= MaxMSN {
		return below - 1
	}
	return max(rc.take().FirstMSN, lastMSN(rc.take(), rc.lines()))
}

// read takes in a track's index.
func (rc *recovery) read(tr media.Track) (*trackRecovery, error) {
	take, fsys := rc.take(), rc.w.root.fsys
	dir := filepath.Join(rc.w.dir, strconv.Itoa(take.Number))
	t := &trackRecovery{
		media: filepath.Join(dir, tr.Name+trackSuffix), index: filepath.Join(dir, tr.Name+indexSuffix),
		rel: takeFile(take.Number, tr.Name, trackSuffix), init: tr.InitSize,
	}
	rel := takeFile(take.Number, tr.Name, indexSuffix)
	size, err := fileSize(fsys, t.media)
	if err != nil && !missing(err) {
		return nil, err
	}
	if t.size = size; t.size < t.init {
		rc.damage(Damage{File: t.rel, Offset: t.size, Reason: fmt.Sprintf("%d bytes, its init has %d", t.size, t.init)})
	}
	t.text, err = readFile(fsys, t.index, MaxIndex)
	if missing(err) {
		rc.damage(Damage{File: rel, Reason: "missing"})
		t.suspect, err = true, nil
	}
	if err != nil {
		return nil, err
	}
	t.scan = parseIndex(t.text, indexBounds{
		take: take.Number, first: take.FirstMSN, below: belowOf(rc.m.Takes, rc.at),
		initSize: t.init, size: t.size, file: rel,
	})
	t.lines = t.scan.lines
	t.suspect = t.suspect || t.scan.end < int64(len(t.text)) || len(t.scan.bad) > 0 || len(t.scan.lost) > 0
	if len(t.scan.bad) > 0 {
		rc.damage(t.scan.bad...)
		if err := rc.keepAside(t.index, t.index+corruptSuffix, span{0, int64(len(t.text))}); err != nil {
			return nil, err
		}
	}
	for _, seg := range t.scan.lost {
		rc.damage(Damage{File: t.rel, Offset: t.size, Reason: fmt.Sprintf("segment %d lies behind the end", seg.MSN)})
	}
	return t, nil
}

func (rc *recovery) damage(found ...Damage) {
	for _, d := range found {
		if !slices.Contains(rc.m.Damage, d) { // met by an earlier recovery
			rc.w.report(d, false)
			rc.m.addDamage(d)
		}
	}
}

// rebuild completes a track's lines from the bytes of its file.
func (rc *recovery) rebuild(i int) error {
	t, take := rc.tracks[i], rc.take()
	f, err := openFresh(rc.w.root.fsys, t.media)
	if missing(err) {
		f, err = nil, nil
	}
	if err != nil {
		return err
	}
	if f != nil {
		err = errors.Join(rc.rescan(i, f), f.Close())
		if err != nil {
			return err
		}
	}
	t.bury(take.Number)
	return nil
}

// bury makes gaps of the lines whose bytes are gone, or some of them: players were told of these segments.
func (t *trackRecovery) bury(take int) {
	at := make(map[media.MSN]int, len(t.lines))
	for i, seg := range t.lines {
		at[seg.MSN] = i
	}
	for _, lost := range t.scan.lost {
		seg := media.Segment{Offset: -1}
		i, found := at[lost.MSN]
		if found {
			seg = t.lines[i]
		}
		seg.MSN, seg.Take, seg.Gap, seg.Sync, seg.IFrames = lost.MSN, take, true, false, nil
		seg.DTS, seg.Duration, seg.Date, seg.Filler = lost.DTS, lost.Duration, lost.Date, lost.Filler
		if found {
			t.lines[i] = seg
		} else {
			at[seg.MSN] = len(t.lines)
			t.lines = append(t.lines, seg)
		}
	}
	slices.SortFunc(t.lines, func(a, b media.Segment) int { return cmp.Compare(a.MSN, b.MSN) })
	end := t.init
	for i := range t.lines {
		if seg := &t.lines[i]; seg.Offset < 0 {
			seg.Offset = end
		}
		end = max(end, t.lines[i].Offset+t.lines[i].Size)
	}
}

// rescan looks for segments wherever the index lacks MSNs, and behind its end.
func (rc *recovery) rescan(i int, f io.ReaderAt) error {
	t, take := rc.tracks[i], rc.take()
	if !take.Sealed {
		if err := rc.verify(t, f); err != nil {
			return err
		}
	}
	var found []media.Segment
	s := scanner{
		take: take.Number, timescale: take.Tracks[i].Timescale, video: take.Tracks[i].Kind == media.Video, expect: -1,
	}
	msn, end := take.FirstMSN-1, t.init
	for _, line := range t.lines {
		if line.MSN > msn+1 && line.Offset > end {
			s.after, s.below = SequenceNumber(msn+1, 0)-1, line.MSN
			out, err := s.scan(f, span{end, line.Offset})
			if err != nil {
				return err
			}
			found = append(found, rc.dated(i, out)...)
		}
		msn, end, s.expect = line.MSN, max(end, line.Offset+line.Size), line.DTS+line.Duration
	}
	t.end = end
	if (!take.Sealed || t.suspect) && t.size > end {
		s.after, s.below = SequenceNumber(msn+1, 0)-1, belowOf(rc.m.Takes, rc.at)
		out, err := s.scan(f, span{end, t.size})
		if err != nil {
			return err
		}
		found = append(found, rc.dated(i, out)...)
		t.end, t.foreign = out.end, out.foreign
	}
	t.lines = append(t.lines[:len(t.lines):len(t.lines)], found...)
	return nil
}

// dated gives what a scan found its dates, and notes the damage that it met.
func (rc *recovery) dated(i int, out trackScan) []media.Segment {
	for _, bad := range out.bad {
		rc.damage(Damage{
			File: rc.tracks[i].rel, Offset: bad.from, Reason: fmt.Sprintf("%d bytes are no parts", bad.to-bad.from),
		})
	}
	scale := rc.take().Tracks[i].Timescale
	for j := range out.segments {
		seg := &out.segments[j]
		seg.Date = dateOf(rc.take(), seg.DTS, scale)
		if seg.Gap {
			seg.Duration = atMost(seg.Duration, rc.m.Constants.TargetDuration, scale)
		}
	}
	return out.segments
}

// verify turns the newest segments whose bytes are not what they should be into gaps.
func (rc *recovery) verify(t *trackRecovery, f io.ReaderAt) error {
	t.lines = slices.Clone(t.lines)
	for i := max(0, len(t.lines)-verified); i < len(t.lines); i++ {
		seg := &t.lines[i]
		if seg.Gap {
			continue
		}
		_, err := ScanParts(io.NewSectionReader(f, seg.Offset, seg.Size), *seg)
		if err == nil {
			continue
		}
		if !errors.Is(err, media.ErrCorrupt) {
			return err
		}
		rc.damage(Damage{File: t.rel, Offset: seg.Offset, Reason: err.Error()})
		seg.Gap, seg.Sync, seg.IFrames = true, false, nil
	}
	return nil
}

// write puts the result on storage. An unsealed take's index is replaced even if it is good, so that a fenced writer's
// lines go to a file that nobody sees.
func (rc *recovery) write(t *trackRecovery) error {
	fsys := rc.w.root.fsys
	if t.foreign && t.size > t.end {
		rc.damage(Damage{File: t.rel, Offset: t.end, Reason: fmt.Sprintf("tail of %d bytes is no part", t.size-t.end)})
		if rc.w.root.shared { // it stays where it is
			return rc.writeIndex(t)
		}
		aside := t.media + "." + strconv.FormatInt(t.end, 10) + corruptSuffix
		if err := rc.keepAside(t.media, aside, span{t.end, t.size}); err != nil {
			return err
		}
	}
	// Another process that takes the recording over now, and has met more parts here, may be about to list them. So
	// nothing is cut where there may be one; what lies behind the last line is of no segment.
	if !rc.take().Sealed && t.size > 0 && !rc.w.root.shared {
		if err := cutFile(fsys, t.media, max(t.end, t.init), t.size); err != nil {
			return err
		}
	}
	return rc.writeIndex(t)
}

func (rc *recovery) writeIndex(t *trackRecovery) error {
	var text []byte
	for i := range t.lines {
		text = appendLine(text, &t.lines[i])
	}
	if rc.take().Sealed && bytes.Equal(text, t.text) && !rc.anew() {
		return nil
	}
	return rc.w.replace(t.index, text)
}

// cutFile cuts a file that is longer than it should be, and syncs it.
func cutFile(fsys fileSystem, name string, end, size int64) error {
	f, err := fsys.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if size > end {
		err = f.Truncate(end)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

func fileSize(fsys fileSystem, name string) (int64, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// keepAside copies a stretch of a file that will be cut or replaced.
func (rc *recovery) keepAside(name, aside string, at span) (err error) {
	fsys := rc.w.root.fsys
	aside, err = rc.w.spareName(aside)
	if err != nil {
		return err
	}
	from, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := fsys.OpenFile(aside, os.O_RDWR|os.O_CREATE|os.O_EXCL, filePerm)
	if err != nil {
		return err
	}
	src := io.NewSectionReader(from, at.from, at.to-at.from)
	_, err = io.CopyBuffer(struct{ io.Writer }{io.NewOffsetWriter(to, 0)}, src, make([]byte, chunk))
	if err = errors.Join(err, to.Sync(), to.Close()); err != nil {
		return errors.Join(err, fsys.Remove(aside))
	}
	rc.w.logger.Warn("damaged bytes are kept aside", "file", aside)
	return nil
}
