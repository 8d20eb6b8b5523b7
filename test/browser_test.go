package test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// browser is a headless Chromium that plays a page (browser/play.mjs).
type browser struct {
	*process
}

// seenByViewer is play.mjs's report.
type seenByViewer struct {
	FirstFrameMS int      `json:"first_frame_ms"`
	PlayedS      float64  `json:"played_s"`
	Stalls       int      `json:"stalls"`
	StalledMS    int      `json:"stalled_ms"`
	Frames       int      `json:"frames"`
	Dropped      int      `json:"dropped"`
	Width        int      `json:"width"`
	LatencyS     *float64 `json:"latency_s"`
	MediaErrors  []string `json:"media_errors"`
	Errors       []string `json:"errors"`
	Ended        bool     `json:"ended"`

	Protocols map[string]int `json:"protocols"` // of requests for media and playlists
	Reloads   int            `json:"reloads"`   // those that block
}

// played says that a viewer saw so many pictures. In make test, where a busy machine leaves most of them out, that it is so
// many seconds into the show with some of them.
func (s *seenByViewer) played(frames int, seconds float64) bool {
	if full() {
		return s.Frames >= frames
	}
	return s.Frames > 0 && s.PlayedS >= seconds
}

func startBrowser(tb testing.TB, url string, args ...string) *browser {
	tb.Helper()
	node := needTool(tb, "node")
	chromium := needTool(tb, "chromium")
	cmd := exec.Command(node, append([]string{"play.mjs", url, "--chromium", chromium}, args...)...)
	cmd.Dir = "browser"
	return &browser{startProcess(tb, cmd)}
}

// report waits for the browser's end and gives what it saw.
func (b *browser) report(tb testing.TB) seenByViewer {
	tb.Helper()
	if err := b.wait(5 * time.Minute); err != nil {
		tb.Fatalf("browser: %v\n%s", err, b.out)
	}
	lines := strings.Split(strings.TrimSpace(b.out.String()), "\n")
	var seen seenByViewer
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &seen); err != nil {
		tb.Fatalf("browser: %v\n%s", err, b.out)
	}
	return seen
}

// outFile names a file for a person to look at after the tests.
func outFile(tb testing.TB, name string) string {
	tb.Helper()
	dir, err := filepath.Abs("out")
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// TestDemoShowsAPicture starts the demo as `make run` does and waits for the first picture in a browser.
func TestDemoShowsAPicture(t *testing.T) {
	parallelWithBrowser(t)
	server := newOxbow(t)
	server.start("demo")
	seen := startBrowser(t, server.url("/"), "--seconds", "8", "--screenshot", outFile(t, "demo.png")).report(t)
	t.Logf("start page: %+v", seen)
	if seen.FirstFrameMS < 0 || !seen.played(100, 5) || seen.Width != 640 || len(seen.Errors)+len(seen.MediaErrors) > 0 {
		t.Errorf("want a picture without errors, got %+v", seen)
	}
}

// TestPageScripts runs the page's own tests, which need no browser.
func TestPageScripts(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), needTool(t, "node"), "--test")
	cmd.Dir = "../web"
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("node --test: %v\n%s", err, out)
	}
}

// TestBrowserPlaysEnhancedRTMP shows what came by Enhanced RTMP in a browser: the codecs that Chromium decodes.
func TestBrowserPlaysEnhancedRTMP(t *testing.T) {
	t.Parallel()
	server := newOxbow(t)
	server.start("serve")
	server.createStream("acme", "first", nil)
	clips := newClipMaker(t)
	for _, codecs := range [][2]string{{"AV1", "Opus"}, {"VP9", "Opus"}, {"H.264 B-frames", "FLAC"}} {
		t.Run(codecs[0]+" "+codecs[1], func(t *testing.T) {
			parallelWithBrowser(t)
			stream := strings.ToLower(strings.NewReplacer(" ", "-", ".", "").Replace(codecs[0]))
			key := createStreamOf(t, server, "acme", stream)
			tracks, samples := readClip(t, clips.clip(t, codecs[0], codecs[1]))
			samples = append(samples, later(samples, matrixSeconds*time.Second)...)
			startTask(t, "E-RTMP publisher", func(ctx context.Context) error {
				return publishClip(ctx, "rtmp://"+server.rtmp+"/live/"+key, tracks, samples, nil)
			})
			url := server.url("/acme/" + stream + "/index.m3u8")
			eventually(t, 15*time.Second, "the stream is live", func() bool {
				status, _ := server.try(url)
				return status == 200
			})
			seen := startBrowser(t, server.url("/watch/acme/"+stream), "--seconds", "3", "--screenshot", outFile(t, stream+".png")).report(t)
			t.Logf("%+v", seen)
			if seen.FirstFrameMS < 0 || !seen.played(40, 1) || seen.Width != 640 || len(seen.Errors)+len(seen.MediaErrors) > 0 {
				t.Errorf("want a picture without errors, got %+v", seen)
			}
		})
	}
}
