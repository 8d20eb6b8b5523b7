package test

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

func (v *faultVolume) open(path string, flags int, node uint64) ([]byte, error) {
	f, err := os.OpenFile(path, flags&syscall.O_ACCMODE, 0)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counter++
	v.files[v.counter] = f
	v.nodes[node].open = append(v.nodes[node].open, f)
	return append(binary.LittleEndian.AppendUint64(nil, v.counter), make([]byte, 8)...), nil
}

// path gives the name behind a node, or of an entry of it.
func (v *faultVolume) path(node uint64, name string) (string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for node != fuseRoot {
		n := v.nodes[node]
		if n == nil || n.gone {
			return "", syscall.ESTALE
		}
		name = filepath.Join(n.name, name)
		node = n.parent
	}
	return filepath.Join(v.back, name), nil
}

// entry answers a lookup. Nothing of it may be kept.
func (v *faultVolume) entry(parent uint64, name string) ([]byte, error) {
	path, err := v.path(parent, name)
	if err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	id, ok := v.names[volumeName{parent, name}]
	if !ok {
		v.counter++
		id = v.counter
		v.names[volumeName{parent, name}] = id
		v.nodes[id] = &volumeNode{volumeName: volumeName{parent, name}}
	}
	out := binary.LittleEndian.AppendUint64(nil, id)
	return append(append(out, make([]byte, 32)...), attributesOf(info)...), nil
}

func (v *faultVolume) attributes(r *volumeRequest) ([]byte, error) {
	const (
		getByFile  = 1 << 0
		setMode    = 1 << 0
		setSize    = 1 << 3
		setByFile  = 1 << 6
		fileOffset = 8
	)
	var f *os.File
	if byFile := r.u32(0); r.code == opGetattr && byFile&getByFile != 0 || r.code == opSetattr && byFile&setByFile != 0 {
		v.mu.Lock()
		f = v.files[r.u64(fileOffset)]
		v.mu.Unlock()
	}
	path, err := v.path(r.node, "")
	if err != nil && f == nil {
		v.mu.Lock()
		if n := v.nodes[r.node]; n != nil && len(n.open) > 0 {
			f = n.open[0]
		}
		v.mu.Unlock()
	}
	if err != nil && f == nil {
		return nil, err
	}
	if r.code == opSetattr && r.u32(0)&setSize != 0 {
		if f != nil {
			err = f.Truncate(int64(r.u64(16)))
		} else {
			err = os.Truncate(path, int64(r.u64(16)))
		}
		if err != nil {
			return nil, err
		}
	}
	if r.code == opSetattr && r.u32(0)&setMode != 0 && path != "" {
		if err := os.Chmod(path, os.FileMode(r.u32(68)&0o777)); err != nil {
			return nil, err
		}
	}
	var info os.FileInfo
	if f != nil {
		info, err = f.Stat()
	} else {
		info, err = os.Lstat(path)
	}
	if err != nil {
		return nil, err
	}
	return append(make([]byte, 16), attributesOf(info)...), nil
}

func attributesOf(info os.FileInfo) []byte {
	s := info.Sys().(*syscall.Stat_t)
	var out []byte
	for _, n := range []uint64{
		s.Ino, uint64(s.Size), uint64(s.Blocks), uint64(s.Atim.Sec), uint64(s.Mtim.Sec), uint64(s.Ctim.Sec),
	} {
		out = binary.LittleEndian.AppendUint64(out, n)
	}
	for _, n := range []uint32{
		uint32(s.Atim.Nsec), uint32(s.Mtim.Nsec), uint32(s.Ctim.Nsec), s.Mode, uint32(s.Nlink), s.Uid, s.Gid, 0, 4096, 0,
	} {
		out = binary.LittleEndian.AppendUint32(out, n)
	}
	return out
}

func (v *faultVolume) remove(parent uint64, name string) error {
	path, err := v.path(parent, name)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forgetLocked(volumeName{parent, name})
	return nil
}

func (v *faultVolume) forgetLocked(name volumeName) {
	if id, ok := v.names[name]; ok {
		v.nodes[id].gone = true
		delete(v.names, name)
	}
}

func (v *faultVolume) rename(from, to volumeName) error {
	a, err := v.path(from.parent, from.name)
	if err != nil {
		return err
	}
	b, err := v.path(to.parent, to.name)
	if err != nil {
		return err
	}
	if err := os.Rename(a, b); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.forgetLocked(to)
	if id, ok := v.names[from]; ok {
		delete(v.names, from)
		v.names[to] = id
		v.nodes[id].volumeName = to
	}
	return nil
}

// list gives a directory's entries from an offset on, which is a number in their order.
func (v *faultVolume) list(f *os.File, from uint64, limit int) ([]byte, error) {
	entries, err := os.ReadDir(f.Name())
	if err != nil {
		return nil, err
	}
	out := []byte{}
	for i := from; i < uint64(len(entries)); i++ {
		name := entries[i].Name()
		kind := uint32(syscall.DT_REG)
		if entries[i].IsDir() {
			kind = syscall.DT_DIR
		}
		if len(out)+24+len(name)+8 > limit {
			break
		}
		out = binary.LittleEndian.AppendUint64(out, 1)
		out = binary.LittleEndian.AppendUint64(out, i+1)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(name)))
		out = binary.LittleEndian.AppendUint32(out, kind)
		out = append(out, name...)
		out = append(out, make([]byte, -len(name)&7)...)
	}
	return out, nil
}

func (v *faultVolume) statfs() ([]byte, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(v.back, &s); err != nil {
		return nil, err
	}
	// A volume of a GiB, half full, or full.
	const blocks = 1 << 30 / 4096
	free := uint64(blocks / 2)
	v.mu.Lock()
	if v.used > 0 {
		free = uint64(blocks * (1 - v.used))
	}
	if v.full {
		free = 0
	}
	v.mu.Unlock()
	var out []byte
	for _, n := range []uint64{blocks, free, free, 1 << 20, 1 << 19} {
		out = binary.LittleEndian.AppendUint64(out, n)
	}
	for _, n := range []uint32{4096, 255, 4096, 0} {
		out = binary.LittleEndian.AppendUint32(out, n)
	}
	return append(out, make([]byte, 24)...), nil
}
