package test

import (
	"fmt"
	"testing"
	"time"
)

// playerKind is one real player.
type playerKind struct {
	name    string
	needs   []string // tools beside node and chromium
	browser bool
	// start opens a URL, at a position for a player that can't seek later.
	start func(tb testing.TB, url string, at time.Duration) *viewing
	// behind is how far behind the publisher it may be at the end of a live row, in the modes low and standard.
	behind, behindStandard time.Duration
	// exact is how many pictures a seek may miss; a GOP where the player promises key frames only.
	exact int
	// joins is how many segments a live playlist must list before it can join.
	joins int
	// noSeek is why it can't seek; it plays a recording from the start then.
	noSeek string
}

// inBrowser is a player of browser/page.js.
func inBrowser(name, player, config string, behind, behindStandard time.Duration) playerKind {
	return playerKind{
		name: name, browser: true, behind: behind, behindStandard: behindStandard, exact: 1,
		start: func(tb testing.TB, url string, _ time.Duration) *viewing {
			return watchInBrowser(tb, player, url, config)
		},
	}
}

// The page of ours plays with these settings of hls.js.
const hlsSettings = `{"lowLatencyMode": true, "backBufferLength": 60, "maxLiveSyncPlaybackRate": 1.1}`

const (
	vhsParts        = "the low latency mode of VHS 3.17 stands for ten seconds after the start; llhls=false is good"
	libavformatSeek = "libavformat 5.1 reads on at the old fragment's offsets after a seek in fragmented HLS, " +
		"its own muxer's too"
	libavformatInit = `libavformat 5.1 keeps the first init segment ("Found duplicated MOOV Atom. Skipped it")`
)

// playerKinds are all players of the table. A player without low latency stays three target durations behind, and a
// segment is listed when it is whole.
func playerKinds() []playerKind {
	const whole, wholeStandard = 12 * time.Second, 20 * time.Second
	native := inBrowser("Chromium", "Chromium", "", whole, wholeStandard)
	native.joins = 3 // with fewer it may fail at once: "Segment queue never had any data"
	return []playerKind{
		inBrowser("hls.js 1.7", "hls.js", hlsSettings, 2*time.Second, wholeStandard),
		inBrowser("hls.js 1.5", "hls.js 1.5", hlsSettings, 3*time.Second, wholeStandard),
		inBrowser("Shaka 5.2", "Shaka", `{"streaming": {"lowLatencyMode": true}}`, 3*time.Second, wholeStandard),
		inBrowser("video.js 8.24", "video.js", "", 4*time.Second, wholeStandard),
		inBrowser("video.js 8.24 without LL", "video.js", `{"llhls": false}`, whole, wholeStandard),
		native,
		{
			name: "ffmpeg", behind: whole, behindStandard: wholeStandard, exact: 3, joins: 3, noSeek: libavformatSeek,
			start: func(tb testing.TB, url string, _ time.Duration) *viewing {
				return watchTool(tb, "ffmpeg", greyRows(stampBlocks, 1), "ffmpeg", "-v", "warning", "-nostdin", "-re",
					"-i", url, "-map", "0:v:0", "-vf", stampCrop, "-fps_mode", "passthrough",
					"-f", "rawvideo", "-flush_packets", "1", "pipe:3")
			},
		},
		{
			name: "mpv", needs: []string{"mpv"}, behind: whole, behindStandard: wholeStandard, exact: 3,
			joins: 3, noSeek: libavformatSeek,
			start: func(tb testing.TB, url string, _ time.Duration) *viewing {
				return watchTool(tb, "mpv", terminalRows, "sh",
					"-c", `exec mpv "$@" >&3`, "mpv", "--no-config", "--vo=tct", "--vo-tct-algo=plain", "--vo-tct-width=20",
					"--vo-tct-height=1", "--no-keepaspect", "--ao=null", "--msg-level=all=warn", "--no-input-terminal",
					"--log-file=/dev/stderr", "--vf=lavfi=["+stampCrop+"]", url)
			},
		},
		{
			name: "GStreamer hlsdemux2", needs: []string{"gst-play-1.0"}, behind: whole, behindStandard: wholeStandard,
			exact: stampGOP,
			start: func(tb testing.TB, url string, at time.Duration) *viewing {
				return watchTool(tb, "GStreamer", greyRows(160, 90), "gst-play-1.0", "--no-interactive", "--use-playbin3", "--quiet",
					fmt.Sprintf("--start-position=%.3f", at.Seconds()), "--audiosink=fakesink sync=true",
					"--videosink=videoconvert ! videoscale add-borders=false ! video/x-raw,format=GRAY8,width=160,height=90 ! "+
						"fdsink fd=3 sync=true", url)
			},
		},
	}
}
