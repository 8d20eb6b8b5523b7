package test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// logFollower follows a server's log as a client would: it comes back with the last id when the stream ends.
type logFollower struct {
	server *oxbow

	mu     sync.Mutex
	last   string
	events []media.LogEvent
}

// follow reads until ctx ends.
func (f *logFollower) follow(ctx context.Context) {
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	for ctx.Err() == nil {
		f.read(ctx)
		select {
		case <-again.C:
		case <-ctx.Done():
		}
	}
}

func (f *logFollower) read(ctx context.Context) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.server.url("/v1/events/stream?after=0"), http.NoBody)
	if err != nil {
		return
	}
	req.Header.Set("Authorization", "Bearer "+adminToken)
	f.mu.Lock()
	if f.last != "" {
		req.Header.Set("Last-Event-ID", f.last)
	}
	f.mu.Unlock()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		f.mu.Lock()
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			f.last = id
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var e media.LogEvent
			if json.Unmarshal([]byte(data), &e) == nil {
				f.events = append(f.events, e)
			}
		}
		f.mu.Unlock()
	}
}

// types lists what came of a recording, each id once.
func (f *logFollower) types(id string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return typesOf(f.events, id)
}

func typesOf(events []media.LogEvent, id string) []string {
	var ids []int64
	types := []string{}
	for _, e := range events {
		if string(e.Recording) == id && e.Type != media.EventIngestWarning && !slices.Contains(ids, e.ID) {
			ids, types = append(ids, e.ID), append(types, e.Type)
		}
	}
	return types
}

// A show lives, is cut, comes back, has its server killed under it twice, ends, is archived and deleted: the log, who
// follows it, and the archive have all of it, once and in order.
func TestEventLogTellsAShowsLife(t *testing.T) {
	t.Parallel()
	needTool(t, "ffmpeg")
	server := newOxbow(t, "--archive-poll", "200ms")
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{
		"archive_delay": "0s", "reconnect_window": "1m", "end_on_unpublish": true, "segment_duration": "1s",
	})
	f := &logFollower{server: server}
	ctx, stop := context.WithCancel(context.Background())
	following := make(chan struct{})
	go func() { defer close(following); f.follow(ctx) }()
	defer func() { stop(); <-following }()

	var want []string
	id := ""
	expect := func(more ...string) {
		t.Helper()
		want = append(want, more...)
		eventually(t, 30*time.Second, fmt.Sprintf("the log says %v", more), func() bool {
			if id == "" {
				if list := server.recordings("acme", "show"); len(list) > 0 {
					id = list[0].ID
				}
			}
			return id != "" && len(f.types(id)) >= len(want)
		})
		// What comes next may have come already.
		if got := f.types(id); !slices.Equal(got[:len(want)], want) {
			t.Fatalf("told %v, want %v", got, want)
		}
	}
	begin := func(seconds string) *process {
		return publish(t, "-re", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10", "-t", seconds, "-c:v", "libx264",
			"-preset", "ultrafast", "-g", "10", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+key)
	}
	p := begin("60")
	expect(media.EventLive)
	p.kill()
	expect(media.EventInterrupted)
	p = begin("60")
	expect(media.EventLive)
	manifest := filepath.Join(server.data, "recordings", "acme", "show", id, "recording.json")
	eventually(t, 20*time.Second, "storage has it, which is told of it when the server is back", func() bool {
		return regexp.MustCompile(`"state": *"live"`).MatchString(mustRead(t, manifest))
	})
	server.stop(syscall.SIGKILL)
	p.kill()
	server.start("serve")
	expect(media.EventInterrupted)
	p = begin("3")
	expect(media.EventLive)
	if err := p.wait(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	expect(media.EventEnded)
	server.stop(syscall.SIGKILL) // while it is being archived, or before, or behind it
	server.start("serve")
	expect(media.EventArchived)

	text := mustRead(t, filepath.Join(server.data, "archive", "acme", "show", id, "events.json"))
	var stored struct{ Events []media.LogEvent }
	if err := json.Unmarshal([]byte(text), &stored); err != nil {
		t.Fatal(err)
	}
	if got := typesOf(stored.Events, id); !slices.Equal(got, want[:len(want)-1]) {
		t.Errorf("the archive has %v", got)
	}
	if status := server.api(http.MethodDelete, "/v1/recordings/"+id, nil, nil); status >= 300 {
		t.Fatalf("delete: %d", status)
	}
	expect(media.EventExpired)
	var page struct{ Items []media.LogEvent }
	server.api(http.MethodGet, "/v1/events?order=asc&limit=500&recording="+id, nil, &page)
	if got := typesOf(page.Items, id); !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
}
