package ingest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestPublishAndUnpublish(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	c := MustDial(t, s.addr)
	c.connect("live", "rtmp://localhost/live")
	c.command(0, "releaseStream", 4.0, nil, s.rec.key)
	if v := c.answer("_result"); v[1] != 4.0 {
		t.Errorf("releaseStream: %v", v)
	}
	c.command(0, "FCPublish", 5.0, nil, s.rec.key)
	c.answer("onFCPublish")
	c.command(0, "_checkbw", 6.0, nil)
	c.command(0, "getStreamLength", 7.0, nil, s.rec.key)
	for want := 5.0; want <= 7; want++ {
		if v := c.answer("_result"); v[1] != want {
			t.Errorf("call %v: %v", want, v)
		}
	}
	c.command(1, "publish", 8.0, nil, s.rec.key, "live")
	if code, _ := c.status(); code != "NetStream.Publish.Start" {
		t.Fatal(code)
	}
	record := recordOf(testSPS, testPPS)
	c.send(typeDataAMF0, 1, 0, metadata(amfProperty{"videocodecid", 7.0}, amfProperty{"audiocodecid", 10.0}))
	c.send(typeVideo, 1, 0, videoConfig(record))
	c.send(typeAudio, 1, 0, audioConfig(testASC))
	c.send(typeVideo, 1, 1000, videoUnit(80, idr(1)))
	c.send(typeAudio, 1, 990, audioUnit(1, 2, 3))
	c.send(typeVideo, 1, 1040, videoUnit(-40, slice(2)))
	c.command(1, "FCUnpublish", 9.0, nil, s.rec.key)
	c.answer("onFCUnpublish")
	if code, _ := c.status(); code != "NetStream.Unpublish.Success" {
		t.Error(code)
	}
	c.command(0, "deleteStream", 10.0, nil, 1.0)

	p := s.rec.publication(t, 0)
	if !p.clean {
		t.Error("not closed clean")
	}
	ms := time.Millisecond
	wantTracks := [][]media.Track{{
		{Name: "video", Kind: media.Video, Codec: media.H264, Config: record},
		{Name: "audio", Kind: media.Audio, Codec: media.AAC, Config: testASC},
	}}
	if diff := cmp.Diff(wantTracks, p.tracks); diff != "" {
		t.Error(diff)
	}
	wantFrames := []media.Frame{
		{Track: 0, DTS: 1000 * ms, PTS: 1080 * ms, Sync: true, Payload: unitsOf(idr(1))},
		{Track: 1, DTS: 990 * ms, PTS: 990 * ms, Sync: true, Payload: []byte{1, 2, 3}},
		{Track: 0, DTS: 1040 * ms, PTS: 1000 * ms, Payload: unitsOf(slice(2))},
	}
	if diff := cmp.Diff(wantFrames, p.frames, cmpopts.IgnoreFields(media.Frame{}, "Wall")); diff != "" {
		t.Error(diff)
	}

	// Some encoders publish again on the same connection.
	c.command(1, "publish", 11.0, nil, s.rec.key, "live")
	if code, _ := c.status(); code != "NetStream.Publish.Start" {
		t.Fatal(code)
	}
	_ = c.conn.Close()
	if s.rec.publication(t, 1).clean {
		t.Error("a lost connection was closed clean")
	}
	s.log.await(t, "publisher left", "how=clean", "publisher=acme", "stream=show", "frames=3")
	s.log.await(t, "publisher left", "how=lost")
	want := `["acquire 1" "publish 1" "tracks video+audio" "close 1 clean=true" "release 1" "acquire 2" "publish 2" "close 2 clean=false"`
	if got := eventsOf(s.rec); !strings.HasPrefix(got, want) {
		t.Errorf("events %s\nwant   %s", got, want)
	}
}

func TestURLForms(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	for _, form := range [][3]string{
		{"live", "rtmp://h/live", s.rec.key},
		{"acme", "rtmp://h/acme", "show?key=" + s.rec.key},
		{"acme/show", `"rtmp://h/acme/show"`, "?key=" + s.rec.key},
		{"acme/show?key=" + s.rec.key, "", ""},
	} {
		c := MustDial(t, s.addr)
		c.connect(form[0], form[1])
		c.command(1, "publish", 3.0, nil, form[2], "live")
		if code, description := c.status(); code != "NetStream.Publish.Start" {
			t.Errorf("%q: %s: %s", form, code, description)
		}
	}
}

