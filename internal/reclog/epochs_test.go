package reclog

import (
	"context"
	"errors"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Of two processes that reopen a recording at a time, each under its lease, the one with the later lease has it,
// whatever the order of their steps: nobody else is to have it, and it does not try again.
func TestOfTwoThatReopenTheLaterLeaseHasTheRecording(t *testing.T) {
	whole := newShow(t, newMemFS(), SyncSegment)
	whole.script()
	for i, epochs := range [][2]uint64{{9, 8}, {8, 9}} {
		for at := 0; ; at++ {
			if leftOut(at+i, 2) {
				continue
			}
			fsys := replay(whole.fsys.journal)
			roots := []*Root{sharedRoot(t, fsys), sharedRoot(t, fsys)}
			var writers [2]*Writer
			var errs [2]error
			reopen := func(i int) {
				_, writers[i], errs[i] = roots[i].ReopenAs(context.Background(), testPath(), testID, epochs[i])
			}
			steps, met := 0, false
			roots[0].fsys = stepFS{fileSystem: roots[0].fsys, before: func(string, string) {
				if steps++; steps-1 == at {
					met = true
					reopen(1)
				}
			}}
			reopen(0)
			if !met {
				break
			}
			for i, w := range writers {
				if w != nil && errs[i] == nil {
					errs[i] = w.Update(func(*Manifest) {})
				}
				if later := epochs[i] == 9; later && errs[i] != nil || !later && !errors.Is(errs[i], media.ErrFenced) {
					t.Fatalf("step %d: under epoch %d, beside %d: %v", at, epochs[i], epochs[1-i], errs[i])
				}
			}
			takeOver(t, fsys, whole.told)
		}
	}
}
