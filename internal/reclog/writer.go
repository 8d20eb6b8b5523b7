package reclog

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Writer writes one recording. Its methods may be called from any goroutine; those that write the manifest wait for
// each other.
type Writer struct {
	root   *Root
	ref    Ref
	dir    string
	logger *slog.Logger
	// current is what the manifest on storage says.
	current atomic.Pointer[Manifest]
	// seen is the manifest's text when it was last found to be ours.
	seen atomic.Pointer[[]byte]

	mu struct {
		sync.Mutex
		// tail is the newest take, before the one that it followed; both may be nil.
		tail   *TakeWriter
		before *TakeWriter
		// unsure: a replacement of the manifest failed, perhaps after the rename, so storage may have the new one.
		unsure bool
		// debris are directories of takes that were not begun. They are removed once a manifest without them is written.
		debris []string
		// told is what the recording's metadata came to.
		told metadataSum
	}
}

func newWriter(r *Root, ref Ref, m *Manifest) *Writer {
	w := &Writer{
		root: r, ref: ref, dir: r.refDir(ref),
		logger: r.logger.With("publisher", ref.Path.Publisher, "stream", ref.Path.Stream, "recording", string(ref.ID)),
	}
	w.current.Store(m)
	return w
}

// newWriterName makes a name that no other writer has.
func newWriterName() string { return rand.Text() }

// Manifest gives a copy of the manifest as it is on storage. It never waits.
func (w *Writer) Manifest() Manifest { return w.current.Load().clone() }

// Update changes the manifest and replaces it atomically; after an error the old one holds. Format, names, Writer,
// Epoch, Takes and Damage are the log's own: what fn does to them is undone. media.ErrFenced: another writer has the
// recording. media.ErrGone: it was removed.
func (w *Writer) Update(fn func(*Manifest)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.replaceLocked(func(m *Manifest) {
		own := m.clone()
		fn(m)
		m.Format, m.ID, m.Publisher, m.Stream = own.Format, own.ID, own.Publisher, own.Stream
		m.Writer, m.Epoch, m.Takes, m.Damage = own.Writer, own.Epoch, own.Takes, own.Damage
	}); err != nil {
		return fmt.Errorf("update manifest of %s: %w", w.ref, err)
	}
	return nil
}

func (w *Writer) replaceLocked(change func(*Manifest)) error {
	m := w.Manifest()
	change(&m)
	if err := m.check(); err != nil {
		return fmt.Errorf("%w: %w", media.ErrInvalid, err)
	}
	data, err := m.encode()
	if err != nil {
		return err
	}
	if err := w.fenced(); err != nil {
		return err
	}
	if err := w.root.swapManifest(w.dir, m.Writer, data, w.fenced); err != nil {
		w.mu.unsure = w.mu.unsure || !lost(err)
		return err
	}
	w.current.Store(&m)
	w.mu.unsure = false
	w.clearDebrisLocked()
	return nil
}

// assureLocked makes storage have the current manifest, if that is not certain.
func (w *Writer) assureLocked() error {
	if !w.mu.unsure && len(w.mu.debris) == 0 {
		return nil
	}
	return w.replaceLocked(func(*Manifest) {})
}

// fenced says whether the recording was taken over or removed. A manifest that does not parse is ours to replace.
func (w *Writer) fenced() error {
	own := w.current.Load().Writer
	switch name, err := w.root.holder(w.dir); {
	case errors.Is(err, media.ErrCorrupt):
		w.logger.Error("manifest does not parse, replacing it", "err", err)
		return nil
	case err != nil:
		return err
	case name != own:
		return fmt.Errorf("%w: writer %.40q has the recording", media.ErrFenced, name)
	}
	return nil
}

// ours looks at the manifest of a shared root after media was written, and before it is announced: who takes a recording
// over writes the manifest and then looks for media. So what is announced is found by whoever comes next, and what is
// not found was not announced. media.ErrFenced, media.ErrGone; what can't be read is no sign of either.
func (w *Writer) ours() error {
	if !w.root.shared {
		return nil
	}
	data, err := readFile(w.root.fsys, filepath.Join(w.dir, manifestFile), MaxManifest)
	if seen := w.seen.Load(); err == nil && seen != nil && bytes.Equal(data, *seen) {
		return nil
	}
	if held := w.fenced(); lost(held) {
		return held
	}
	if err == nil {
		w.seen.Store(&data)
	}
	return nil
}

