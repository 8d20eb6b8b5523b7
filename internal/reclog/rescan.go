package reclog

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/oxbow-video/oxbow/internal/media"
)

// span is a byte range of a file: from the first byte to behind the last.
type span struct{ from, to int64 }

// trackScan is what a stretch of a track file says by itself.
type trackScan struct {
	segments []media.Segment
	// end is where the last whole part ends.
	end int64
	// bad are the places before end that are no parts.
	bad []span
	// foreign: what lies behind end is more than a write cut short, so worth keeping aside.
	foreign bool
}

// scanner rebuilds the segments of a stretch of a track file from its boxes.
type scanner struct {
	take      int
	timescale int64
	// video: random access points are I-frames.
	video bool
	// after is the sequence number that comes before the stretch; the MSNs in it are less than below.
	after uint32
	below media.MSN
	// expect is the decode time that should come next; negative is unknown.
	expect int64

	seg  media.Segment // the one being gathered; MSN zero is none
	last int           // the index of its last part
	out  trackScan
}

// errFenced: the part has an MSN that belongs to the next take, so a writer wrote it that had lost the recording.
var errFenced = errors.New("fenced writer's part")

// scan walks the stretch. A part out of order is as bad as no part.
func (s *scanner) scan(f io.ReaderAt, at span) (trackScan, error) {
	s.out, s.seg = trackScan{end: at.from}, media.Segment{}
	c := cursorAt(f, at)
	for pos := at.from; pos < at.to; {
		fr, err := c.next()
		if err == nil {
			err = s.inOrder(fr.seq)
		}
		if err == nil {
			s.add(fr, pos)
			pos += fr.size
			continue
		}
		if errors.Is(err, errFenced) {
			break
		}
		if !errors.Is(err, errBox) && !errors.Is(err, errTorn) {
			return s.out, fmt.Errorf("scan at %d: %w", pos, err)
		}
		next, ferr := s.resync(f, span{pos + 1, at.to})
		if ferr != nil {
			return s.out, fmt.Errorf("scan at %d: %w", pos, ferr)
		}
		if next < 0 {
			s.out.foreign, ferr = foreign(f, span{pos, at.to}, err)
			s.flush(0, -1)
			return s.out, ferr
		}
		if len(s.out.bad) < maxDamage {
			s.out.bad = append(s.out.bad, span{pos, next})
		}
		pos, c = next, cursorAt(f, span{next, at.to})
	}
	s.flush(0, -1)
	return s.out, nil
}

func cursorAt(f io.ReaderAt, at span) *cursor {
	return newCursor(io.NewSectionReader(f, at.from, at.to-at.from), at.to-at.from)
}

// inOrder says whether a sequence number may come next.
func (s *scanner) inOrder(seq uint32) error {
	msn, _ := SplitSequenceNumber(seq)
	before, _ := SplitSequenceNumber(s.after)
	switch {
	case seq <= s.after || msn > before+maxFill:
		return fmt.Errorf("%w: sequence number %d after %d", errBox, seq, s.after)
	case msn >= s.below:
		return errFenced
	}
	return nil
}

// add takes the next part in.
func (s *scanner) add(fr fragment, pos int64) {
	msn, part := SplitSequenceNumber(fr.seq)
	if s.seg.MSN != msn {
		s.flush(msn, fr.dts)
		s.seg = media.Segment{MSN: msn, Take: s.take, DTS: fr.dts, Offset: pos, Sync: fr.sync, Gap: part != 0}
		before, _ := SplitSequenceNumber(s.after)
		if s.seg.Gap && msn == before+1 && s.expect >= 0 && s.expect < fr.dts {
			s.seg.DTS = s.expect // the parts that are missing were here
		}
	} else if part != s.last+1 || pos != s.seg.Offset+s.seg.Size || s.broken(fr.dts, s.seg.DTS+s.seg.Duration) {
		s.seg.Gap = true
	}
	if s.video && fr.sync {
		s.seg.IFrames = appendIFrame(s.seg.IFrames, s.seg.Duration, pos-s.seg.Offset, fr.head)
	}
	s.seg.Duration += fr.duration
	if s.seg.Gap {
		s.seg.Duration = max(s.seg.Duration, fr.dts+fr.duration-s.seg.DTS)
	}
	s.seg.Size = pos + fr.size - s.seg.Offset
	s.last, s.after = part, fr.seq
	s.out.end = pos + fr.size
}

