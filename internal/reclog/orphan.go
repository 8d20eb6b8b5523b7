package reclog

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// sweepEvery is how often all directories are listed, whether they seem to have changed or not.
	sweepEvery = time.Minute
	// tick is the coarsest clock that a file system may date its directories with: two changes within one look alike.
	tick = time.Second
	// freshFor is how long a directory without a readable manifest is looked at in each step: it may be a recording that
	// is being created. Later ones wait for the sweep.
	freshFor = 10 * time.Second
)

// Orphan is a recording that grows by its manifest, and that nobody writes.
type Orphan struct {
	Ref
	// Idle is how long it has been so, as far as this watcher saw.
	Idle     time.Duration
	Settings media.Settings
	// Epoch is the latest under which it was written: a lease to close it with needs a later one.
	Epoch uint64

	signature signature
}

// Orphans watches a cluster's directory for growing recordings whose owner is gone. It believes only what it saw
// itself, by the clock of this process: not a time of a file, which is another machine's, and no list that another
// process left.
//
// A step costs one look at each publisher's and stream's directory, and a few files of each growing recording of a
// stream that nobody owns. Manifests of finished recordings are read once: what is final stays so. On NFS the look at a
// directory may be answered from the client's cache, so that a new recording is found late by acdirmax (60 s by
// default), which delays its adoption and nothing else; files are opened, which makes the client ask the server.
//
// It is for one goroutine.
type Orphans struct {
	root    *Root
	sweptAt time.Time
	// top are the root's and the publishers' directories, by path.
	top     map[string]*listing
	streams map[media.StreamPath]*streamWatch
}

// listing is what a directory had.
type listing struct {
	at    dated
	names []string
	seen  time.Time
}

// dated is a directory's time, and since when it has been that. It is settled once the directory was listed a tick
// after that.
type dated struct {
	modTime time.Time
	since   time.Time
	settled bool
}

// next gives the state after a listing, and whether one is needed.
func (d dated) next(modTime, now time.Time, sweep bool) (dated, bool) {
	if d.since.IsZero() || !modTime.Equal(d.modTime) {
		return dated{modTime: modTime, since: now}, true
	}
	needed := sweep || !d.settled
	d.settled = d.settled || now.Sub(d.since) >= tick
	return d, needed
}

// streamWatch is what is known of a stream's recordings.
type streamWatch struct {
	at       dated
	seen     time.Time
	finished map[media.RecordingID]bool
	growing  map[media.RecordingID]*quiet
	// unread are directories whose manifest is not there or can't be read, with when that was found.
	unread map[media.RecordingID]time.Time
}

// quiet is what a recording without owner looked like, and since when. Since is zero for one that has an owner.
type quiet struct {
	since     time.Time
	signature signature
}

// signature is a hash of the manifest and the sizes of the last take's files: whoever writes the recording, or takes it
// over, changes it.
type signature [sha256.Size]byte

// NewOrphans makes a watcher, which knows nothing yet.
func NewOrphans(root *Root) *Orphans {
	return &Orphans{root: root, top: make(map[string]*listing), streams: make(map[media.StreamPath]*streamWatch)}
}

