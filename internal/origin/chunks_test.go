package origin

import (
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

func TestHTTP6_HTTP18_HTTP21_PlaylistsOfManyChunks(t *testing.T) {
	s := newStudio(t)
	s.startTake()
	s.segments(80)
	s.part()
	s.publish()
	h, reg := s.handler(Config{})
	last := ""
	for range 3 {
		plain := get(t, h, testBase+"/video.m3u8", 200)
		packed := get(t, h, testBase+"/video.m3u8", 200, "Accept-Encoding: gzip")
		rec := h.mu.shows[ref{path: testPath, id: testID}]
		v, _ := rec.now()
		bodies := 0
		for _, b := range v.mu.bodies {
			if len(b.body.Plain()) > 2 {
				bodies++
			}
		}
		if bodies == 0 {
			t.Fatal("no playlist of more than one chunk")
		}
		in := bytes.NewReader(packed.body)
		r, err := gzip.NewReader(in)
		if err != nil {
			t.Fatal(err)
		}
		r.Multistream(false)
		if text, err := io.ReadAll(r); err != nil || !bytes.Equal(text, plain.body) || in.Len() > 0 {
			t.Errorf("HTTP-6: %v, other text, or more than one member", err)
		}
		for _, tt := range []struct {
			as   answer
			with []string
		}{{plain, nil}, {packed, []string{"Accept-Encoding: gzip"}}} {
			head := ask(t, h, http.MethodHead, testBase+"/video.m3u8", tt.with...)
			if len(head.body) > 0 || head.Header.Get("Content-Length") != strconv.Itoa(len(tt.as.body)) ||
				head.Header.Get("Etag") != tt.as.Header.Get("Etag") {
				t.Errorf("HTTP-18: %v, GET %v", head.Header, tt.as.Header)
			}
			get(t, h, testBase+"/video.m3u8", 304, append(tt.with, "If-None-Match: "+tt.as.Header.Get("Etag"))...)
		}
		if tag := plain.Header.Get("Etag"); tag == last {
			t.Errorf("HTTP-21: a new version has the old tag %s", tag)
		} else {
			last = tag
		}
		s.segments(1)
	}
	if n := metric(t, reg, "oxbow_origin_playlist_compressions_total"); n != 3 {
		t.Errorf("%f compressions of 3 versions", n)
	}
}

func TestHTTP21_StoredPlaylistsAreThoseOfTheShow(t *testing.T) {
	s := newStudio(t)
	s.startTake()
	s.segments(80)
	s.end()
	h, _ := s.handler(Config{})
	live := get(t, h, testBase+"/video.m3u8", 200, "Accept-Encoding: gzip")
	s.forget()
	stored := get(t, h, testBase+"/video.m3u8", 200, "Accept-Encoding: gzip")
	if !bytes.Equal(live.body, stored.body) || live.Header.Get("Etag") != stored.Header.Get("Etag") {
		t.Errorf("%s of %d bytes, then %s of %d", live.Header.Get("Etag"), len(live.body), stored.Header.Get("Etag"), len(stored.body))
	}
}

func TestSEQ13_PRT8_SegmentsAndPartsStayWhenTheWindowHasLeftThem(t *testing.T) {
	s := newStudio(t)
	s.startTake()
	s.segments(120)
	h, _ := s.handler(Config{})
	text := get(t, h, testBase+"/live/video.m3u8", 200).body
	for _, file := range []string{"/1/video/1.m4s", "/1/audio/2.m4s", "/1/video/1.0.m4s"} {
		if bytes.Contains(text, []byte(file+"\n")) {
			t.Fatalf("%s is listed", file)
		}
		get(t, h, testBase+file, 200)
	}
}

func TestClipsOfAVersionAreBounded(t *testing.T) {
	s := newStudio(t)
	s.startTake()
	s.segments(120)
	h, _ := s.handler(Config{})
	get(t, h, testBase+"/video.m3u8", 200)
	v, _ := h.mu.shows[ref{path: testPath, id: testID}].now()
	var kept *lazyBody
	for from := media.MSN(1); from < 90; from++ {
		for to := from; to < from+20; to++ {
			list := hls.Playlist{Kind: hls.Whole, From: from, To: to}
			kept = h.body(v, bodyKey{list: list}, func() *hls.Body { return hls.Render(v.snap, list, hls.SkipNone, v.cache) })
		}
	}
	var bytes int64
	for key, b := range v.mu.bodies {
		if key.clip() {
			bytes += b.size
		}
	}
	const most = minClipBytes + 2*120*listedCost
	if bytes != v.mu.clipBytes || bytes > most || bytes < most-16<<10 || len(v.mu.bodies) != len(v.mu.clips)+1 {
		t.Errorf("%d bytes in %d clips, counted %d, at most %d", bytes, len(v.mu.clips), v.mu.clipBytes, most)
	}
	if last := v.mu.bodies[v.mu.clips[len(v.mu.clips)-1]]; last != kept {
		t.Error("the newest clip is not kept")
	}
}

// The bound of the cache is one of memory: what a recording counts for is about what it takes.
func TestCostIsAboutWhatARecordingTakes(t *testing.T) {
	h := New(Config{}, nil, nil, nil, slog.New(slog.DiscardHandler), nil)
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	track := media.Track{Name: "video", Kind: media.Video, Codec: media.H264, Timescale: 90000, CodecString: "avc1.64001f"}
	segments := make([]media.Segment, 10_000)
	start := time.Unix(1_795_000_000, 0).UTC()
	for i := range segments {
		seg := media.Segment{
			MSN: media.MSN(i + 1), Take: 1, DTS: int64(i) * 180_000, Duration: 180_000, Size: 1e6, Sync: true,
			Offset: int64(i) * 1e6, Date: start.Add(time.Duration(i) * 2 * time.Second),
		}
		for j := range uint32(8) {
			seg.IFrames = append(seg.IFrames, media.IFrame{Time: j * 22_500, Offset: j * 1e5, Size: 5e4})
		}
		segments[i] = seg
	}
	snap := hls.Stored(media.Ended, constants(0), time.Hour, []media.Take{{Number: 1, FirstMSN: 1, Tracks: []media.Track{track}}},
		[]hls.Rendition{{Name: "video", Segments: segments}})
	snap.Subtitles = "en"
	rec := h.newRecording(ref{testPath, testID}, nil)
	rec.mu.version = newVersion(snap, rec.cache)
	for _, kind := range []hls.Kind{hls.Sliding, hls.Whole} {
		for _, form := range []hls.Form{hls.Media, hls.IFrames, hls.Subtitles} {
			key := bodyKey{list: hls.Playlist{Kind: kind, Form: form}}
			body := h.body(rec.mu.version, key, func() *hls.Body { return hls.Render(snap, key.list, hls.SkipNone, rec.cache) })
			h.gzip(body)
		}
	}
	took, cost := heap()-before, rec.cost()
	if cost < took*3/4 || cost > took*3 {
		t.Errorf("counts for %d bytes, takes %d", cost, took)
	}
	runtime.KeepAlive(rec)
}
