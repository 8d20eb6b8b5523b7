package thumbnail

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	colour "image/color" //nolint:misspell // its name
	"image/jpeg"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// needFFmpeg gives ffmpeg's path; without it the test is skipped, or fails where everything must be there.
func needFFmpeg(tb testing.TB) string {
	tb.Helper()
	path, err := Find("")
	if err != nil {
		if os.Getenv("OXBOW_TEST_REQUIRE") == "all" {
			tb.Fatal(err)
		}
		tb.Skip(err)
	}
	return path
}

// clip is fragmented MP4 of one picture after the other: its init section, and a part for each random access point.
type clip struct {
	init  []byte
	parts [][]byte
}

// colours are the pictures of a clip, one second each.
var colours = []struct {
	name string
	want colour.RGBA
}{
	{"red", colour.RGBA{R: 255, A: 255}}, {"lime", colour.RGBA{G: 255, A: 255}}, {"blue", colour.RGBA{B: 255, A: 255}},
	{"white", colour.RGBA{R: 255, G: 255, B: 255, A: 255}},
}

// mustClip encodes the colours, ten pictures each with one random access point.
func mustClip(tb testing.TB, ffmpeg, size string, args ...string) clip {
	tb.Helper()
	var graph, names strings.Builder
	for i, c := range colours {
		fmt.Fprintf(&graph, "color=%s:s=%s:r=10:d=1[v%d];", c.name, size, i) //nolint:misspell // ffmpeg's word
		fmt.Fprintf(&names, "[v%d]", i)
	}
	all := append([]string{
		"-v", "error", "-filter_complex", graph.String() + names.String() + fmt.Sprintf("concat=n=%d,format=yuv420p", len(colours)),
		"-g", "10",
	}, args...)
	all = append(all, "-movflags", "frag_keyframe+empty_moov+default_base_moof", "-f", "mp4", "pipe:1")
	var errs bytes.Buffer
	cmd := exec.CommandContext(tb.Context(), ffmpeg, all...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%v: %s", err, errs.String())
	}
	var c clip
	for len(out) > 0 {
		size := binary.BigEndian.Uint32(out)
		if int(size) > len(out) || size < 8 {
			tb.Fatalf("box of %d bytes", size)
		}
		switch kind := string(out[4:8]); kind {
		case "ftyp", "moov":
			c.init = append(c.init, out[:size]...)
		case "moof":
			c.parts = append(c.parts, out[:size:size])
		case "mdat":
			c.parts[len(c.parts)-1] = append(c.parts[len(c.parts)-1], out[:size]...)
		}
		out = out[size:]
	}
	if len(c.parts) != len(colours) {
		tb.Fatalf("%d parts, want %d", len(c.parts), len(colours))
	}
	return c
}

func (c clip) request(width, height int, which ...int) Request {
	return Request{
		Init: c.init, Count: len(which), Width: width, Height: height,
		Part: func(_ context.Context, i int) ([]byte, error) { return c.parts[which[i]], nil },
	}
}

// checkColour fails unless the middle of the picture, and of its JPEG, has the colour.
func checkColour(tb testing.TB, what string, p *Picture, want colour.RGBA) {
	tb.Helper()
	if p == nil {
		tb.Errorf("%s: no picture", what)
		return
	}
	file, err := p.JPEG(80)
	if err != nil {
		tb.Fatal(err)
	}
	decoded, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		tb.Fatal(err)
	}
	if decoded.Bounds() != p.Bounds() {
		tb.Errorf("%s: the JPEG has %v, the picture %v", what, decoded.Bounds(), p.Bounds())
	}
	r, g, b, _ := decoded.At(p.Rect.Dx()/2, p.Rect.Dy()/2).RGBA()
	for i, pair := range [][2]float64{
		{float64(r >> 8), float64(want.R)}, {float64(g >> 8), float64(want.G)}, {float64(b >> 8), float64(want.B)},
	} {
		if math.Abs(pair[0]-pair[1]) > 24 {
			tb.Errorf("%s: component %d is %v, want %v", what, i, pair[0], pair[1])
		}
	}
}

