package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"

	"github.com/oxbow-video/oxbow/archiver"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore"
)

// archiverCommand is `oxbow archiver`.
type archiverCommand struct {
	clusterFlags   `embed:""`
	adapterFlags   `embed:""`
	recordingFlags `embed:""`
	storesFlags    `embed:""`
	archiveFlags   `embed:""`
	pictureFlags   `embed:""`
	adminFlags     `embed:""`
}

// Run archives, expires and recovers the recordings of one cluster until the context ends.
func (c *archiverCommand) Run(ctx runContext) (err error) {
	if os.Getenv("GOGC") == "" {
		// What it holds of a long recording it holds for long, and makes little garbage beside: a quarter of the usual
		// room for that costs it 1 % of its time, and keeps a recording of a day below 32 MiB.
		debug.SetGCPercent(25)
	}
	n := newNode(ctx)
	n.clusterFlags, n.adapterFlags, n.recordingFlags = c.clusterFlags, c.adapterFlags, c.recordingFlags
	n.storesFlags, n.archiveFlags, n.pictureFlags, n.adminFlags = c.storesFlags, c.archiveFlags, c.pictureFlags,
		c.adminFlags
	defer func() { err = errors.Join(err, n.close()) }()
	if err := n.needArchive(); err != nil {
		return err
	}
	admin, err := n.listen(ctx, n.Admin, "--admin")
	if err != nil {
		return err
	}
	if err := n.identify(media.RoleArchiver, "http://"+reachable(admin.Addr()), admin.Addr()); err != nil {
		return err
	}
	n.services.add(ctx, "admin HTTP", serveHTTP(admin, adminHandler(n.metrics, n.isReady), n.logger))
	for _, open := range []func(context.Context) error{
		n.openCatalog, n.openRegistry, func(ctx context.Context) error { return n.openRoot(ctx, true) }, n.openArchives,
	} {
		if err := open(ctx); err != nil {
			return err
		}
	}
	n.watchDependencies(ctx)
	if err := n.startArchiver(ctx); err != nil {
		return err
	}
	n.lookAtArchives(ctx)
	n.services.add(ctx, "registration", n.register)
	n.needServices()
	n.ready.Store(true)
	n.logger.Info("archiver is up", "cluster", n.Cluster, "recordings", n.Recordings)
	return n.services.wait(ctx)
}

// startArchiver starts the life cycle of finished recordings, the end of those whose owner is gone, and the watch over
// the room that there is.
func (n *node) startArchiver(ctx context.Context) error {
	if most := 64; n.ArchiveParallel < 1 || n.ArchiveParallel > most {
		return fmt.Errorf("--archive-parallel %d is out of range: use 1 to %d", n.ArchiveParallel, most)
	}
	pictures, err := n.newPictures()
	if err != nil {
		return err
	}
	a := archiver.New(archiver.Config{
		Owner: n.self.ID, Cluster: n.Cluster, Grace: n.ArchiveGrace, Poll: n.ArchivePoll,
		Parallel: n.ArchiveParallel, StateOf: objstore.StateOf, Pictures: pictures.Finish, Clipped: pictures.AddClip,
	}, n.catalog, n.catalog, n.stores(), n.root, n.registry, n.logger, n.metrics)
	continuous := archiver.NewContinuous(archiver.ContinuousConfig{Interval: n.UploadInterval}, a, n.catalog, n.metrics)
	recovery := archiver.NewRecovery(archiver.RecoveryConfig{Owner: n.self.ID + "-archiver", Cluster: n.Cluster},
		n.catalog, n.registry, n.root, n.registry, n.logger, n.metrics)
	pressure, err := archiver.NewPressure(archiver.PressureConfig{Cluster: n.Cluster, Log: n.catalog, Node: n.self.ID},
		n.root.Usage, n.catalog, n.logger, n.metrics)
	if err != nil {
		return err
	}
	if n.Registry == memoryRegistry {
		// Nobody else has the directory, so what does not grow there now is nobody's to end.
		if err := n.meet(ctx, "check recordings", func() error { return recovery.CheckRows(ctx) }); err != nil {
			return err
		}
	}
	n.services.add(ctx, "archiver", n.onVolume("archiver", a.Run))
	n.services.add(ctx, "continuous upload", n.onVolume("continuous upload", continuous.Run))
	n.services.add(ctx, "recovery", n.onVolume("recovery", recovery.Run))
	n.services.add(ctx, "pressure", pressure.Run)
	n.services.add(ctx, "backlog", archiver.NewBacklog(archiver.BacklogConfig{Cluster: n.Cluster}, n.catalog, n.logger,
		n.metrics).Run)
	retention := archiver.NewRetention(archiver.RetentionConfig{Cluster: n.Cluster}, n.catalog, n.root.Usage,
		n.logger, n.metrics)
	n.services.add(ctx, "retention", retention.Run)
	if n.pictured {
		n.services.add(ctx, "pictures", n.onVolume("pictures", pictures.Run))
	}
	return nil
}
