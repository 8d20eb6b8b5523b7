package test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/test/hlscheck"
)

// everyShow are the rules that each live show must put to the test: a report without them is an empty one.
var everyShow = strings.Fields(`SYN-1 SYN-2 SYN-3 SYN-4 SYN-6 SYN-7 TD-1 TD-2 TD-3 TD-4 SEQ-1 SEQ-2 SEQ-3 SEQ-4 SEQ-6 SEQ-7 SEQ-9
	DSC-1 DSC-2 PDT-1 PDT-2 PDT-4 PRT-1 PRT-2 PRT-3 PRT-4 PRT-5 PRT-6 PRT-9 PRT-11 PRT-13 SC-1 SC-2 SC-3 SC-4 SC-5 SC-6 SC-7
	BLK-1 BLK-2 BLK-3 BLK-4 BLK-7 BLK-8 BLK-9 BLK-10 BLK-12 HNT-1 HNT-3 HNT-5 HNT-6 HNT-7 RR-1 RR-2 RR-3 END-1 END-2
	MV-1 MV-2 MV-3 MV-4 MV-5 MV-6 MV-7 MV-8 HTTP-1 HTTP-2 HTTP-4 HTTP-5 HTTP-6 HTTP-9 HTTP-10 HTTP-11 HTTP-14 HTTP-15 HTTP-18
	HTTP-21 LIF-3 LIF-7 CMF-1 CMF-2 CMF-3 CMF-4 CMF-5 CMF-8 CMF-9 CMF-11 CMF-12 CMF-18 CMF-23`)

// checkedShow is one show that is followed at the edge and at the origin at once, to its end and in the archive.
type checkedShow struct {
	name    string
	publish func(t *testing.T, server *oxbow, target string)
	seen    []string          // rules that it must put to the test beside those of every show
	allowed map[string]string // rule -> why this show breaks it
}

