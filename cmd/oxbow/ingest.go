package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/origin"
	"github.com/oxbow-video/oxbow/internal/reclog"
	"github.com/oxbow-video/oxbow/packager"
)

// openRoot opens the directory that the cluster's recordings are in.
func (n *node) openRoot() (*reclog.Root, error) {
	dir := filepath.Join(n.flags.Data, "recordings")
	root, err := reclog.OpenRoot(reclog.Config{Dir: dir, Sync: reclog.SyncPolicy(n.flags.Sync)}, n.logger)
	if errors.Is(err, media.ErrConflict) {
		return nil, fmt.Errorf("--data %s: another oxbow uses it: stop that, or choose another directory: %w",
			n.flags.Data, err)
	}
	return root, err
}

// newRecordingID makes an id that sorts by time and can't be guessed, since it is all that keeps a recording's URLs to
// those who were told (LIF-7): ulid.Make draws from a generator whose state its ids give away.
func newRecordingID() media.RecordingID {
	return media.RecordingID(strings.ToLower(ulid.MustNew(ulid.Now(), rand.Reader).String()))
}

// startPackager starts the packager and has it adopt the recordings that the last process left unfinished.
func (n *node) startPackager(ctx context.Context) (*packager.Packager, error) {
	p := packager.New(packager.Config{}, n.root, n.catalog, n.registry, newRecordingID, n.logger, n.metrics)
	n.services.add(ctx, "packager", p.Run)
	unfinished, err := n.root.Unfinished(ctx)
	if err != nil {
		return nil, err
	}
	resumed := map[media.RecordingID]bool{}
	for _, ref := range unfinished {
		recording, err := n.resume(ctx, p, ref)
		if err != nil {
			// One damaged recording must not keep the others, and new ones, from being served.
			n.logger.Error("resume recording",
				"publisher", ref.Path.Publisher, "stream", ref.Path.Stream, "recording", ref.ID, "err", err)
			continue
		}
		resumed[ref.ID] = true
		for _, take := range recording.Takes {
			n.epochFloor = max(n.epochFloor, take.Epoch)
		}
	}
	return p, n.closeLost(ctx, resumed)
}

func (n *node) resume(ctx context.Context, p *packager.Packager, ref reclog.Ref) (*reclog.Recording, error) {
	recording, writer, err := n.root.Reopen(ctx, ref.Path, ref.ID)
	if err != nil {
		return nil, err
	}
	return recording, p.Resume(ctx, recording, writer)
}

// closeLost ends the rows of recordings that grow by the catalog but are not on storage: lost with a disk.
func (n *node) closeLost(ctx context.Context, resumed map[media.RecordingID]bool) error {
	growing, err := n.catalog.Growing(ctx)
	if err != nil {
		return err
	}
	for _, row := range growing {
		if resumed[row.ID] {
			continue
		}
		if _, err := reclog.Load(ctx, n.root.Files(), row.Path, row.ID); !errors.Is(err, media.ErrNotFound) {
			continue // it ended by its manifest, and its row follows; or it is damaged, and a person must look
		}
		n.logger.Error("recording is not on storage: closing its row",
			"publisher", row.Path.Publisher, "stream", row.Path.Stream, "recording", row.ID)
		if _, err := n.catalog.CloseLost(ctx, row.ID, "not on the cluster's storage"); err != nil {
			return err
		}
	}
	return nil
}

// ingestConfig gives the limits and the SRT settings of ingest.
func (n *node) ingestConfig() ingest.Config {
	return ingest.Config{
		MaxConnectionsPerIP: n.flags.MaxPerAddress,
		SRTLatency:          n.flags.SRTLatency, SRTPassphrase: n.flags.SRTPassphrase,
	}
}

// listenSRT opens the UDP port for SRT.
func (n *node) listenSRT() (*ingest.SRTListener, error) {
	if err := media.CheckSRTPassphrase(n.flags.SRTPassphrase); err != nil {
		return nil, fmt.Errorf("--srt-passphrase: %w", err)
	}
	l, err := ingest.ListenSRT(n.ingestConfig(), string(n.flags.SRT), n.logger)
	if err != nil {
		return nil, n.flags.SRT.explain(err, "--srt")
	}
	return l, nil
}

// newIngest makes the server of publishers, RTMP and SRT, in front of the packager.
func (n *node) newIngest(ctx context.Context, p *packager.Packager) *ingest.Server {
	held := &leases{
		registry: n.registry, node: n.registration(), logger: n.logger, floor: n.epochFloor,
	}
	shared := &groups{
		packager: p, leases: held, stream: n.catalog.Stream, members: n.catalog.Members,
		elsewhere: func(ctx context.Context, path media.StreamPath) (bool, error) {
			lease, owned, err := n.registry.Owner(ctx, path)
			return owned && lease.Node != held.node.ID, err
		},
	}
	cfg := n.ingestConfig()
	cfg.Refuse = shared.refuse
	cfg.CheckTracks = packager.CheckTracks
	server := ingest.New(cfg, n.catalog, held, shared, n.logger, n.metrics)
	held.lost = func(path media.StreamPath) {
		server.Kick(path)
		for _, member := range shared.lost(path) {
			server.Kick(member)
		}
	}
	n.services.add(ctx, "leases", held.Run)
	return server
}

// listenRTMPS reads the certificate and opens the port of RTMPS, where the flags ask for them; else they are nil.
func (n *node) listenRTMPS(ctx context.Context) (*certificate, net.Listener, error) {
	secured, err := openCertificate(n.flags.TLS, n.logger)
	if err != nil || n.flags.RTMPS == "" {
		return secured, nil, err
	}
	if secured == nil {
		return nil, nil, fmt.Errorf("--rtmps %s: give its certificate with --tls-cert and --tls-key", n.flags.RTMPS)
	}
	listener, err := n.flags.RTMPS.listen(ctx, "--rtmps")
	return secured, listener, err
}

// newOrigin makes the handler of this node's recordings, live and on storage.
func (n *node) newOrigin(p *packager.Packager) *origin.Handler {
	latest := func(ctx context.Context, path media.StreamPath) (media.RecordingID, error) {
		row, err := n.catalog.LatestRecording(ctx, path)
		if err == nil || errors.Is(err, media.ErrNotFound) {
			return row.ID, err
		}
		return n.root.Latest(ctx, path) // the catalog is away: storage knows its own
	}
	gone := func(ctx context.Context, _ media.StreamPath, id media.RecordingID) (bool, error) {
		row, err := n.catalog.Recording(ctx, id)
		if errors.Is(err, media.ErrNotFound) {
			return false, nil // storage decides
		}
		return row.State == media.Deleting || row.State == media.Deleted, err
	}
	return origin.New(origin.Config{Gone: gone, Wanted: n.sources.Wanted}, n.root.Files(), liveShows{p}, latest,
		n.logger, prometheus.WrapRegistererWith(prometheus.Labels{"storage": "local"}, n.metrics))
}

// liveShows gives origin the packager's shows under its own interface.
type liveShows struct{ packager *packager.Packager }

func (l liveShows) Current(path media.StreamPath) (media.RecordingID, bool) {
	return l.packager.Current(path)
}

func (l liveShows) Show(path media.StreamPath, id media.RecordingID) (origin.Show, bool) {
	show, ok := l.packager.Show(path, id)
	if !ok {
		return nil, false
	}
	return show, true
}
