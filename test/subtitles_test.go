package test

import (
	"html"
	"math"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// textAt are the texts that TestSubtitles's publisher says, by the picture that each comes with.
var textAt = map[int]string{45: "Hello", 135: "a < b & c", 150: "", 210: "Last"}

// TestSubtitles publishes texts with pictures: a browser shows each with its picture, live, from the recording, and from
// the archive's plain files; ffmpeg reads the files, since its HLS knows no subtitles.
func TestSubtitles(t *testing.T) {
	parallelWithBrowser(t)
	film := readStamped(t, stampedClip(t, 320, 180, 10*time.Second))
	server := newOxbow(t, "--archive-grace", "1h")
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{
		"subtitles": "en", "archive_delay": "0s", "segment_duration": "1s",
	})
	publisher := newStampedPublisher(t, server, key)
	publisher.data = map[int][]byte{}
	for number, text := range textAt {
		publisher.data[number] = amfMessage("onTextData", "text", text)
	}
	publisher.start(film, 0)
	index := awaitLive(t, server, "acme", "show")
	id := server.recordings("acme", "show")[0].ID
	const config = `{"lowLatencyMode": true, "subtitlePreference": {"lang": "en"}}`
	live := watchInBrowser(t, "hls.js", server.url(index), config)
	shows := func(v *viewing, text string) func() bool {
		return func() bool { return len(subtitleCues(v, text)) > 0 }
	}
	eventually(t, 20*time.Second, "the last text is shown live", shows(live, "Last"))
	checkCues(t, "live", live, sinceJoining(live, 45, 135, 210)...)
	<-publisher.done
	live.stop()

	server.waitState(id, "archived", 30*time.Second)
	index = "/acme/show/" + id + "/index.m3u8"
	bucket := httptest.NewServer(allowAll(http.FileServer(http.Dir(filepath.Join(server.data, "archive")))))
	t.Cleanup(bucket.Close)
	for name, url := range map[string]string{"recording": server.url(index), "bucket": bucket.URL + index} {
		v := watchInBrowser(t, "hls.js", url, config)
		eventually(t, 20*time.Second, "the first text is shown: "+name, shows(v, "Hello"))
		v.seek(4 * time.Second)
		eventually(t, 20*time.Second, "the next text is shown: "+name, shows(v, "a < b & c"))
		eventually(t, 20*time.Second, "its picture, too: "+name, func() bool { n, _ := v.newest(); return n > 140 })
		checkCues(t, name, v, 45, 135)
		v.stop()
		checkVTT(t, strings.TrimSuffix(url, "index.m3u8"), []string{"Hello", "a < b & c", "Last"})
	}
}

// allowAll lets pages of every origin read what the handler serves, as buckets for players do.
func allowAll(files http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		w.Header().Set("Access-Control-Allow-Headers", "Range")
		if r.Method != http.MethodOptions {
			files.ServeHTTP(w, r)
		}
	})
}

// subtitleCues gives the cues with a text, whose source a browser tells.
func subtitleCues(v *viewing, text string) []playerNews {
	text = html.EscapeString(text)
	return v.news("cue", func(n playerNews) bool { return n.Kind != "metadata" && n.Text == text })
}

// sinceJoining leaves out the first number if the viewer came after that picture: a text that it found on begins for it
// where it came, and a busy machine starts a browser after the first one.
func sinceJoining(v *viewing, numbers ...int) []int {
	shown := v.shown()
	first := slices.IndexFunc(shown, func(f shownFrame) bool { return f.number >= 0 })
	if first >= 0 && shown[first].number > numbers[0] {
		return numbers[1:]
	}
	return numbers
}

// checkCues holds the begins of the texts that came with pictures against the times of the pictures.
func checkCues(tb testing.TB, name string, v *viewing, numbers ...int) {
	tb.Helper()
	times := map[int]float64{}
	for _, f := range v.shown() {
		times[f.number] = f.media - float64(f.number)/stampRate
		times[-1] = times[f.number]
	}
	for _, number := range numbers {
		want := times[-1] + float64(number)/stampRate
		cues := subtitleCues(v, textAt[number])
		if len(cues) == 0 {
			tb.Errorf("%s: no cue %q", name, textAt[number])
			continue
		}
		begin := math.Inf(1)
		for _, c := range cues { // a text is said anew in each segment
			begin = min(begin, c.Start)
		}
		if math.Abs(begin-want) > 0.2 || cues[0].Language != "en" {
			tb.Errorf("%s: %q begins at %.3f, its picture is at %.3f; %+v", name, textAt[number], begin, want, cues)
		}
	}
}

// checkVTT has ffmpeg read the files of a folder's subtitles, and wants the texts there.
func checkVTT(tb testing.TB, folder string, texts []string) {
	tb.Helper()
	status, list, header := fetch(folder+"subtitles.m3u8", nil)
	if status != http.StatusOK {
		tb.Fatalf("%ssubtitles.m3u8: %d %s", folder, status, header)
	}
	found := ""
	for line := range strings.Lines(string(list)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			found += run(tb, 30*time.Second, "ffmpeg", "-v", "error", "-f", "webvtt", "-i", folder+line, "-f", "webvtt", "-")
		}
	}
	for _, text := range texts {
		if !strings.Contains(found, "\n"+text+"\n") {
			tb.Errorf("ffmpeg reads no %q of %s: %s", text, folder, found)
		}
	}
}
