package cacheproxy

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// errNoArchive: the recording is in a store that this edge was not told of.
var errNoArchive = errors.New(
	"this edge was not given the archive that the recording is in: its operator's --archives lacks it")

// archiveName stands for the default archive where nodes have a host.
const archiveName = "archive"

// archives are the stores of finished recordings, by name.
type archives struct {
	stores map[string]http.RoundTripper
	all    []upstream // the default one first
	logger *slog.Logger

	mu   sync.Mutex
	told time.Time // when an unknown one was logged last
}

func newArchives(stores map[string]http.Handler, logger *slog.Logger) *archives {
	a := &archives{stores: make(map[string]http.RoundTripper), logger: logger}
	for name, handler := range stores {
		if handler == nil {
			continue
		}
		a.stores[cmp.Or(name, media.DefaultArchive)] = &handlerTransport{handler: handler, logger: logger}
	}
	for _, name := range slices.Sorted(maps.Keys(a.stores)) {
		if up := archiveUpstream(name); name == media.DefaultArchive {
			a.all = slices.Insert(a.all, 0, up)
		} else {
			a.all = append(a.all, up)
		}
	}
	return a
}

func archiveUpstream(store string) upstream {
	if store == media.DefaultArchive {
		return upstream{name: archiveName, store: store}
	}
	return upstream{name: archiveName + ":" + store, store: store}
}

// of gives the stores that have a recording, its mirror last; an error says that some are not known here.
func (a *archives) of(loc media.Location) (ups []upstream, err error) {
	names := []string{cmp.Or(loc.Archive, media.DefaultArchive)}
	if loc.Mirror != "" && loc.Mirror != names[0] {
		names = append(names, loc.Mirror)
	}
	for _, name := range names {
		if a.stores[name] != nil {
			ups = append(ups, archiveUpstream(name))
			continue
		}
		err = fmt.Errorf("archive %q: %w", name, errNoArchive)
		a.tell(name, loc)
	}
	return ups, err
}

// tell logs an unknown name, of many in a row one.
func (a *archives) tell(name string, loc media.Location) {
	const again = 30 * time.Second
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); a.told.IsZero() || now.Sub(a.told) >= again {
		a.told = now
		a.logger.Error("a recording is in an archive that this edge was not given", "archive", name,
			"publisher", loc.Publisher, "stream", loc.Stream, "recording", loc.Recording, "do", "add it to --archives")
	}
}
