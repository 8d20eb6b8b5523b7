package main

import (
	"context"
	"errors"
	"net"
	"slices"

	"github.com/oxbow-video/oxbow/cacheproxy"
	"github.com/oxbow-video/oxbow/internal/fastlane"
	"github.com/oxbow-video/oxbow/internal/media"
)

// peerFlags are an edge's among others.
type peerFlags struct {
	Internal  listenAddress `placeholder:"ADDR" help:"Port at which other edges ask this one; keep it private (default: none: they do not)."`
	Advertise string        `placeholder:"URL" help:"Base URL at which other edges reach --internal (default: http://HOSTNAME:PORT)."`
	Siblings  baseURLs      `placeholder:"URL,..." help:"The --advertise URLs of this site's edges, of which each fetches its share for all; this edge's own may be among them (default: as the directory tells)."`
	Shields   baseURLs      `placeholder:"URL,..." help:"The --advertise URLs of the edges that this site's edges ask instead of nodes and archives (default: as the directory tells)."`
	Shield    bool          `help:"Be a shield: other sites' edges ask this one, and it asks no other shield."`
}

// check refuses what contradicts itself.
func (f *peerFlags) check(upstream bool) error {
	switch {
	case upstream && (f.Internal != "" || f.Advertise != "" || f.fixed() || f.Shield):
		return errors.New("--upstream: --internal, --advertise, --siblings, --shields and --shield are of edges with " +
			"--directory: leave them out")
	case f.Advertise != "" && f.Internal == "":
		return errors.New("--advertise: it is the URL of --internal: give that too")
	case f.Shield && f.Internal == "":
		return errors.New("--shield: other edges ask a shield at --internal: give that too")
	case f.Shield && len(f.Shields) > 0:
		return errors.New("--shield: a shield asks no other shield: leave out --shields")
	}
	return nil
}

// fixed says that the lists are given by hand, so that the directory's are not used.
func (f *peerFlags) fixed() bool { return len(f.Siblings)+len(f.Shields) > 0 }

// edgeSelf is what an edge is to others.
type edgeSelf struct {
	id       string
	base     string // of --internal, as others reach it; empty without one
	internal net.Listener
	peers    media.EdgePeers // if the lists are fixed
}

// identifyEdge opens the port for other edges and says what this edge is called among them: by its URL where lists of
// URLs are given, else as it is named.
func (n *node) identifyEdge(
	ctx context.Context, f *peerFlags, name string, public net.Addr,
) (self edgeSelf, err error) {
	self.id = nodeName(name, public)
	if f.Internal != "" {
		if self.internal, err = n.listen(ctx, f.Internal, "--internal"); err != nil {
			return self, err
		}
		if self.base, err = advertised(f.Advertise, self.internal.Addr()); err != nil {
			return self, err
		}
	}
	if !f.fixed() {
		return self, nil
	}
	var id string
	id, self.peers = cacheproxy.FixedPeers(self.base, f.Siblings, f.Shields)
	if self.base != "" {
		self.id = id
	}
	own := func(of media.EdgePeer) bool { return of.ID == self.id }
	if len(f.Siblings) > 0 && self.base != "" && !slices.ContainsFunc(self.peers.Siblings, own) {
		n.logger.Debug("this edge is not in --siblings: the others' lists must have it", "advertise", self.base)
	}
	return self, nil
}

// tell puts into what the directory is told where other edges ask this one.
func (s edgeSelf) tell(node *media.Node, shield bool) {
	if s.internal != nil {
		node.URL, node.Edge.Asks, node.Edge.Shield = s.base, true, shield
	}
}

// servePeers serves the port for other edges.
func (n *node) servePeers(ctx context.Context, self edgeSelf, edge *cacheproxy.Proxy, lane bool) {
	if self.internal == nil {
		return
	}
	if host, _, err := net.SplitHostPort(self.internal.Addr().String()); !n.tokens.Known() && err == nil &&
		!private(listenAddress(net.JoinHostPort(host, "0"))) {
		n.logger.Warn("whoever reaches --internal sees what is signed without a playback token",
			"internal", self.internal.Addr().String(), "do", "set --cluster-token-file, and keep the port private")
	}
	port := edge.Peers()
	server := newHTTPServer(port, n.logger)
	if !lane {
		n.services.add(ctx, "edges' HTTP", serveUntilDone(self.internal, server))
		return
	}
	front := fastlane.New(fastlane.Config{
		Handler: port, HTTP: server, Logger: n.logger, HeadTimeout: headTimeout, IdleTimeout: idleTimeout,
	})
	n.services.add(ctx, "edges' HTTP", serveUntilDone(self.internal, front))
}
