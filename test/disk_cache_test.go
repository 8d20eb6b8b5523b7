package test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const diskRecording = "01kabcdefghjkmnpqrstvwxyz0"

// diskOrigin is a directory and an ingest node with one recording, whose segments are all the same size and different.
type diskOrigin struct {
	*httptest.Server
	size  int
	block []byte
	away  atomic.Bool // the node answers 503
	gone  atomic.Bool // the recording was deleted
	moved atomic.Bool // it is in the archive alone
	asked atomic.Int64
}

func newDiskOrigin(tb testing.TB, size int) *diskOrigin {
	o := &diskOrigin{size: size, block: make([]byte, size+1<<20)}
	_, _ = rand.NewChaCha8([32]byte{7}).Read(o.block)
	o.Server = httptest.NewServer(o)
	tb.Cleanup(o.Close)
	return o
}

// body is what a segment's number names.
func (o *diskOrigin) body(n int) []byte {
	at := n * 4099 % (1 << 20)
	b := bytes.Clone(o.block[at : at+o.size])
	binary.BigEndian.PutUint64(b, uint64(n))
	if o.moved.Load() { // a recording takes whole parts only
		be := binary.BigEndian
		head := append(be.AppendUint32(nil, 24), "moof"...)
		head = append(be.AppendUint32(head, 16), "mfhd\x00\x00\x00\x00"...)
		head = be.AppendUint32(head, reclog.SequenceNumber(media.MSN(n), 0))
		head = append(be.AppendUint32(head, uint32(o.size-24)), "mdat"...)
		copy(b, head)
	}
	return b
}

func (o *diskOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.URL.Path, "/internal/v1/locate/"):
		if o.gone.Load() {
			w.WriteHeader(http.StatusGone)
			return
		}
		location := media.Location{
			Publisher: "acme", Stream: "show", Recording: diskRecording, State: media.Live, Nodes: []string{o.URL},
		}
		if o.moved.Load() {
			location.State, location.Archived, location.Nodes = media.Archived, true, nil
		}
		_ = json.NewEncoder(w).Encode(location)
	case r.URL.Path == "/internal/v1/playback":
		_ = json.NewEncoder(w).Encode(media.PlaybackPolicies{Version: 1, Publishers: map[string]media.PublisherPlaybackPolicy{}})
	case strings.HasSuffix(r.URL.Path, ".m4s"):
		o.asked.Add(1)
		name := strings.TrimSuffix(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:], ".m4s")
		n, err := strconv.Atoi(name)
		if err != nil || o.away.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "video/mp4")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Header().Set("Content-Length", strconv.Itoa(o.size))
		_, _ = w.Write(o.body(n))
	default:
		http.NotFound(w, r)
	}
}

// diskEdge is `oxbow edge` with a disk cache.
type diskEdge struct {
	tb          testing.TB
	origin      *diskOrigin
	cache       string
	extra       []string
	archive     string
	http, admin string
	cmd         *exec.Cmd
	out         output
}

func newDiskEdge(tb testing.TB, origin *diskOrigin, extra ...string) *diskEdge {
	e := &diskEdge{tb: tb, origin: origin, cache: filepath.Join(tb.TempDir(), "cache"), extra: extra, archive: tb.TempDir()}
	e.http, e.admin = steadyAddress(tb), steadyAddress(tb)
	tb.Cleanup(func() {
		e.stop(syscall.SIGKILL)
		if tb.Failed() {
			tb.Logf("edge's log:\n%s", e.out.tail(50))
		}
	})
	return e
}

// start gives the time until it is ready.
func (e *diskEdge) start() time.Duration {
	e.tb.Helper()
	e.cmd = exec.Command(oxbowBinary, append([]string{
		"edge", "--http", e.http, "--admin", e.admin, "--directory", e.origin.URL, "--archive", "dir:" + e.archive,
		"--cache-size", "32MiB", "--disk-cache", e.cache, "--drain-timeout", "0s",
	}, e.extra...)...)
	e.cmd.Stdout, e.cmd.Stderr = &e.out, &e.out
	begun := time.Now()
	if err := e.cmd.Start(); err != nil {
		e.tb.Fatal(err)
	}
	for {
		if status, _, _ := fetch("http://"+e.admin+"/readyz", nil); status == http.StatusOK {
			return time.Since(begun)
		}
		if time.Since(begun) > patient(20*time.Second) {
			e.tb.Fatalf("the edge is not ready:\n%s", e.out.tail(20))
		}
	}
}

func (e *diskEdge) stop(signal os.Signal) {
	if e.cmd != nil {
		_ = e.cmd.Process.Signal(signal)
		_ = e.cmd.Wait()
		e.cmd = nil
	}
}

// metric gives the sum of a metric's samples.
func (e *diskEdge) metric(name string) (sum float64) {
	e.tb.Helper()
	_, text, _ := fetch("http://"+e.admin+"/metrics", nil)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "oxbow_diskcache_"+name); ok && strings.ContainsRune("{ ", rune(rest[0])) {
			v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
			if err != nil {
				e.tb.Fatal(err)
			}
			sum += v
		}
	}
	return sum
}

// get asks for a segment. Disk says that it came from there; ok that there was an answer. A wrong byte fails the test.
func (e *diskEdge) get(n int) (disk, ok bool) {
	resp, err := http.Get("http://" + e.http + "/acme/show/" + diskRecording + "/1/video/" + strconv.Itoa(n) + ".m4s")
	if err != nil {
		return false, false
	}
	defer resp.Body.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return false, false
	}
	if want := sha256.Sum256(e.origin.body(n)); size != int64(e.origin.size) || !bytes.Equal(sum.Sum(nil), want[:]) {
		e.tb.Errorf("segment %d: WRONG BYTES: %v", n, resp.Header)
	}
	return strings.Contains(resp.Header.Get("Cache-Status"), "detail=disk"), true
}

