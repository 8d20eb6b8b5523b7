package ingest

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// drain begins a Drain, and gives its error when it has ended.
func drain(ctx context.Context, s *testServer, tcURL string) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Drain(ctx, tcURL) }()
	return done
}

func isDone(done <-chan error) bool { return len(done) > 0 }

// Publishers that can't be asked to reconnect go on until their segment's end, and are closed in peace there; that is no
// goodbye.
func TestDrainEndsAtASegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStandbyWorld(t, Config{}, func(r *recorder) { r.segment = 50 })
		live, standby := dialFeed(t, w.testServer, media.FeedPrimary), dialFeed(t, w.testServer, media.FeedBackup)
		run(time.Second, live, standby)
		if w.Draining() {
			t.Error("it drains")
		}
		done := drain(t.Context(), w.testServer, "")
		synctest.Wait() // it has asked, before the next frame
		run(500*time.Millisecond, live, standby)
		if told, gone := standby.ended(); !gone || !strings.Contains(told, "publish to another") {
			t.Errorf("the standby was told %q, gone %v", told, gone)
		}
		late := MustShakeHands(t, pipeTo(t, w.testServer))
		late.connect("live", "")
		late.command(1, "publish", 3.0, nil, w.rec.key, "live")
		if code, says := late.status(); code != codeDenied || says != "this server is stopping: publish to another" {
			t.Errorf("a new publish was told %s: %s", code, says)
		}
		if isDone(done) || !w.Draining() {
			t.Error("it is over before the segment is")
		}
		run(time.Second, live)
		if err := <-done; err != nil {
			t.Error(err)
		}
		told, gone := live.ended()
		if !gone || told != codeUnpublished+" this server is stopping: publish to another" {
			t.Errorf("it was told %q, gone %v", told, gone)
		}
		p := w.rec.publs[0]
		if len(p.frames) != 50 || p.clean || !p.closed || p.left != 25+1 {
			t.Errorf("%d frames, clean %v, asked at frame %d", len(p.frames), p.clean, p.left-1)
		}
		w.log.await(t, "publisher left", "how=stopping")
		w.wantFeed(t, media.FeedNone, 0)
		if err := w.Drain(t.Context(), ""); err != nil {
			t.Errorf("drained again: %v", err)
		}
	})
}

// Who does not come to a segment's end is cut off after DrainTimeout, and who sends nothing after a second.
func TestDrainIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name  string
		sends bool
		want  time.Duration
	}{
		{"a segment that does not end", true, 5 * time.Second},
		{"silence", false, drainSilence},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newStandbyWorld(t, Config{DrainTimeout: 5 * time.Second}, func(r *recorder) { r.segment = 1 << 20 })
				live := dialFeed(t, w.testServer, media.FeedPrimary)
				run(time.Second, live)
				began := time.Now()
				done := drain(t.Context(), w.testServer, "")
				for !isDone(done) && time.Since(began) < time.Minute {
					if tt.sends {
						live.picture()
					}
					time.Sleep(frameTime)
					synctest.Wait()
				}
				if err := <-done; err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took < tt.want-frameTime || took > tt.want+4*frameTime {
					t.Errorf("it took %v, want %v", took, tt.want)
				}
				if p := w.rec.publs[0]; p.clean || !p.closed {
					t.Errorf("closed %v, clean %v", p.closed, p.clean)
				}
			})
		})
	}
}

func TestDrainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newStandbyWorld(t, Config{}, func(r *recorder) { r.segment = 1 << 20 })
		live := dialFeed(t, w.testServer, media.FeedPrimary)
		run(time.Second, live)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		done := drain(ctx, w.testServer, "")
		run(time.Second, live)
		if err := <-done; !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 publishers are left") {
			t.Error(err)
		}
		w.wantFeed(t, media.FeedPrimary, 0)
	})
}