// broken says that media is missing between two times that should be one: parts were lost to a volume that was full. A
// tenth of a second is allowed to clocks that are repaired at a segment's start.
func (s *scanner) broken(a, b int64) bool {
	return max(a-b, b-a) > s.timescale/10
}

// flush ends the segment being gathered; the next part is of segment msn and begins at dts, if that is not negative.
func (s *scanner) flush(msn media.MSN, dts int64) {
	if s.seg.MSN == 0 {
		return
	}
	end := s.seg.DTS + s.seg.Duration
	if dts >= 0 && msn == s.seg.MSN+1 && s.broken(dts, end) {
		s.seg.Gap = true
		s.seg.Duration = max(s.seg.Duration, dts-s.seg.DTS)
	}
	if checkIFrames(&s.seg) != nil { // of a gap, too
		s.seg.IFrames = nil
	}
	s.expect = s.seg.DTS + s.seg.Duration
	s.out.segments = append(s.out.segments, s.seg)
	s.seg = media.Segment{}
}

const (
	chunk = 64 << 10
	// partMark is what every part has behind its first four bytes: a moof that begins with its mfhd.
	partMark = "moof\x00\x00\x00\x10mfhd"
	// eventMark is what a part with emsg boxes has there instead: version 1, flags of zero.
	eventMark = "emsg\x01\x00\x00\x00"
)

// resync finds the next whole part that may follow; -1 if there is none.
func (s *scanner) resync(f io.ReaderAt, at span) (int64, error) {
	buf := make([]byte, min(chunk, max(0, at.to-at.from)))
	for from := at.from; from+24 <= at.to; {
		window := buf[:min(int64(len(buf)), at.to-from)]
		if _, err := io.ReadFull(io.NewSectionReader(f, from, int64(len(window))), window); err != nil {
			return -1, err
		}
		for i := 0; ; i++ {
			j := indexMark(window[i:])
			if j < 0 {
				break
			}
			i += j
			pos := from + int64(i) - 4
			if pos < at.from {
				continue
			}
			fr, err := cursorAt(f, span{pos, at.to}).next()
			if err == nil && s.inOrder(fr.seq) == nil {
				return pos, nil
			}
			if err != nil && !errors.Is(err, errBox) && !errors.Is(err, errTorn) {
				return -1, err
			}
		}
		from += int64(max(1, len(window)-len(partMark)+1))
	}
	return -1, nil
}

// indexMark finds where a part may begin: the first of the marks.
func indexMark(b []byte) int {
	part := bytes.Index(b, []byte(partMark))
	if part >= 0 {
		b = b[:part]
	}
	if event := bytes.Index(b, []byte(eventMark)); event >= 0 {
		return event
	}
	return part
}

// foreign says whether a tail is more than a write cut short or the zeros that a loss of power leaves.
func foreign(f io.ReaderAt, at span, why error) (bool, error) {
	if errors.Is(why, errTorn) {
		return false, nil
	}
	buf := make([]byte, min(chunk, at.to-at.from))
	for from := at.from; from < at.to; from += int64(len(buf)) {
		window := buf[:min(int64(len(buf)), at.to-from)]
		if _, err := io.ReadFull(io.NewSectionReader(f, from, int64(len(window))), window); err != nil {
			return false, err
		}
		if bytes.ContainsFunc(window, func(r rune) bool { return r != 0 }) {
			return true, nil
		}
	}
	return false, nil
}
