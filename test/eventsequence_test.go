package test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// sequences gives what the log tells of each recording of a stream, with what tells one event from its like, in the
// order in which the recordings were first told of.
func sequences(log []media.LogEvent, publisher string) (all [][]string) {
	var ids []media.RecordingID
	for _, e := range log {
		if e.Publisher != publisher || e.Type == media.EventIngestWarning {
			continue
		}
		n := slices.Index(ids, e.Recording)
		if n < 0 {
			n = len(ids)
			ids, all = append(ids, e.Recording), append(all, nil)
		}
		var data struct {
			Reason, Action, Error, Continues string
			ClipOf                           string `json:"clip_of"`
		}
		text := e.Type
		if err := json.Unmarshal(e.Data, &data); err != nil {
			text += " " + err.Error()
		}
		for name, set := range map[string]bool{"continues": data.Continues != "", "clip": data.ClipOf != "", "error": data.Error != ""} {
			if set && data.Action == "" {
				text += " " + name
			}
		}
		for _, value := range []string{data.Reason, data.Action} {
			if value != "" {
				text += " " + value
			}
		}
		all[n] = append(all[n], text)
	}
	return all
}

// TestEventSequences holds the table of docs/events.md against what shows of all kinds really tell.
func TestEventSequences(t *testing.T) {
	t.Parallel()
	needTool(t, "ffmpeg")
	server := newOxbow(t, "--archive-poll", "200ms", "--archive-grace", "1s", "--upload-interval", "1s")
	server.rtmp = steadyAddress(t)
	server.start("serve")
	source := encodeSource(t, 3, "160x90", "100k")
	keys := map[string]string{}
	stream := func(name string, settings map[string]any) {
		all := map[string]any{"archive_delay": "0s", "end_on_unpublish": true, "segment_duration": "1s", "reconnect_window": "1m"}
		for k, v := range settings {
			all[k] = v
		}
		keys[name] = server.createStream(name, "show", all)
	}
	send := func(name string, args ...string) *process {
		args = append(append([]string{"-re"}, args...), "-c", "copy", "-f", "flv", "rtmp://"+server.rtmp+"/live/"+keys[name])
		return publish(t, args...)
	}
	once, forever := []string{"-i", source}, []string{"-stream_loop", "-1", "-i", source}
	want := map[string][][]string{}
	told := func(name string) bool {
		return slices.EqualFunc(sequences(server.eventLog(), name), want[name], slices.Equal)
	}
	await := func(name string, expected ...[]string) {
		t.Helper()
		want[name] = expected
		defer func() {
			if t.Failed() {
				t.Logf("%s: told %q, want %q", name, sequences(server.eventLog(), name), want[name])
			}
		}()
		eventually(t, 30*time.Second, name+" is told", func() bool { return told(name) })
	}
	is := func(types ...string) []string { return types }
	const (
		live, interrupted, ended = media.EventLive, media.EventInterrupted, media.EventEnded
		archived, expired        = media.EventArchived, media.EventExpired
	)

	stream("goodbye", nil)
	stream("window", map[string]any{"reconnect_window": "1s", "end_on_unpublish": false})
	stream("unkept", map[string]any{"record": "off", "dvr_window": "1m"})
	stream("growing", map[string]any{"archive_mode": "continuous"})
	stream("count", map[string]any{"retention_count": 1})
	for _, name := range []string{"goodbye", "window", "unkept", "growing", "count"} {
		send(name, once...)
	}
	stream("takeover", nil)
	stream("tracks", nil)
	stream("lost", nil)
	for _, name := range []string{"takeover", "tracks", "lost"} {
		p := send(name, forever...)
		await(name, is(live))
		switch name {
		case "takeover":
			send(name, once...)
		case "tracks":
			p.kill()
			await(name, is(live, interrupted))
			send(name, append([]string{"-an"}, once...)...)
		}
	}
	await("goodbye", is(live, ended, archived))
	await("window", is(live, interrupted, ended, archived))
	await("unkept", is(live, ended)) // what is next comes a dvr_window later
	await("growing", is(live, ended, archived))
	await("takeover", is(live, interrupted, live, ended, archived))
	await("tracks", is(live, interrupted, ended, archived), is(live+" continues", ended+" continues", archived))
	await("count", is(live, ended, archived))
	send("count", once...)
	await("count", is(live, ended, archived, expired+" retention_count"), is(live, ended, archived))

	clip := map[string]any{"start": 0, "end": 2}
	id := server.recordings("goodbye", "show")[0].ID
	if status := server.api(http.MethodPost, "/v1/recordings/"+id+"/clips", clip, nil); status != http.StatusCreated {
		t.Fatalf("clip: %d", status)
	}
	await("goodbye", is(live, ended, archived), is(ended+" clip", archived+" clip"))

	server.stop(syscall.SIGKILL)
	folder := filepath.Join(server.data, "recordings", "lost", "show", server.lostID(t))
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	server.start("serve")
	await("lost", is(live, ended+" error", media.EventFailed+" record"))
	if full() {
		eventually(t, 2*time.Minute, "the show that was not to be kept is gone", func() bool {
			want["unkept"] = [][]string{is(live, ended, expired+" record")}
			return told("unkept")
		})
	}
	table := mustRead(t, filepath.Join("..", "docs", "events.md"))
	for name, all := range want {
		for _, one := range all {
			if row := strings.Join(one, ", "); !strings.Contains(table, row) {
				t.Errorf("%s: docs/events.md does not have %q", name, row)
			}
		}
	}
}

// lostID is the name of the folder that the stream's only recording has.
func (o *oxbow) lostID(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(o.data, "recordings", "lost", "show"))
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v %v", entries, err)
	}
	return entries[0].Name()
}