// Step looks once, and gives the orphans with how long they have been such: those found just now with zero. Now must
// have a monotonic clock reading, as time.Now gives. Owned says whether a stream has an owner; it is asked only for
// streams with a growing recording. While it fails nobody is an orphan, and no time is forgotten.
//
// What can't be read is passed over and told in the error; the orphans beside it are good.
func (o *Orphans) Step(
	ctx context.Context, now time.Time, owned func(ctx context.Context, ref Ref) (bool, error),
) ([]Orphan, error) {
	sweep := o.sweptAt.IsZero() || now.Sub(o.sweptAt) >= sweepEvery
	paths, errs := o.list(ctx, now, sweep)
	var orphans []Orphan
	var away error
	for _, path := range paths {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("look for orphans: %w", err)
		}
		w := o.streams[path]
		if w == nil {
			w = &streamWatch{
				finished: make(map[media.RecordingID]bool), growing: make(map[media.RecordingID]*quiet),
				unread: make(map[media.RecordingID]time.Time),
			}
			o.streams[path] = w
		}
		w.seen = now
		errs = append(errs, o.refresh(path, w, now, sweep))
		if len(w.growing) == 0 || away != nil {
			continue
		}
		has := make(map[media.RecordingID]bool, len(w.growing))
		for id := range w.growing {
			if has[id], away = owned(ctx, Ref{Path: path, ID: id}); away != nil { // the next one's would be the same
				away = fmt.Errorf("owner of %s: %w", path, away)
				errs = append(errs, away)
				break
			}
		}
		if away == nil {
			found, err := o.look(path, w, now, has)
			orphans, errs = append(orphans, found...), append(errs, err)
		}
	}
	for path, w := range o.streams {
		if !w.seen.Equal(now) {
			delete(o.streams, path)
		}
	}
	if sweep {
		o.sweptAt = now
	}
	if away != nil {
		orphans = nil
	}
	if err := errors.Join(errs...); err != nil {
		return orphans, fmt.Errorf("look for orphans: %w", err)
	}
	return orphans, nil
}

