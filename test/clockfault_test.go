package test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestClockFaults publishes with clocks that wrap, jump, drift and disagree. The show goes on as one recording, every
// picture of it is there, and what was repaired is counted.
func TestClockFaults(t *testing.T) {
	t.Parallel()
	server := newOxbow(t)
	server.start("serve")
	server.createStream("acme", "first", nil)
	clips := newClipMaker(t)
	clip := clips.clip(t, "H.264 B-frames", "AAC-LC")
	want := pictures(t, clip, t.TempDir())
	tracks, samples := readClip(t, clip)
	for _, tt := range []struct {
		name   string
		stamp  func(s *erSample, at time.Duration) time.Duration
		takes  int
		repair string // one that must be counted, "" if there is nothing to repair
	}{
		{"2^32 ms wrap", func(_ *erSample, at time.Duration) time.Duration { return at - 4*time.Second }, 1, ""},
		{"a jump of an hour forth", func(_ *erSample, at time.Duration) time.Duration {
			if at >= 4*time.Second {
				at += time.Hour
			}
			return at
		}, 2, ""},
		{"a jump of an hour back", func(_ *erSample, at time.Duration) time.Duration {
			if at < 4*time.Second {
				at += time.Hour
			}
			return at
		}, 2, ""},
		{"audio drifts by 300 ms", func(s *erSample, at time.Duration) time.Duration {
			if !s.track.video {
				at += at * 300 / 8000
			}
			return at
		}, 1, "silence"},
		{"audio drifts by -300 ms", func(s *erSample, at time.Duration) time.Duration {
			if !s.track.video {
				at -= at * 300 / 8000
			}
			return at
		}, 1, "overlap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			stream := strings.Trim(strings.Map(func(r rune) rune {
				if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
					return r
				}
				return '-'
			}, tt.name), "-")
			key := createStreamOf(t, server, "acme", stream)
			publisher := startTask(t, tt.name, func(ctx context.Context) error {
				return publishClip(ctx, "rtmp://"+server.rtmp+"/live/"+key, tracks, samples, tt.stamp)
			})
			if err := publisher.wait(time.Minute); err != nil {
				t.Fatal(err)
			}
			wantOneRecording(t, server, stream, want, tt.takes)
		})
	}
	t.Cleanup(func() { // after the subtests, which run at once
		for _, tt := range []string{"silence", "overlap"} {
			if server.cmd != nil && server.metrics("oxbow_packager_repairs_total", `repair="`+tt+`"`) == 0 {
				t.Errorf("no %s was counted", tt)
			}
		}
	})
}

// TestAudioThreeSecondsLate: sound that is sent three seconds behind its picture ends up beside it, or is replaced by
// silence until it comes; no picture is lost.
func TestAudioThreeSecondsLate(t *testing.T) {
	t.Parallel()
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "late", nil)
	clip := newClipMaker(t).clip(t, "H.264 B-frames", "AAC-LC")
	tracks, samples := readClip(t, clip)
	const late = 3 * time.Second
	sent := slices.Clone(samples)
	for i := range sent { // sent later, with the stamps that it has
		if !sent[i].track.video {
			sent[i].dts += late
		}
	}
	slices.SortStableFunc(sent, func(a, b erSample) int { return int(a.dts - b.dts) })
	stamp := func(s *erSample, at time.Duration) time.Duration {
		if !s.track.video {
			at -= late
		}
		return at
	}
	publisher := startTask(t, "publisher", func(ctx context.Context) error {
		return publishClip(ctx, "rtmp://"+server.rtmp+"/live/"+key, tracks, sent, stamp)
	})
	if err := publisher.wait(time.Minute); err != nil {
		t.Fatal(err)
	}
	wantOneRecording(t, server, "late", pictures(t, clip, t.TempDir()), 0)
	if n := server.metrics("oxbow_packager_repairs_total", `repair="silence"`); n == 0 {
		t.Error("no silence was counted")
	}
}

// TestTransportStreamClockWraps crosses 2^33 ticks of 90 kHz in mid-show.
func TestTransportStreamClockWraps(t *testing.T) {
	t.Parallel()
	server := newOxbow(t)
	server.start("serve")
	key := server.createStream("acme", "wrap", nil)
	clip := newClipMaker(t).clip(t, "H.264 B-frames", "AAC-LC")
	p := publish(t, "-re", "-i", clip, "-c", "copy", "-output_ts_offset", "95438", "-f", "mpegts",
		"srt://"+server.srt+"?linger=4"+patientSRT+"&streamid=publish:acme/wrap:"+key)
	if err := p.wait(time.Minute); err != nil {
		t.Fatal(err)
	}
	wantOneRecording(t, server, "wrap", pictures(t, clip, t.TempDir()), 1)
}

