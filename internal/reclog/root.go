package reclog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/oxbow-video/oxbow/internal/media"
)

// SyncPolicy says when media is synced to storage, so that it survives a loss of power. A crash of the process loses
// nothing under any policy.
type SyncPolicy string

// The policies.
const (
	// SyncSegment syncs a finished segment before its index line is written, off the live path. It is the default.
	SyncSegment SyncPolicy = "segment"
	// SyncPart syncs each part before AppendPart returns.
	SyncPart SyncPolicy = "part"
	// SyncNever leaves it to the operating system, except at the end of a take.
	SyncNever SyncPolicy = "never"
)

// Config is a Root's.
type Config struct {
	// Dir is the directory of the recordings; it is made if it is missing.
	Dir string
	// Sync is SyncSegment if empty.
	Sync SyncPolicy
	// Shared opens the directory together with other processes that do, as the nodes of a cluster; without it the
	// directory is this process's alone.
	Shared bool
	// OnError is told of each failure of work done in the background (sync, index line); the first of them is logged. It
	// is called from any goroutine; nil is fine.
	OnError func(ref Ref, err error)
}

// Ref names a recording.
type Ref struct {
	Path media.StreamPath
	ID   media.RecordingID
}

// String gives "publisher/stream/recording".
func (r Ref) String() string { return dirName(r.Path, r.ID) }

// Root is a directory of recordings.
type Root struct {
	dir     string
	fsys    fileSystem
	policy  SyncPolicy
	shared  bool
	onError func(Ref, error)
	logger  *slog.Logger
	lock    *os.File
	idle    *idleFiles
	volume  *volume

	mu struct {
		sync.Mutex
		busy map[Ref]bool // being recovered or removed
	}
}

// OpenRoot opens the directory, for this process alone or for a cluster's: media.ErrConflict says who else has it.
func OpenRoot(cfg Config, logger *slog.Logger) (*Root, error) {
	r, err := newRoot(cfg, osFS{}, logger)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, dirPerm); err != nil {
		return nil, fmt.Errorf("open recordings: %w", err)
	}
	if r.lock, err = lockDir(cfg.Dir, cfg.Shared); err != nil {
		return nil, fmt.Errorf("open recordings: %w", err)
	}
	return r, nil
}

func newRoot(cfg Config, fsys fileSystem, logger *slog.Logger) (*Root, error) {
	policy := cfg.Sync
	switch policy {
	case "":
		policy = SyncSegment
	case SyncSegment, SyncPart, SyncNever:
	default:
		return nil, fmt.Errorf("sync policy: %w: %.40q: use segment, part or never", media.ErrInvalid, cfg.Sync)
	}
	r := &Root{
		dir: cfg.Dir, fsys: freshFS{fsys}, policy: policy, shared: cfg.Shared, onError: cfg.OnError, logger: logger,
		idle: newIdleFiles(maxIdle),
	}
	r.mu.busy = make(map[Ref]bool)
	r.volume = newVolume(cfg.Dir)
	return r, nil
}

// Close gives the directory free. Writers of it must be done.
func (r *Root) Close() error {
	err := r.idle.close()
	if r.lock != nil {
		err = errors.Join(err, r.lock.Close())
	}
	return err
}

// path gives the operating system's name for one of Files.
func (r *Root) path(elems ...string) string {
	return filepath.Join(append([]string{r.dir}, elems...)...)
}

func (r *Root) refDir(ref Ref) string {
	return r.path(ref.Path.Publisher, ref.Path.Stream, string(ref.ID))
}

// claim keeps two recoveries or removals of a recording apart.
func (r *Root) claim(ref Ref) (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.busy[ref] {
		return nil, fmt.Errorf("%w: being recovered or removed", media.ErrConflict)
	}
	r.mu.busy[ref] = true
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.mu.busy, ref)
	}, nil
}

// Create makes a recording: its manifest is on storage when Create returns. Format and Writer are set here; an empty
// state is live. media.ErrExists, media.ErrInvalid, media.ErrBadName.
func (r *Root) Create(m Manifest) (*Writer, error) {
	ref := Ref{Path: m.Path(), ID: m.ID}
	w, err := r.create(ref, m.clone())
	if err != nil {
		return nil, fmt.Errorf("create recording %s: %w", ref, err)
	}
	return w, nil
}

func (r *Root) create(ref Ref, m Manifest) (*Writer, error) {
	m.Format, m.Writer, m.Takes, m.Damage = FormatVersion, newWriterName(), []media.Take{}, nil
	if m.State == "" {
		m.State = media.Live
	}
	if err := checkRef(ref.Path, ref.ID); err != nil {
		return nil, err
	}
	if err := m.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", media.ErrInvalid, err)
	}
	data, err := m.encode()
	if err != nil {
		return nil, err
	}
	parent := r.path(ref.Path.Publisher, ref.Path.Stream)
	if err := mkdirs(r.fsys, r.dir, ref.Path.Publisher, ref.Path.Stream); err != nil {
		return nil, err
	}
	dir := r.refDir(ref)
	if err := r.fsys.Mkdir(dir, dirPerm); err != nil {
		if errors.Is(err, os.ErrExist) {
			err = fmt.Errorf("%w: %w", media.ErrExists, err)
		}
		return nil, err
	}
	err = syncDir(r.fsys, parent)
	if err == nil {
		err = replaceFile(r.fsys, filepath.Join(dir, manifestFile), m.Writer, data, nil)
	}
	if err != nil {
		return nil, errors.Join(err, removeAll(r.fsys, dir))
	}
	return newWriter(r, ref, &m), nil
}

// Latest gives the newest recording of a stream that storage has, clips left out; media.ErrNotFound if there is none.
func (r *Root) Latest(ctx context.Context, path media.StreamPath) (media.RecordingID, error) {
	if err := errors.Join(ctx.Err(), checkPath(path)); err != nil {
		return "", fmt.Errorf("latest recording of %s: %w", path, err)
	}
	ids, err := r.ids(path)
	if err != nil {
		return "", fmt.Errorf("latest recording of %s: %w", path, err)
	}
	for _, id := range slices.Backward(ids) {
		name := r.path(path.Publisher, path.Stream, string(id), manifestFile)
		data, err := readFile(r.fsys, name, MaxManifest)
		if err == nil && isClip(data) {
			continue
		}
		if err == nil {
			return id, nil
		}
		if !missing(err) {
			return "", fmt.Errorf("latest recording of %s: %w", path, err)
		}
	}
	return "", fmt.Errorf("latest recording of %s: %w", path, media.ErrNotFound)
}

// ids lists the directories of a stream's recordings, oldest first.
func (r *Root) ids(path media.StreamPath) ([]media.RecordingID, error) {
	names, err := r.list(path.Publisher, path.Stream)
	var ids []media.RecordingID
	for _, name := range names {
		if id, err := media.ParseRecordingID(name); err == nil {
			ids = append(ids, id)
		}
	}
	return ids, notFound(err)
}

// list names a directory's directories, and links to such, in order.
func (r *Root) list(elems ...string) ([]string, error) {
	entries, err := r.fsys.ReadDir(r.path(elems...))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() || e.Type()&os.ModeSymlink != 0 {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

func checkPath(path media.StreamPath) error {
	return errors.Join(media.CheckPublisherName(path.Publisher), media.CheckStreamName(path.Stream))
}