// lost says that the recording is another writer's, or was removed: nothing that lies in it is ours to remove.
func lost(err error) bool { return errors.Is(err, media.ErrFenced) || errors.Is(err, media.ErrGone) }

// replace gives one of the recording's files new contents, unless another writer has the recording.
func (w *Writer) replace(name string, data []byte) error {
	err := replaceFile(w.root.fsys, name, w.current.Load().Writer, data, w.fenced)
	if missing(err) {
		err = errors.Join(w.fenced(), err) // who took over removed what was to replace the file
	}
	return err
}

// StartTake begins the next take: its directory, which must not be there, its files with their inits, given in track
// order, and last its place in the manifest. The take before must be sealed. Number is greater than any before,
// FirstMSN the next after the last of the take before (MSNs passed over are gaps of the take before, as those are whose
// lines were refused), and the tracks' names are those of the takes before.
// media.ErrInvalid, media.ErrConflict, media.ErrExists, media.ErrFenced, media.ErrTooLarge (the recording is full:
// continue in another).
func (w *Writer) StartTake(take media.Take, inits [][]byte) (*TakeWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	t, err := w.startTakeLocked(take, inits)
	if err != nil {
		return nil, fmt.Errorf("start take %d of %s: %w", take.Number, w.ref, err)
	}
	if tail := w.mu.tail; tail != nil && !tail.empty() {
		w.mu.before = tail
	} else if tail != nil { // Seal could not take it out, but this did
		w.mu.debris = append(w.mu.debris, tail.dir)
	}
	w.mu.tail = t
	return t, nil
}

func (w *Writer) startTakeLocked(take media.Take, inits [][]byte) (*TakeWriter, error) {
	take, err := withInits(take, inits)
	if err != nil {
		return nil, err
	}
	takes := w.Manifest().Takes
	if tail := w.mu.tail; tail != nil {
		if !tail.isClosed() {
			return nil, fmt.Errorf("%w: take %d is not sealed", media.ErrConflict, tail.take.Number)
		}
		if next := tail.nextMSN(); take.FirstMSN < next || take.FirstMSN > next+maxSkip {
			return nil, fmt.Errorf("%w: first MSN %d, the next is %d", media.ErrInvalid, take.FirstMSN, next)
		}
		if n := len(takes); tail.empty() && n > 0 && takes[n-1].Number == tail.take.Number {
			takes = takes[:n-1] // Seal could not take it out
		}
	}
	if n := len(takes); n > 0 {
		if err := checkFollows(&takes[n-1], &take); err != nil {
			return nil, fmt.Errorf("%w: %w", media.ErrInvalid, err)
		}
	}
	if len(takes) >= MaxTakes {
		return nil, fmt.Errorf("%w: %d takes", media.ErrTooLarge, len(takes))
	}
	// A fenced writer must not put its directory where the new one's will be.
	if err := errors.Join(w.fenced(), w.assureLocked()); err != nil {
		return nil, err
	}
	t, err := w.makeTake(take, inits)
	if err != nil {
		return nil, err
	}
	if err := w.replaceLocked(func(m *Manifest) { m.Takes = append(takes, take) }); err != nil {
		err = errors.Join(err, t.closeFiles())
		if lost(err) {
			return nil, err // who has the recording puts the directory away
		}
		if !w.mu.unsure {
			return nil, errors.Join(err, w.discardLocked(t.dir))
		}
		// Storage may have the manifest that names the take: one that surely does not comes first, then the directory goes.
		w.mu.debris = append(w.mu.debris, t.dir)
		return nil, err
	}
	return t, nil
}

// withInits checks a take and notes the sizes of its inits.
func withInits(take media.Take, inits [][]byte) (media.Take, error) {
	take.Sealed, take.Metadata = false, false
	take.Tracks = append([]media.Track(nil), take.Tracks...)
	if len(inits) != len(take.Tracks) {
		return take, fmt.Errorf("%w: %d inits of %d tracks", media.ErrInvalid, len(inits), len(take.Tracks))
	}
	for i := range take.Tracks {
		take.Tracks[i].InitSize = int64(len(inits[i]))
		if len(inits[i]) == 0 {
			return take, fmt.Errorf("%w: track %q without init", media.ErrInvalid, take.Tracks[i].Name)
		}
	}
	if err := checkTake(&take); err != nil {
		return take, fmt.Errorf("%w: %w", media.ErrInvalid, err)
	}
	return take, nil
}