// TestDatagramLoss publishes over SRT through a relay that loses datagrams: retransmission brings them back, what it
// does not is counted, and the show goes on.
func TestDatagramLoss(t *testing.T) {
	t.Parallel()
	server := newOxbow(t)
	server.start("serve")
	server.createStream("acme", "first", nil)
	clip := newClipMaker(t).clip(t, "H.264 B-frames", "AAC-LC")
	want := pictures(t, clip, t.TempDir())
	for _, percent := range []int{1, 5} {
		if percent < 5 && !full() {
			continue
		}
		t.Run(fmt.Sprintf("%d percent", percent), func(t *testing.T) {
			stream := fmt.Sprintf("loss%d", percent)
			key := createStreamOf(t, server, "acme", stream)
			relay := startLossyRelay(t, server.srt, percent)
			p := publish(t, "-re", "-i", clip, "-c", "copy", "-f", "mpegts",
				"srt://"+relay+"?linger=4&streamid=publish:acme/"+stream+":"+key)
			if err := p.wait(time.Minute); err != nil {
				t.Fatal(err)
			}
			wantLog(t, server, "publisher left", "stream="+stream, "how=clean")
			// On a machine that does other work a datagram may come again too late: that is counted.
			if server.metrics("oxbow_ingest_srt_packets_total", `what="missing"`) == 0 {
				wantOneRecording(t, server, stream, want, 1)
			} else if n := len(server.recordings("acme", stream)); n != 1 {
				t.Errorf("%d recordings, want one", n)
			}
			if n := server.metrics("oxbow_ingest_srt_packets_total", `what="lost"`); n == 0 {
				t.Error("no loss was counted")
			}
			t.Logf("lost %v, retransmitted %v, missing in the end %v", server.metrics("oxbow_ingest_srt_packets_total", `what="lost"`),
				server.metrics("oxbow_ingest_srt_packets_total", `what="retransmitted"`),
				server.metrics("oxbow_ingest_srt_packets_total", `what="missing"`))
		})
	}
}

// wantOneRecording says whether the stream has one recording with exactly the pictures, in so many takes (zero: any).
func wantOneRecording(t *testing.T, server *oxbow, stream string, want []string, takes int) {
	t.Helper()
	recordings := server.recordings("acme", stream)
	if len(recordings) != 1 {
		t.Fatalf("%d recordings, want one", len(recordings))
	}
	eventually(t, 20*time.Second, "the show ended", func() bool { return server.recordings("acme", stream)[0].State != "live" })
	got := pictures(t, server.url("/acme/"+stream+"/"+recordings[0].ID+"/index.m3u8"), t.TempDir())
	if !slices.Equal(got, want) {
		t.Errorf("%d pictures of %d, or some differ", len(got), len(want))
	}
	dirs, err := filepath.Glob(filepath.Join(server.data, "recordings", "acme", stream, recordings[0].ID, "[0-9]*"))
	if err != nil || takes > 0 && len(dirs) != takes {
		t.Errorf("%d takes, want %d", len(dirs), takes)
	}
}

// createStreamOf adds a stream to a publisher that is there.
func createStreamOf(t *testing.T, server *oxbow, publisher, stream string) (key string) {
	t.Helper()
	var created struct{ Key string }
	if status := server.api("POST", "/v1/publishers/"+publisher+"/streams", map[string]any{"name": stream}, &created); status >= 300 {
		t.Fatalf("create stream: %d", status)
	}
	return created.Key
}

// startLossyRelay passes datagrams between one client and the target, but for some percent of them, either way.
func startLossyRelay(t *testing.T, target string, percent int) string {
	t.Helper()
	front, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.Dial("udp", target)
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("relay loses %d %%, seed %d", percent, seed)
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(seed, 1))
	lost := func(data []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		return data[0]&0x80 == 0 && dice.IntN(100) < percent // data packets: control would only slow the test
	}
	var client net.Addr
	var relays sync.WaitGroup
	relays.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, from, err := front.ReadFrom(buf)
			if err != nil {
				return
			}
			mu.Lock()
			client = from
			mu.Unlock()
			if n > 0 && !lost(buf[:n]) {
				_, _ = back.Write(buf[:n])
			}
		}
	})
	relays.Go(func() {
		buf := make([]byte, 2048)
		for {
			n, err := back.Read(buf)
			if err != nil {
				return
			}
			mu.Lock()
			to := client
			mu.Unlock()
			if to != nil {
				_, _ = front.WriteTo(buf[:n], to)
			}
		}
	})
	t.Cleanup(func() {
		_ = front.Close()
		_ = back.Close()
		relays.Wait()
	})
	return front.LocalAddr().String()
}
