package test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// session is what the API tells of a live publisher.
type session struct {
	Publisher, Stream, Protocol string
	Bitrate10sBPS               int64 `json:"bitrate_10s_bps"`
	Tracks                      []struct {
		Name      string
		FPS       float64
		KeyFrames *struct {
			Max float64 `json:"max_interval_seconds"`
		} `json:"key_frames"`
	}
	Warnings []struct{ Code, Severity, Text string }
}

// warning gives the index of a warning, or -1.
func (s *session) warning(code string) int {
	for i, w := range s.Warnings {
		if w.Code == code {
			return i
		}
	}
	return -1
}

// TestQualityWarnings publishes with a key frame every 12 s: API, log and metrics say so and what to set. The
// administrator then closes the connection, and the encoder's log has the reason.
func TestQualityWarnings(t *testing.T) {
	t.Parallel()
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", nil)
	const one = "/v1/publishers/acme/streams/show/session"
	if status := server.api(http.MethodGet, one, nil, nil); status != http.StatusNotFound {
		t.Errorf("a session before anybody publishes: %d", status)
	}
	publisher := publish(t, "-re", "-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25",
		"-re", "-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast",
		"-g", "300", "-pix_fmt", "yuv420p", "-c:a", "aac", "-t", "60", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)

	var now session
	eventually(t, 30*time.Second, "the publisher is warned", func() bool {
		// A machine that is slow has other warnings told beside.
		return server.api(http.MethodGet, one, nil, &now) == http.StatusOK && now.warning("keyframe_interval_long") >= 0
	})
	if warning := now.Warnings[now.warning("keyframe_interval_long")]; warning.Severity != "warning" ||
		!strings.Contains(warning.Text, "set 2 s") {
		t.Errorf("warnings: %+v", now.Warnings)
	}
	if now.Protocol != "rtmp" || now.Bitrate10sBPS == 0 || len(now.Tracks) != 2 || now.Tracks[0].KeyFrames == nil ||
		now.Tracks[0].KeyFrames.Max <= 4 || now.Tracks[0].FPS < 24 || now.Tracks[0].FPS > 26 {
		t.Errorf("session: %+v", now)
	}
	wantLog(t, server, "ingest warning", "publisher=acme", "stream=show", "code=keyframe_interval_long")
	for _, metric := range []string{"oxbow_ingest_warnings", "oxbow_ingest_warnings_total"} {
		if n := server.metrics(metric, `code="keyframe_interval_long"`); n != 1 {
			t.Errorf("%s is %v", metric, n)
		}
	}

	var page struct{ Items []session }
	server.api(http.MethodGet, "/v1/sessions?publisher=acme", nil, &page)
	if !slices.ContainsFunc(page.Items, func(s session) bool { return s.Stream == "show" }) || len(page.Items) != 1 {
		t.Errorf("sessions: %+v", page.Items)
	}
	if status := server.api(http.MethodDelete, one+"?reason=set+the+key+frames+right", nil, nil); status != http.StatusNoContent {
		t.Errorf("end the session: %d", status)
	}
	if err := publisher.wait(20 * time.Second); err == nil {
		t.Error("ffmpeg was not told")
	}
	wantLog(t, server, "publisher left", "how=kicked", "set the key frames right", "warnings=", "keyframe_interval_long")
	eventually(t, 5*time.Second, "the session is gone", func() bool {
		return server.api(http.MethodGet, one, nil, nil) == http.StatusNotFound
	})
	if n := server.metrics("oxbow_ingest_warnings", `code="keyframe_interval_long"`); n != 0 {
		t.Errorf("%v publishers are warned after the last one left", n)
	}
}
