package test

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestClips asks the edge for pieces of a show by every form of time, live and when it has ended: each decodes to the
// pictures of its segments, and to no others.
func TestClips(t *testing.T) {
	t.Parallel()
	const rate = 30 // pictures a second
	source := encodeSource(t, 12, "320x180", "300k")
	all := frameHashes(t, source)
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "1h"})
	publisher := publish(t, "-re", "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	stream := awaitLive(t, server, "acme", "show")
	folder := "/acme/show/" + server.recordings("acme", "show")[0].ID
	// decoded wants the pictures of the segments that hold these seconds of the show.
	decoded := func(what, path string, from, to int) {
		t.Helper()
		first, last := spanned(t, string(server.get(folder+"/video.m3u8")), rate, from, to)
		got := frameHashes(t, server.url(path))
		if want := all[first:last]; !slices.Equal(got, want) {
			t.Errorf("%s: %d pictures, want %d; the first is %d of the show, want %d\n%s", what, len(got), len(want),
				slices.Index(all, append(got, "")[0]), first, server.get(path))
		}
	}
	eventually(t, 20*time.Second, "four segments are listed", func() bool {
		return strings.Count(string(server.get(folder+"/video.m3u8")), "#EXTINF") >= 4
	})
	checkClipErrors(t, server, stream, folder)
	checkClipCaching(t, server, stream, "public, max-age=1")
	decoded("after the begin, live", stream+"?start=1s&end=5s", 1, 5)
	decoded("of the recording, live", folder+"/index.m3u8?end=3.5", 0, 4)

	if err := publisher.wait(30 * time.Second); err != nil {
		t.Errorf("the publisher failed: %v", err)
	}
	eventually(t, 20*time.Second, "the recording ended", func() bool {
		return strings.Contains(string(server.get(folder+"/video.m3u8")), "#EXT-X-ENDLIST")
	})
	begin := firstDate(t, string(server.get(folder+"/video.m3u8")))
	at := func(seconds int, zone *time.Location) string {
		return url.QueryEscape(begin.Add(time.Duration(seconds) * time.Second).In(zone).Format(time.RFC3339Nano))
	}
	for _, index := range []string{stream, folder + "/index.m3u8"} {
		decoded("whole", index, 0, 12)
		decoded("after the begin", index+"?start=3s&end=7s", 3, 7)
		decoded("seconds", index+"?start=3&end=7", 3, 7)
		decoded("before the end", index+"?start=-7s&end=-3s", 5, 9)
		decoded("time of day", index+"?start="+at(3, time.UTC)+"&end="+at(7, time.FixedZone("", 3600)), 3, 7)
		decoded("mixed", index+"?start="+at(5, time.UTC)+"&end=-1s", 5, 11)
		decoded("start alone", index+"?start=9s", 9, 12)
		decoded("a start before the begin", index+"?start=-10m", 0, 12)
	}
	checkClipCaching(t, server, folder+"/index.m3u8", "")
}

// spanned gives the first picture and the one behind the last of the segments that hold these seconds. Where a publisher
// was late the segments are not all of the wanted length.
func spanned(tb testing.TB, list string, rate, from, to int) (first, last int) {
	tb.Helper()
	end := 0
	for line := range strings.Lines(list) {
		value, ok := strings.CutPrefix(strings.TrimSuffix(strings.TrimSpace(line), ","), "#EXTINF:")
		if !ok {
			continue
		}
		seconds, err := strconv.ParseFloat(value, 64)
		if err != nil {
			tb.Fatal(err)
		}
		if end <= from*rate {
			first = end
		}
		end += int(math.Round(seconds * float64(rate)))
		if last = end; end >= to*rate {
			break
		}
	}
	return first, last
}

// checkClipErrors makes a newcomer's mistakes: each answer says what is wrong and what is right.
func checkClipErrors(t *testing.T, server *oxbow, stream, folder string) {
	t.Helper()
	for _, tt := range []struct{ path, word string }{
		{stream + "?start=abc", "neither a time like"},
		{stream + "?start=10:38", "neither a time like"},
		{stream + "?start=", "neither a time like"},
		{stream + "?start=2026-11-20", "like 2026-11-20T10:38:00Z"},
		{stream + "?start=2026-11-20T10:38:00", "with its offset"},
		{stream + "?start=1d", "neither a time like"},
		{stream + "?start=5&end=3", "end is not after start"},
		{stream + "?start=1&start=2", "twice"},
		{stream + "?start=1s&end=1h", "ahead of the live edge"},
		{stream + "?start=1h", "ahead of the live edge"},
		{stream + "?end=2001-01-01T00:00:00Z", "begin"},
		{folder + "/live/video.m3u8?start=1s", "not for a playlist that slides"},
	} {
		status, body, header := fetch(server.url(tt.path), nil)
		if status < 400 || status > 499 || !strings.Contains(string(body), tt.word) {
			t.Errorf("GET %s: %d %q, want an error with %q", tt.path, status, body, tt.word)
		} else {
			t.Logf("%s: %d %s %q", tt.path, status, header.Get("Cache-Control"), strings.TrimSpace(string(body)))
		}
	}
}

