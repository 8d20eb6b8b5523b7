package reclog

import (
	"bytes"
	"errors"
	"fmt"

	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing/fstest"
	"time"
)

// opKind is an act on a file system that changes it or makes it last.
type opKind string

const (
	opWrite    opKind = "write"
	opTruncate opKind = "truncate"
	opSync     opKind = "sync"
	opCreate   opKind = "create"
	opMkdir    opKind = "mkdir"
	opRename   opKind = "rename"
	opRemove   opKind = "remove"
)

// op is one entry of a journal.
type op struct {
	kind opKind
	name string // at the time
	to   string
	node int
	off  int64 // or the new size
	data []byte
}

func (o op) String() string {
	return fmt.Sprintf("%s %s %s %d+%d", o.kind, o.name, o.to, o.off, len(o.data))
}

// memFS is a file system in memory that keeps a journal, from which the state after any crash can be made again, and
// that fails where it is told to.
type memFS struct {
	mu      sync.Mutex
	nodes   []*memNode
	names   map[string]int
	journal []op
	// fail decides whether an act fails; for a write, how many of its bytes get through before.
	fail func(at int, o op) (through int, err error)
	acts int
	// hold, if not nil, is waited for by each sync of a file.
	hold chan struct{}
}

type memNode struct {
	dir  bool
	data []byte
}

var errInjected = errors.New("injected")

func newMemFS() *memFS {
	return &memFS{nodes: []*memNode{{dir: true}}, names: map[string]int{"/": 0}}
}

// do runs an act, or makes it fail, and writes the journal.
func (m *memFS) do(o op) error {
	at := m.acts
	m.acts++
	if m.fail != nil {
		if through, err := m.fail(at, o); err != nil {
			if o.kind == opWrite && through > 0 {
				o.data = o.data[:min(through, len(o.data))]
				m.apply(o)
			}
			return &fs.PathError{Op: string(o.kind), Path: o.name, Err: err}
		}
	}
	m.apply(o)
	return nil
}

func (m *memFS) apply(o op) {
	o.data = slices.Clone(o.data)
	m.journal = append(m.journal, o)
	for len(m.nodes) <= o.node {
		m.nodes = append(m.nodes, &memNode{}) // also for a write to a file whose creation was lost
	}
	switch o.kind {
	case opWrite:
		n := m.nodes[o.node]
		if end := o.off + int64(len(o.data)); end > int64(len(n.data)) {
			n.data = append(n.data, make([]byte, end-int64(len(n.data)))...)
		}
		copy(n.data[o.off:], o.data)
	case opTruncate:
		n := m.nodes[o.node]
		if o.off <= int64(len(n.data)) {
			n.data = slices.Clone(n.data[:o.off])
		}
	case opCreate, opMkdir:
		m.nodes[o.node] = &memNode{dir: o.kind == opMkdir}
		m.names[o.name] = o.node
	case opRename:
		m.renameTree(o.name, o.to)
	case opRemove:
		delete(m.names, o.name)
	}
}

func (m *memFS) renameTree(from, to string) {
	for name, node := range maps.Clone(m.names) {
		if name == from || (len(name) > len(from) && name[:len(from)+1] == from+"/") {
			delete(m.names, name)
			m.names[to+name[len(from):]] = node
		}
	}
}

// replay makes the file system as it was after the journal's entries.
func replay(journal []op) *memFS {
	m := newMemFS()
	for _, o := range journal {
		m.apply(o)
	}
	m.journal = nil
	for name := range maps.Clone(m.names) {
		for dir := name; dir != "/"; dir = filepath.Dir(dir) {
			if _, ok := m.names[dir]; !ok {
				delete(m.names, name) // its directory was lost
			}
		}
	}
	return m
}

func (m *memFS) lookup(name string) (int, bool) {
	node, ok := m.names[filepath.Clean(name)]
	return node, ok
}

