package reclog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Several processes may write one recording's manifest: its owner, one that was stopped and wakes, two that take it
// over at a time. There is no lock: one that hangs with its storage, or was stopped, would hold it. Instead each
// replacement goes
//
//	make the new manifest under the writer's own name    recording.json.<writer>.tmp
//	look at the manifest: it is still what the new one was made of
//	rename
//	remove all others' new manifests
//	look at the manifest: it is still ours
//
// Of two writers that start from the same manifest at most one gets to the end. For suppose both do. The later rename
// then comes after the other's last look, hence after its removal. The later one had made its file before its own look,
// which came before the first rename, or it would have met that: so the removal met the file, and the later rename had
// nothing to rename. It does not matter where either is stopped, or for how long.
//
// The same holds for what replaces an index or metadata, and for a take's directory that is put in its place: they are
// made under the writer's own name, then the manifest is looked at, then they are renamed; and who takes over removes
// them behind its own manifest, before it reads anything.

// takeOverTries bounds how often a take-over starts anew because the owner wrote the manifest meanwhile.
const takeOverTries = 16

// errChanged: the manifest is no longer the one that was read.
var errChanged = errors.New("manifest changed meanwhile")

// swapManifest replaces a manifest by a writer's. check looks at the one that is there. media.ErrFenced,
// media.ErrGone; after another error either may be there.
func (r *Root) swapManifest(dir, writer string, data []byte, check func() error) error {
	name := filepath.Join(dir, manifestFile)
	if err := replaceFile(r.fsys, name, writer, data, check); err != nil {
		if !missing(err) {
			return err
		}
		// Another writer has removed the new manifest, or, on NFS, the answer to a rename was lost and the second came
		// too late.
		if on, rerr := readFile(r.fsys, name, MaxManifest); rerr != nil || !bytes.Equal(on, data) {
			return errors.Join(check(), err)
		}
	}
	entries, err := r.fsys.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), manifestFile+".") && strings.HasSuffix(e.Name(), tmpSuffix) {
			if err := removeAll(r.fsys, filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	on, err := r.holder(dir)
	if err == nil && on != writer {
		err = fmt.Errorf("%w: writer %.40q has the recording", media.ErrFenced, on)
	}
	return err
}

// holder gives the name of the writer that has the recording: media.ErrGone, media.ErrCorrupt.
func (r *Root) holder(dir string) (string, error) {
	data, err := readFile(r.fsys, filepath.Join(dir, manifestFile), MaxManifest)
	if err != nil {
		if missing(err) {
			err = fmt.Errorf("%w: %w", media.ErrGone, err)
		}
		return "", err
	}
	var on struct {
		Writer string `json:"writer"`
	}
	if err := json.Unmarshal(data, &on); err != nil {
		return "", fmt.Errorf("manifest: %w: %w", media.ErrCorrupt, err)
	}
	return on.Writer, nil
}

// takeOver writes a new writer's name into the manifest, so that the old writer meets it.
func (r *Root) takeOver(ref Ref, epoch uint64) (*Writer, error) {
	dir := r.refDir(ref)
	name := filepath.Join(dir, manifestFile)
	var owner string
	for try := range takeOverTries {
		data, err := readFile(r.fsys, name, MaxManifest)
		if err != nil {
			return nil, notFound(err)
		}
		m, err := parseManifestOf(data, ref)
		if err != nil {
			return nil, err
		}
		switch seen := m.highestEpoch(); {
		case epoch > 0 && seen > epoch:
			return nil, fmt.Errorf("%w: epoch %d, the recording has seen %d", media.ErrFenced, epoch, seen)
		case try == 0:
			owner = m.Writer
		case m.Writer != owner && (epoch == 0 || seen == epoch):
			return nil, fmt.Errorf("%w: writer %.40q was first", media.ErrFenced, m.Writer)
		}
		m.Writer, m.Epoch = newWriterName(), max(m.Epoch, epoch)
		swapped, err := m.encode()
		if err != nil {
			return nil, err
		}
		err = r.swapManifest(dir, m.Writer, swapped, func() error {
			if on, err := readFile(r.fsys, name, MaxManifest); err != nil || !bytes.Equal(on, data) {
				return errors.Join(errChanged, err)
			}
			return nil
		})
		if err == nil {
			return newWriter(r, ref, m), nil
		}
		if !errors.Is(err, errChanged) && !errors.Is(err, media.ErrFenced) && !missing(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: its owner writes the manifest again and again", media.ErrConflict)
}

// highestEpoch is the latest lease's under which the recording was written.
func (m *Manifest) highestEpoch() uint64 {
	epoch := m.Epoch
	for i := range m.Takes {
		epoch = max(epoch, m.Takes[i].Epoch)
	}
	return epoch
}
