package cacheproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/fuzztest"
	"github.com/oxbow-video/oxbow/internal/media"
)

// eventSource is a directory's stream, into which a test writes, beside its answers to lookups.
type eventSource struct {
	*directory
	mu      sync.Mutex
	lines   chan string // nil refuses
	resumed []string    // the Last-Event-ID of each stream
	silent  bool
	open    int
	most    int // streams at a time

	purges []media.KnownPurge
	asked  int  // how often for purges
	mute   bool // of purges
}

func (s *eventSource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/internal/v1/events":
	case "/internal/v1/purges":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked++
		if s.mute {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(media.KnownPurges{Purges: append([]media.KnownPurge{}, s.purges...)})
		return
	default:
		s.directory.ServeHTTP(w, r)
		return
	}
	s.mu.Lock()
	lines := s.lines
	s.resumed = append(s.resumed, r.Header.Get("Last-Event-ID"))
	s.open++
	s.most = max(s.most, s.open)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.open--
	}()
	if lines == nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for {
		select {
		case text, ok := <-lines:
			if !ok {
				return
			}
			_, _ = io.WriteString(w, text)
		case <-beat.C:
			s.mu.Lock()
			silent := s.silent
			s.mu.Unlock()
			if !silent {
				_, _ = io.WriteString(w, ":\n\n")
			}
		case <-r.Context().Done():
			return
		}
	}
}

func (s *eventSource) change(f func(*eventSource)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

// cut ends the stream under way; the next is another.
func (s *eventSource) cut() {
	s.change(func(s *eventSource) {
		close(s.lines)
		s.lines = make(chan string)
	})
	synctest.Wait()
}

// say writes to the stream under way.
func (s *eventSource) say(text string) {
	s.lines <- text
	synctest.Wait()
}

const resetAt10 = "id: 10\nevent: reset\ndata: {}\n\n"

func eventText(id int, what string) string {
	return fmt.Sprintf("id: %d\nevent: %s\ndata: {\"id\":%d,\"type\":%q,\"publisher\":\"acme\",\"stream\":\"show\","+
		"\"recording\":%q}\n\n", id, what, id, what, testRec)
}

// following runs a test over an edge that follows one directory, whose recording is archived. Its stream has said where
// the edge stands.
func following(t *testing.T, name string, f func(t *testing.T, w *world, s *eventSource)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, Config{})
			s := &eventSource{directory: w.directory, lines: make(chan string)}
			w.directory.location.Archived, w.directory.location.State = true, media.Archived
			w.directory.location.Nodes = nil
			w.archive.set(fixed("from archive", immutable))
			w.net.set("dir", s)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- w.Follow(ctx) }()
			s.say(resetAt10)
			f(t, w, s)
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if s.most > 1 {
				t.Errorf("%d streams at a time", s.most)
			}
		})
	})
}

func allOfRecording() []string {
	return []string{
		recBase + "/index.m3u8", eventPath, livePath, recBase + "/1/video/init.mp4", segPath, recBase + "/1/video/7.0.m4s",
		recBase + "/1/subtitles/7.vtt", recBase + "/thumbnail.jpg", recBase + "/recording.mp4",
	}
}

