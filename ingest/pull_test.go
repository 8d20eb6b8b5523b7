package ingest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// sourceList keeps sources.
type sourceList struct {
	mu   sync.Mutex
	list []media.Source
}

func (s *sourceList) EnabledSources(context.Context) ([]media.Source, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list), nil
}

func (s *sourceList) Stream(_ context.Context, path media.StreamPath) (media.Stream, error) {
	return media.Stream{Path: path}, nil
}

func (s *sourceList) set(list ...media.Source) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
}

func sourceOf(rec *recorder, url, mode string) media.Source {
	return media.Source{
		Path: rec.path, URL: url, Mode: mode, Enabled: true, IdleTimeout: media.DefaultSourceIdle,
	}
}

// testPuller is a Puller at work.
type testPuller struct {
	*Puller
	list *sourceList
	stop func() // ends it and waits
}

// MustPull starts a Puller that publishes through the server; connect, if not nil, reaches the sources.
func MustPull(
	tb testing.TB, s *testServer, connect func(context.Context, media.Source) (feed, error), list ...media.Source,
) *testPuller {
	tb.Helper()
	p := &testPuller{list: &sourceList{list: list}}
	p.Puller = s.Puller(p.list, nil)
	if connect != nil {
		p.connect = connect
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("Run: %v", err)
		}
	})
	tb.Cleanup(p.stop)
	return p
}

// stillFeed gives one frame, and then nothing until it is told how to end.
type stillFeed struct{ end chan error }

func (f *stillFeed) run(ctx context.Context, out *session) error {
	id := trackID{kind: media.Audio}
	out.announce(0, 1)
	if err := out.configure(id, media.Track{Codec: media.AAC, Config: []byte{0x12, 0x10}}); err != nil {
		return err
	}
	if err := out.write(id, &media.Frame{Sync: true, Payload: []byte{1}, Wall: time.Now()}); err != nil {
		return err
	}
	select {
	case err := <-f.end:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (f *stillFeed) ended() string { return "" }

func (f *stillFeed) close() {}

func TestSourceIsTriedAgainAtGrowingIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Config{}, newRecorder())
		var tries []time.Time
		refused := errors.New("connection refused")
		p := MustPull(t, s, func(context.Context, media.Source) (feed, error) {
			tries = append(tries, time.Now())
			return nil, refused
		}, sourceOf(s.rec, "rtmp://example.com/live/secret", media.SourceAlways))
		time.Sleep(3 * time.Minute) // of the bubble's time
		synctest.Wait()
		if len(tries) < 9 {
			t.Fatalf("%d tries", len(tries))
		}
		for i := range len(tries) - 1 {
			want := min(firstRetry<<min(i, 6), lastRetry)
			if got := tries[i+1].Sub(tries[i]); got < want*8/10 || got > want*12/10 {
				t.Errorf("try %d: %v after the one before, want about %v", i+1, got, want)
			}
		}
		status := p.Status(s.rec.path)
		if status.State != media.SourceWaiting || status.LastError != refused.Error() || status.Retries != len(tries) ||
			!status.NextRetry.After(time.Now()) {
			t.Errorf("%+v after %d tries", status, len(tries))
		}
		p.stop()
	})
}

func TestSourceThatWasGoodIsTriedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Config{}, newRecorder())
		var good atomic.Bool
		f := &stillFeed{end: make(chan error)}
		p := MustPull(t, s, func(context.Context, media.Source) (feed, error) {
			if good.Load() {
				return f, nil
			}
			return nil, errors.New("connection refused")
		}, sourceOf(s.rec, "rtmp://example.com/live/x", media.SourceAlways))
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		good.Store(true)
		time.Sleep(goodPull + time.Minute)
		synctest.Wait()
		if got := p.Status(s.rec.path).State; got != media.SourceLive {
			t.Fatalf("state %s", got)
		}
		f.end <- errors.New("connection reset")
		synctest.Wait()
		if status := p.Status(s.rec.path); status.Retries != 1 || time.Until(status.NextRetry) > time.Second {
			t.Errorf("%+v", status)
		}
		p.stop()
	})
}

