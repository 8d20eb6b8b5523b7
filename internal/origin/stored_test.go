package origin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

func TestLIF5_LIF6_EndedThenArchived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, reg := s.handler(Config{})
		s.end()
		before := get(t, h, sliding, 200)
		s.leave()
		stored := get(t, h, sliding, 200)
		if count(before.body, "#EXTINF") != count(stored.body, "#EXTINF") || !bytes.HasSuffix(stored.body, []byte("#EXT-X-ENDLIST\n")) {
			t.Errorf("LIF-3: the window of storage is another:\n%s", stored.body)
		}
		event := get(t, h, testBase+"/video.m3u8", 200)
		if !bytes.Contains(event.body, []byte("TYPE:EVENT")) || count(event.body, "#EXTINF") != 9 {
			t.Errorf("ended:\n%s", event.body)
		}
		get(t, h, testBase+"/audio.m3u8", 200)
		loads := metric(t, reg, "oxbow_origin_recording_loads_total")
		if loads != 1 {
			t.Errorf("%f loads", loads)
		}
		s.setState(media.Archived)
		time.Sleep(2*time.Second + 1)
		vod := get(t, h, testBase+"/video.m3u8", 200)
		if !bytes.Contains(vod.body, []byte("TYPE:VOD")) || bytes.Contains(vod.body, []byte("SERVER-CONTROL")) {
			t.Errorf("LIF-5: archived:\n%s", vod.body)
		}
		if !bytes.Equal(get(t, h, sliding, 200).body, stored.body) {
			t.Error("LIF-3: the sliding playlist changed")
		}
	})
}

func count(text []byte, what string) int { return bytes.Count(text, []byte(what)) }

func TestUnchangedRecordingsAreNotReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		s.end()
		s.leave()
		h, reg := s.handler(Config{})
		files := &countingFiles{Files: s.root.Files()}
		h.files = files
		get(t, h, testBase+"/video.m3u8", 200)
		first := files.reads
		for range 10 {
			get(t, h, testBase+"/video.m3u8", 200)
		}
		if files.reads != first {
			t.Errorf("%d reads while it is believed", files.reads-first)
		}
		time.Sleep(3 * time.Second)
		get(t, h, testBase+"/video.m3u8", 200)
		if files.reads != first+1 {
			t.Errorf("%d reads to see that nothing changed", files.reads-first)
		}
		if n := metric(t, reg, "oxbow_origin_playlist_renders_total"); n != 1 {
			t.Errorf("%f renders", n)
		}
	})
}

func TestDeletedRecordingsAre410(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		s.end()
		s.leave()
		var gone atomic.Bool
		h, _ := s.handler(Config{Gone: func(context.Context, media.StreamPath, media.RecordingID) (bool, error) {
			return gone.Load(), nil
		}})
		get(t, h, testBase+"/video.m3u8", 200)
		s.setState(media.Deleting)
		time.Sleep(2*time.Second + 1)
		for _, path := range []string{"/index.m3u8", "/video.m3u8", "/live/audio.m3u8", "/1/video/init.mp4", "/1/video/1.m4s", "/1/video/1.0.m4s"} {
			a := get(t, h, testBase+path, 410)
			if a.Header.Get("Cache-Control") != "public, max-age=3600" || len(a.body) == 0 {
				t.Errorf("%s: %v %q", path, a.Header, a.body)
			}
		}
		// Removed from storage, only the lookup knows.
		s.must(s.root.Remove(t.Context(), testPath, testID))
		gone.Store(true)
		time.Sleep(2*time.Second + 1)
		get(t, h, testBase+"/video.m3u8", 410)
	})
}

func TestDeletedWhileMemoryStillHasItIs410(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		var gone atomic.Bool
		h, _ := s.handler(Config{Gone: func(context.Context, media.StreamPath, media.RecordingID) (bool, error) {
			return gone.Load(), nil
		}})
		gone.Store(true)
		get(t, h, testBase+"/video.m3u8", 200) // what grows asks nobody
		gone.Store(false)
		s.end()
		get(t, h, testBase+"/video.m3u8", 200)
		gone.Store(true)
		time.Sleep(2*time.Second + 1)
		get(t, h, testBase+"/video.m3u8", 410)
		get(t, h, testBase+"/1/video/1.m4s", 410)
	})
}