// Invariant 2: the key is checked before Publish.Start is said.
// Invariant 3: the newest publisher wins, after the one before it has left.
func TestTakeover(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	first := MustDial(t, s.addr)
	first.publish(s.rec.key)
	first.send(typeAudio, 1, 0, audioConfig(testASC))
	second := MustDial(t, s.addr)
	second.publish(s.rec.key)
	if code, says := first.status(); code != codeDenied || !strings.Contains(says, "taken over") {
		t.Errorf("the first was told %s: %s", code, says)
	}
	first.awaitEnd()
	want := `["acquire 1" "publish 1" "acquire 2" "close 1 clean=false" "release 1" "publish 2"]`
	if got := eventsOf(s.rec); got != want {
		t.Errorf("events %s\nwant   %s", got, want)
	}
	s.log.await(t, "publisher left", `how="taken over"`)
	second.send(typeAudio, 1, 0, audioConfig(testASC))
	second.send(typeAudio, 1, 0, audioUnit(1))
	second.command(1, "closeStream", 0.0, nil)
	if p := s.rec.publication(t, 1); !p.clean || len(p.frames) != 1 {
		t.Errorf("second: clean=%v, %d frames", p.clean, len(p.frames))
	}
}

// A publisher that is stuck does not keep the next one out.
func TestTakeoverOfStuckPublisher(t *testing.T) {
	rec := newRecorder()
	stuck, free := make(chan struct{}), make(chan struct{})
	rec.onFrame = func(*media.Frame) error {
		close(stuck)
		<-free
		return nil
	}
	s := MustServe(t, Config{TakeoverTimeout: 50 * time.Millisecond, TrackWait: time.Nanosecond}, rec)
	first := MustDial(t, s.addr)
	first.publish(rec.key)
	first.send(typeAudio, 1, 0, audioConfig(testASC))
	first.send(typeDataAMF0, 1, 0, metadata(amfProperty{"audiocodecid", 10.0}))
	first.send(typeAudio, 1, 0, audioUnit(1))
	<-stuck
	second := MustDial(t, s.addr)
	second.publish(rec.key)
	close(free)
	s.log.await(t, "publisher left", `how="taken over"`)
}

func TestKick(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	if s.Kick(s.rec.path) {
		t.Error("kicked nobody and said yes")
	}
	c := MustDial(t, s.addr)
	c.publish(s.rec.key)
	if !s.Kick(s.rec.path) {
		t.Error("found nobody")
	}
	if code, says := c.status(); code != codeDenied || !strings.Contains(says, "administrator") {
		t.Errorf("told %s: %s", code, says)
	}
	if s.rec.publication(t, 0).clean {
		t.Error("closed clean")
	}
	s.log.await(t, "publisher left", "how=kicked")
}

func TestStopClosesPublishers(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	c := MustDial(t, s.addr)
	c.publish(s.rec.key)
	idle := MustDial(t, s.addr)
	s.stop()
	c.awaitEnd()
	idle.awaitEnd()
	if p := s.rec.publication(t, 0); p.clean {
		t.Error("closed clean")
	}
	s.log.await(t, "publisher left", "how=stopping")
	if _, err := net.Dial("tcp", s.addr); err == nil {
		t.Error("it still listens")
	}
}