// checkClipCaching says that a relative clip of a growing show is another one soon, and others may be kept.
func checkClipCaching(t *testing.T, server *oxbow, index, relative string) {
	t.Helper()
	for query, want := range map[string]string{"?start=-2s": relative, "?start=1s&end=3s": ""} {
		status, text, header := fetch(server.url(index+query), nil)
		cache := header.Get("Cache-Control")
		if status != http.StatusOK || want != "" && cache != want || !strings.Contains(cache, "public, max-age=") {
			t.Errorf("GET %s%s: %d, Cache-Control %q, want %q", index, query, status, cache, want)
		}
		for _, list := range variants(index, string(text)) {
			status, _, header := fetch(server.url(list), nil)
			t.Logf("%s: %s; %s: %d %s", query, cache, list, status, header.Get("Cache-Control"))
			if status != http.StatusOK || strings.Contains(list, "start=-") {
				t.Errorf("GET %s: %d, want a time of day and a playlist", list, status)
			}
		}
	}
}

// TestClipOfALiveShowGrows asks for the last seconds of a live show: its playlist begins there for good, and goes on with
// the show.
func TestClipOfALiveShowGrows(t *testing.T) {
	t.Parallel()
	film := readStamped(t, stampedClip(t, 320, 180, 25*time.Second))
	server := newOxbow(t)
	publisher, stream := startClipShow(t, server, film)
	lists := variants(stream, string(server.get(stream+"?start=-5s")))
	list := lists[slices.IndexFunc(lists, func(l string) bool { return strings.Contains(l, "/video.m3u8?") })]
	_, query, _ := strings.Cut(list, "?start=")
	start, err := time.Parse(time.RFC3339, query)
	if err != nil {
		t.Fatal(err)
	}
	begin := string(server.get(list))
	had := strings.Count(begin, "#EXTINF:")
	// A relative start is moved to its segment's begin, and counts from the end of the last segment that is whole.
	if off := firstDate(t, begin).Sub(start).Abs(); off > time.Millisecond || had < 2 || had > 4 {
		t.Errorf("%d segments, the first begins %s off what was asked for:\n%s", had, off, begin)
	}
	head, _, _ := strings.Cut(begin, "#EXT-X-PART:")
	eventually(t, 20*time.Second, "the clip goes on past its first end", func() bool {
		now := string(server.get(list))
		if !strings.HasPrefix(now, head) || !strings.Contains(now, "#EXT-X-PLAYLIST-TYPE:EVENT") {
			t.Fatalf("the clip's begin has changed: it was\n%s\nand is\n%s", begin, now)
		}
		return strings.Count(now, "#EXTINF:") >= had+2
	})
	publisher.leave()
}

// TestClipAtTheLiveEdge plays such a clip in a browser. On a busy machine hls.js 1.7.4 may give up in it for a race of its
// own, time and again (appendrace_test.go).
func TestClipAtTheLiveEdge(t *testing.T) {
	onlyFull(t)
	film := readStamped(t, stampedClip(t, 320, 180, 25*time.Second))
	m := viewAgainAfterRace(t, func() figures { return viewLiveEdge(t, film) })
	if m.fatal > 0 || m.back > 0 || m.skips > 0 || m.stalls > 3 {
		t.Errorf("%+v", m)
	}
}

// startClipShow publishes the film until ten seconds are sent.
func startClipShow(t *testing.T, server *oxbow, film *stampedFilm) (publisher *stampedPublisher, stream string) {
	t.Helper()
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"archive_delay": "1h"})
	publisher = newStampedPublisher(t, server, key)
	publisher.start(film, 0)
	stream = awaitLive(t, server, "acme", "show")
	eventually(t, 20*time.Second, "ten seconds are sent", func() bool { return publisher.newestPicture() >= 10*stampRate })
	return publisher, stream
}

// viewLiveEdge sends the film, plays its last five seconds when there are ten, and goes on for two.
func viewLiveEdge(t *testing.T, film *stampedFilm) figures {
	t.Helper()
	server := newOxbow(t)
	publisher, stream := startClipShow(t, server, film)
	// The time of day is what the index was resolved to; asked for again it would be another one.
	_, query, _ := strings.Cut(variants(stream, string(server.get(stream+"?start=-5s")))[0], "?start=")
	start, err := time.Parse(time.RFC3339, query)
	if err != nil {
		t.Fatal(err)
	}
	whole := "/acme/show/" + server.recordings("acme", "show")[0].ID + "/video.m3u8"
	begin := start.Sub(firstDate(t, string(server.get(whole))))
	newest := publisher.newestPicture()
	v := watchInBrowser(t, "hls.js", server.url(stream+"?start="+query), hlsSettings)
	eventually(t, 20*time.Second, "the clip goes on past its first end", func() bool {
		number, _ := v.newest()
		return number > newest+2*stampRate || v.raced()
	})
	v.stop()
	shown := v.shown()
	first := slices.IndexFunc(shown, func(f shownFrame) bool { return f.number >= 0 })
	if first < 0 {
		t.Fatalf("no picture was shown: %+v", v.measure(publisher.sentAt))
	}
	number := shown[first].number
	// A relative start is moved to its segment's begin, and counts from the end of the last segment that is whole.
	want := int(begin.Seconds() * stampRate)
	// A browser that is short of time drops pictures, and says so.
	m := v.measure(publisher.sentAt)
	late := 3 + m.dropped
	if behind := newest - want; number < want || number > want+late || behind < 5*stampRate || behind > 10*stampRate {
		t.Errorf("the first picture is %d, asked for %d, when %d was sent", number, want, newest)
	}
	t.Logf("first picture %d, asked for %d at %d; %+v", number, want, newest, m)
	publisher.leave()
	return m
}
