package main

import (
	"context"
	"fmt"
	"net"

	"github.com/oxbow-video/oxbow/ingest"
	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
)

// maxConnections is how many publishers' connections a node takes.
const maxConnections = 2000

// doors are the listeners of publishers; rtmps and tunnel may be nil.
type doors struct {
	rtmp, rtmps, tunnel net.Listener
	secured             *certificates
	srt                 *ingest.SRTListener
}

// openDoors opens the ports of RTMP, RTMPS and SRT.
func (n *node) openDoors(ctx context.Context) (*doors, error) {
	d := &doors{}
	var err error
	if d.rtmp, err = n.listen(ctx, n.RTMP, "--rtmp"); err != nil {
		return nil, err
	}
	if d.secured, d.rtmps, err = n.listenRTMPS(ctx); err != nil {
		return nil, err
	}
	d.rtmp, d.rtmps = n.behindProxies(d.rtmp), n.behindProxies(d.rtmps)
	d.srt, err = n.listenSRT()
	return d, err
}

// openFor has publishers let in, through the tunnel too, whose handler may also be served elsewhere.
func (n *node) openFor(ctx context.Context, d *doors, publishers *ingest.Server, tunnel *ingest.Tunnel) {
	if d.tunnel != nil {
		n.services.add(ctx, "HTTP", serveHTTP(d.tunnel, tunnel, n.logger))
	}
	n.services.add(ctx, "RTMP", func(ctx context.Context) error { return publishers.Serve(ctx, d.rtmp) })
	n.services.add(ctx, "RTMPT", tunnel.Run)
	if d.rtmps != nil {
		n.services.add(ctx, "RTMPS", func(ctx context.Context) error {
			return publishers.ServeTLS(ctx, d.rtmps, d.secured.config())
		})
	}
	n.services.add(ctx, "SRT", func(ctx context.Context) error { return publishers.ServeSRT(ctx, d.srt) })
}

// ingestConfig gives the limits and the SRT settings of ingest.
func (n *node) ingestConfig() ingest.Config {
	return ingest.Config{
		MaxConnections: maxConnections, MaxConnectionsPerIP: n.MaxPerAddress,
		SRTLatency: n.SRTLatency, SRTPassphrase: n.SRTPassphrase,
	}
}

// listenSRT opens the UDP port for SRT.
func (n *node) listenSRT() (*ingest.SRTListener, error) {
	if err := media.CheckSRTPassphrase(n.SRTPassphrase); err != nil {
		return nil, fmt.Errorf("--srt-passphrase: %w", err)
	}
	l, err := ingest.ListenSRT(n.ingestConfig(), string(n.SRT), n.logger)
	if err != nil {
		return nil, n.SRT.explain(err, "--srt")
	}
	n.onClose(func() error { _ = l.Close(); return nil }) // its server has closed it, mostly
	return l, nil
}

// listenRTMPS reads the certificate and opens the port of RTMPS, where the flags ask for them; else they are nil.
func (n *node) listenRTMPS(ctx context.Context) (*certificates, net.Listener, error) {
	secured := n.certificates
	if secured == nil {
		var err error
		if secured, err = openCertificates(n.TLS, n.logger); err != nil {
			return nil, nil, err
		}
	}
	if n.RTMPS == "" {
		return secured, nil, nil
	}
	if secured == nil {
		return nil, nil, fmt.Errorf("--rtmps %s: give its certificate with --tls-cert and --tls-key", n.RTMPS)
	}
	listener, err := n.listen(ctx, n.RTMPS, "--rtmps")
	return secured, listener, err
}

// refuseWhenFull keeps new shows out while the recordings' volume is nearly full: what is live needs the rest.
func (n *node) refuseWhenFull(ctx context.Context) error {
	full, usage, err := n.root.Full(ctx, 1-float64(n.MinFree))
	if err != nil {
		n.logger.Warn("look at the recordings' volume", "err", err)
		return nil // it is met when the recording is made
	}
	if n.full.Swap(full) != full {
		if full {
			n.logger.Error("new shows are refused: the recordings' volume is full", "free", usage.Free, "total", usage.Total,
				"do", "archive or delete recordings, or give the volume more room")
		} else {
			n.logger.Info("new shows are taken again: the recordings' volume has room", "free", usage.Free, "total", usage.Total)
		}
	}
	if full {
		return fmt.Errorf("%w: %w", media.ErrUnavailable, media.ErrFull)
	}
	return nil
}

// startKeyCache has publishers known while SQL is away.
func (n *node) startKeyCache(ctx context.Context) authorizer {
	keys := catalog.NewKeyCache(n.catalog, catalog.KeyCacheConfig{}, n.logger, n.metrics)
	n.services.add(ctx, "keys", keys.Run)
	return keys
}