func TestServeSaysWhenItsListenerBreaks(t *testing.T) {
	s := newTestServer(t, Config{}, newRecorder())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	if err := s.Serve(context.Background(), listener); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

// A message of 10 MB of objects in objects is refused at its header.
func TestTruncatedStream(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	c := MustDial(t, s.addr)
	c.publish(s.rec.key)
	c.send(typeAudio, 1, 0, audioConfig(testASC))
	c.send(typeAudio, 1, 0, audioUnit(1))
	whole := appendMessage(nil, 6, message{kind: typeVideo, stream: 1, payload: make([]byte, 10000)}, defaultChunkSize)
	c.write(whole[:5000])
	_ = c.conn.Close()
	p := s.rec.publication(t, 0)
	if p.clean || len(p.frames) != 1 {
		t.Errorf("clean=%v, %d frames", p.clean, len(p.frames))
	}
	s.log.await(t, "publisher left", "how=lost")
}

func TestUnknownMessagesAreHarmless(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	c := MustDial(t, s.addr)
	c.publish(s.rec.key)
	for _, kind := range []byte{typeAck, typeUserControl, typePeerBandwidth, 7, 15, 16, 19, 21, typeAggregate, 99, 255} {
		c.send(kind, 1, 0, []byte{0, 0})
	}
	c.send(16, 0, 0, make([]byte, 1<<20)) // a shared object larger than any limit
	c.send(typeUserControl, 0, 0, []byte{0, 6, 1, 2, 3, 4})
	c.send(typeDataAMF0, 1, 0, []byte{0xff})
	c.send(typeCommandAMF3, 1, 0, append([]byte{0}, appendAMF0(nil, "getStreamLength", 77.0, nil)...))
	pong := false
	for {
		m, err := c.chunks.read()
		if err != nil {
			t.Fatal(err)
		}
		pong = pong || m.kind == typeUserControl && bytes.Equal(m.payload, []byte{0, 7, 1, 2, 3, 4})
		if m.kind == typeCommandAMF0 {
			break
		}
	}
	if !pong {
		t.Error("the ping was not answered")
	}
	c.send(typeAudio, 1, 0, audioConfig(testASC))
	c.send(typeAudio, 1, 0, audioUnit(1))
	c.command(0, "deleteStream", 4.0, nil, 1.0)
	if p := s.rec.publication(t, 0); !p.clean || len(p.frames) != 1 {
		t.Errorf("clean=%v, %d frames", p.clean, len(p.frames))
	}
}

// Acknowledgements come from inside a message that is larger than the window.
func TestAcknowledgements(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	c := MustDial(t, s.addr)
	c.publish(s.rec.key)
	c.send(typeWindowAckSize, 0, 0, []byte{0, 1, 0, 0})
	go func() {
		m := message{kind: typeVideo, stream: 1, payload: make([]byte, 200<<10)}
		_, _ = c.conn.Write(appendMessage(nil, 6, m, defaultChunkSize)[:150<<10])
	}()
	for {
		m, err := c.chunks.read()
		if err != nil {
			t.Fatal(err)
		}
		if m.kind == typeAck {
			return
		}
	}
}

func TestOrigin(t *testing.T) {
	for from, want := range map[string]string{
		"192.0.2.7:1234":              "192.0.2.7/32",
		"[::ffff:192.0.2.7]:1234":     "192.0.2.7/32",
		"[2001:db8:1:2:3:4:5:6]:1234": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:1234":         "fe80::/64",
		"pipe":                        "invalid Prefix",
	} {
		if got := origin(from).String(); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}

// A listener that fails for a while is asked again.
type failingListener struct {
	net.Listener
	failures int
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.failures > 0 {
		l.failures--
		return nil, errors.New("too many open files")
	}
	return l.Listener.Accept()
}

func TestAcceptGoesOn(t *testing.T) {
	s := newTestServer(t, Config{}, newRecorder())
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Serve(ctx, &failingListener{Listener: listener, failures: 2}) }()
	MustDial(t, listener.Addr().String()).publish(s.rec.key)
	s.log.await(t, "accept failed", "too many open files")
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The largest message that RTMP knows is taken, and one of 64 KiB even from a stranger.
func TestLargeMessages(t *testing.T) {
	s := MustServe(t, Config{}, newRecorder())
	c := MustDial(t, s.addr)
	long := appendAMF0(nil, "releaseStream", 9.0, nil, strings.Repeat("x", 60<<10))
	c.send(typeCommandAMF0, 0, 0, long)
	if v := c.answer("_result"); v[1] != 9.0 {
		t.Error(v)
	}
	c.publish(s.rec.key)
	c.send(typeDataAMF0, 1, 0, onlyVideo)
	c.send(typeVideo, 1, 0, videoConfig(testRecord))
	const largest = 1<<24 - 1
	body := videoUnit(0, append(idr(1), make([]byte, largest-9-3)...))
	if len(body) != largest {
		t.Fatal(len(body))
	}
	c.send(typeVideo, 1, 0, body)
	s.rec.await(t, "the frame is there", func() bool { return len(s.rec.publs[0].frames) == 1 })
	_ = c.conn.Close()
	if got := len(s.rec.publication(t, 0).frames[0].Payload); got != largest-5 {
		t.Errorf("%d bytes", got)
	}
}

// What the packager refuses is told, and what fails in it is our fault.