// publishAsked publishes as an E-RTMP client, in a bubble, and gives the URL that it is asked to go to.
func publishAsked(t *testing.T, s *testServer) (*testFeed, <-chan string) {
	t.Helper()
	f := &testFeed{testClient: MustShakeHands(t, pipeTo(t, s)), mark: 0x30}
	f.connectEnhanced(capReconnect)
	f.publishOn(s.rec.key)
	f.n++
	asked := make(chan string, 1)
	go func() {
		for {
			values, err := f.tryAnswer("onStatus")
			if err != nil {
				close(asked)
				return
			}
			if info := values[3].(amfObject); info.text("code") == codeReconnect {
				asked <- info.text("tcUrl")
			}
		}
	}()
	return f, asked
}

// Who can be asked to connect again is, is given its time, and has to leave like all others after it.
func TestDrainAsksToReconnect(t *testing.T) {
	for _, obeys := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newStandbyWorld(t, Config{ReconnectWait: 3 * time.Second}, nil)
			f, asked := publishAsked(t, w.testServer)
			run(time.Second, f)
			began := time.Now()
			done := drain(t.Context(), w.testServer, "rtmp://other/live")
			run(frameTime, f)
			if to := <-asked; to != "rtmp://other/live" {
				t.Errorf("it was asked to go to %q", to)
			}
			run(2*time.Second, f)
			w.wantFeed(t, media.FeedPrimary, 0)
			if obeys {
				f.command(0, "FCUnpublish", 4.0, nil, w.rec.key)
			} else {
				run(1500*time.Millisecond, f)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
			if p := w.rec.publs[0]; p.clean || !p.closed || (p.left > 0) == obeys {
				t.Errorf("closed %v, clean %v, asked to leave at %d", p.closed, p.clean, p.left)
			}
			if obeys {
				w.log.await(t, "publisher left", "how=reconnect")
			}
		})
	}
}

// A drain with publishers of all kinds: a plain RTMP client, an E-RTMP client that obeys, and an SRT client.
func TestDrainOfMixedClients(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	rec.segment = 50
	rec.others = map[string]media.StreamPath{
		"plain": {Publisher: "acme", Stream: "plain"}, "srt": {Publisher: "acme", Stream: "srt"},
	}
	s := MustServe(t, Config{}, rec)
	overSRT := MustServeSRTOf(t, s)
	plain := MustFFmpeg(t, append([]string{"-re"}, encoderArgs("rtmp://"+s.addr+"/live/plain", "-t", "30")...)...)
	byteStream := MustFFmpeg(t, append([]string{"-re"}, srtArgs(overSRT, "publish:acme/srt:srt", "-t", "30")...)...)
	asked := MustDial(t, s.addr)
	asked.connectEnhanced(capReconnect)
	asked.publishOn(rec.key)
	rec.await(t, "all publish", func() bool {
		live := 0
		for _, p := range rec.publs {
			if len(p.frames) > 0 {
				live++
			}
		}
		return live == 3
	})
	done := drain(t.Context(), s, "")
	asked.answer("onStatus")
	_ = asked.conn.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
	for i := range 3 {
		if p := rec.publication(t, i); p.clean {
			t.Errorf("publication %d ended clean", i)
		}
	}
	rec.mu.Lock()
	ended := 0
	for _, p := range rec.publs {
		if p.left > 0 && len(p.frames)%rec.segment == 0 {
			ended++
		}
	}
	rec.mu.Unlock()
	if ended != 2 {
		t.Errorf("%d ended with a segment, want those two that could not be asked", ended)
	}
	for _, f := range []*ffmpeg{plain, byteStream} {
		_, _ = f.wait() // the server closed: they end by themselves
	}
	if _, err := dialSRT(overSRT, "publish:acme/srt:srt", ""); err == nil {
		t.Error("an SRT publish was accepted")
	}
	s.log.await(t, "publish refused", "reason=stopping", "code=1503")
}

