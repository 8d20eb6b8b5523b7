package doctor

import (
	"context"
	"slices"
	"testing"
)

// A report that is cut off has what was checked before, and takes nothing for a failure.
func TestDoctorThatIsCutOffTellsWhatItChecked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var groups []string
	r := Run(ctx, Config{
		Ports: []Port{{Flag: "--http", Network: "tcp", Address: "127.0.0.1:0"}},
		Progress: func(group string) {
			if groups = append(groups, group); group == "directory" {
				cancel()
			}
		},
	})
	if !slices.Equal(groups, []string{"secrets", "ports", "directory"}) || len(r.Checks) == 0 || r.Failed > 0 {
		t.Errorf("%v, %+v", groups, r)
	}
}
