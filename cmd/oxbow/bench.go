package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/loadgen"
	"github.com/oxbow-video/oxbow/internal/progress"
)

// benchCommand is `oxbow bench`.
type benchCommand struct {
	Publish benchPublish `cmd:"" help:"Publish one clip as many streams, and say how the server bore it."`
	View    benchView    `cmd:"" help:"Watch one stream as many viewers, and say how late they got its parts."`
	Latency benchLatency `cmd:"" help:"Publish one stream and watch it, and say how long frames take until their part can be had."`
	Archive benchArchive `cmd:"" help:"Archive recordings that it makes, and say how fast the store took them."`
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

	benchOutput `embed:""`
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
	if err := checkDurations(c.Duration, c.Ramp); err != nil {
		return err
	}
	limits, err := c.conditions(loadgen.Result{})
	if err != nil {
		return err
	}
	clip, err := loadgen.Load(c.File, urls[0])
	if err != nil {
		return fmt.Errorf("--file: %w", err)
	}
	watch, stop := c.follow(ctx, "bench publish", "streams", c.Streams, c.Ramp+c.Duration)
	r, err := clip.Run(ctx, loadgen.Config{URLs: urls, Ramp: c.Ramp, Duration: c.Duration, Watch: watch})
	stop()
	if err != nil {
		return err
	}
	var empty error
	if r.Connected == 0 {
		empty = errors.New("no stream was accepted")
	}
	return c.finish(ctx, r, r.Own, func(w io.Writer) error { return printPublish(w, r) }, limits, empty)
}

// checkDurations refuses a measurement of no time, or of more than a day.
func checkDurations(duration, ramp time.Duration) error {
	if duration <= 0 || ramp < 0 || duration+ramp > maxBenchDuration {
		return usageError{fmt.Errorf("--duration %v --ramp %v: use 1s to %v together", duration, ramp, maxBenchDuration)}
	}
	return nil
}

// urls gives each stream its URL.
func (c *benchPublish) urls() ([]string, error) {
	if c.Streams < 1 || c.Streams > maxBenchStreams {
		return nil, usageError{fmt.Errorf("--streams %d: use 1 to %d", c.Streams, maxBenchStreams)}
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
				return nil, usageError{fmt.Errorf("--keys: %d keys for %d streams", len(keys), c.Streams)}
			}
			key = keys[i]
		}
		urls[i] = strings.NewReplacer("{n}", strconv.Itoa(i+1), "{key}", key).Replace(form)
	}
	return urls, nil
}

func printPublish(w io.Writer, r loadgen.Result) error {
	t := newResultTable(w)
	t.row("streams", "%d of %d connected, %d behind at the end", r.Connected, r.Streams, r.Behind)
	t.counts("refused", r.Refused)
	t.counts("disconnected", r.Disconnected)
	t.row("sent", "%s, %.2f Mbit/s", progress.Size(r.Bytes), r.Bits/1e6)
	t.row("lag", "%.1f ms p50, %.1f ms p99, %.1f ms most", r.LagP50, r.LagP99, r.LagMax)
	t.own(r.Own, r.Seconds)
	return t.out.Flush()
}