// MustServeSRTOf has a server serve SRT, too.
func MustServeSRTOf(tb testing.TB, s *testServer) *testServer {
	tb.Helper()
	listener, err := ListenSRT(Config{}, "127.0.0.1:0", s.logger)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.ServeSRT(ctx, listener) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("ServeSRT: %v", err)
		}
	})
	tb.Cleanup(stop)
	return &testServer{Server: s.Server, rec: s.rec, log: s.log, addr: listener.Addr().String(), stop: stop}
}

// A server that stops does the same with the publishers of its listener: those of another go on.
func TestStopDrainsItsListener(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"rtmp", "srt"} {
		rec := newRecorder()
		rec.segment = 25
		rec.others = map[string]media.StreamPath{"srt": {Publisher: "acme", Stream: "srt"}}
		s := MustServe(t, Config{}, rec)
		overSRT := MustServeSRTOf(t, s)
		rtmp := MustFFmpeg(t, append([]string{"-re"}, encoderArgs("rtmp://"+s.addr+"/live/"+rec.key, "-t", "30")...)...)
		srt := MustFFmpeg(t, append([]string{"-re"}, srtArgs(overSRT, "publish:acme/srt:srt", "-t", "30")...)...)
		rec.await(t, "both publish", func() bool {
			return len(rec.publs) == 2 && len(rec.publs[0].frames) > 0 && len(rec.publs[1].frames) > 0
		})
		order := []struct {
			stop func()
			path media.StreamPath
		}{{s.stop, rec.path}, {overSRT.stop, rec.others["srt"]}}
		if first == "srt" {
			order[0], order[1] = order[1], order[0]
		}
		order[0].stop()
		if _, _, live := s.Feed(order[0].path); live {
			t.Error("it publishes still")
		}
		if _, _, live := s.Feed(order[1].path); !live {
			t.Error("the other listener's publisher is gone")
		}
		order[1].stop()
		for i := range 2 {
			if p := rec.publication(t, i); p.clean || len(p.frames)%rec.segment != 0 || p.left == 0 {
				t.Errorf("publication %d: clean %v, %d frames", i, p.clean, len(p.frames))
			}
		}
		_, _ = rtmp.wait()
		_, _ = srt.wait()
	}
}

// A backup over SRT takes over from a primary over RTMP that is killed.
func TestFFmpegBackup(t *testing.T) {
	t.Parallel()
	rec := newRecorder()
	s := MustServe(t, Config{}, rec)
	overSRT := MustServeSRTOf(t, s)
	primary := MustFFmpeg(t, append([]string{"-re"}, encoderArgs("rtmp://"+s.addr+"/live/"+rec.key, "-t", "30")...)...)
	rec.await(t, "the primary publishes", func() bool { return len(rec.publs) == 1 && len(rec.publs[0].frames) > 0 })
	id := "publish:acme/show:" + strings.ReplaceAll(rec.key, "+", "%2B") + ":backup"
	backup := MustFFmpeg(t, append([]string{"-re"}, srtArgs(overSRT, id, "-t", "8")...)...)
	s.log.await(t, "standby is ready", "feed=backup")
	if err := primary.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.log.await(t, "standby takes over", "cause=gone")
	if out, err := backup.wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, _ = primary.wait()
	first, second := rec.publication(t, 0), rec.publication(t, 1)
	if first.clean || !second.clean {
		t.Errorf("the primary ended clean=%v, the backup %v", first.clean, second.clean)
	}
	// It begins with a random access point, and its video lacks nothing.
	lost := strings.Contains(s.log.String(), "code=packets_missing") // as when the machine stood still
	var last time.Duration
	pictures := 0
	for _, f := range second.frames {
		if f.Track != 0 {
			continue
		}
		if pictures == 0 && !f.Sync {
			t.Error("it does not begin with a random access point")
		}
		if pictures > 0 && f.DTS-last != frameTime && !lost {
			t.Errorf("picture %d comes %v after the one before", pictures, f.DTS-last)
		}
		last = f.DTS
		pictures++
	}
	if pictures < 50 {
		t.Errorf("%d pictures", pictures)
	}
}
