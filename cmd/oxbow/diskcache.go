package main

import (
	"fmt"

	"github.com/oxbow-video/oxbow/internal/diskcache"
)

// diskFlags are of the edge's cache on disk.
type diskFlags struct {
	Dir   string   `name:"disk-cache" placeholder:"DIR" help:"Directory of its own for media that memory has no room for, still there after a restart (default: none)."`
	Size  byteSize `name:"disk-cache-size" default:"10GiB" placeholder:"SIZE" help:"Most bytes that it takes, at least 16MiB (default: ${default})."`
	Files int      `name:"disk-cache-files" default:"1024" placeholder:"N" help:"Most files and open descriptors that it takes (default: ${default})."`
}

// openDisk opens what --disk-cache names. It is closed with the node, after the edge.
func (n *node) openDisk(f diskFlags) error {
	if f.Dir == "" {
		return nil
	}
	store, err := diskcache.Open(diskcache.Config{Dir: f.Dir, Bytes: int64(f.Size), Files: f.Files}, n.logger, n.metrics)
	if err != nil {
		return fmt.Errorf("--disk-cache: %w", err)
	}
	n.disk = store
	n.onClose(store.Close)
	return nil
}

// diskTrouble says that the disk cache is at fault.
func (n *node) diskTrouble() string {
	if n.disk != nil && n.disk.Paused() {
		return "the disk cache takes nothing new"
	}
	return ""
}