func (m *memFS) OpenFile(name string, flag int, _ fs.FileMode) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	node, ok := m.lookup(name)
	switch {
	case ok && flag&os.O_EXCL != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case !ok && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case !ok:
		if _, ok := m.lookup(filepath.Dir(name)); !ok {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		}
		node = len(m.nodes)
		if err := m.do(op{kind: opCreate, name: name, node: node}); err != nil {
			return nil, err
		}
	case flag&os.O_TRUNC != 0:
		if err := m.do(op{kind: opTruncate, name: name, node: node}); err != nil {
			return nil, err
		}
	}
	return &memFile{fs: m, name: name, node: node}, nil
}

func (m *memFS) Mkdir(name string, _ fs.FileMode) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if _, ok := m.lookup(name); ok {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrExist}
	}
	if _, ok := m.lookup(filepath.Dir(name)); !ok {
		return &fs.PathError{Op: "mkdir", Path: name, Err: fs.ErrNotExist}
	}
	return m.do(op{kind: opMkdir, name: name, node: len(m.nodes)})
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.lookup(from); !ok {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	return m.do(op{kind: opRename, name: filepath.Clean(from), to: filepath.Clean(to)})
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	if _, ok := m.lookup(name); !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	if len(m.children(name)) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: errors.New("directory not empty")}
	}
	return m.do(op{kind: opRemove, name: name})
}

func (m *memFS) children(dir string) []string {
	var names []string
	for name := range m.names {
		if name != "/" && filepath.Dir(name) == dir {
			names = append(names, filepath.Base(name))
		}
	}
	slices.Sort(names)
	return names
}

func (m *memFS) ReadDir(name string) ([]fs.DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.Clean(name)
	node, ok := m.lookup(name)
	if !ok || !m.nodes[node].dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	var entries []fs.DirEntry
	for _, child := range m.children(name) {
		node, _ := m.lookup(filepath.Join(name, child))
		entries = append(entries, fs.FileInfoToDirEntry(m.info(child, node)))
	}
	return entries, nil
}

func (m *memFS) info(name string, node int) fs.FileInfo {
	n := m.nodes[node]
	mode := filePerm
	if n.dir {
		mode = dirPerm | fs.ModeDir
	}
	mapped := fstest.MapFS{name: {Data: n.data, Mode: mode, ModTime: time.Time{}}}
	info, err := mapped.Stat(name)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return info
}

// contents gives a file's bytes; nil if it is not there.
func (m *memFS) contents(name string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	node, ok := m.lookup(name)
	if !ok {
		return nil
	}
	return slices.Clone(m.nodes[node].data)
}

// set gives a file other bytes, as damage does.
func (m *memFS) set(name string, data []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	node, ok := m.lookup(name)
	if !ok {
		panic("BUG: no file " + name)
	}
	m.nodes[node].data = slices.Clone(data)
}

// nameOf gives a node's name now, or the one that it had.
func (m *memFS) nameOf(node int, before string) string {
	if at, ok := m.names[before]; ok && at == node {
		return before
	}
	for name, at := range m.names {
		if at == node {
			return name
		}
	}
	return before
}

// memFile is an open file of a memFS; it follows its node through renames and removal.
type memFile struct {
	fs   *memFS
	name string
	node int
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return bytes.NewReader(f.fs.nodes[f.node].data).ReadAt(p, off)
}

func (f *memFile) WriteAt(p []byte, off int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.do(op{kind: opWrite, name: f.fs.nameOf(f.node, f.name), node: f.node, off: off, data: p}); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.fs.do(op{kind: opTruncate, name: f.fs.nameOf(f.node, f.name), node: f.node, off: size})
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	hold := f.fs.hold
	f.fs.mu.Unlock()
	if hold != nil {
		<-hold
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.fs.do(op{kind: opSync, name: f.fs.nameOf(f.node, f.name), node: f.node})
}

func (f *memFile) Stat() (fs.FileInfo, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return f.fs.info(filepath.Base(f.name), f.node), nil
}

func (f *memFile) Close() error { return nil }

func (m *memFS) mustRemove(name string) {
	if err := m.Remove(name); err != nil {
		panic("BUG: " + err.Error())
	}
}

// glob lists names by a pattern of package filepath.
func (m *memFS) glob(pattern string) []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found []string
	for name := range m.names {
		if ok, err := filepath.Match(pattern, name); err == nil && ok {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}
