package diskcache

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

const (
	dropsFile   = "drops.log"
	dropsNext   = "drops.log.tmp"
	dropsMagic  = "OxDrops1"
	dropsHeader = 16
	dropMagic   = 0x3144784f // "OxD1"
	dropSize    = 16
)

// drop is a record of the drop log: entries of the group with a lesser epoch are gone.
type drop struct{ group, epoch uint32 }

func appendDropsHeader(b []byte, epoch uint32) []byte {
	start := len(b)
	b = append(b, dropsMagic...)
	b = binary.LittleEndian.AppendUint32(b, epoch)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

func appendDrop(b []byte, d drop) []byte {
	start := len(b)
	le := binary.LittleEndian
	b = le.AppendUint32(b, dropMagic)
	b = le.AppendUint32(b, d.group)
	b = le.AppendUint32(b, d.epoch)
	return le.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// parseDrops reads a log: the epoch, the records, and how much of it is good. A write that was cut short at the end, or
// that never came out of the page cache and left zeros, is no damage.
func parseDrops(b []byte) (epoch uint32, drops []drop, good int, ok bool) {
	le := binary.LittleEndian
	if len(b) < dropsHeader || string(b[:8]) != dropsMagic || crc32.Checksum(b[:12], castagnoli) != le.Uint32(b[12:]) {
		return 0, nil, 0, false
	}
	epoch = le.Uint32(b[8:])
	for good = dropsHeader; len(b)-good >= dropSize; good += dropSize {
		c := b[good : good+dropSize]
		if crc32.Checksum(c[:12], castagnoli) != le.Uint32(c[12:]) || le.Uint32(c) != dropMagic {
			return epoch, drops, good, zeros(b[good:])
		}
		d := drop{group: le.Uint32(c[4:]), epoch: le.Uint32(c[8:])}
		epoch = max(epoch, d.epoch)
		drops = append(drops, d)
	}
	return epoch, drops, good, true
}

func zeros(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// dropLog is the file; the writer's goroutine owns it.
type dropLog struct {
	dir     string
	file    *os.File
	records int
}

var errDamaged = errors.New("damaged")

// openDrops reads the log or begins one. With errDamaged what it said is unknown.
func openDrops(dir string, limit int) (l *dropLog, epoch uint32, drops []drop, err error) {
	l = &dropLog{dir: dir}
	name := filepath.Join(dir, dropsFile)
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return l, 0, nil, err
	}
	b, err := io.ReadAll(io.LimitReader(f, int64(dropsHeader+(limit+1)*dropSize)))
	if err != nil {
		return l, 0, nil, errors.Join(err, f.Close())
	}
	epoch, drops, good, ok := parseDrops(b)
	if !ok || len(drops) > limit {
		return l, 0, nil, errors.Join(fmt.Errorf("read %s: %w", name, errDamaged), f.Close())
	}
	if err := f.Truncate(int64(good)); err != nil {
		return l, 0, nil, errors.Join(err, f.Close())
	}
	l.file, l.records = f, len(drops)
	return l, epoch, drops, nil
}

// append writes records behind the others.
func (l *dropLog) append(drops []drop) error {
	if l.file == nil {
		return os.ErrClosed
	}
	b := make([]byte, 0, len(drops)*dropSize)
	for _, d := range drops {
		b = appendDrop(b, d)
	}
	at := int64(dropsHeader + l.records*dropSize)
	if _, err := l.file.WriteAt(b, at); err != nil {
		return errors.Join(err, l.file.Truncate(at))
	}
	l.records += len(drops)
	return l.file.Sync()
}

// replace writes a log of these records in the old one's place.
func (l *dropLog) replace(epoch uint32, drops []drop) error {
	b := appendDropsHeader(nil, epoch)
	for _, d := range drops {
		b = appendDrop(b, d)
	}
	next := filepath.Join(l.dir, dropsNext)
	f, err := os.OpenFile(next, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(next, filepath.Join(l.dir, dropsFile))
	}
	if err != nil {
		return errors.Join(err, f.Close(), os.Remove(next))
	}
	old := l.file
	l.file, l.records = f, len(drops)
	return closeFile(old)
}

func (l *dropLog) close() error {
	f := l.file
	l.file = nil
	return closeFile(f)
}

func closeFile(f *os.File) error {
	if f == nil {
		return nil
	}
	return f.Close()
}
