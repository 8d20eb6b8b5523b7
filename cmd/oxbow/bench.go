package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/oxbow-video/oxbow/internal/loadgen"
)

// benchCommand is `oxbow bench`.
type benchCommand struct {
	Publish benchPublish `cmd:"" help:"Publish one clip as many streams, and say how the server bore it."`
	View    benchView    `cmd:"" help:"Watch one stream as many viewers, and say how late they got its parts."`
	Latency benchLatency `cmd:"" help:"Publish one stream and watch it, and say how long frames take until their part can be had."`
}

const (
	maxBenchStreams  = 10_000
	maxBenchDuration = 24 * time.Hour
)

// benchPublish is `oxbow bench publish`.
type benchPublish struct {
	URL      []string      `name:"url" required:"" sep:"none" placeholder:"URL" help:"Where to publish: rtmp://, rtmps:// or srt://. {n} is the stream's number from 1, {key} its line of --keys. Given several times, streams take them in turn."`
	File     string        `required:"" type:"existingfile" placeholder:"FILE" help:"Clip to send in a loop: FLV for RTMP, MPEG-TS for SRT. Let it begin with a key frame."`
	Keys     string        `type:"existingfile" placeholder:"FILE" help:"Stream keys, one a line."`
	Streams  int           `default:"1" help:"How many streams."`
	Duration time.Duration `default:"30s" help:"How long all of them publish, after the ramp."`
	Ramp     time.Duration `default:"2s" help:"Over which time they start."`
	JSON     bool          `name:"json" help:"Print the result as JSON."`
}

// Help describes the result.
func (benchPublish) Help() string {
	return "The clip goes out at the pace of its timestamps; every message is sent, and how late it left is the lag: a " +
		"server that keeps up leaves it at a few milliseconds. Lags and rates count from the end of the ramp. Run it " +
		"on cores of its own, or it measures itself."
}

// Run publishes until the time is up, and prints the result.
func (c *benchPublish) Run(ctx runContext) error {
	urls, err := c.urls()
	if err != nil {
		return err
	}
	if c.Duration <= 0 || c.Ramp < 0 || c.Duration+c.Ramp > maxBenchDuration {
		return fmt.Errorf("--duration %v --ramp %v: use 1s to %v together", c.Duration, c.Ramp, maxBenchDuration)
	}
	clip, err := loadgen.Load(c.File, urls[0])
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	result, err := clip.Run(ctx, loadgen.Config{URLs: urls, Ramp: c.Ramp, Duration: c.Duration})
	if err != nil {
		return err
	}
	if err := c.print(ctx, result); err != nil {
		return err
	}
	if result.Connected == 0 {
		return errors.New("no stream was accepted")
	}
	return nil
}

// urls gives each stream its URL.
func (c *benchPublish) urls() ([]string, error) {
	if c.Streams < 1 || c.Streams > maxBenchStreams {
		return nil, fmt.Errorf("--streams %d: use 1 to %d", c.Streams, maxBenchStreams)
	}
	var keys []string
	if c.Keys != "" {
		text, err := os.ReadFile(c.Keys)
		if err != nil {
			return nil, fmt.Errorf("--keys: %w", err)
		}
		keys = strings.Fields(string(text))
	}
	urls := make([]string, c.Streams)
	for i := range urls {
		form := c.URL[i%len(c.URL)]
		key := ""
		if strings.Contains(form, "{key}") {
			if i >= len(keys) {
				return nil, fmt.Errorf("--keys: %d keys for %d streams", len(keys), c.Streams)
			}
			key = keys[i]
		}
		urls[i] = strings.NewReplacer("{n}", strconv.Itoa(i+1), "{key}", key).Replace(form)
	}
	return urls, nil
}

func (c *benchPublish) print(ctx runContext, r loadgen.Result) error {
	if c.JSON {
		return printJSON(ctx, r)
	}
	out := tabwriter.NewWriter(ctx.stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) { _, _ = fmt.Fprintf(out, name+"\t"+format+"\n", values...) }
	row("streams", "%d of %d connected, %d behind at the end", r.Connected, r.Streams, r.Behind)
	for _, ended := range []struct {
		how     string
		reasons map[string]int
	}{{"refused", r.Refused}, {"disconnected", r.Disconnected}} {
		for _, reason := range slices.Sorted(maps.Keys(ended.reasons)) {
			row(ended.how, "%d: %s", ended.reasons[reason], reason)
		}
	}
	row("sent", "%.1f MB, %.2f Mbit/s", float64(r.Bytes)/1e6, r.Bits/1e6)
	row("lag", "%.1f ms p50, %.1f ms p99, %.1f ms most", r.LagP50, r.LagP99, r.LagMax)
	row("own CPU", "%.2f s in %.1f s", r.CPU, r.Seconds)
	return out.Flush()
}