// TestChecker holds the server's output against every rule: live, interrupted, changed, cut by force, ended, archived.
func TestChecker(t *testing.T) {
	t.Parallel()
	seconds := 20
	if os.Getenv("OXBOW_MATRIX") == "full" {
		seconds = 60
	}
	tokens := filepath.Join(t.TempDir(), "tokens") // with which the origin is for the checker too
	if err := os.WriteFile(tokens, []byte("of-the-checked-server\noptional\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := newOxbow(t, "--archive-grace", "1s", "--cluster-token-file", tokens)
	server.start("serve")
	server.createStream("acme", "first", map[string]any{"archive_delay": "1h", "reconnect_window": "30s", "dvr_window": "1m"})
	origin := regexp.MustCompile(`internal HTTP listens" address=(\S+)`).FindStringSubmatch(server.out.String())
	if origin == nil {
		t.Fatal("the log does not tell the origin's address")
	}
	clip := func(t *testing.T, target string, seconds, gop int) *process {
		t.Helper()
		file := filepath.Join(t.TempDir(), "clip.mp4") // encoded before: a busy machine does not do it in real time
		run(t, time.Minute, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=640x360:rate=30:duration=%d", seconds),
			"-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=440:sample_rate=48000:duration=%d", seconds),
			"-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", fmt.Sprint(gop), "-sc_threshold", "0", "-pix_fmt", "yuv420p",
			"-c:a", "aac", "-ac", "2", file)
		return publish(t, "-re", "-i", file, "-c", "copy", "-f", "flv", target)
	}
	shows := []checkedShow{
		{
			name: "live", seen: []string{"BLK-6", "DLT-1", "DLT-2", "DLT-3", "DLT-4"},
			publish: func(t *testing.T, _ *oxbow, target string) {
				ended(t, clip(t, target, seconds, 30))
			},
		},
		{
			name: "reconnect", seen: []string{"LIF-1", "LIF-4", "DSC-4", "DSC-5", "CMF-16"},
			publish: func(t *testing.T, server *oxbow, target string) {
				first := clip(t, target, 60, 60)
				eventually(t, 30*time.Second, "eight seconds are listed", func() bool { return liveSegments(server, "reconnect") >= 4 })
				first.kill()
				eventually(t, 20*time.Second, "the gap is listed", func() bool { return liveGaps(server, "reconnect") > 0 })
				ended(t, clip(t, target, seconds/2, 60))
			},
		},
		{
			name: "change", seen: []string{"LIF-1", "DSC-4", "DSC-5", "CMF-16"},
			publish: publishChange,
		},
		{
			name: "forced-cuts",
			publish: func(t *testing.T, _ *oxbow, target string) {
				ended(t, clip(t, target, seconds, 600))
			},
			allowed: map[string]string{
				"CMF-7":  "a GOP that outlasts TARGETDURATION is cut without an IDR, and warned of",
				"CMF-17": "a GOP that outlasts TARGETDURATION is cut without an IDR, and warned of",
				"CMF-11": "such a cut stands between a picture and those that are shown before it",
				"CMF-23": "such a cut stands between a picture and those that are shown before it",
				"MV-15":  "much of an I-frame playlist would be gaps, so new viewers are not told of it",
				"MV-12":  "the segments do not begin with an IDR, and it is not said that they do",
			},
		},
	}
	for _, show := range shows {
		t.Run(show.name, func(t *testing.T) {
			t.Parallel()
			show.run(t, server, "http://"+origin[1])
		})
	}
}

// run follows the show and judges it.
func (s *checkedShow) run(t *testing.T, server *oxbow, origin string) {
	key := createStreamOf(t, server, "acme", s.name)
	path := "/acme/" + s.name + "/index.m3u8"
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	reports := map[string]chan *hlscheck.Report{}
	for name, base := range map[string]string{"edge": "http://" + server.http, "origin": origin} {
		answer := make(chan *hlscheck.Report, 1)
		reports[name] = answer
		checker := hlscheck.New(hlscheck.Config{URL: base + path, Slack: leeway(3 * time.Second), Linger: time.Second})
		go func() { answer <- checker.Run(ctx) }()
	}
	s.publish(t, server, "rtmp://"+server.rtmp+"/live/"+key)
	for name, answer := range reports {
		report := <-answer
		s.judge(t, name, s.late(server), report, append(slices.Clone(everyShow), s.seen...))
	}
	// Only now: what is followed at the origin goes from there once it is archived.
	now := map[string]any{"archive_delay": "0s"}
	if status := server.api(http.MethodPatch, "/v1/publishers/acme/streams/"+s.name, now, nil); status != http.StatusOK {
		t.Fatalf("archive it now: %d", status)
	}
	id := server.recordings("acme", s.name)[0].ID
	server.waitState(id, "archived", time.Minute)
	recorded := "http://" + server.http + "/acme/" + s.name + "/" + id + "/index.m3u8"
	eventually(t, 100*time.Second, "the archive's playlist is there", func() bool {
		_, video := server.try(strings.TrimSuffix(recorded, "index.m3u8") + "video.m3u8")
		return strings.Contains(string(video), "PLAYLIST-TYPE:VOD")
	})
	report := hlscheck.New(hlscheck.Config{URL: recorded, Linger: time.Second}).Run(ctx)
	s.judge(t, "archive", s.late(server), report, []string{"LIF-5", "TD-2", "PDT-3", "CMF-5", "CMF-9", "MV-3", "HTTP-6", "HTTP-15", "BLK-9"})
}

// late says whether a busy machine had the publisher come so late that the server cut without a key frame.
func (s *checkedShow) late(server *oxbow) bool {
	for line := range strings.Lines(server.out.String()) {
		if strings.Contains(line, "segment begins without a key frame") && strings.Contains(line, "stream="+s.name+" ") {
			return !full()
		}
	}
	return false
}

// cutRules are those that a segment breaks that is cut without a key frame.
var cutRules = []string{"CMF-7", "CMF-11", "CMF-17", "CMF-23", "MV-12", "MV-15"}

// busyRules are those that answers break which a busy machine has come late, or in another order than they were given:
// what a rendition says of another, and how long a reload that blocks is good for. The rows of internal/hls, internal/origin,
// packager and cacheproxy hold each without a clock.
var busyRules = []string{"RR-2", "RR-3", "HTTP-7", "BLK-8"}

// judge fails the test for what breaks a rule. Late says that the server told of a publisher that was late, and cut.
func (s *checkedShow) judge(t *testing.T, where string, late bool, report *hlscheck.Report, wanted []string) {
	t.Helper()
	t.Logf("%s: %s", where, report)
	for _, v := range slices.Concat(report.Violations, report.Warnings) {
		if s.allowed[v.Rule] == "" && (!late || !slices.Contains(cutRules, v.Rule)) &&
			(full() || !slices.Contains(busyRules, v.Rule)) {
			t.Errorf("%s: %s", where, v)
		}
	}
	// Where a busy machine has an answer come late, a reload does not block, and the rules of that are not tried.
	if unseen := report.Unseen(wanted...); len(unseen) > 0 && (full() || len(unseen) > len(wanted)/2) {
		t.Errorf("%s: these rules were not put to the test: %v", where, unseen)
	}
}

func ended(t *testing.T, p *process) {
	t.Helper()
	if err := p.wait(2 * time.Minute); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
}

func liveVideo(server *oxbow, stream string) string {
	path := "/acme/" + stream + "/index.m3u8"
	status, text := server.try(server.url(path))
	if status != http.StatusOK {
		return ""
	}
	for _, uri := range variants(path, string(text)) {
		if strings.HasSuffix(uri, "/video.m3u8") {
			_, text = server.try(server.url(uri))
			return string(text)
		}
	}
	return ""
}

func liveSegments(server *oxbow, stream string) int {
	return strings.Count(liveVideo(server, stream), "#EXTINF")
}

func liveGaps(server *oxbow, stream string) int {
	return strings.Count(liveVideo(server, stream), "#EXT-X-GAP")
}

// publishChange sends pictures of one size and then of another one on one connection.
func publishChange(t *testing.T, _ *oxbow, target string) {
	t.Helper()
	type half struct {
		tracks  []*erTrack
		samples []erSample
	}
	var halves []half
	for _, size := range []string{"640x360", "854x480"} {
		tracks, samples := readClip(t, encodeSource(t, 8, size, "1M"))
		halves = append(halves, half{tracks, samples})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patient(time.Minute))
	defer cancel()
	client, err := ingest.DialRTMP(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	err = client.Publish(ctx)
	for i, h := range halves {
		if err == nil {
			by := time.Duration(i) * 8 * time.Second
			err = sendClip(ctx, client, h.tracks, h.samples, func(_ *erSample, at time.Duration) time.Duration { return at + by })
		}
	}
	if err := errors.Join(err, client.Close()); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
}
