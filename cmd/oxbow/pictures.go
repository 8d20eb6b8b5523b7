package main

import (
	"fmt"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/archiver"
	"github.com/oxbow-video/oxbow/internal/thumbnail"
)

// pictureFlags say what makes thumbnails.
type pictureFlags struct {
	FFmpeg string `name:"ffmpeg" placeholder:"FILE" help:"The ffmpeg that makes thumbnails, with a tenth of one core at the most (default: the one in PATH); \"none\" makes no thumbnails."`
}

// noFFmpeg is the --ffmpeg of who wants no thumbnails.
const noFFmpeg = "none"

// newPictures makes what makes thumbnails. That there is no ffmpeg is said once, here; one that was asked for must be
// there.
func (n *node) newPictures() (*archiver.Pictures, error) {
	config := archiver.PicturesConfig{Cluster: n.Cluster}
	if n.FFmpeg == noFFmpeg {
		return archiver.NewPictures(config, n.catalog, n.root, nil, n.logger, n.metrics), nil
	}
	path, err := thumbnail.Find(n.FFmpeg)
	if err != nil {
		if n.FFmpeg != "" {
			return nil, fmt.Errorf("--ffmpeg %s: %w: name a program, or none, or leave the flag out", n.FFmpeg, err)
		}
		n.logger.Warn("no ffmpeg in PATH: there are no thumbnails; install it, or name one by --ffmpeg", "err", err)
		return archiver.NewPictures(config, n.catalog, n.root, nil, n.logger, n.metrics), nil
	}
	cpu := prometheus.NewCounter(prometheus.CounterOpts{
		Name: "oxbow_archiver_ffmpeg_cpu_seconds_total", Help: "Processor time that ffmpeg took for thumbnails.",
	})
	runs := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_archiver_ffmpeg_runs_total", Help: "Runs of ffmpeg for thumbnails, by result (ok, failed).",
	}, []string{"result"})
	n.metrics.MustRegister(cpu, runs)
	maker := thumbnail.New(thumbnail.Config{
		Path: path, Env: ffmpegEnv(),
		OnRun: func(took time.Duration, err error) {
			cpu.Add(took.Seconds())
			result := "ok"
			if err != nil {
				result = "failed"
			}
			runs.WithLabelValues(result).Inc()
		},
	})
	n.pictured = true
	return archiver.NewPictures(config, n.catalog, n.root, maker, n.logger, n.metrics), nil
}

// ffmpegEnv is what of the environment an ffmpeg may need: no secrets.
func ffmpegEnv() []string {
	var env []string
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}
