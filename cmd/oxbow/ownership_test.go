package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/internal/registry"
	"github.com/oxbow-video/oxbow/packager"
)

// owner is a node of a cluster as far as it owns streams: without connections and ports.
type owner struct {
	dir      string
	root     *reclog.Root
	packager *packager.Packager
	leases   *leases
	groups   *groups
	adopter  *adopter
	kicked   chan media.StreamPath
}

// rows takes what the catalog would.
type rows struct{}

func (rows) SaveRecording(context.Context, media.Recording, ...media.LogEvent) error { return nil }

// newOwner makes one on a directory that others may have too.
func newOwner(t testing.TB, id, dir string, r registry.Registry) *owner {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	root, err := reclog.OpenRoot(reclog.Config{Dir: dir, Shared: true}, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	o := &owner{dir: dir, root: root, kicked: make(chan media.StreamPath, 64)}
	o.leases = newLeases(r, media.Node{ID: id, Cluster: "main", URL: "http://" + id}, logger)
	o.packager = packager.New(packager.Config{Cluster: "main", Awake: o.leases.Awake, Confirm: o.leases.Confirm},
		root, rows{}, registry.NewMemory(registry.Config{}), newRecordingID, logger, prometheus.NewRegistry())
	t.Cleanup(func() {
		stopped, stop := context.WithCancel(context.Background())
		stop()
		_ = o.packager.Run(stopped)
	})
	back := &takeover{root: root, packager: o.packager, logger: logger}
	o.leases.stored, o.leases.outdated = back.stored, o.packager.Forget
	o.leases.growing = growingOf(o.packager)
	o.leases.feed = func(media.StreamPath) (string, time.Duration) { return media.FeedNone, 0 }
	o.leases.lost = func(path media.StreamPath) {
		o.packager.Forget(path)
		o.kicked <- path
	}
	o.groups = &groups{packager: o.packager, prepare: back.prepare, leases: o.leases}
	o.adopter = &adopter{takeover: back, leases: o.leases, orphans: reclog.NewOrphans(root)}
	return o
}

// come is a publisher that connects.
func (o *owner) come(ctx context.Context) (ingest.Publication, uint64, error) {
	epoch, err := o.leases.Acquire(ctx, acme("show"), media.FeedPrimary)
	if err != nil {
		return nil, 0, err
	}
	p, err := o.groups.Publish(ctx, media.Stream{Path: acme("show"), Settings: media.DefaultSettings()}, epoch)
	if err == nil {
		err = p.SetTracks([]media.Track{{Name: "audio", Kind: media.Audio, Codec: media.AAC, Config: []byte{0x11, 0x90}}})
	}
	if err != nil {
		err = errors.Join(err, o.leases.Release(ctx, acme("show"), epoch))
	}
	return p, epoch, err
}

// send writes a publication's media from one time to another.
func send(p ingest.Publication, from, until time.Duration) error {
	const frame = 1024 * time.Second / 48000
	for at := (from + frame - 1) / frame * frame; at < until; at += frame {
		err := p.WriteFrame(&media.Frame{
			DTS: at, PTS: at, Sync: true, Payload: []byte{0x21, 0x10, 0x04, 0x60, 0x8c, 0x1c},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// leftShow has a node publish a while and be killed: its recording is left as it is.
func leftShow(t testing.TB, id, dir string, r registry.Registry) media.RecordingID {
	t.Helper()
	o := newOwner(t, id, dir, r)
	p, _, err := o.come(t.Context())
	if err == nil {
		err = send(p, 0, 10*time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	recording, ok := o.packager.Current(acme("show"))
	if !ok {
		t.Fatal("nothing was recorded")
	}
	return recording
}

// What a node left when it was killed is taken up again by it, whatever the registry did when it started.
func TestNodeAdoptsWhatItLeft(t *testing.T) {
	gone, err := registry.OpenRedis(t.Context(), registry.RedisConfig{URL: "redis://127.0.0.1:1"},
		slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = gone.Close() }()
	for _, test := range []struct {
		name  string
		away  bool
		after time.Duration // at the latest
	}{
		{"at its start", false, 0},
		{"when its old lease has run out, if the registry was away at its start", true, 13 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				memory, dir := registry.NewMemory(registry.Config{}), t.TempDir()
				recording := leftShow(t, "a", dir, memory)
				o := newOwner(t, "a", dir, memory)
				if test.away {
					o.leases.registry = gone
				}
				if err := o.adopter.resumeOwn(t.Context()); err != nil {
					t.Fatal(err)
				}
				o.leases.registry = memory
				begun := time.Now()
				for {
					o.leases.beat(t.Context())
					if id, ok := o.packager.Current(acme("show")); ok && id == recording {
						break
					}
					if time.Since(begun) > test.after {
						t.Fatalf("not taken up within %v", test.after)
					}
					if err := o.adopter.step(t.Context()); err != nil {
						t.Fatal(err)
					}
					time.Sleep(time.Second)
				}
				for range 10 {
					o.leases.beat(t.Context())
					time.Sleep(time.Second)
				}
				if lease, owned, err := memory.Owner(t.Context(), acme("show")); !owned || lease.Recording != recording {
					t.Errorf("its lease: %+v, %v", lease, err)
				}
				synctest.Wait()
			})
		})
	}
}

// Where a stream left several recordings the newest goes on, and one that can't be resumed costs it nothing.
func TestNodeAdoptsTheNewestOfItsRecordings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, dir := registry.NewMemory(registry.Config{}), t.TempDir()
		var recordings []media.RecordingID
		for range 3 {
			apart := t.TempDir() // else the next would go on with it
			id := leftShow(t, "a", apart, memory)
			recordings = append(recordings, id)
			if err := os.CopyFS(filepath.Join(dir, "acme", "show"), os.DirFS(filepath.Join(apart, "acme", "show"))); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		if err := os.RemoveAll(filepath.Join(dir, "acme", "show", string(recordings[0]), "1")); err != nil {
			t.Fatal(err)
		}
		o := newOwner(t, "a", dir, memory)
		if err := o.adopter.resumeOwn(t.Context()); err != nil {
			t.Fatal(err)
		}
		if id, _ := o.packager.Current(acme("show")); id != recordings[2] {
			t.Errorf("%s goes on, want the last of %s", id, recordings)
		}
		o.leases.beat(t.Context())
		if lease, _, err := memory.Owner(t.Context(), acme("show")); err != nil || lease.Recording != recordings[2] {
			t.Errorf("its lease: %+v, %v", lease, err)
		}
	})
}

// A publisher that comes back while its show is being adopted goes on with it, under a lease that is its own.
func TestPublisherComesDuringAnAdoption(t *testing.T) {
	for i := range 40 {
		memory, dir := registry.NewMemory(registry.Config{LeaseTTL: time.Nanosecond}), t.TempDir()
		recording := leftShow(t, "gone", dir, memory)
		o := newOwner(t, "a", dir, memory)
		found, err := o.root.Unfinished(t.Context())
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		var adopting sync.WaitGroup
		adopting.Go(func() { o.adopter.adopt(t.Context(), found[0], 0) })
		adopting.Go(func() { o.leases.beat(t.Context()) })
		for range i * 10 { // to meet it at different points
			runtime.Gosched()
		}
		p, epoch, err := o.come(t.Context())
		if err == nil {
			err = send(p, 0, 5*time.Second)
		}
		if err != nil {
			t.Fatal(err)
		}
		adopting.Wait()
		if id, _ := o.packager.Current(acme("show")); id != recording {
			t.Fatalf("%s began beside %s, which waited for its publisher", id, recording)
		}
		o.leases.beat(t.Context())
		if !o.leases.Holds(acme("show"), epoch) || len(o.kicked) > 0 {
			t.Fatal("the publisher's lease was lost to this node's own adoption")
		}
		if err := send(p, 5*time.Second, 6*time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

// A lease that is lost while its publisher is being let in is noticed: nobody can be sent away who is not here yet.
func TestPublisherIsRefusedWhoseLeaseWasLostMeanwhile(t *testing.T) {
	memory, dir := registry.NewMemory(registry.Config{}), t.TempDir()
	o := newOwner(t, "a", dir, memory)
	prepare := o.groups.prepare
	o.groups.prepare = func(ctx context.Context, path media.StreamPath, epoch uint64) error {
		takenBy(t, memory, "b")
		o.leases.beat(ctx)
		return prepare(ctx, path, epoch)
	}
	if _, _, err := o.come(t.Context()); !errors.Is(err, media.ErrUnavailable) {
		t.Errorf("published without a lease: %v", err)
	}
	o.groups.prepare = prepare
	if _, _, err := o.come(t.Context()); err != nil {
		t.Error(err)
	}
}

// A publisher comes to A, B and A again, before either node has learned of anything.
func TestPublisherGoesToAndFro(t *testing.T) {
	memory, dir := registry.NewMemory(registry.Config{}), t.TempDir()
	a, b := newOwner(t, "a", dir, memory), newOwner(t, "b", dir, memory)
	var before []ingest.Publication
	var recording media.RecordingID
	var epoch uint64
	for i, o := range []*owner{a, b, a, b, a} {
		p, given, err := o.come(t.Context())
		if err == nil {
			err = send(p, 0, 5*time.Second)
		}
		if err != nil {
			t.Fatalf("visit %d: %v", i, err)
		}
		id, _ := o.packager.Current(acme("show"))
		if recording == "" {
			recording = id
		}
		if id != recording || given <= epoch {
			t.Fatalf("visit %d: %s goes on under epoch %d, want %s, above %d", i, id, given, recording, epoch)
		}
		before, epoch = append(before, p), given
	}
	for _, o := range []*owner{b, a, b} {
		o.leases.beat(t.Context())
	}
	soon(t, "b has lost it", func() bool { return len(b.kicked) > 0 }) // a beat does not wait for that for long
	for i, p := range before {
		if err := send(p, 5*time.Second, 6*time.Second); (err == nil) != (i == len(before)-1) {
			t.Errorf("the publication of visit %d: %v", i, err)
		}
		if i < len(before)-1 {
			if err := p.Close(false); err != nil {
				t.Error(err)
			}
		}
	}
	if _, has := b.packager.Current(acme("show")); has || len(a.kicked) > 0 || len(b.kicked) != 1 {
		t.Errorf("b has the show: %v; sent away by a %d, by b %d", has, len(a.kicked), len(b.kicked))
	}
	rec, err := reclog.Load(t.Context(), a.root.Files(), acme("show"), recording)
	if err != nil || len(rec.Takes) != 5 || rec.Damage != nil {
		t.Errorf("%d takes, damage %v: %v", len(rec.Takes), rec.Damage, err)
	}
}

// A show that ended on this node is not gone on with, however late storage is to tell of its end.
func TestPublisherDoesNotReopenWhatHasEnded(t *testing.T) {
	o := newOwner(t, "a", t.TempDir(), registry.NewMemory(registry.Config{}))
	p, epoch, err := o.come(t.Context())
	if err == nil {
		err = send(p, 0, 5*time.Second)
	}
	if err != nil {
		t.Fatal(err)
	}
	ended, _ := o.packager.Current(acme("show"))
	name := filepath.Join(o.dir, "acme", "show", string(ended), "recording.json")
	manifest, err := os.ReadFile(name)
	if err == nil {
		err = errors.Join(p.Close(true), o.leases.Release(t.Context(), acme("show"), epoch))
	}
	if err == nil {
		err = os.WriteFile(name, manifest, 0o600) // as it was
	}
	if err != nil {
		t.Fatal(err)
	}
	if p, _, err = o.come(t.Context()); err == nil {
		err = send(p, 0, 5*time.Second)
	}
	if id, _ := o.packager.Current(acme("show")); err != nil || id == "" || id == ended {
		t.Errorf("%s goes on, %s has ended: %v", id, ended, err)
	}
}

// A recording that was left behind when two nodes began at once ends; neither its adopter nor a publisher goes on with
// it once the stream has had another.
func TestNodeEndsWhatHasASuccessor(t *testing.T) {
	for _, test := range []struct {
		name string
		act  func(t *testing.T, o *owner, left reclog.Ref)
	}{
		{"adopted", func(t *testing.T, o *owner, left reclog.Ref) { o.adopter.adopt(t.Context(), left, 0) }},
		{"its publisher comes", func(t *testing.T, o *owner, _ reclog.Ref) {
			if _, _, err := o.come(t.Context()); err != nil {
				t.Error(err)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir, apart := t.TempDir(), t.TempDir()
			left := reclog.Ref{Path: acme("show"), ID: leftShow(t, "b", apart, registry.NewMemory(registry.Config{}))}
			memory := registry.NewMemory(registry.Config{LeaseTTL: time.Nanosecond})
			first := newOwner(t, "c", dir, memory)
			p, _, err := first.come(t.Context())
			if err == nil {
				err = errors.Join(send(p, 0, 5*time.Second), p.Close(true))
			}
			if err == nil {
				err = os.CopyFS(filepath.Join(dir, "acme", "show"), os.DirFS(filepath.Join(apart, "acme", "show")))
			}
			if err != nil {
				t.Fatal(err)
			}
			o := newOwner(t, "a", dir, memory)
			test.act(t, o, left)
			if id, _ := o.packager.Current(left.Path); id != "" {
				t.Errorf("%s goes on", id)
			}
			rec, err := reclog.Load(t.Context(), o.root.Files(), left.Path, left.ID)
			if err != nil || rec.State != media.Ended || len(rec.Tracks[0].Segments) == 0 {
				t.Errorf("it is %s: %v", rec.State, err)
			}
		})
	}
}

// A recording that can't be resumed is tried ever more rarely, and its stream is free meanwhile.
func TestNodeLeavesADamagedRecordingAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory, dir := registry.NewMemory(registry.Config{}), t.TempDir()
		left := leftShow(t, "b", dir, memory)
		if err := os.RemoveAll(filepath.Join(dir, "acme", "show", string(left), "1")); err != nil {
			t.Fatal(err)
		}
		o := newOwner(t, "a", dir, memory)
		for range 120 {
			if err := o.adopter.step(t.Context()); err != nil {
				t.Fatal(err)
			}
			o.leases.beat(t.Context())
			time.Sleep(time.Second)
		}
		if lease, owned, err := memory.Owner(t.Context(), acme("show")); owned || err != nil {
			t.Errorf("it is owned: %+v, %v", lease, err)
		}
		epoch, err := memory.Claim(t.Context(), media.Lease{Path: acme("show"), Node: "c"}, 0)
		if tries := epoch - 2; err != nil || tries < 2 || tries > 5 {
			t.Errorf("tried %d times in two minutes: %v", tries, err)
		}
	})
}
