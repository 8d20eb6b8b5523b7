package test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestKillNineKeepsTextAndEvents kills the server in mid-show: the texts, cue points and events that playlists told of
// are there again, the show goes on with more of them, and no ID of a date range is given twice.
func TestKillNineKeepsTextAndEvents(t *testing.T) {
	t.Parallel()
	film := readStamped(t, stampedClip(t, 320, 180, 20*time.Second))
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{
		"subtitles": "en", "archive_delay": "1h", "reconnect_window": "20s", "segment_duration": "1s",
	})
	begin := func(text, cue string) *stampedPublisher {
		p := newStampedPublisher(t, server, key)
		p.data = map[int][]byte{
			30: amfMessage("onTextData", "text", text), 60: amfMessage("onCuePoint", "name", cue, "type", "event"),
		}
		p.start(film, 0)
		return p
	}
	post := func(class string) {
		t.Helper()
		body := map[string]any{"class": class}
		if status := server.api(http.MethodPost, "/v1/publishers/acme/streams/show/events", body, nil); status != http.StatusCreated {
			t.Fatalf("POST of an event: %d", status)
		}
	}
	first := begin("before", "first")
	awaitLive(t, server, "acme", "show")
	folder := "/acme/show/" + server.recordings("acme", "show")[0].ID
	post("com.example.before")
	ranges := func() map[string]string { return dateRangesOf(t, string(server.get(folder+"/video.m3u8"))) }
	texts := func() (all string) {
		const list = "/subtitles.m3u8"
		for _, path := range readPlaylist(t, folder+list, string(server.get(folder+list))).segments {
			all += string(server.get(path))
		}
		return all
	}
	eventually(t, 20*time.Second, "the playlists tell of all", func() bool {
		return len(ranges()) == 2 && strings.Contains(texts(), "\nbefore\n")
	})
	told, said := ranges(), texts()

	server.stop(syscall.SIGKILL)
	first.cut()
	server.start("serve")
	eventually(t, 20*time.Second, "the recording is there again", func() bool {
		status, _ := server.try(server.url(folder + "/video.m3u8"))
		return status == http.StatusOK
	})
	if again := ranges(); !maps.Equal(again, told) {
		t.Errorf("DR-1: date ranges after the restart: %q, want %q", again, told)
	}
	if again := texts(); !strings.HasPrefix(again, said) {
		t.Errorf("texts after the restart: %s, want first %s", again, said)
	}
	second := begin("after", "second")
	eventually(t, 20*time.Second, "the show goes on", func() bool {
		return len(ranges()) == 3 && strings.Contains(texts(), "\nafter\n")
	})
	post("com.example.after")
	eventually(t, 10*time.Second, "the new event is told", func() bool { return len(ranges()) == 4 })
	now := ranges()
	for id, tags := range told {
		if now[id] != tags {
			t.Errorf("DR-1: %s was %q, is %q", id, tags, now[id])
		}
	}
	for _, class := range []string{"com.example.before", "com.example.after", `X-NAME="first"`, `X-NAME="second"`} {
		if n := strings.Count(strings.Join(slices.Collect(maps.Values(now)), ""), class); n != 1 {
			t.Errorf("%s is told %d times: %q", class, n, now)
		}
	}
	if n := len(server.recordings("acme", "show")); n != 1 {
		t.Errorf("%d recordings, want one", n)
	}
	second.leave()
}