// makeTake makes the take's directory and files, and puts them in their place; after an error nothing is left of them,
// if storage lets it. The directory is made under a name of this writer's own: one that was fenced meanwhile must not
// put files where the new owner's are, nor remove those.
func (w *Writer) makeTake(take media.Take, inits [][]byte) (*TakeWriter, error) {
	fsys, dir := w.root.fsys, filepath.Join(w.dir, strconv.Itoa(take.Number))
	own := dir + "." + w.current.Load().Writer + tmpSuffix
	if _, err := fsys.ReadDir(dir); err == nil {
		return nil, fmt.Errorf("%w: directory %d", media.ErrExists, take.Number)
	}
	if err := errors.Join(removeAll(fsys, own), fsys.Mkdir(own, dirPerm)); err != nil {
		return nil, err
	}
	t := newTakeWriter(w, take, own)
	err := t.createFiles(inits)
	if err == nil {
		err = syncDir(fsys, own)
	}
	if err == nil {
		err = w.fenced()
	}
	if err == nil {
		err = fsys.Rename(own, dir)
	}
	if err != nil {
		if missing(err) {
			err = errors.Join(w.fenced(), err)
		}
		return nil, errors.Join(err, t.closeFiles(), removeAll(fsys, own))
	}
	t.dir = dir
	if err := syncDir(fsys, w.dir); err != nil {
		return nil, errors.Join(err, t.closeFiles(), w.discardLocked(dir))
	}
	return t, nil
}

// discardLocked removes the directory of a take that is in no manifest, now or before the next take.
func (w *Writer) discardLocked(dir string) error {
	err := w.fenced()
	if err == nil {
		err = removeAll(w.root.fsys, dir)
	}
	if err != nil && !lost(err) {
		w.mu.debris = append(w.mu.debris, dir)
	}
	return err
}

func (w *Writer) clearDebrisLocked() {
	debris := w.mu.debris
	w.mu.debris = nil
	for _, dir := range debris {
		if err := w.discardLocked(dir); err != nil {
			w.logger.Warn("remove directory of a take that was not begun", "dir", dir, "err", err)
		}
	}
}

// AppendGap writes a gap's index line to the newest take, sealed or not: so a recording that was reopened keeps moving
// until its publisher is back. See TakeWriter.AppendGap. media.ErrConflict: there is no take yet.
func (w *Writer) AppendGap(track int, seg media.Segment) error {
	w.mu.Lock()
	tail := w.mu.tail
	w.mu.Unlock()
	if tail == nil {
		return fmt.Errorf("append gap %d to %s: %w: no take", seg.MSN, w.ref, media.ErrConflict)
	}
	return tail.AppendGap(track, seg)
}

// mayAppend says whether a gap may be appended to a sealed take: it is the newest, and the recording is still ours. The
// files of a sealed take are opened by name, so another writer's could be met there. ErrPending: the line may be
// queued, but the manifest that names the take is not surely on storage.
func (w *Writer) mayAppend(t *TakeWriter) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.tail != t {
		return ErrSealed
	}
	if err := w.fenced(); err != nil {
		return err
	}
	if err := w.assureLocked(); err != nil {
		return fmt.Errorf("%w: %w", ErrPending, err)
	}
	return nil
}

// sealed marks the take in the manifest, or takes it out if it is empty.
func (w *Writer) sealed(t *TakeWriter) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	empty := t.empty()
	err := w.replaceLocked(func(m *Manifest) {
		takes := m.Takes[:0]
		for _, take := range m.Takes {
			if take.Number != t.take.Number {
				takes = append(takes, take)
			} else if !empty {
				take.Sealed, take.Metadata = true, t.metadata.made
				takes = append(takes, take)
			}
		}
		m.Takes = takes
	})
	if err != nil || !empty {
		return err
	}
	if w.mu.tail == t {
		w.mu.tail, w.mu.before = w.mu.before, nil
	}
	return w.discardLocked(t.dir)
}

// report tells of a failure in the background. Again says that the same was told before and has not ended: a volume
// that fails does so with each segment.
func (w *Writer) report(err error, again bool) {
	if again {
		w.logger.Debug("recording log", "err", err)
	} else {
		w.logger.Error("recording log", "err", err)
	}
	if w.root.onError != nil {
		w.root.onError(w.ref, err)
	}
}
