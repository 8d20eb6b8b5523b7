package main

import (
	"context"
	"path/filepath"

	"github.com/oxbow-video/oxbow/archiver"
	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
)

// openArchive opens the store that --archive names, for the archiver and the edge.
func (n *node) openArchive(ctx context.Context) (store archiver.Objects, closeStore func() error, err error) {
	a := n.flags.Archive
	if a.bucket != "" {
		s3, err := objstore.OpenS3(ctx, objstore.S3Config{
			Endpoint: a.endpoint, Region: a.region, Bucket: a.bucket, Prefix: a.prefix, Checksums: a.checksums,
			VirtualHost: a.endpoint == "",
		})
		if err != nil {
			return nil, nil, err
		}
		return s3, func() error { s3.Close(); return nil }, nil
	}
	if a.dir == "" {
		a.dir = filepath.Join(n.flags.Data, "archive")
	}
	dir, err := objstore.OpenDir(a.dir)
	if err != nil {
		return nil, nil, err
	}
	return dir, dir.Close, nil
}

// startArchiver starts the life cycle of finished recordings.
func (n *node) startArchiver(ctx context.Context) {
	a := archiver.New(archiver.Config{Owner: nodeID, Grace: n.flags.ArchiveGrace, Poll: n.flags.ArchivePoll},
		n.catalog, n.catalog, n.objects, n.root, n.registry, n.logger, n.metrics)
	n.services.add(ctx, "archiver", a.Run)
	n.services.add(ctx, "recovery", n.recovery.Run)
}

// clusterName is the cluster of a process that runs all roles.
const clusterName = "main"

// newRecovery makes what ends recordings whose owner is gone.
func (n *node) newRecovery() *archiver.Recovery {
	return archiver.NewRecovery(archiver.RecoveryConfig{Owner: nodeID + "-archiver", Cluster: clusterName},
		clusterRows{n.catalog}, n.registry, n.root, n.registry, n.logger, n.metrics)
}

// clusterRows is a catalog that has one cluster's rows.
type clusterRows struct{ *catalog.DB }

// Growing lists the growing rows.
func (r clusterRows) Growing(ctx context.Context, _ string) ([]media.Recording, error) {
	return r.DB.Growing(ctx)
}
