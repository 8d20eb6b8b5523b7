package test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestTrickPlay has ffmpeg read every key frame by the byte ranges of the I-frame playlists: live, ended, from the
// archive through the edge and from its plain files.
func TestTrickPlay(t *testing.T) {
	t.Parallel()
	const seconds = 10
	source := encodeSource(t, seconds, "320x180", "300k") // a key frame each two seconds
	all := frameHashes(t, source)
	var want []string
	for i := 0; i < len(all); i += 60 {
		want = append(want, all[i])
	}
	server := newOxbow(t, "--archive-grace", "1s")
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "3s"})
	publisher := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	index := awaitLive(t, server, "acme", "show")
	id := server.recordings("acme", "show")[0].ID
	folder := "/acme/show/" + id

	live := iFrameLists(t, index, string(server.get(index)))
	if len(live) != 1 {
		t.Fatalf("I-frame playlists %v in\n%s", live, server.get(index))
	}
	eventually(t, 20*time.Second, "three key frames are listed live", func() bool {
		return strings.Count(string(server.get(live[0])), "#EXTINF") >= 3
	})
	checkIFrames(t, server.http, live[0], string(server.get(live[0])), want)
	if err := publisher.wait(30 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	whole := folder + "/video.iframes.m3u8"
	eventually(t, 20*time.Second, "the recording ended", func() bool {
		return strings.Contains(string(server.get(whole)), "#EXT-X-ENDLIST")
	})
	checkAllIFrames(t, "ended", server.http, whole, string(server.get(whole)), want)

	server.waitState(id, "archived", 30*time.Second)
	eventually(t, 20*time.Second, "the playlist is the archive's", func() bool {
		return strings.Contains(string(server.get(whole)), "PLAYLIST-TYPE:VOD")
	})
	checkAllIFrames(t, "archived", server.http, whole, string(server.get(whole)), want)
	bucket := httptest.NewServer(http.FileServer(http.Dir(filepath.Join(server.data, "archive"))))
	t.Cleanup(bucket.Close)
	status, text, _ := fetch(bucket.URL+folder+"/index.m3u8", nil)
	lists := iFrameLists(t, folder+"/index.m3u8", string(text))
	if status != http.StatusOK || len(lists) != 1 {
		t.Fatalf("the bucket's index: %d %s", status, text)
	}
	_, text, _ = fetch(bucket.URL+lists[0], nil)
	checkAllIFrames(t, "bucket", strings.TrimPrefix(bucket.URL, "http://"), lists[0], string(text), want)
}

// iFrameLists gives the I-frame playlists that a multivariant playlist names.
func iFrameLists(tb testing.TB, index, text string) (found []string) {
	tb.Helper()
	for line := range strings.Lines(text) {
		if list, is := strings.CutPrefix(strings.TrimSpace(line), "#EXT-X-I-FRAME-STREAM-INF:"); is {
			found = append(found, path.Join(path.Dir(index), attribute(list, "URI")))
		}
	}
	return found
}

// checkAllIFrames wants every key frame. libavformat 5.1 can't play the list itself: it joins the ranges to one file, in
// which a range ends within its mdat.
func checkAllIFrames(tb testing.TB, what, host, list, text string, want []string) {
	tb.Helper()
	if got := checkIFrames(tb, host, list, text, want); got != len(want) {
		tb.Errorf("%s: %d key frames, want %d in\n%s", what, got, len(want), text)
	}
}