func TestSourceOnDemandComesAndGoesWithItsViewers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Config{}, newRecorder())
		calls := 0
		p := MustPull(t, s, func(context.Context, media.Source) (feed, error) {
			calls++
			return &stillFeed{end: make(chan error)}, nil
		}, sourceOf(s.rec, "rtmp://example.com/live/x", media.SourceOnDemand))
		time.Sleep(time.Hour)
		synctest.Wait()
		if calls != 0 || p.Status(s.rec.path).State != media.SourceOff {
			t.Fatalf("%d calls without a viewer", calls)
		}
		for range 10 { // a viewer, for longer than the idle timeout
			if !p.Wanted(s.rec.path) {
				t.Fatal("not about to come")
			}
			time.Sleep(30 * time.Second)
			synctest.Wait()
		}
		if calls != 1 || p.Status(s.rec.path).State != media.SourceLive {
			t.Fatalf("%d calls, %+v", calls, p.Status(s.rec.path))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := p.Status(s.rec.path).State; got != media.SourceOff {
			t.Errorf("state %s without viewers", got)
		}
		if pub := s.rec.publication(t, 0); !pub.clean {
			t.Error("the show was not ended clean")
		}
		if p.Wanted(media.StreamPath{Publisher: "acme", Stream: "other"}) {
			t.Error("a stream without a source is about to come")
		}
		p.stop()
	})
}

func TestSourceFollowsItsConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Config{}, newRecorder())
		var called []string
		one := sourceOf(s.rec, "rtmp://example.com/live/one", media.SourceAlways)
		p := MustPull(t, s, func(_ context.Context, source media.Source) (feed, error) {
			called = append(called, source.URL)
			return &stillFeed{end: make(chan error)}, nil
		}, one)
		synctest.Wait()
		p.Changed() // nothing has
		synctest.Wait()
		two := one
		two.URL = "rtmp://example.com/live/two"
		p.list.set(two)
		p.Changed()
		synctest.Wait()
		if !slices.Equal(called, []string{one.URL, two.URL}) {
			t.Errorf("called %q", called)
		}
		if s.rec.publication(t, 0).clean {
			t.Error("a changed source ended the show")
		}
		p.list.set()
		p.Changed()
		synctest.Wait()
		if !s.rec.publication(t, 1).clean {
			t.Error("a removed source did not end the show")
		}
		if got := p.Status(s.rec.path).State; got != media.SourceOff {
			t.Errorf("state %s", got)
		}
		p.stop()
	})
}

func TestSourceYieldsToAPushAndStandsBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTestServer(t, Config{}, newRecorder())
		p := MustPull(t, s, func(context.Context, media.Source) (feed, error) {
			return &stillFeed{end: make(chan error)}, nil
		}, sourceOf(s.rec, "rtmp://example.com/live/x", media.SourceAlways))
		synctest.Wait()
		kicked := false
		push, err := s.open(t.Context(), request{target: target{key: s.rec.key}}, func(error) { kicked = true })
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if status := p.Status(s.rec.path); kicked || status.State != media.SourceWaiting ||
			status.LastError != errElsewhere.Error() {
			t.Errorf("kicked %v, %+v", kicked, status)
		}
		push.close(t.Context(), nil)
		time.Sleep(2 * elsewhereRetry)
		synctest.Wait()
		if got := p.Status(s.rec.path).State; got != media.SourceLive {
			t.Errorf("state %s after the push has left", got)
		}
		p.stop()
	})
}

// A source that says why it ends is told of by its code, is no fault of ours, and its words give no secret away.
func TestSourceThatEndsTheStreamIsNoFaultOfOurs(t *testing.T) {
	for _, said := range []string{"", "no stream topsecret", "bad token hush1234", strings.Repeat("x", maxStatus-7) + "topsecret"} {
		var say []byte
		add := func(stream uint32, kind byte, payload []byte) {
			say = appendMessage(say, 3, message{kind: kind, stream: stream, payload: payload}, defaultChunkSize)
		}
		add(0, typeCommandAMF0, appendAMF0(nil, "_result", 1.0, nil, nil))
		add(0, typeCommandAMF0, appendAMF0(nil, "_result", 2.0, nil, 1.0))
		add(1, typeCommandAMF0, appendAMF0(nil, statusOf("status", "NetStream.Play.Start", "")...))
		add(1, typeDataAMF0, onlyAudio)
		add(1, typeAudio, audioConfig(testASC))
		add(1, typeAudio, audioUnit(1))
		add(1, typeCommandAMF0, appendAMF0(nil, statusOf("error", "NetStream.Play.Failed", said)...))
		s := MustServe(t, Config{}, newRecorder())
		target := strings.Replace(fakeRTMP(t, say), "/live/k", "/live/topsecret?token=hush1234", 1)
		p := MustPull(t, s, nil, sourceOf(s.rec, target, media.SourceAlways))
		s.log.await(t, "publisher left", "how=source ", "NetStream.Play.Failed", "level=INFO")
		s.log.await(t, "source lost")
		p.stop()
		if log := s.log.String() + p.Status(s.rec.path).LastError; strings.Contains(log, "tops") || strings.Contains(log, "hush") {
			t.Errorf("a secret is told: %s", log)
		}
	}
}