func TestErrorsOfStorage(t *testing.T) {
	for err, status := range map[error]int{
		media.ErrUnavailable: 503, media.ErrGone: 410, media.ErrNotFound: 404, media.ErrCorrupt: 500, errors.New("disk"): 500,
		context.DeadlineExceeded: 503, media.ErrDenied: 403,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newStudio(t)
			s.live()
			s.end()
			s.leave()
			h, _ := s.handler(Config{})
			files := &countingFiles{Files: s.root.Files()}
			h.files = files
			files.setFail(fmt.Errorf("read: %w", err))
			get(t, h, testBase+"/video.m3u8", status)
			time.Sleep(time.Hour) // past any memory of the error
			files.setFail(nil)
			get(t, h, testBase+"/video.m3u8", 200)
			time.Sleep(3 * time.Second)
			files.setFail(fmt.Errorf("read: %w", err))
			if status == 404 || status == 410 {
				get(t, h, testBase+"/video.m3u8", status)
			} else {
				get(t, h, testBase+"/video.m3u8", 200) // what was known stays true while storage is away
			}
		})
	}
}

func TestErrorsOfLatest(t *testing.T) {
	for err, status := range map[error]int{media.ErrUnavailable: 503, media.ErrGone: 410, media.ErrNotFound: 404} {
		s := newStudio(t)
		s.leave()
		h := New(Config{}, s.root.Files(), nil, func(context.Context, media.StreamPath) (media.RecordingID, error) {
			return "", fmt.Errorf("latest: %w", err)
		}, h0(s).logger, nil)
		get(t, h, "/acme/show/index.m3u8", status)
	}
}

func h0(s *studio) *Handler {
	h, _ := s.handler(Config{})
	return h
}

// A recording that another process writes is served from its index, and followed.
func TestSEQ10_LIF6_GrowingRecordingOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		s.interrupt()
		s.leave()
		h, _ := s.handler(Config{})
		a := get(t, h, sliding, 200)
		if count(a.body, "#EXTINF") != 9 || count(a.body, "ENDLIST") != 0 {
			t.Errorf("SEQ-10:\n%s", a.body)
		}
		p := start(t, h, sliding+"?_HLS_msn=10")
		p.held(t, "nothing new")
		time.Sleep(1500 * time.Millisecond)
		s.startTake()
		s.open(false)
		for range 4 {
			s.part()
		}
		s.finish()
		s.must(s.take.Seal())
		time.Sleep(3 * time.Second)
		p.answered(t, "new segment", 200, "3/video/10.m4s")
		p = start(t, h, sliding+"?_HLS_msn=11")
		time.Sleep(7 * time.Second)
		p.answered(t, "BLK-10", 503, "503")
	})
}

func TestEmptyRecordingsAre404(t *testing.T) {
	s := newStudio(t)
	s.setState(media.Ended)
	s.leave()
	h, _ := s.handler(Config{})
	for _, path := range []string{"/acme/show/index.m3u8", testBase + "/index.m3u8", testBase + "/video.m3u8"} {
		get(t, h, path, 404)
	}
}

func TestArchiveHasNoLive(t *testing.T) {
	s := newStudio(t)
	s.live()
	s.end()
	s.setState(media.Archived)
	h := New(Config{}, s.root.Files(), nil, s.root.Latest, h0(s).logger, nil)
	a := get(t, h, "/acme/show/index.m3u8", 200)
	if !strings.Contains(string(a.body), "\n"+string(testID)+"/video.m3u8\n") {
		t.Errorf("%s", a.body)
	}
	for path, want := range s.everything() {
		if a := get(t, h, path, 200); !bytes.Equal(a.body, want) {
			t.Errorf("%s: %d bytes", path, len(a.body))
		}
	}
}

func TestShowsAreForgotten(t *testing.T) {
	s := newStudio(t)
	s.live()
	h, _ := s.handler(Config{})
	get(t, h, sliding, 200)
	if len(h.mu.shows) != 1 {
		t.Fatal("not kept")
	}
	s.end()
	s.leave()
	h.sweep([]*recording{h.mu.shows[ref{testPath, testID}]})
	if len(h.mu.shows) != 0 {
		t.Error("kept for ever")
	}
}

func TestCacheSharesFetchesAndIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int64
		release := make(chan struct{})
		c := newCache(1000, time.Minute, func(ctx context.Context, key int, _ string, _ bool) fetched[string] {
			fetches.Add(1)
			select {
			case <-release:
			case <-ctx.Done():
			}
			return fetched[string]{value: fmt.Sprint(key), err: ctx.Err(), cost: 100, ttl: time.Second}
		})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if v, err := c.get(t.Context(), 7); v != "7" || err != nil {
					t.Errorf("%q %v", v, err)
				}
			})
		}
		synctest.Wait()
		// The first client leaves; the fetch goes on for the others.
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.get(ctx, 7); !errors.Is(err, errLeft) {
			t.Errorf("client that left: %v", err)
		}
		close(release)
		wg.Wait()
		if fetches.Load() != 1 {
			t.Errorf("%d fetches", fetches.Load())
		}
		for i := range 100 {
			if _, err := c.get(t.Context(), i); err != nil {
				t.Error(err)
			}
		}
		if c.mu.used > 1000 || c.mu.order.Len() != 10 || len(c.mu.items) != 10 {
			t.Errorf("%d bytes, %d items", c.mu.used, c.mu.order.Len())
		}
		fetches.Store(0)
		for i := 99; i >= 90; i-- {
			if _, err := c.get(t.Context(), i); err != nil {
				t.Error(err)
			}
		}
		if fetches.Load() != 0 {
			t.Error("not the least recently used ones went")
		}
	})
}

func TestCacheBoundsFetchesAndTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int64
		c := newCache(1<<20, time.Second, func(ctx context.Context, _ int, _ string, _ bool) fetched[string] {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			<-ctx.Done()
			return fetched[string]{err: ctx.Err(), cost: 1, ttl: time.Second}
		})
		var wg sync.WaitGroup
		for i := range 500 {
			wg.Go(func() {
				if _, err := c.get(t.Context(), i); err == nil {
					t.Error("fetched")
				}
			})
		}
		wg.Wait()
		if most.Load() > maxFetches {
			t.Errorf("%d fetches at a time", most.Load())
		}
	})
}

func TestDLT6_AskingForADeltaOfNothingIsNoOtherVersion(t *testing.T) {
	s := newStudio(t)
	s.startTake()
	s.segments(3)
	h, reg := s.handler(Config{})
	full := get(t, h, sliding, 200)
	for _, skip := range []string{"?_HLS_skip=YES", "?_HLS_skip=v2", "?_HLS_skip=v3"} {
		if !bytes.Equal(get(t, h, sliding+skip, 200).body, full.body) {
			t.Errorf("%s: not the full playlist", skip)
		}
	}
	if n := metric(t, reg, "oxbow_origin_playlist_renders_total"); n != 1 {
		t.Errorf("%f renders", n)
	}
}

// Immutable answers are true only if another run of the stream never has the same URLs.
func TestLIF7_MediaURLsHaveTheRecordingsID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStudio(t)
		s.live()
		h, _ := s.handler(Config{})
		found := 0
		for _, name := range []string{sliding, testBase + "/video.m3u8"} {
			base, err := url.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(get(t, h, name, 200).body)) {
				uri := strings.TrimSpace(line)
				if strings.HasPrefix(uri, "#EXT-X-RENDITION-REPORT") {
					continue
				}
				if _, rest, ok := strings.Cut(uri, `URI="`); ok {
					uri, _, _ = strings.Cut(rest, `"`)
				} else if strings.HasPrefix(uri, "#") {
					continue
				}
				at, err := base.Parse(uri)
				if err != nil || !strings.HasPrefix(at.Path, testBase+"/") || !strings.Contains(at.Path, string(testID)) {
					t.Errorf("%s names %s: %v", name, uri, err)
				}
				found++
			}
		}
		if found < 10 {
			t.Errorf("%d URIs", found)
		}
	})
}

func TestStoredSnapshotHasWhatWasTold(t *testing.T) {
	rec := &reclog.Recording{Metadata: []media.Metadata{{Number: 1, Kind: media.SCTE35}}}
	rec.Settings = media.DefaultSettings()
	rec.Settings.Subtitles = "de"
	rec.Constants.TargetDuration = 2 * time.Second
	if snap := snapshotOf(rec); len(snap.Metadata) != 1 || snap.Subtitles != "de" {
		t.Errorf("%+v", snap)
	}
}
