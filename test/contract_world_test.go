package test

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// world is a publisher with all that the operations of the API are about.
type world struct {
	*oxbow
	tb        testing.TB
	doc       *document
	publisher string
	source    string // what its encoders send
	// Streams: one is live, two have a show that is over.
	live, past, ended string
	// Recordings: of live, of past (archived), and of ended (it waits for its archiving).
	liveID, archivedID, endedID string
	more                        map[string]string // ids of recordings in further states: see moreStates
	count                       int
}

// worldSource is what the world's publishers send: two seconds, small.
func worldSource(tb testing.TB) string {
	tb.Helper()
	file := tb.TempDir() + "/world.flv"
	run(tb, time.Minute, "ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10:duration=2",
		"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=2", "-c:v", "libx264", "-preset", "ultrafast",
		"-g", "10", "-keyint_min", "10", "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-b:v", "60k", "-c:a", "aac", file)
	return file
}

// newWorld makes the publisher and its streams, and has one of them live. The shows of the two others are sent at once;
// settle waits for them.
func newWorld(tb testing.TB, server *oxbow, doc *document, publisher, source string) *world {
	tb.Helper()
	w := &world{
		tb: tb, doc: doc, source: source, publisher: publisher, live: publisher + "-live", past: publisher + "-past",
		ended: publisher + "-ended",
	}
	w.oxbow = &oxbow{tb: tb, data: server.data, http: server.http, rtmp: server.rtmp, admin: server.admin, out: server.out}
	w.must(http.MethodPost, "/v1/publishers", map[string]any{
		"name": publisher, "archive_delay": "0s", "reconnect_window": "0s", "end_on_unpublish": true,
		"segment_duration": "1s", "thumbnail_interval": "0s", "listed": false,
	}, nil)
	for _, stream := range []string{w.past, w.ended} {
		settings := map[string]any{}
		if stream == w.ended {
			settings["archive_delay"] = "24h"
		}
		publish(tb, "-i", source, "-c", "copy", "-f", "flv", "rtmp://"+w.rtmp+"/live/"+w.newStream(stream, settings))
	}
	w.publishLive(w.newStream(w.live, nil))
	return w
}

// publishLive sends a show without an end, until the test's.
func (w *world) publishLive(key string) {
	w.tb.Helper()
	publish(w.tb, "-re", "-stream_loop", "-1", "-i", w.source, "-c", "copy", "-f", "flv", "rtmp://"+w.rtmp+"/live/"+key)
}

// liveStream makes a stream that is live, by a feed for each suffix of its key beside the primary one.
func (w *world) liveStream(feeds ...string) (stream string) {
	w.tb.Helper()
	stream = w.name()
	key := w.newStream(stream, map[string]any{"backup_after": "1m"})
	w.publishLive(key)
	awaitLive(w.tb, w.oxbow, w.publisher, stream)
	for _, feed := range feeds {
		w.publishLive(key + feed)
	}
	return stream
}

// settle waits until all of the world is there.
func (w *world) settle() {
	w.tb.Helper()
	awaitLive(w.tb, w.oxbow, w.publisher, w.live)
	w.liveID = w.recordings(w.publisher, w.live)[0].ID
	over := func(stream, state string) (id string) {
		eventually(w.tb, 20*time.Second, "the show of "+stream+" is "+state, func() bool {
			rows := w.recordings(w.publisher, stream)
			if len(rows) == 0 || rows[0].State != state {
				return false
			}
			id = rows[0].ID
			return true
		})
		return id
	}
	w.endedID, w.archivedID = over(w.ended, "ended"), over(w.past, "archived")
}

// must calls the API with the admin token.
func (w *world) must(method, path string, in, out any) {
	w.tb.Helper()
	if status := w.api(method, path, in, out); status >= 300 {
		w.tb.Fatalf("%s %s: %d", method, path, status)
	}
}

// name makes one that nothing has yet; it begins with the publisher's.
func (w *world) name() string {
	w.count++
	return fmt.Sprintf("%s-%d", w.publisher, w.count)
}

func (w *world) newStream(name string, settings map[string]any) (key string) {
	w.tb.Helper()
	body := map[string]any{"name": name}
	for k, v := range settings {
		body[k] = v
	}
	var made struct{ Key string }
	w.must(http.MethodPost, "/v1/publishers/"+w.publisher+"/streams", body, &made)
	return made.Key
}

// made posts to a path of the publisher and gives a field of the answer, as a row's setting-up.
func (w *world) made(path, field string, body any) string {
	w.tb.Helper()
	var row map[string]any
	w.must(http.MethodPost, path, body, &row)
	id, _ := row[field].(string)
	if id == "" {
		w.tb.Fatalf("POST %s: no %s in %v", path, field, row)
	}
	return id
}

// freshStream makes a stream without a show.
func (w *world) freshStream() string {
	w.tb.Helper()
	name := w.name()
	w.newStream(name, nil)
	return name
}

func (w *world) streamPath(stream string) string {
	return "/v1/publishers/" + w.publisher + "/streams/" + stream
}

func (w *world) newKey(stream string) (id string) {
	w.tb.Helper()
	return w.made(w.streamPath(stream)+"/keys", "id", map[string]any{"label": w.name()})
}

func (w *world) newClip() (id string) {
	w.tb.Helper()
	return w.made("/v1/recordings/"+w.archivedID+"/clips", "id", map[string]any{"start": 0, "end": 1, "name": w.name()})
}

func (w *world) newEvent() (id string) {
	w.tb.Helper()
	return w.made(w.streamPath(w.live)+"/events", "id", map[string]any{"id": w.name()})
}

// newSource sets a source that is off, on a stream of its own.
func (w *world) newSource() (stream string) {
	w.tb.Helper()
	stream = w.freshStream()
	w.must(http.MethodPut, w.streamPath(stream)+"/source", sourceBody(), nil)
	return stream
}

func sourceBody() map[string]any {
	return map[string]any{"url": "http://127.0.0.1:9/show.m3u8", "mode": "always", "enabled": false, "idle_timeout": "30s"}
}

// on makes a request about the publisher.
func (w *world) on(parameters ...string) request {
	return on(append([]string{"publisher", w.publisher}, parameters...)...)
}

// newContractServer starts a server that has all parts. Its limits of requests are out of the tests' way.
func newContractServer(tb testing.TB) *oxbow {
	tb.Helper()
	server := newOxbow(tb, "--archives", sickArchive+"=s3://nowhere?endpoint=http://127.0.0.1:9")
	server.env = append(server.env, "OXBOW_API_RATE=0", "AWS_ACCESS_KEY_ID=nobody", "AWS_SECRET_ACCESS_KEY=nothing")
	server.start("serve")
	return server
}