// each calls for the segments 1 to n, four at a time.
func each(n int, do func(i int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				do(i)
			}
		})
	}
	group.Wait()
}

// fill has the edge keep segments on disk; each is asked for twice.
func (e *diskEdge) fill(n int) {
	each(n, func(i int) {
		e.get(i)
		e.get(i)
	})
	eventually(e.tb, 30*time.Second, "all is on disk", func() bool { return e.metric("queue_bytes") == 0 })
}

// read asks for all segments and gives how many came from disk, and how many were answered.
func (e *diskEdge) read(n int) (disk, answered int64) {
	var fromDisk, all atomic.Int64
	each(n, func(i int) {
		disk, ok := e.get(i)
		if disk {
			fromDisk.Add(1)
		}
		if ok {
			all.Add(1)
		}
	})
	return fromDisk.Load(), all.Load()
}

// TestDiskCacheRestart is in small: 300 MB.
func TestDiskCacheRestart(t *testing.T) {
	t.Parallel()
	diskRestart(t, 300, 10*time.Second)
}

// TestDiskCacheRestartWith10GB: ready in two seconds.
func TestDiskCacheRestartWith10GB(t *testing.T) {
	onlyFull(t)
	diskRestart(t, 10_000, 2*time.Second)
}

func diskRestart(t *testing.T, segments int, limit time.Duration) {
	o := newDiskOrigin(t, 1_000_000)
	e := newDiskEdge(t, o, "--disk-cache-size", "11GiB")
	e.start()
	begun := time.Now()
	e.fill(segments)
	t.Logf("%d segments of 1 MB written in %s: %.0f bytes in %.0f files, %.0f writes dropped", segments,
		time.Since(begun).Round(time.Millisecond), e.metric("bytes"), e.metric("files"), e.metric("dropped_writes_total"))
	e.stop(syscall.SIGTERM)

	o.away.Store(true) // what is served now is the cache's
	ready := e.start()
	entries := e.metric("entries")
	begun = time.Now()
	disk, answered := e.read(segments)
	t.Logf("ready after %s with %.0f entries; %d of %d came from disk, every byte right, in %s", ready.Round(time.Millisecond),
		entries, disk, segments, time.Since(begun).Round(time.Millisecond))
	if limit = leeway(limit); ready > limit {
		t.Errorf("ready after %s, want %s", ready, limit)
	}
	if disk < int64(segments)*95/100 || answered > disk {
		t.Errorf("%d of %d came from disk, %d were answered", disk, segments, answered)
	}
	e.stop(syscall.SIGTERM)

	o.gone.Store(true) // while the edge was down
	e.start()
	if status, _, _ := fetch("http://"+e.http+"/acme/show/"+diskRecording+"/1/video/1.m4s", nil); status != http.StatusGone {
		t.Errorf("a recording that was deleted meanwhile: status %d", status)
	}
}

// TestDiskCacheFaults kills the edge with -9 while it writes, flips bits in its files, fills the disk cache beyond its
// bound and removes it while the edge runs. No viewer sees any of it.
func TestDiskCacheFaults(t *testing.T) {
	t.Parallel()
	const segments = 400
	o := newDiskOrigin(t, 200_000)
	e := newDiskEdge(t, o, "--disk-cache-size", "48MiB")
	for round := range 3 {
		e.start()
		done := make(chan struct{})
		go func() {
			defer close(done)
			each(segments, func(i int) {
				e.get(i)
				e.get(i)
			})
		}()
		start := e.metric("writes_total")
		eventually(t, 20*time.Second, "it writes", func() bool { return e.metric("writes_total") > start+60 })
		e.stop(syscall.SIGKILL)
		<-done
		if round == 2 {
			flipBits(t, e.cache)
		}
	}
	e.start()
	disk, answered := e.read(segments)
	t.Logf("after kills and flipped bits: %d of %d from disk, %d answered, %.0f damaged entries", disk, segments, answered,
		e.metric("corrupt_entries_total"))
	if disk == 0 || answered != segments || e.metric("corrupt_entries_total") == 0 {
		t.Errorf("%d from disk, %d of %d answered", disk, answered, segments)
	}
	each(segments, func(i int) { // more than fits
		e.get(i)
		e.get(i)
	})
	if size := diskUsage(t, e.cache); size > 48<<20 {
		t.Errorf("%d bytes on disk", size)
	}
	if err := os.RemoveAll(e.cache); err != nil {
		t.Fatal(err)
	}
	if _, answered = e.read(segments); answered != segments {
		t.Errorf("without the directory %d of %d answered", answered, segments)
	}
	eventually(t, 20*time.Second, "the edge says so", func() bool {
		return strings.Contains(e.out.tail(100), "make the directory or mount it again")
	})
	eventually(t, 20*time.Second, "it goes on with a new directory", func() bool {
		e.get(rand.IntN(segments) + 1)
		_, err := os.Stat(filepath.Join(e.cache, "drops.log"))
		return err == nil
	})
	if _, answered = e.read(segments); answered != segments {
		t.Errorf("with a new directory %d of %d answered", answered, segments)
	}
}

// flipBits flips a bit in every file, and one per 100 KB of the large ones.
func flipBits(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.segment"))
	if err != nil || len(files) == 0 {
		t.Fatalf("segments %q: %v", files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(b); at += 100_000 + rand.IntN(1_000_000) {
			b[at+rand.IntN(min(1000, len(b)-at))] ^= 1 << rand.IntN(8)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func diskUsage(t *testing.T, dir string) (size int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			size += info.Size()
		}
	}
	return size
}