// Finished lists the recordings that had ended when Step last looked, by stream and id.
func (o *Orphans) Finished() []Ref {
	var list []Ref
	for path, w := range o.streams {
		for id := range w.finished {
			list = append(list, Ref{Path: path, ID: id})
		}
	}
	slices.SortFunc(list, func(a, b Ref) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// Same says whether the recording still looks as it did when Step gave it.
func (o *Orphans) Same(orphan Orphan) (bool, error) {
	m, sig, err := o.sign(orphan.Ref)
	if errors.Is(err, media.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at recording %s: %w", orphan.Ref, err)
	}
	return m.State.Growing() && sig == orphan.signature, nil
}

// list gives the streams that have a directory. A publisher whose directory can't be listed keeps the streams that it
// had.
func (o *Orphans) list(ctx context.Context, now time.Time, sweep bool) (paths []media.StreamPath, errs []error) {
	publishers, err := o.names(now, sweep)
	errs = append(errs, err)
	for _, publisher := range publishers {
		if media.CheckPublisherName(publisher) != nil {
			continue
		}
		streams, err := o.names(now, sweep, publisher)
		errs = append(errs, err, ctx.Err())
		for _, stream := range streams {
			if media.CheckStreamName(stream) == nil {
				paths = append(paths, media.StreamPath{Publisher: publisher, Stream: stream})
			}
		}
	}
	for path, l := range o.top {
		if !l.seen.Equal(now) {
			delete(o.top, path)
		}
	}
	return paths, errs
}

// names lists a directory, if it seems to have changed.
func (o *Orphans) names(now time.Time, sweep bool, elems ...string) ([]string, error) {
	path := o.root.path(elems...)
	l := o.top[path]
	if l == nil {
		l = &listing{}
		o.top[path] = l
	}
	l.seen = now
	modTime, err := o.modTime(path)
	if at, needed := l.at.next(modTime, now, sweep); err == nil && needed {
		var names []string
		if names, err = o.root.list(elems...); err == nil {
			l.names, l.at = names, at
		}
	}
	if missing(err) {
		l.names, err = nil, nil
	}
	return l.names, err
}

// modTime opens the directory, for NFS to ask.
func (o *Orphans) modTime(path string) (time.Time, error) {
	d, err := openDirectory(o.root.fsys, path)
	if err != nil {
		return time.Time{}, err
	}
	info, err := d.Stat()
	if err = errors.Join(err, d.Close()); err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// refresh finds a stream's new recordings, and forgets those that are gone.
func (o *Orphans) refresh(path media.StreamPath, w *streamWatch, now time.Time, sweep bool) error {
	modTime, err := o.modTime(o.root.path(path.Publisher, path.Stream))
	if missing(err) {
		clear(w.finished)
		clear(w.growing)
		clear(w.unread)
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	if at, needed := w.at.next(modTime, now, sweep); needed {
		ids, err := o.root.ids(path)
		if err != nil {
			return err
		}
		w.at = at
		w.keep(ids)
		for _, id := range ids {
			if _, again := w.unread[id]; !again && !w.finished[id] && w.growing[id] == nil {
				w.unread[id] = now
			}
		}
	}
	for id, since := range w.unread {
		if sweep || now.Sub(since) < freshFor {
			errs = append(errs, o.read(Ref{Path: path, ID: id}, w))
		}
	}
	return errors.Join(errs...)
}

// keep forgets the recordings that are not listed.
func (w *streamWatch) keep(ids []media.RecordingID) {
	listed := make(map[media.RecordingID]bool, len(ids))
	for _, id := range ids {
		listed[id] = true
	}
	for id := range w.finished {
		if !listed[id] {
			delete(w.finished, id)
		}
	}
	for id := range w.growing {
		if !listed[id] {
			delete(w.growing, id)
		}
	}
	for id := range w.unread {
		if !listed[id] {
			delete(w.unread, id)
		}
	}
}

// read sorts a recording by its manifest. One that is not there belongs to a creation or a removal.
func (o *Orphans) read(ref Ref, w *streamWatch) error {
	m, err := o.manifest(ref)
	if errors.Is(err, media.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("recording %s: %w", ref, err)
	}
	delete(w.unread, ref.ID)
	if m.State.Growing() {
		w.growing[ref.ID] = &quiet{}
	} else {
		w.finished[ref.ID] = true
	}
	return nil
}

// look compares a stream's growing recordings with how they were.
func (o *Orphans) look(path media.StreamPath, w *streamWatch, now time.Time, owned map[media.RecordingID]bool) (
	[]Orphan, error,
) {
	var orphans []Orphan
	var errs []error
	for id, q := range w.growing {
		if owned[id] {
			q.since = time.Time{}
			continue
		}
		ref := Ref{Path: path, ID: id}
		m, sig, err := o.sign(ref)
		switch {
		case errors.Is(err, media.ErrNotFound): // removed; the next listing forgets it
			q.since = time.Time{}
			continue
		case err != nil:
			errs = append(errs, fmt.Errorf("recording %s: %w", ref, err))
			continue
		case !m.State.Growing():
			delete(w.growing, id)
			w.finished[id] = true
			continue
		}
		if q.since.IsZero() || sig != q.signature {
			q.since, q.signature = now, sig
		}
		orphans = append(orphans, Orphan{
			Ref: ref, Idle: now.Sub(q.since), Settings: m.Settings, Epoch: m.highestEpoch(), signature: sig,
		})
	}
	return orphans, errors.Join(errs...)
}

func (o *Orphans) manifest(ref Ref) (*Manifest, error) {
	data, err := readFile(o.root.fsys, filepath.Join(o.root.refDir(ref), manifestFile), MaxManifest)
	if err != nil {
		return nil, notFound(err)
	}
	return parseManifestOf(data, ref)
}

// sign reads the manifest and the sizes of the last take's files. A file that is not there has none.
func (o *Orphans) sign(ref Ref) (*Manifest, signature, error) {
	dir := o.root.refDir(ref)
	data, err := readFile(o.root.fsys, filepath.Join(dir, manifestFile), MaxManifest)
	if err != nil {
		return nil, signature{}, notFound(err)
	}
	m, err := parseManifestOf(data, ref)
	if err != nil {
		return nil, signature{}, err
	}
	if n := len(m.Takes); n > 0 {
		take := &m.Takes[n-1]
		names := []string{filepath.Join(strconv.Itoa(take.Number), metadataFile)}
		for i := range take.Tracks {
			name := take.Tracks[i].Name
			names = append(names, takeFile(take.Number, name, trackSuffix), takeFile(take.Number, name, indexSuffix))
		}
		for _, name := range names {
			size, err := fileSize(o.root.fsys, filepath.Join(dir, name))
			if missing(err) {
				size, err = -1, nil
			}
			if err != nil {
				return nil, signature{}, err
			}
			data = binary.LittleEndian.AppendUint64(data, uint64(size))
		}
	}
	return m, sha256.Sum256(data), nil
}
