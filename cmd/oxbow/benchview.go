package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/oxbow-video/oxbow/internal/loadgen"
)

const maxBenchViewers = 20_000

// benchView is `oxbow bench view`.
type benchView struct {
	URL      string        `name:"url" required:"" placeholder:"URL" help:"A live stream's index.m3u8, over http://."`
	Viewers  int           `default:"100" help:"How many viewers."`
	Duration time.Duration `default:"30s" help:"How long all of them watch, after the ramp."`
	Ramp     time.Duration `default:"5s" help:"Over which time they come."`
	JSON     bool          `name:"json" help:"Print the result as JSON."`
}

// Help describes the result.
func (benchView) Help() string {
	return "Each viewer has a connection for each rendition, reloads its playlist as a low-latency player does " +
		"(blocking, delta updates, gzip) and loads every part. Late is the time from the moment when the first viewer of " +
		"all learnt of a part until a viewer had it whole; it should stay below the part duration. Run it on cores of " +
		"its own, or it measures itself."
}

// Run watches until the time is up, and prints the result.
func (c *benchView) Run(ctx runContext) error {
	switch {
	case c.Viewers < 1 || c.Viewers > maxBenchViewers:
		return fmt.Errorf("--viewers %d: use 1 to %d", c.Viewers, maxBenchViewers)
	case c.Duration <= 0 || c.Ramp < 0 || c.Duration+c.Ramp > maxBenchDuration:
		return fmt.Errorf("--duration %v --ramp %v: use 1s to %v together", c.Duration, c.Ramp, maxBenchDuration)
	}
	r, err := loadgen.View(ctx, loadgen.ViewConfig{
		URL: c.URL, Viewers: c.Viewers, Ramp: c.Ramp, Duration: c.Duration,
	})
	if err != nil {
		return fmt.Errorf("--url: %w", err)
	}
	if err := c.print(ctx, r); err != nil {
		return err
	}
	if r.Parts == 0 {
		return errors.New("no part was loaded")
	}
	return nil
}

func (c *benchView) print(ctx runContext, r loadgen.ViewResult) error {
	if c.JSON {
		return printJSON(ctx, r)
	}
	out := tabwriter.NewWriter(ctx.stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) { _, _ = fmt.Fprintf(out, name+"\t"+format+"\n", values...) }
	row("viewers", "%d of %d play at the end, %d renditions each", r.Playing, r.Viewers, r.Renditions)
	for _, reason := range slices.Sorted(maps.Keys(r.Failures)) {
		row("failed", "%d: %s", r.Failures[reason], reason)
	}
	row("requests", "%.0f a second: %d playlists, %d parts, %d missed", r.Requests, r.Playlists, r.Parts, r.Missed)
	row("received", "%.1f MB, %.2f Mbit/s", float64(r.Bytes)/1e6, r.Bits/1e6)
	row("late", "%.1f ms p50, %.1f ms p99, %.1f ms most; parts of %.0f ms", r.LateP50, r.LateP99, r.LateMax, r.PartTarget)
	row("own CPU", "%.2f s in %.1f s", r.CPU, r.Seconds)
	return out.Flush()
}

// benchLatency is `oxbow bench latency`.
type benchLatency struct {
	Publish  string        `required:"" placeholder:"URL" help:"Where to publish: rtmp:// or srt://."`
	URL      string        `name:"url" required:"" placeholder:"URL" help:"The stream's index.m3u8, over http://."`
	File     string        `required:"" type:"existingfile" placeholder:"FILE" help:"Clip to send in a loop: FLV for RTMP, H.264 or HEVC. Let it begin with a key frame."`
	Duration time.Duration `default:"30s" help:"How long it is measured, once parts come."`
	JSON     bool          `name:"json" help:"Print the result as JSON."`
}

// Help describes the result.
func (benchLatency) Help() string {
	return "A frame's latency is the time from its last byte's sending until the part that holds it was loaded whole by " +
		"a viewer who waits for it. A part's first frame waits for the part to fill; the last one shows what the server adds."
}

// Run measures until the time is up, and prints the result.
func (c *benchLatency) Run(ctx runContext) error {
	if c.Duration <= 0 || c.Duration > maxBenchDuration {
		return fmt.Errorf("--duration %v: use 1s to %v", c.Duration, maxBenchDuration)
	}
	clip, err := loadgen.Load(c.File, c.Publish)
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	r, err := clip.Latency(ctx, loadgen.LatencyConfig{Publish: c.Publish, URL: c.URL, Duration: c.Duration})
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(ctx, r)
	}
	out := tabwriter.NewWriter(ctx.stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) { _, _ = fmt.Fprintf(out, name+"\t"+format+"\n", values...) }
	row("measured", "%d frames in %d parts of %.0f ms; %d parts not recognised",
		r.Frames, r.Parts, r.PartTarget, r.Unknown)
	row("every frame", "%.1f ms p50, %.1f ms p99, %.1f ms most", r.FrameP50, r.FrameP99, r.FrameMax)
	row("last frames", "%.1f ms p50, %.1f ms p99, %.1f ms most", r.LastP50, r.LastP99, r.LastMax)
	return out.Flush()
}

func printJSON(ctx runContext, result any) error {
	encoder := json.NewEncoder(ctx.stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(result)
}
