package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/oxbow-video/oxbow/internal/loadgen"
	"github.com/oxbow-video/oxbow/internal/progress"
)

const maxBenchViewers = 20_000

// benchView is `oxbow bench view`.
type benchView struct {
	URL      string        `name:"url" required:"" placeholder:"URL" help:"A live stream's index.m3u8, over http://."`
	Viewers  int           `default:"100" help:"How many viewers."`
	Duration time.Duration `default:"30s" help:"How long all of them watch, after the ramp."`
	Ramp     time.Duration `default:"5s" help:"Over which time they come."`

	benchPlay
	benchOutput `embed:""`
}

// Help describes the result.
func (benchView) Help() string {
	return "Each viewer has a connection for each rendition, reloads its playlist as a low-latency player does " +
		"(blocking, delta updates, gzip) and loads every part. Late is the time from the moment when the first viewer of " +
		"all learnt of a part until a viewer had it whole; it should stay below the part duration. Run it on cores of " +
		"its own, or it measures itself. " + benchPlayHelp
}

// Run watches until the time is up, and prints the result.
func (c *benchView) Run(ctx runContext) error {
	switch {
	case c.Viewers < 1 || c.Viewers > maxBenchViewers:
		return usageError{fmt.Errorf("--viewers %d: use 1 to %d", c.Viewers, maxBenchViewers)}
	case c.CMCD && !c.Player:
		return usageError{errors.New("--cmcd is of viewers with --player: give both")}
	}
	if err := checkDurations(c.Duration, c.Ramp); err != nil {
		return err
	}
	if c.Player {
		return c.play(ctx, c)
	}
	limits, err := c.conditions(loadgen.ViewResult{})
	if err != nil {
		return err
	}
	watch, stop := c.follow(ctx, "bench view", "viewers", c.Viewers, c.Ramp+c.Duration)
	r, err := loadgen.View(ctx, loadgen.ViewConfig{
		URL: c.URL, Viewers: c.Viewers, Ramp: c.Ramp, Duration: c.Duration, Watch: watch,
	})
	stop()
	if err != nil {
		return cmp.Or(ctx.cutOff(), fmt.Errorf("--url: %w", err))
	}
	var empty error
	if r.Parts == 0 {
		empty = errors.New("no part was loaded")
	}
	return c.finish(ctx, r, r.Own, func(w io.Writer) error { return printView(w, r) }, limits, empty)
}

func printView(w io.Writer, r loadgen.ViewResult) error {
	t := newResultTable(w)
	t.row("viewers", "%d of %d play at the end, %d renditions each", r.Playing, r.Viewers, r.Renditions)
	t.counts("failed", r.Failures)
	t.row("requests", "%.0f a second: %d playlists, %d parts, %d missed", r.Requests, r.Playlists, r.Parts, r.Missed)
	t.row("received", "%s, %.2f Mbit/s", progress.Size(r.Bytes), r.Bits/1e6)
	t.row("late", "%.1f ms p50, %.1f ms p99, %.1f ms most; parts of %.0f ms", r.LateP50, r.LateP99, r.LateMax,
		r.PartTarget)
	t.own(r.Own, r.Seconds)
	return t.out.Flush()
}

// benchLatency is `oxbow bench latency`.
type benchLatency struct {
	Publish  string        `required:"" placeholder:"URL" help:"Where to publish: rtmp:// or srt://."`
	URL      string        `name:"url" required:"" placeholder:"URL" help:"The stream's index.m3u8, over http://."`
	File     string        `required:"" type:"existingfile" placeholder:"FILE" help:"Clip to send in a loop: FLV for RTMP, H.264 or HEVC. Let it begin with a key frame."`
	Duration time.Duration `default:"30s" help:"How long it is measured, once parts come."`

	benchOutput `embed:""`
}

// Help describes the result.
func (benchLatency) Help() string {
	return "A frame's latency is the time from its last byte's sending until the part that holds it was loaded whole by " +
		"a viewer who waits for it. A part's first frame waits for the part to fill; the last one shows what the server adds."
}

// Run measures until the time is up, and prints the result.
func (c *benchLatency) Run(ctx runContext) error {
	if err := checkDurations(c.Duration, 0); err != nil {
		return err
	}
	limits, err := c.conditions(loadgen.LatencyResult{})
	if err != nil {
		return err
	}
	clip, err := loadgen.Load(c.File, c.Publish)
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	watch, stop := c.follow(ctx, "bench latency", "viewers", 1, c.Duration)
	r, err := clip.Latency(ctx, loadgen.LatencyConfig{
		Publish: c.Publish, URL: c.URL, Duration: c.Duration, Watch: watch,
	})
	stop()
	if err != nil && (ctx.cutOff() == nil || r.Parts == 0) {
		return cmp.Or(ctx.cutOff(), err)
	}
	return c.finish(ctx, r, r.Own, func(w io.Writer) error { return printLatency(w, r) }, limits, nil)
}

func printLatency(w io.Writer, r loadgen.LatencyResult) error {
	t := newResultTable(w)
	t.row("measured", "%d frames in %d parts of %.0f ms; %d parts not recognised",
		r.Frames, r.Parts, r.PartTarget, r.Unknown)
	t.row("every frame", "%.1f ms p50, %.1f ms p99, %.1f ms most", r.FrameP50, r.FrameP99, r.FrameMax)
	t.row("last frames", "%.1f ms p50, %.1f ms p99, %.1f ms most", r.LastP50, r.LastP99, r.LastMax)
	return t.out.Flush()
}

func printJSON(ctx runContext, result any) error {
	encoder := json.NewEncoder(ctx.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}