func TestDecodeGivesEachRandomAccessPointsColour(t *testing.T) {
	ffmpeg := needFFmpeg(t)
	for name, tt := range map[string]struct {
		size          string
		args          []string
		width, height int
	}{
		"h264":           {"320x180", []string{"-c:v", "libx264", "-bf", "2"}, 160, 90},
		"hevc":           {"320x180", []string{"-c:v", "libx265", "-tag:v", "hvc1", "-x265-params", "log-level=error:keyint=10:min-keyint=10"}, 160, 90},
		"vp9":            {"320x180", []string{"-c:v", "libvpx-vp9", "-b:v", "200k", "-deadline", "realtime", "-cpu-used", "8"}, 160, 90},
		"av1":            {"320x180", []string{"-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-b:v", "200k"}, 160, 90},
		"anamorphic":     {"320x240", []string{"-c:v", "libx264", "-aspect", "16:9"}, 160, 90},
		"upright":        {"180x320", []string{"-c:v", "libx264"}, 160, 284},
		"tall":           {"64x640", []string{"-c:v", "libx264"}, 32, 320},
		"small stays so": {"128x72", []string{"-c:v", "libx264"}, 128, 72},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := mustClip(t, ffmpeg, tt.size, tt.args...)
			m := New(Config{Path: ffmpeg})
			order := []int{2, 0, 3, 1, 1}
			pictures, err := m.Decode(t.Context(), c.request(160, 320, order...))
			if err != nil {
				t.Fatal(err)
			}
			for i, p := range pictures {
				checkColour(t, colours[order[i]].name, p, colours[order[i]].want)
				if p != nil && (p.Rect.Dx() != tt.width || p.Rect.Dy() != tt.height) {
					t.Errorf("picture of %v, want %dx%d", p.Rect.Size(), tt.width, tt.height)
				}
			}
		})
	}
}

func TestDecodeTurnsPictures(t *testing.T) {
	ffmpeg := needFFmpeg(t)
	c := mustClip(t, ffmpeg, "320x180", "-c:v", "libx264")
	// The display matrix of a quarter turn, in tkhd behind 40 bytes of version 0.
	at := bytes.Index(c.init, []byte("tkhd")) + 4 + 40
	for i, v := range []uint32{0, 0x10000, 0, 0xffff0000, 0, 0, 180 << 16, 0, 0x40000000} {
		binary.BigEndian.PutUint32(c.init[at+4*i:], v)
	}
	pictures, err := New(Config{Path: ffmpeg}).Decode(t.Context(), c.request(160, 320, 0))
	if err != nil {
		t.Fatal(err)
	}
	if got := pictures[0].Rect.Size(); got.X != 160 || got.Y != 284 {
		t.Errorf("a turned picture is %v, want 160x284", got)
	}
}

func TestDecodePassesBadSamplesOver(t *testing.T) {
	ffmpeg := needFFmpeg(t)
	c := mustClip(t, ffmpeg, "320x180", "-c:v", "libx264")
	s, err := firstSample(c.parts[1])
	if err != nil {
		t.Fatal(err)
	}
	clear(s.data) // lies in the part
	c.parts[3] = []byte("no part at all")
	pictures, err := New(Config{Path: ffmpeg}).Decode(t.Context(), c.request(160, 90, 0, 1, 2, 3))
	if err != nil {
		t.Fatal(err)
	}
	checkColour(t, "before", pictures[0], colours[0].want)
	checkColour(t, "behind", pictures[2], colours[2].want)
	if pictures[1] != nil || pictures[3] != nil {
		t.Error("pictures of what can't be decoded")
	}
	if _, err := New(Config{Path: ffmpeg}).Decode(t.Context(), c.request(160, 90, 1, 3)); !errors.Is(err, ErrNoPicture) {
		t.Errorf("nothing to decode: %v, want ErrNoPicture", err)
	}
}

