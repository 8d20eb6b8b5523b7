package reclog

import (
	"errors"
	"fmt"
	"io"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Fragment is a part as its boxes lie in the track's file.
type Fragment struct {
	Index int
	// Moof is the whole box, borrowed until the next one is read.
	Moof []byte
	// At is where the moof begins and End where the mdat behind it ends, in bytes from the segment's first.
	At, End int64
}

// ScanFragments calls fn for each part of a finished segment, as ScanParts finds them, for those who need what a moof
// says of its samples. An error of fn ends the scan and is given back.
func ScanFragments(r io.Reader, seg *media.Segment, fn func(Fragment) error) error {
	c := newCursor(r, seg.Size)
	for last := -1; c.pos < seg.Size; {
		at := c.pos
		fr, err := c.next()
		if err != nil && !errors.Is(err, errTorn) && !errors.Is(err, errBox) {
			return fmt.Errorf("scan segment %d: %w", seg.MSN, err)
		}
		msn, index := SplitSequenceNumber(fr.seq)
		if err == nil && (msn != seg.MSN || index <= last) {
			err = fmt.Errorf("part %d.%d out of order", msn, index)
		}
		if err != nil {
			return fmt.Errorf("scan segment %d at %d: %w: %w", seg.MSN, seg.Offset+at, media.ErrCorrupt, err)
		}
		last = index
		if err := fn(Fragment{Index: index, Moof: c.moof, At: at + c.lead, End: at + fr.size}); err != nil {
			return err
		}
	}
	return nil
}
