package origin

import (
	"context"

	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	// readAhead is how many files of a recording are read from a store, or wait to be used, at a time.
	readAhead = 8
	// remoteLate is how many readings of a store may be late before others are given less time: each is a request of its
	// own, which holds no thread, and one that is slow says nothing of the next.
	remoteLate = 16
)

// remote says that what is read comes over the network from a store, where each file costs a round trip and none is
// held up by another: an archive in a bucket.
func (h *Handler) remote() bool {
	_, ok := h.files.(unchangedReader)
	return ok && h.live == nil
}

// ahead is a storage that reads a recording's files before they are asked for, in the order in which they will be. It
// is not safe for concurrent use.
type ahead struct {
	reclog.Files
	read  func(ctx context.Context, name string) ([]byte, error)
	names []string
	at    map[string]int
	files []chan aheadFile // of those that are being read, one each
}

type aheadFile struct {
	data []byte
	err  error
}

// newAhead reads what a manifest names. One that can't be parsed names nothing: whoever loads it says what is wrong.
func newAhead(
	files reclog.Files, manifest []byte, read func(ctx context.Context, name string) ([]byte, error),
) *ahead {
	a := &ahead{Files: files, read: read, at: make(map[string]int)}
	m, err := reclog.ParseManifest(manifest)
	if err != nil {
		return a
	}
	for i := range m.Takes {
		take := &m.Takes[i]
		for _, track := range take.Tracks {
			a.add(m.IndexName(take.Number, track.Name))
		}
		if !take.Sealed || take.Metadata {
			a.add(reclog.MetadataName(m.Path(), m.ID, take.Number))
		}
	}
	return a
}

func (a *ahead) add(name string) {
	a.at[name] = len(a.names)
	a.names = append(a.names, name)
}

// ReadFile implements reclog.Files.
func (a *ahead) ReadFile(ctx context.Context, name string) ([]byte, error) {
	i, ok := a.at[name]
	if !ok {
		return a.read(ctx, name)
	}
	delete(a.at, name) // it is read again if it is asked for again
	for next := len(a.files); next < min(i+readAhead, len(a.names)); next++ {
		file := make(chan aheadFile, 1) // so that nobody waits for who has given up
		a.files = append(a.files, file)
		go func() {
			data, err := a.read(ctx, a.names[next])
			file <- aheadFile{data, err}
		}()
	}
	got := <-a.files[i]
	return got.data, got.err
}
