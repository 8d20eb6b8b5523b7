package catalog

import (
	"fmt"
	"slices"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// checkRevision is media.ErrPrecondition for what is at none of the revisions; given none, any will do.
func checkRevision(have int64, revisions []int64) error {
	if len(revisions) == 0 || slices.Contains(revisions, have) {
		return nil
	}
	return fmt.Errorf("%w: it is at revision %d: look at it again, and change that one", media.ErrPrecondition, have)
}

// revisions has the row be at one of the revisions, if any are given.
func (c *conditions) revisions(revisions []int64) {
	if len(revisions) == 0 {
		return
	}
	in := make([]string, 0, len(revisions))
	for _, r := range revisions {
		in = append(in, c.arg(r))
	}
	c.add(`revision IN (` + strings.Join(in, ", ") + `)`)
}
