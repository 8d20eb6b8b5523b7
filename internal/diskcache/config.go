package diskcache

import (
	"fmt"
	"time"
)

const (
	// minBytes is the least room that is worth a cache.
	minBytes = 16 << 20
	// minSegment, commonSegment and maxSegment bound a segment's bytes: as small as a sixteenth of the cache, so that
	// eviction takes little at a time; larger than the common size only to stay within the files.
	minSegment    = 1 << 20
	commonSegment = 256 << 20
	maxSegment    = 1 << 30
	// otherFiles are the files beside segments: the mark, the drop log, its next version.
	otherFiles = 3
	// maxDrops bounds the drop log's records.
	maxDrops = 65536
)

// Config holds a store's limits. The zero value of every field but Dir is usable, and means what its comment says.
type Config struct {
	// Dir is the directory, the cache's own; it is made if it is not there.
	Dir string
	// Bytes bounds all files together. Zero means 10 GiB; the least is 16 MiB.
	Bytes int64
	// Files bounds their number, and that of the descriptors. Zero means 1024; the least is 16.
	Files int
	// Entries bounds the entries, of which each takes some 80 bytes of memory. Zero means one per 8 KiB of Bytes.
	Entries int
	// QueueBytes bounds the bodies that wait to be written. Zero means 64 MiB.
	QueueBytes int64
	// Reads bounds the reads under way. Zero means 64.
	Reads int
	// ReadTimeout bounds the wait for a read: past it the caller has a miss. Zero means 2 s.
	ReadTimeout time.Duration
}

func (c Config) withDefaults() Config {
	if c.Bytes == 0 {
		c.Bytes = 10 << 30
	}
	if c.Files == 0 {
		c.Files = 1024
	}
	if c.Entries <= 0 {
		c.Entries = int(c.Bytes >> 13)
	}
	if c.QueueBytes <= 0 {
		c.QueueBytes = 64 << 20
	}
	if c.Reads <= 0 {
		c.Reads = 64
	}
	if c.ReadTimeout <= 0 {
		c.ReadTimeout = 2 * time.Second
	}
	return c
}

// layout is what follows from the bounds.
type layout struct {
	segment  int64 // bytes of a segment, footer included
	segments int64 // bytes of all segments
	files    int   // segments
	drops    int   // records of the drop log
}

func (c Config) layout() (layout, error) {
	switch {
	case c.Dir == "":
		return layout{}, fmt.Errorf("%w: no directory is named", ErrConfig)
	case c.Bytes < minBytes:
		return layout{}, fmt.Errorf("%w: a disk cache of %d bytes: give it at least %d (16MiB)", ErrConfig, c.Bytes, minBytes)
	case c.Files < 16:
		return layout{}, fmt.Errorf("%w: a disk cache of %d files: give it at least 16", ErrConfig, c.Files)
	}
	l := layout{files: c.Files - otherFiles, drops: int(min(maxDrops, c.Bytes/2048))}
	l.segments = c.Bytes - 2*int64(dropsHeader+(l.drops+1)*dropSize) - int64(len(markText))
	l.segment = min(max(c.Bytes/16, minSegment), commonSegment)
	if least := l.segments/int64(l.files) + 1; l.segment < least {
		l.segment = least
	}
	if l.segment > maxSegment {
		return layout{}, fmt.Errorf("%w: %d bytes in %d files: allow at least %d files", ErrConfig, c.Bytes, c.Files,
			c.Bytes/maxSegment+2+otherFiles)
	}
	return l, nil
}
