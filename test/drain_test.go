package test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/ingest"
)

// TestDrainKeepsTheShow stops the server while a publisher is live that can connect again when it is asked to: it is
// asked, leaves, and publishes to the next process. The show is one recording of two takes without a picture lost.
func TestDrainKeepsTheShow(t *testing.T) {
	t.Parallel()
	source := encodeSource(t, 4, "320x180", "300k")
	want := frameHashes(t, source)
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "show", map[string]any{"reconnect_window": "60s", "archive_delay": "1h"})
	url := "rtmp://" + server.rtmp + "/live/" + key
	tracks, samples := readClip(t, source)

	asked := make(chan string, 1)
	first := startTask(t, "publisher that is asked to leave", func(ctx context.Context) error {
		return publishUntilAsked(ctx, url, tracks, samples, asked)
	})
	awaitLive(t, server, "acme", "show")
	server.stop(syscall.SIGTERM)
	select {
	case tcURL := <-asked:
		if tcURL != "" {
			t.Errorf("it was asked to go to %q", tcURL)
		}
	default:
		t.Error("the publisher was not asked to connect again")
	}
	if err := first.wait(5 * time.Second); err != nil {
		t.Errorf("the first publisher: %v", err)
	}
	wantLog(t, server, "publisher left", "how=reconnect")

	server.start("serve")
	before := server.recordings("acme", "show")
	if len(before) != 1 || before[0].State != "interrupted" {
		t.Fatalf("after the stop: %+v", before)
	}
	second := startTask(t, "publisher that came again", func(ctx context.Context) error {
		return publishClip(ctx, url, tracks, samples, nil)
	})
	if err := second.wait(20 * time.Second); err != nil {
		t.Errorf("the second publisher: %v", err)
	}
	server.waitState(before[0].ID, "ended", 10*time.Second)
	if after := server.recordings("acme", "show"); len(after) != 1 {
		t.Errorf("the show was not continued: %+v", after)
	}
	takes, err := filepath.Glob(filepath.Join(server.data, "recordings", "acme", "show", before[0].ID, "*", "video.mp4"))
	if err != nil || len(takes) != 2 {
		t.Fatalf("takes %v, %v", takes, err)
	}
	// The cut falls in the order of decoding: pictures may lack that are shown before the last one.
	const reordered = 3
	got := frameHashes(t, takes[0])
	if whole := len(got) - reordered; whole <= 0 || !slices.Equal(got[:whole], want[:whole]) || !isSubsequence(got, want) {
		t.Errorf("the first take's %d pictures are not the source's first ones", len(got))
	}
	if got := frameHashes(t, takes[1]); !slices.Equal(got, want) {
		t.Errorf("the second take has %d pictures of %d, or some differ", len(got), len(want))
	}
}

// publishUntilAsked sends a clip in real time, and then nothing, until the server asks to connect again; then it says
// goodbye. It tells asked to where.
func publishUntilAsked(ctx context.Context, url string, tracks []*erTrack, samples []erSample, asked chan<- string) error {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	errAsked := errors.New("asked to connect again")
	dialer := ingest.RTMPDialer{Reconnect: func(tcURL string) {
		asked <- tcURL
		leave(errAsked)
	}}
	client, err := dialer.DialRTMP(ctx, url)
	if err != nil {
		return err
	}
	if err := client.Publish(ctx); err != nil {
		return errors.Join(err, client.Close())
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = client.ReadMessage(0) // until the end: there is no media for a publisher
	}()
	err = sendClip(ctx, client, tracks, samples, nil)
	if err == nil {
		<-ctx.Done()
	}
	closed := client.Close()
	<-read
	if errors.Is(context.Cause(ctx), errAsked) {
		return closed
	}
	return errors.Join(err, closed)
}
