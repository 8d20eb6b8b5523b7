package origin

import (
	"context"

	"github.com/oxbow-video/oxbow/internal/reclog"
)

// unchangedReader is a storage that can tell, without sending it, that a file is what it was: an object store.
type unchangedReader interface {
	// ReadChanged is ReadFile; for the tag that came with the bytes that are known it gives none if they are the same.
	// An empty tag is of no bytes.
	ReadChanged(ctx context.Context, name, tag string) (data []byte, now string, changed bool, err error)
}

// readManifest reads a recording's manifest, or, of one that is known, whether it is another.
func (h *Handler) readManifest(ctx context.Context, r ref, old *recording) (data []byte, tag string, err error) {
	name := reclog.ManifestName(r.path, r.id)
	files, ok := h.files.(unchangedReader)
	if !ok {
		data, err = h.files.ReadFile(ctx, name)
		return data, "", err
	}
	known := ""
	if old != nil {
		known = old.tag
	}
	type answer struct {
		data    []byte
		tag     string
		changed bool
	}
	ask := func(ctx context.Context) (a answer, err error) {
		a.data, a.tag, a.changed, err = files.ReadChanged(ctx, name, known)
		return a, err
	}
	var a answer
	if h.remote() {
		a, err = reading(ctx, h.readings, ask, nil)
	} else { // within a reading already
		a, err = ask(ctx)
	}
	if err == nil && !a.changed {
		a.data = old.manifest
	}
	return a.data, a.tag, err
}

// given is a storage whose manifest of one recording was read a moment ago: it is given once, and read after that.
type given struct {
	reclog.Files
	name     string
	manifest []byte
}

// ReadFile implements reclog.Files.
func (g *given) ReadFile(ctx context.Context, name string) ([]byte, error) {
	if data := g.manifest; data != nil && name == g.name {
		g.manifest = nil
		return data, nil
	}
	return g.Files.ReadFile(ctx, name)
}