// checkIFrames decodes each range of an I-frame playlist by itself, behind its init section: it is one picture, of the
// key frame that comes next. It gives how many there are.
func checkIFrames(tb testing.TB, host, list, text string, want []string) (count int) {
	tb.Helper()
	if !strings.Contains(text, "#EXT-X-I-FRAMES-ONLY\n") {
		tb.Fatalf("no EXT-X-I-FRAMES-ONLY in\n%s", text)
	}
	part := func(uri, byteRange string) []byte {
		length, offset, _ := strings.Cut(byteRange, "@")
		var from, size int
		if _, err := fmt.Sscan(offset+" "+length, &from, &size); err != nil {
			tb.Fatalf("byte range %q: %v", byteRange, err)
		}
		header := http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", from, from+size-1)}}
		status, body, _ := fetch("http://"+host+path.Join(path.Dir(list), uri), header)
		if status != http.StatusPartialContent || len(body) != size {
			tb.Fatalf("%s %s: %d, %d bytes", uri, byteRange, status, len(body))
		}
		return body
	}
	var header []byte
	byteRange := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		tag, value, _ := strings.Cut(line, ":")
		switch {
		case tag == "#EXT-X-MAP" && attribute(value, "BYTERANGE") != "":
			header = part(attribute(value, "URI"), attribute(value, "BYTERANGE"))
		case tag == "#EXT-X-MAP":
			_, header, _ = fetch("http://"+host+path.Join(path.Dir(list), attribute(value, "URI")), nil)
		case tag == "#EXT-X-BYTERANGE":
			byteRange = value
		case line != "" && !strings.HasPrefix(line, "#"):
			file := filepath.Join(tb.TempDir(), "picture.mp4")
			mustWrite(tb, file, slices.Concat(header, part(line, byteRange)))
			// The range ends behind the key frame, and the fragment's other samples are not there.
			out := run(tb, 30*time.Second, "ffmpeg", "-v", "fatal", "-i", file, "-fps_mode", "passthrough", "-f", "framemd5", "-")
			if got := hashesOf(out); len(got) != 1 || count >= len(want) || got[0] != want[count] {
				tb.Errorf("entry %d, %s %s: not the one picture of the key frame: %v", count, line, byteRange, got)
			}
			count++
		}
	}
	return count
}

// TestTrickPlayInShaka plays a recording fast in a player that takes I-frame playlists for that: the pictures are the key
// frames, one after the other.
func TestTrickPlayInShaka(t *testing.T) {
	parallelWithBrowser(t)
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "1h"})
	publisher := newStampedPublisher(t, server, key)
	publisher.start(readStamped(t, stampedClip(t, 320, 180, 15*time.Second)), 0)
	awaitLive(t, server, "acme", "show")
	folder := "/acme/show/" + server.recordings("acme", "show")[0].ID
	<-publisher.done
	eventually(t, 20*time.Second, "the recording ended", func() bool {
		return strings.Contains(string(server.get(folder+"/video.m3u8")), "#EXT-X-ENDLIST")
	})
	numbers := trickInShaka(t, server.url(folder+"/index.m3u8"))
	if onlyKeyFrames(numbers) && !stepsOfOne(numbers) { // a busy machine leaves one out of two in a second
		t.Logf("pictures %v: once more", numbers)
		numbers = trickInShaka(t, server.url(folder+"/index.m3u8"))
	}
	if !onlyKeyFrames(numbers) || !stepsOfOne(numbers) {
		t.Errorf("the pictures shown last are %v, want each key frame and no other picture", numbers)
	}
}

// trickInShaka plays a recording of 15 s at four times the speed, and gives the last pictures shown, of which none was
// loaded before for playing at 1.
func trickInShaka(t *testing.T, url string) []int {
	t.Helper()
	v := watchInBrowser(t, "Shaka", url, `{"streaming": {"bufferingGoal": 2}}`)
	eventually(t, 20*time.Second, "it plays", func() bool { n, _ := v.newest(); return n >= 0 })
	v.command(`{"trick": 4}`)
	eventually(t, 20*time.Second, "it comes near the end", func() bool { n, _ := v.newest(); return n >= 12*stampRate })
	v.stop()
	var numbers []int
	for _, f := range v.shown() {
		if f.number >= 0 && !slices.Contains(numbers, f.number) {
			numbers = append(numbers, f.number)
		}
	}
	t.Logf("pictures %v", numbers)
	return numbers[max(0, len(numbers)-3):]
}

func onlyKeyFrames(numbers []int) bool {
	return !slices.ContainsFunc(numbers, func(n int) bool { return n%stampGOP != 0 })
}

// stepsOfOne says that there are pictures of several key frames, and none between was left out.
func stepsOfOne(numbers []int) bool {
	for i := 1; i < len(numbers); i++ {
		if numbers[i]-numbers[i-1] != stampGOP {
			return false
		}
	}
	return len(numbers) > 1
}
