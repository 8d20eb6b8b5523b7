package loadgen

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// tag makes an FLV tag.
func tag(kind byte, timestamp uint32, body ...byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(kind)<<24|uint32(len(body)))
	b = append(b, byte(timestamp>>16), byte(timestamp>>8), byte(timestamp), byte(timestamp>>24), 0, 0, 0)
	return append(append(b, body...), 0, 0, 0, 0)
}

// shortFLV has 200 ms of video and a little less audio.
func shortFLV() []byte {
	return slices.Concat([]byte("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"),
		tag(18, 0, 2, 0, 1, 'x'), tag(9, 0, 0x17, 0, 9), tag(8, 0, 0xaf, 0, 9),
		tag(9, 5000, 0x17, 1, 1), tag(8, 5010, 0xaf, 1, 2), tag(9, 5100, 0x27, 1, 3), tag(8, 5090, 0xaf, 1, 4),
		tag(9, 5050, 0x17, 0, 9), tag(9, 5110)) // a repeated configuration, and nothing
}

func TestFLVBecomesSteps(t *testing.T) {
	c, err := parseFLV(shortFLV())
	if err != nil {
		t.Fatal(err)
	}
	ms := time.Millisecond
	if want := []time.Duration{0, 10 * ms, 100 * ms, 100 * ms}; !slices.Equal(c.due, want) || c.length != 200*ms {
		t.Errorf("due %v, a round of %v", c.due, c.length)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "other": []byte("GIF89a-------------"), "no frames": shortFLV()[:60], "torn": shortFLV()[:20],
	} {
		if _, err := parseFLV(data); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// pes makes a transport stream packet that begins a PES packet with PTS and DTS, and has a PCR.
func pes(counter byte, ticks int64) []byte {
	p := bytes.Repeat([]byte{0xff}, tsPacket)
	copy(p, []byte{tsSync, startFlag | 1, 0, adaptationFlag | payloadFlag | counter, 7, 0x10})
	copy(p[12:], []byte{0, 0, 1, 0xe0, 0, 0, 0x80, 0xc0, 10, 0x31, 0, 1, 0, 1, 0x11, 0, 1, 0, 1})
	stamp{at: 6, pcr: true}.put(p, ticks)
	stamp{at: 21}.put(p, ticks+3000)
	stamp{at: 26}.put(p, ticks)
	return p
}

func TestTSRunsOnFromRoundToRound(t *testing.T) {
	data := slices.Concat(pes(0, tsWrap-9000), pes(1, tsWrap-4500))
	c, err := parseTS(data)
	if err != nil {
		t.Fatal(err)
	}
	if c.length != 100*time.Millisecond || len(c.due) != 1 || c.due[0] != 50*time.Millisecond {
		t.Errorf("due %v, a round of %v", c.due, c.length)
	}
	found, dts := stampsOf(data[tsPacket:])
	if dts != tsWrap-4500 || len(found) != 3 || !found[0].pcr || found[1].ticks != tsWrap-1500 {
		t.Fatalf("%d, %+v", dts, found)
	}
	for _, s := range found {
		s.put(data[tsPacket:], 9000)
	}
	if again, dts := stampsOf(data[tsPacket:]); dts != 4500 || again[0].ticks != 4500 || again[1].ticks != 7500 {
		t.Errorf("a round later: %+v", again)
	}
	for name, data := range map[string][]byte{
		"nothing": nil, "no sync byte": make([]byte, 2*tsPacket), "lost sync": append(pes(0, 1), make([]byte, tsPacket)...),
		"no times": bytes.Repeat([]byte{tsSync}, tsPacket),
	} {
		if _, err := parseTS(data); !errors.Is(err, media.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// collector is a server of one kind of sender: it notes what it is sent.
type collector struct {
	mu    sync.Mutex
	steps []int
	slow  time.Duration
	fail  error
	ended chan struct{}
}

func (c *collector) send(step, round int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.steps = append(c.steps, 10*round+step)
	return c.fail
}

func (c *collector) flush() error {
	time.Sleep(c.slow) //nolint:forbidigo // a server that is slow, in a bubble's time
	return nil
}
func (c *collector) wait() error  { <-c.ended; return errClosed }
func (c *collector) close() error { close(c.ended); return nil }

// clipFor makes a clip of four steps in 200 ms that is sent to collectors.
func clipFor(dial func(target string) (sender, error)) *Clip {
	ms := time.Millisecond
	return &Clip{
		due: []time.Duration{0, 50 * ms, 100 * ms, 150 * ms}, sizes: []int{1000, 100, 100, 100}, length: 200 * ms,
		dial: func(_ context.Context, target string) (sender, error) { return dial(target) },
	}
}

func TestRunSendsEverythingInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := map[string]*collector{}
		for _, name := range []string{"a", "b"} {
			all[name] = &collector{ended: make(chan struct{})}
		}
		clip := clipFor(func(target string) (sender, error) { return all[target], nil })
		r, err := clip.Run(t.Context(), Config{URLs: []string{"a", "b"}, Ramp: 100 * time.Millisecond, Duration: 920 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if r.Connected != 2 || r.Behind != 0 || r.LagMax > 1 || len(r.Refused)+len(r.Disconnected) != 0 || r.Seconds != 0.92 {
			t.Errorf("%+v", r)
		}
		if want := []int{0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33, 40, 41, 42, 43}; !slices.Equal(all["b"].steps, want) {
			t.Errorf("steps %v", all["b"].steps)
		}
	})
}

func TestRunCountsWhatWentWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := errors.New("broken pipe")
		clip := clipFor(func(target string) (sender, error) {
			c := &collector{ended: make(chan struct{})}
			switch target {
			case "refused":
				return nil, errors.New("wrong key")
			case "lost":
				c.fail = lost
			case "slow":
				c.slow = time.Second
			}
			return c, nil
		})
		r, err := clip.Run(t.Context(), Config{URLs: []string{"refused", "lost", "slow", "good"}, Duration: 5500 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if r.Connected != 3 || r.Refused["wrong key"] != 1 || r.Disconnected["broken pipe"] != 1 || r.Behind != 1 || r.LagMax < 1000 {
			t.Errorf("%+v", r)
		}
	})
}

func TestLoadRefusesWhatItCannotSend(t *testing.T) {
	file := filepath.Join(t.TempDir(), "clip")
	if err := os.WriteFile(file, shortFLV(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, url := range []string{"http://h/", "://", "srt://127.0.0.1:1"} {
		if _, err := Load(file, url); err == nil {
			t.Errorf("%s: loaded", url)
		}
	}
	clip, err := Load(file, "rtmp://h/live/k")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	url := "rtmp://" + listener.Addr().String() + "/live/k"
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := clip.Run(t.Context(), Config{URLs: []string{url}, Duration: 200 * time.Millisecond})
	if err != nil || r.Connected != 0 || len(r.Refused) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	for reason := range r.Refused {
		if !strings.Contains(reason, "refused") {
			t.Error(reason)
		}
	}
}

func FuzzClips(f *testing.F) {
	f.Add(shortFLV())
	f.Add(slices.Concat(pes(0, tsWrap-9000), pes(1, tsWrap-4500)))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = parseFLV(data)
		_, _ = parseTS(data)
	})
}
