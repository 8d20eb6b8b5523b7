package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"

	"github.com/oxbow-video/oxbow/internal/loadgen"
	"github.com/oxbow-video/oxbow/internal/progress"
)

// maxBenchPlayers bounds viewers with --player, which cost more than those without a buffer.
const maxBenchPlayers = 5_000

// benchPlay is `oxbow bench view --player`.
type benchPlay struct {
	Player   bool `help:"Viewers that buffer, follow content steering, retry and give up as hls.js does."`
	Measured bool `help:"With --cmcd: tell how long the start and stalls were, too, as Oxbow's page does."`
	CMCD     bool `name:"cmcd" help:"With --player: tell of themselves in each request's query, as CMCD."`
}

const benchPlayHelp = "With --player each viewer buffers media and plays it by the clock, asks the steering server, " +
	"goes to another edge and gives up by the rules of hls.js 1.7.4; the result says what each one saw: start-up, " +
	"stalls, moves, errors."

// play watches as players do, and prints what they saw.
func (benchPlay) play(ctx runContext, c *benchView) error {
	if c.Viewers > maxBenchPlayers {
		return usageError{fmt.Errorf("--viewers %d: use 1 to %d with --player", c.Viewers, maxBenchPlayers)}
	}
	limits, err := c.conditions(loadgen.PlayResult{})
	if err != nil {
		return err
	}
	watch, stop := c.follow(ctx, "bench view", "viewers", c.Viewers, c.Ramp+c.Duration)
	r, err := loadgen.Play(ctx, loadgen.PlayConfig{
		URL: c.URL, Viewers: c.Viewers, Ramp: c.Ramp, Duration: c.Duration, CMCD: c.CMCD, Measured: c.Measured, Watch: watch,
	})
	stop()
	if err != nil {
		return cmp.Or(ctx.cutOff(), fmt.Errorf("--url: %w", err))
	}
	var empty error
	if r.StartMax == 0 {
		empty = errors.New("no viewer saw a picture")
	}
	return c.finish(ctx, r, r.Own, func(w io.Writer) error { return printPlay(w, r) }, limits, empty)
}

func printPlay(w io.Writer, r loadgen.PlayResult) error {
	t := newResultTable(w)
	t.row("viewers", "%d of %d play at the end", r.Playing, r.Viewers)
	t.counts("gave up", r.Fatal)
	t.counts("failed", r.Faults)
	t.row("first picture", "%.0f ms p50, %.0f ms most", r.StartP50, r.StartMax)
	t.row("stalls", "%d, of %d viewers, %.1f s in all, %.0f ms the longest",
		r.Stalls, r.Stalled, r.StalledMS/1000, r.StallMaxMS)
	t.row("moved", "%d viewers went to another pathway", r.Moved)
	t.counts("at the end", r.Pathways)
	t.row("requests", "%d, %s, %d segments missed", r.Requests, progress.Size(r.Bytes), r.Missed)
	t.own(r.Own, r.Seconds)
	return t.out.Flush()
}