func TestDecodeEndsWithTheReadersError(t *testing.T) {
	ffmpeg := needFFmpeg(t)
	c := mustClip(t, ffmpeg, "320x180", "-c:v", "libx264")
	r := c.request(160, 90, 0, 1)
	r.Part = func(_ context.Context, i int) ([]byte, error) {
		if i == 1 {
			return nil, io.ErrUnexpectedEOF
		}
		return c.parts[i], nil
	}
	if _, err := New(Config{Path: ffmpeg}).Decode(t.Context(), r); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

// script stands for an ffmpeg that does something else.
func script(tb testing.TB, text string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "ffmpeg")
	syscall.ForkLock.RLock() // a child of another test would hold it open for writing: "text file busy"
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		tb.Fatal(err)
	}
	return file
}

func anyRequest() Request {
	return Request{
		Init: []byte("init"), Count: 1, Width: 160, Height: 90,
		Part: func(context.Context, int) ([]byte, error) { return []byte("part"), nil },
	}
}

func TestDecodeKillsAnFFmpegThatHangs(t *testing.T) {
	note := filepath.Join(t.TempDir(), "child") // a pipe: it may write no file
	if err := syscall.Mkfifo(note, 0o600); err != nil {
		t.Fatal(err)
	}
	path := script(t, "/usr/bin/head -c 1 > /dev/null; /bin/sleep 60 &\necho $! > "+note+"; wait\n")
	m := New(Config{Path: path, Timeout: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := m.Decode(ctx, anyRequest())
		done <- err
	}()
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	child, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if nice, err := syscall.Getpriority(syscall.PRIO_PROCESS, child); err != nil || nice != 20-19 { // the kernel's form
		t.Errorf("its child has niceness %d (%v), want 19", 20-nice, err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
	for range 1000 { // init takes a moment to bury it
		if state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child)); err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		_ = exec.CommandContext(t.Context(), "true").Run()
	}
	t.Error("what it had started still runs")
}

func TestDecodeBoundsWhatAnFFmpegDoes(t *testing.T) {
	for name, tt := range map[string]struct {
		text    string
		timeout time.Duration
		want    error
	}{
		"takes too long":     {"exec /bin/sleep 1000", 200 * time.Millisecond, os.ErrDeadlineExceeded},
		"gives no picture":   {"echo bad luck >&2; exit 1", 0, ErrNoPicture},
		"gives something":    {"exec /usr/bin/yes", 0, errOutput},
		"floods its errors":  {"/usr/bin/yes | /usr/bin/head -c 50000000 >&2; exit 1", 0, ErrNoPicture},
		"gives a huge one":   {`printf 'P6\n100000 100000\n255\n'; exec /usr/bin/yes`, 0, errOutput},
		"gives one too many": {`for i in 1 2 3; do printf 'P6\n1 1\n255\nabc'; done; exec /usr/bin/yes`, 0, errOutput},
		"writes files":       {`head -c 1 > /dev/null; echo text > "$0.out" || exit 1; exit 1`, 0, ErrNoPicture},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := script(t, "PATH=/usr/bin:/bin\n"+tt.text+"\n")
			_, err := New(Config{Path: path, Timeout: tt.timeout}).Decode(t.Context(), anyRequest())
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
			if len(fmt.Sprint(err)) > maxWords+200 {
				t.Errorf("an error of %d bytes", len(fmt.Sprint(err)))
			}
			if info, err := os.Stat(path + ".out"); err == nil && info.Size() > 0 {
				t.Error("it could write a file")
			}
		})
	}
}

func TestDecodeGivesNothingOfTheServersEnvironment(t *testing.T) {
	t.Setenv("OXBOW_SECRET", "hunter2")
	path := script(t, `echo "secret=$OXBOW_SECRET given=$GIVEN" >&2`+"\n")
	_, err := New(Config{Path: path, Env: []string{"GIVEN=yes"}}).Decode(t.Context(), anyRequest())
	if !strings.Contains(fmt.Sprint(err), "secret= given=yes") {
		t.Errorf("got %v", err)
	}
}
