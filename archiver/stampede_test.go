package archiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// countingProxy passes connections on, and counts those that are open at a time.
type countingProxy struct {
	listener net.Listener
	conns    sync.WaitGroup
	mu       struct {
		sync.Mutex
		open, most int
	}
}

func newCountingProxy(tb testing.TB, to string) *countingProxy {
	tb.Helper()
	var c net.ListenConfig
	l, err := c.Listen(tb.Context(), "tcp", "127.0.0.1:0")
	must(tb, err)
	p := &countingProxy{listener: l}
	p.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.conns.Go(func() { p.pass(conn, to) })
		}
	})
	tb.Cleanup(func() {
		must(tb, l.Close())
		p.conns.Wait()
	})
	return p
}

func (p *countingProxy) count(change int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.open += change
	p.mu.most = max(p.mu.most, p.mu.open)
}

func (p *countingProxy) pass(conn net.Conn, to string) {
	p.count(1)
	defer p.count(-1)
	var d net.Dialer
	server, err := d.DialContext(context.Background(), "tcp", to)
	if err != nil {
		_ = conn.Close()
		return
	}
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{conn, server}, {server, conn}} {
		both.Go(func() {
			_, _ = io.Copy(way[0], way[1]) // one end or the other goes
			_, _ = way[0].Close(), way[1].Close()
		})
	}
	both.Wait()
}

// order notes which claims come, and tells when so many recordings are archived.
type order struct {
	Catalog
	want int
	done chan struct{}
	mu   struct {
		sync.Mutex
		claims   []media.Recording
		finished int
	}
}

func (o *order) ClaimDue(
	ctx context.Context, owner string, due media.Due, now time.Time, lease time.Duration,
) (media.Claim, error) {
	c, err := o.Catalog.ClaimDue(ctx, owner, due, now, lease)
	if err == nil && c.Action == media.ActArchive {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.mu.claims = append(o.mu.claims, c.Recording)
	}
	return c, err
}

func (o *order) FinishClaim(ctx context.Context, c media.Claim, dropLocal time.Time) error {
	err := o.Catalog.FinishClaim(ctx, c, dropLocal)
	if err == nil && c.Action == media.ActArchive {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.mu.finished++; o.mu.finished == o.want {
			close(o.done)
		}
	}
	return err
}

// short writes a recording of one segment, and its row, which ended so long ago.
func (w *world) short(n int, ago time.Duration) {
	w.tb.Helper()
	w.id = media.RecordingID(fmt.Sprintf("01kafzq7s8e5gv9mxw2ctr%04d", n))
	now := time.Now()
	writer, err := w.root.Create(reclog.Manifest{
		ID: w.id, Publisher: w.path.Publisher, Stream: w.path.Stream, State: media.Live, StartedAt: now,
		Settings:  media.DefaultSettings(),
		Constants: media.Constants{TargetDuration: 2 * time.Second, SegmentDuration: 2 * time.Second},
	})
	must(w.tb, err)
	take, err := writer.StartTake(media.Take{
		Number: 1, Epoch: 1, StartedAt: now, Anchor: now, FirstMSN: 1,
		Tracks: []media.Track{
			{Name: "video", Kind: media.Video, Codec: media.H264, Config: []byte{1}, Timescale: 90000, CodecString: "avc1.64001f"},
		},
	}, [][]byte{box("ftyp", []byte("init of video"))})
	must(w.tb, err)
	seg := media.Segment{MSN: 1, Duration: 180_000, Sync: true}
	data := part(reclog.SequenceNumber(1, 0), 0, seg.Duration, objstoretest.Bytes(uint64(n), 1000))
	seg.Offset, err = take.AppendPart(0, data)
	seg.Size = int64(len(data))
	must(w.tb, errors.Join(err, take.FinishSegment(0, seg), take.Seal(),
		writer.Update(func(m *reclog.Manifest) { m.State, m.EndedAt = media.Ended, now.Add(-ago) })))
	must(w.tb, w.catalog.SaveRecording(w.tb.Context(), media.Recording{
		ID: w.id, Path: w.path, State: media.Ended, StartedAt: now.Add(-time.Hour - ago), EndedAt: now.Add(-ago),
		Duration: 2 * time.Second, Bytes: int64(len(data)), Local: true,
	}))
}

// TestManyRecordingsThatEndAtOnce has one publisher whose great backlog is the oldest, and nine more with few
// recordings each.
func TestManyRecordingsThatEndAtOnce(t *testing.T) {
	const publishers, parallel, parts = 10, 4, 2
	many, few := 410, 10
	if stride > 1 { // every race is there with fewer
		many, few = 30, 6
	}
	total := many + few*(publishers-1)
	gateway := objstoretest.MustStartGateway(t)
	gateway.MustMakeBucket(t, "vod")
	proxy := newCountingProxy(t, strings.TrimPrefix(gateway.Endpoint, "http://"))
	s, err := objstore.OpenS3(t.Context(), objstore.S3Config{
		Endpoint: "http://" + proxy.listener.Addr().String(), AccessKey: gateway.AccessKey, SecretKey: gateway.SecretKey,
		Bucket: "vod", PartSize: 5 << 20, Parallel: parts,
	})
	must(t, err)
	t.Cleanup(s.Close)
	w := newWorld(t, s)
	defer w.close()
	delay := media.Span(0)
	n := 0
	for p := range publishers {
		count := few
		if p == 0 {
			count = many
		}
		w.path = media.StreamPath{Publisher: fmt.Sprintf("p%d", p), Stream: "show"}
		must(t, w.catalog.CreatePublisher(t.Context(), media.Publisher{
			Name: w.path.Publisher, Settings: media.SettingsPatch{ArchiveDelay: &delay},
		}))
		for i := range count {
			w.short(n, time.Hour-time.Duration(p)*time.Minute-time.Duration(i)*time.Millisecond)
			n++
		}
	}
	rows := &order{Catalog: w.catalog, want: total, done: make(chan struct{})}
	a := w.archiver(Config{Parallel: parallel, Grace: time.Hour}, rows)
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	begin := time.Now()
	go func() { ran <- a.Run(ctx) }()
	select {
	case <-rows.done:
	case <-time.After(10 * time.Minute):
		t.Error("they are not archived in ten minutes")
	}
	took := time.Since(begin)
	cancel()
	must(t, <-ran)

	rows.mu.Lock()
	defer rows.mu.Unlock()
	if len(rows.mu.claims) != total {
		t.Errorf("%d claims for %d recordings", len(rows.mu.claims), total)
	}
	last := make(map[string]time.Time)
	seen := make(map[string]int)
	for i, r := range rows.mu.claims {
		p := r.Path.Publisher
		if r.ArchiveDue.Before(last[p]) {
			t.Errorf("claim %d: %s had an older one due", i, p)
		}
		last[p] = r.ArchiveDue
		seen[p]++
		// All have as many turns, until they have nothing left.
		if i == publishers*few/2-1 {
			for p, have := range seen {
				if have < few/2-1 || have > few/2+1 {
					t.Errorf("after %d claims %s had %d", i+1, p, have)
				}
			}
		}
	}
	proxy.mu.Lock()
	defer proxy.mu.Unlock()
	if most := parallel*parts + 1; proxy.mu.most > most { // and one that looks how the store fares
		t.Errorf("%d connections at a time, want at most %d", proxy.mu.most, most)
	}
	t.Logf("%d recordings in %v, %d connections at most", total, took.Round(time.Millisecond), proxy.mu.most)
}
