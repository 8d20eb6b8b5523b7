package test

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestTD1_PRT1_SC2_ConstantsOfSettings publishes the same clip under each latency mode, length of parts and of segments:
// playlists tell the constants that follow, and parts and segments keep to them.
func TestTD1_PRT1_SC2_ConstantsOfSettings(t *testing.T) {
	t.Parallel()
	clip := encodeSource(t, 11, "320x180", "200k") // a key frame each two seconds, AAC of 21.3 ms
	server := newOxbow(t)
	server.start("serve")
	server.createStream("acme", "first", map[string]any{"archive_delay": "1h"})
	for _, tt := range []struct {
		name, latency, part, segment string // settings
		target                       int
		partTarget                   float64 // rounded up to whole units of the sound
		hold                         string  // SERVER-CONTROL: of parts and of segments
	}{
		{"low", "low", "500ms", "2s", 2, 0.512, "PART-HOLD-BACK=1.836,HOLD-BACK=6.0"},
		{"short-parts", "low", "200ms", "2s", 2, 0.21334, "PART-HOLD-BACK=0.94,HOLD-BACK=6.0"},
		{"long-parts", "low", "1s", "2s", 2, 1.00267, "PART-HOLD-BACK=3.308,HOLD-BACK=6.0"},
		{"long-segments", "low", "500ms", "4s", 4, 0.512, "PART-HOLD-BACK=1.836,HOLD-BACK=12.0"},
		{"standard", "standard", "500ms", "2s", 4, 0, "HOLD-BACK=12.0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			key := createStreamWith(t, server, map[string]any{
				"name": tt.name, "latency": tt.latency, "part_duration": tt.part, "segment_duration": tt.segment,
			})
			publish(t, "-re", "-i", clip, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
			index := awaitLive(t, server, "acme", tt.name)
			for _, list := range variants(index, string(server.get(index))) {
				var text string
				eventually(t, 20*time.Second, "two segments are listed", func() bool {
					text = string(server.get(list))
					return strings.Count(text, "#EXTINF") >= 2
				})
				if !strings.Contains(text, "\n#EXT-X-TARGETDURATION:"+strconv.Itoa(tt.target)+"\n") {
					t.Errorf("TD-1: want a target duration of %d s in\n%s", tt.target, text)
				}
				if !strings.Contains(text, tt.hold) || strings.Contains(text, "PART-HOLD-BACK") != (tt.partTarget > 0) {
					t.Errorf("SC-2: want %s in\n%s", tt.hold, text)
				}
				checkDurations(t, text, float64(tt.target), tt.partTarget)
			}
		})
	}
}

// checkDurations holds segments and parts against the constants.
func checkDurations(t *testing.T, text string, target, partTarget float64) {
	t.Helper()
	const slack = 0.00003 // PRT-16
	parts := 0
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		tag, value, _ := strings.Cut(line, ":")
		switch tag {
		case "#EXTINF":
			if d := seconds(t, strings.TrimSuffix(value, ",")); d > target+0.5 || d < target/2 {
				t.Errorf("TD-2: %s, the target is %v s", line, target)
			}
		case "#EXT-X-PART-INF":
			if d := seconds(t, attribute(value, "PART-TARGET")); d < partTarget || d > partTarget+slack {
				t.Errorf("PRT-1: %s, want %v", line, partTarget)
			}
		case "#EXT-X-PART":
			parts++
			d := seconds(t, attribute(value, "DURATION"))
			last := i+1 < len(lines) && !strings.HasPrefix(lines[i+1], "#EXT-X-PART:")
			if d > partTarget+slack || d < 0.85*partTarget && !last && attribute(value, "INDEPENDENT") == "" {
				t.Errorf("PRT-2, PRT-3: %s, the target is %v s", line, partTarget)
			}
		}
	}
	if (parts > 0) != (partTarget > 0) {
		t.Errorf("PRT-1: %d parts, the target is %v", parts, partTarget)
	}
}

func seconds(tb testing.TB, text string) float64 {
	tb.Helper()
	d, err := strconv.ParseFloat(text, 64)
	if err != nil {
		tb.Fatal(err)
	}
	return d
}