func TestDeletionIsHeardOfAtOnce(t *testing.T) {
	following(t, "what is cached is gone, and what was never asked for", func(t *testing.T, w *world, s *eventSource) {
		w.directory.location.State = media.Archived
		for i, uri := range allOfRecording() {
			if i%2 == 0 {
				wantStatus(t, w.get(t, uri), http.StatusOK)
			}
		}
		w.directory.change(func(d *directory) { d.status = http.StatusGone })
		s.say(eventText(11, media.EventDeleted))
		before := w.archive.total()
		for _, uri := range allOfRecording() {
			wantStatus(t, w.get(t, uri), http.StatusGone)
		}
		if w.archive.total() != before {
			t.Error("the archive was asked for what is deleted")
		}
		if bytes, objects := w.cache.usage(); bytes != 0 || objects != 0 {
			t.Errorf("%d bytes, %d objects stay", bytes, objects)
		}
		time.Sleep(locateGoneTTL + time.Second) // then the directory says so
		wantStatus(t, w.get(t, segPath), http.StatusGone)
	})
	following(t, "of others nothing goes", func(t *testing.T, w *world, s *eventSource) {
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		s.say(strings.ReplaceAll(eventText(11, media.EventDeleted), testRec, "01kabcdefghjkmnpqrstvwxyz1"))
		if rec := w.get(t, segPath); rec.Header().Get("Cache-Status") != "oxbow; hit" {
			t.Errorf("%v", rec.Header())
		}
	})
	following(t, "what is being filled ends for who has it, and is not kept", func(t *testing.T, w *world, s *eventSource) {
		release := make(chan struct{})
		w.archive.set(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Cache-Control", immutable)
			_, _ = io.WriteString(rw, "first ")
			<-release
			_, _ = io.WriteString(rw, "second")
		})
		got := make(chan string)
		go func() { got <- w.get(t, segPath).Body.String() }()
		time.Sleep(time.Second)
		s.say(eventText(11, media.EventDeleted))
		wantStatus(t, w.get(t, segPath), http.StatusGone)
		close(release)
		if body := <-got; body != "first second" {
			t.Errorf("%q", body)
		}
		wantStatus(t, w.get(t, segPath), http.StatusGone)
		if _, objects := w.cache.usage(); objects != 0 {
			t.Errorf("%d objects stay", objects)
		}
	})
	following(t, "who waits for a head gets none", func(t *testing.T, w *world, s *eventSource) {
		w.archive.set(func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(2 * time.Second)
			fixed("late", immutable)(rw, r)
		})
		status := make(chan int)
		for _, uri := range []string{segPath, recBase + "/recording.mp4"} {
			go func() { status <- w.get(t, uri).Code }()
		}
		time.Sleep(time.Second)
		s.say(eventText(11, media.EventDeleted))
		for range 2 {
			if got := <-status; got != http.StatusGone {
				t.Errorf("status %d", got)
			}
		}
	})
	following(t, "an answer that was on its way changes nothing", func(t *testing.T, w *world, s *eventSource) {
		w.directory.set(func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			_, _ = fmt.Fprintf(rw, `{"publisher":"acme","stream":"show","recording":%q,"state":"archived","archived":true}`, testRec)
		})
		status := make(chan int)
		go func() { status <- w.get(t, segPath).Code }()
		time.Sleep(500 * time.Millisecond)
		s.say(eventText(11, media.EventDeleted))
		if got := <-status; got != http.StatusGone {
			t.Errorf("status %d", got)
		}
	})
	following(t, "the stream's URL leads to another", func(t *testing.T, w *world, s *eventSource) {
		wantStatus(t, w.get(t, streamBase+"/index.m3u8"), http.StatusOK)
		w.directory.change(func(d *directory) { d.status = http.StatusNotFound })
		s.say(eventText(11, media.EventDeleted))
		wantStatus(t, w.get(t, streamBase+"/index.m3u8"), http.StatusNotFound)
	})
}

func TestTheStreamOfEventsBreaks(t *testing.T) {
	segmentIsGoneWithin := func(t *testing.T, w *world, limit time.Duration) {
		t.Helper()
		began := time.Now()
		for w.get(t, segPath).Code != http.StatusGone {
			time.Sleep(100 * time.Millisecond)
			if time.Since(began) > limit {
				t.Fatalf("a deleted recording's segment comes out of the cache after %s", limit)
			}
		}
	}
	deleted := func(d *directory) { d.status = http.StatusGone }
	following(t, "refused: the directory is asked", func(t *testing.T, w *world, s *eventSource) {
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		w.directory.change(deleted)
		s.change(func(s *eventSource) { close(s.lines); s.lines = nil })
		segmentIsGoneWithin(t, w, unsureTTL+500*time.Millisecond)
	})
	following(t, "silent: it is found out, and the directory is asked", func(t *testing.T, w *world, s *eventSource) {
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		time.Sleep(10 * time.Second)
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		s.change(func(s *eventSource) { s.silent, s.lines = true, nil })
		w.directory.change(deleted)
		segmentIsGoneWithin(t, w, 4500*time.Millisecond)
	})
	following(t, "unsure: the directory is asked, and after a reset once", func(t *testing.T, w *world, s *eventSource) {
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		s.say("event: unsure\ndata: {}\n\n")
		for i := range 10 {
			time.Sleep(unsureTTL)
			wantStatus(t, w.get(t, segPath), http.StatusOK)
			if n := w.directory.of(locateRec); n != 2+i {
				t.Errorf("asked %d times after %d s", n, 3*(1+i))
			}
		}
		time.Sleep(time.Second)
		asked := w.directory.total()
		s.say("id: 900\nevent: reset\ndata: {}\n\n")
		for range 25 {
			wantStatus(t, w.get(t, segPath), http.StatusOK)
			time.Sleep(time.Second)
		}
		if n := w.directory.total() - asked; n != 1 {
			t.Errorf("asked %d times after the reset", n)
		}
		w.directory.change(deleted)
		s.say("id: 901\nevent: reset\ndata: {}\n\n")
		wantStatus(t, w.get(t, segPath), http.StatusGone)
	})
	following(t, "for a moment: it is resumed, and nothing is asked again", func(t *testing.T, w *world, s *eventSource) {
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		s.say(eventText(12, media.EventLive))
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		asked := w.directory.total()
		s.cut()
		time.Sleep(followRetry)
		s.say("event: sure\ndata: {}\n\n")
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		if w.directory.total() != asked || !slices.Equal(s.resumed, []string{"", "12"}) {
			t.Errorf("asked %d times more, resumed %q", w.directory.total()-asked, s.resumed)
		}
	})
	following(t, "an event that was never published costs half a minute", func(t *testing.T, w *world, _ *eventSource) {
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		w.directory.change(deleted)
		segmentIsGoneWithin(t, w, vouchTTL+time.Second)
	})
	following(t, "with the directory away what is there stands", func(t *testing.T, w *world, s *eventSource) {
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		w.net.set("dir", nil)
		s.change(func(s *eventSource) { close(s.lines); s.lines = nil })
		for i := range 60 {
			time.Sleep(time.Minute)
			wantStatus(t, w.get(t, segPath), http.StatusOK)
			wantStatus(t, w.get(t, segment(100+i)), http.StatusOK)
		}
	})
	following(t, "nonsense ends it", func(t *testing.T, w *world, s *eventSource) {
		for _, text := range []string{
			"id: x\nevent: reset\ndata: {}\n\n", "event: recording.deleted\ndata: {}\n\n", "id: 99\nevent: x\ndata: {\n\n",
			strings.Repeat("x", maxEventLine+1) + "\n", strings.Repeat("data: "+strings.Repeat("x", 1000)+"\n", 70) + "\n",
		} {
			s.say(text)
			if w.trust.Load().sure {
				t.Errorf("it goes on after %.40q", text)
			}
			time.Sleep(followRetryMax)
			s.say(resetAt10)
		}
	})
}

func TestFollowingGoesOnWithTheNextDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Config{Directories: []string{"http://dir", "http://dir2", "http://dir3"}})
		sources := make(map[string]*eventSource)
		for _, name := range []string{"dir", "dir2", "dir3"} {
			sources["http://"+name] = &eventSource{directory: newDirectory("http://a"), lines: make(chan string)}
			w.net.set(name, sources["http://"+name])
		}
		first, second := sources[w.locator.dirs.bases[0]], sources[w.locator.dirs.bases[1]]
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- w.Follow(ctx) }()
		first.say(resetAt10)
		close(first.lines)
		time.Sleep(followRetry)
		second.say("event: sure\ndata: {}\n\n")
		if !w.trust.Load().sure || !slices.Equal(second.resumed, []string{"10"}) {
			t.Errorf("resumed %q", second.resumed)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if w.trust.Load().sure {
			t.Error("sure without a stream")
		}
	})
}

func TestArchivingIsFollowedAtOnce(t *testing.T) {
	following(t, "playlists become VOD, and media stays", func(t *testing.T, w *world, s *eventSource) {
		text := func(kind string) string {
			return "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-PLAYLIST-TYPE:" + kind +
				"\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:2,\n1/video/1.m4s\n#EXT-X-ENDLIST\n"
		}
		node := func(kind, age string) {
			w.a.set(func(rw http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, ".m3u8") {
					fixed("media", immutable)(rw, r)
					return
				}
				rw.Header().Set("Cache-Control", age)
				writePlaylist(rw, r, text(kind))
			})
		}
		w.directory.change(func(d *directory) {
			d.location.State, d.location.Archived, d.location.Nodes = media.Ended, false, []string{"http://a"}
		})
		node("EVENT", "public, max-age=10")
		wantStatus(t, w.get(t, eventPath), http.StatusOK)
		wantStatus(t, w.get(t, segPath), http.StatusOK)
		w.directory.change(func(d *directory) { d.location.State, d.location.Archived = media.Archived, true })
		s.say(eventText(11, media.EventArchived))
		// While the archive is away the node answers, which remembers the show as it ended.
		w.archive.set(failing(http.StatusBadGateway))
		rec := w.get(t, eventPath)
		if !strings.Contains(rec.Body.String(), "EVENT") || rec.Header().Get("Cache-Control") != brief {
			t.Errorf("%v %s", rec.Header(), rec.Body)
		}
		w.archive.set(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "public, max-age=60")
			writePlaylist(rw, r, text("VOD"))
		})
		time.Sleep(2 * restTime)
		if rec := w.get(t, eventPath); !strings.Contains(rec.Body.String(), "VOD") {
			t.Errorf("%v %s", rec.Header(), rec.Body)
		}
		if rec := w.get(t, segPath); !strings.HasPrefix(rec.Header().Get("Cache-Status"), "oxbow; hit") {
			t.Errorf("%v", rec.Header())
		}
	})
}

func FuzzReadEvents(f *testing.F) {
	for _, text := range []string{
		resetAt10, eventText(11, media.EventDeleted), ":\n\n", "event: unsure\r\ndata: {}\r\n\r\n", "data:\n", "id\n\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		defer fuzztest.Bound(t, 4<<20+64*len(text))()
		err := readEvents(strings.NewReader(string(text)), func() {}, func(e streamEvent) error {
			if e.name == "" || len(e.data) > maxEventLine {
				t.Errorf("%+v", e)
			}
			return nil
		})
		if err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("a stream never ends well: %v", err)
		}
	})
}
