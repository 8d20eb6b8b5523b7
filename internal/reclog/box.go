package reclog

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/oxbow-video/oxbow/internal/media"
)

// fragment is what a moof says about its part.
type fragment struct {
	seq      uint32
	dts      int64
	duration int64
	// sync: the first sample is a random access point. Sample flags that are given nowhere are zero, which says so.
	sync bool
	// head is where the first sample ends, from the moof's first byte on; zero where the boxes do not say.
	head int64
	// size is moof and mdat together, and the emsg boxes in front of them.
	size int64
}

const (
	boxEmsg = 'e'<<24 | 'm'<<16 | 's'<<8 | 'g'
	boxMoof = 'm'<<24 | 'o'<<16 | 'o'<<8 | 'f'
	boxMdat = 'm'<<24 | 'd'<<16 | 'a'<<8 | 't'
	boxMfhd = 'm'<<24 | 'f'<<16 | 'h'<<8 | 'd'
	boxTraf = 't'<<24 | 'r'<<16 | 'a'<<8 | 'f'
	boxTfhd = 't'<<24 | 'f'<<16 | 'h'<<8 | 'd'
	boxTfdt = 't'<<24 | 'f'<<16 | 'd'<<8 | 't'
	boxTrun = 't'<<24 | 'r'<<16 | 'u'<<8 | 'n'

	emsgHeader = 12 // a full box's: the least of an emsg

	nonSync = 0x10000 // sample_is_non_sync_sample, ISO/IEC 14496-12 8.8.3.1
)

var errBox = errors.New("bad box")

// boxes calls fn for each box of a payload. A box that runs past the end is an error: a moof is parsed only when whole.
func boxes(data []byte, fn func(kind uint32, payload []byte) error) error {
	for len(data) > 0 {
		if len(data) < 8 {
			return fmt.Errorf("%w: %d bytes", errBox, len(data))
		}
		size, kind := binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
		if size < 8 || uint64(size) > uint64(len(data)) {
			return fmt.Errorf("%w: size %d of %d", errBox, size, len(data))
		}
		if err := fn(kind, data[8:size]); err != nil {
			return err
		}
		data = data[size:]
	}
	return nil
}

// parseMoof reads a moof's payload. A track file has one track, so there is one traf.
func parseMoof(payload []byte) (fragment, error) {
	var fr fragment
	var mfhd, traf bool
	err := boxes(payload, func(kind uint32, data []byte) error {
		switch kind {
		case boxMfhd:
			if mfhd || len(data) != 8 {
				return fmt.Errorf("%w: mfhd", errBox)
			}
			mfhd, fr.seq = true, binary.BigEndian.Uint32(data[4:])
		case boxTraf:
			if traf {
				return fmt.Errorf("%w: two traf", errBox)
			}
			traf = true
			return parseTraf(data, &fr)
		}
		return nil
	})
	if err == nil && (!mfhd || !traf) {
		err = fmt.Errorf("%w: moof without mfhd or traf", errBox)
	}
	return fr, err
}

// trafState is what a traf's later boxes take from its earlier ones.
type trafState struct {
	tfhd, tfdt, trun bool
	duration         uint32
	size             uint32
	flags            uint32
}

func parseTraf(payload []byte, fr *fragment) error {
	var st trafState
	err := boxes(payload, func(kind uint32, data []byte) error {
		switch kind {
		case boxTfhd:
			return parseTfhd(data, &st)
		case boxTfdt:
			return parseTfdt(data, &st, fr)
		case boxTrun:
			return parseTrun(data, &st, fr)
		}
		return nil
	})
	if err == nil && (!st.tfhd || !st.tfdt || !st.trun) {
		err = fmt.Errorf("%w: traf without tfhd, tfdt or trun", errBox)
	}
	return err
}

func parseTfhd(data []byte, st *trafState) error {
	if st.tfhd || st.trun || len(data) < 8 {
		return fmt.Errorf("%w: tfhd", errBox)
	}
	st.tfhd = true
	flags := binary.BigEndian.Uint32(data)
	data = data[8:]
	fields := []struct {
		flag uint32
		size int
		dst  *uint32
	}{
		{0x01, 8, nil}, // base-data-offset
		{0x02, 4, nil}, // sample-description-index
		{0x08, 4, &st.duration},
		{0x10, 4, &st.size},
		{0x20, 4, &st.flags},
	}
	for _, f := range fields {
		if flags&f.flag == 0 {
			continue
		}
		if len(data) < f.size {
			return fmt.Errorf("%w: tfhd", errBox)
		}
		if f.dst != nil {
			*f.dst = binary.BigEndian.Uint32(data)
		}
		data = data[f.size:]
	}
	return nil
}

func parseTfdt(data []byte, st *trafState, fr *fragment) error {
	if st.tfdt || len(data) < 8 {
		return fmt.Errorf("%w: tfdt", errBox)
	}
	st.tfdt = true
	dts := uint64(binary.BigEndian.Uint32(data[4:]))
	if data[0] == 1 {
		if len(data) < 12 {
			return fmt.Errorf("%w: tfdt", errBox)
		}
		dts = binary.BigEndian.Uint64(data[4:])
	}
	if dts > maxTicks {
		return fmt.Errorf("%w: tfdt of %d", errBox, dts)
	}
	fr.dts = int64(dts)
	return nil
}

func parseTrun(data []byte, st *trafState, fr *fragment) error {
	if len(data) < 8 {
		return fmt.Errorf("%w: trun", errBox)
	}
	flags, count := binary.BigEndian.Uint32(data), int(binary.BigEndian.Uint32(data[4:]))
	data = data[8:]
	var begin int32
	if flags&0x1 != 0 && len(data) >= 4 { // data-offset
		begin = int32(binary.BigEndian.Uint32(data))
		data = data[4:]
	}
	first, size := st.flags, st.size
	if flags&0x4 != 0 { // first-sample-flags
		if len(data) < 4 {
			return fmt.Errorf("%w: trun", errBox)
		}
		first = binary.BigEndian.Uint32(data)
		data = data[4:]
	}
	stride, durationAt, sizeAt, flagsAt := 0, -1, -1, -1
	for _, f := range []struct {
		flag uint32
		at   *int
	}{{0x100, &durationAt}, {0x200, &sizeAt}, {0x400, &flagsAt}, {0x800, nil}} {
		if flags&f.flag == 0 {
			continue
		}
		if f.at != nil {
			*f.at = stride
		}
		stride += 4
	}
	if count == 0 || count > maxMoof || uint64(count)*uint64(stride) != uint64(len(data)) {
		return fmt.Errorf("%w: trun of %d samples in %d bytes", errBox, count, len(data))
	}
	if flagsAt >= 0 {
		first = binary.BigEndian.Uint32(data[flagsAt:])
	}
	if sizeAt >= 0 {
		size = binary.BigEndian.Uint32(data[sizeAt:])
	}
	if !st.trun {
		fr.sync = first&nonSync == 0
		if begin > 0 && size > 0 {
			fr.head = int64(begin) + int64(size)
		}
	}
	st.trun = true
	if durationAt < 0 {
		fr.duration += int64(count) * int64(st.duration)
	} else {
		for i := durationAt; i < len(data); i += stride {
			fr.duration += int64(binary.BigEndian.Uint32(data[i:]))
		}
	}
	if fr.duration < 0 || fr.duration > maxTicks {
		return fmt.Errorf("%w: duration of %d", errBox, fr.duration)
	}
	return nil
}

// checkPart says whether bytes are one moof and one mdat, with or without emsg in front, and gives the sequence number.
// It is on the live path: no allocation, a few loads.
func checkPart(data []byte) (seq uint32, err error) {
	if len(data) > MaxPartSize {
		return 0, fmt.Errorf("%w: part of %d bytes", media.ErrTooLarge, len(data))
	}
	data = data[eventsSize(data):]
	if len(data) >= 24 && string(data[4:16]) == partMark {
		moof := uint64(binary.BigEndian.Uint32(data))
		size, _, ok := mdatSize(data[min(moof, uint64(len(data))):])
		if ok && moof >= 24 && moof <= maxMoof && moof+size == uint64(len(data)) {
			return binary.BigEndian.Uint32(data[20:]), nil
		}
	}
	return 0, fmt.Errorf("%w: a part is one moof, led by its mfhd, and one mdat", media.ErrInvalid)
}

// eventsSize is the number of bytes of the emsg boxes that the data begins with; those that break a bound do not count.
func eventsSize(data []byte) int {
	at := 0
	for len(data)-at >= emsgHeader && binary.BigEndian.Uint32(data[at+4:]) == boxEmsg {
		size := binary.BigEndian.Uint32(data[at:])
		if size < emsgHeader || uint64(at)+uint64(size) > uint64(min(len(data), MaxEvents)) {
			break
		}
		at += int(size)
	}
	return at
}

// mdatSize reads an mdat's header: the size of the whole box and of the header.
func mdatSize(head []byte) (size uint64, header int, ok bool) {
	if len(head) < 8 || binary.BigEndian.Uint32(head[4:]) != boxMdat {
		return 0, 0, false
	}
	size, header = uint64(binary.BigEndian.Uint32(head)), 8
	if size == 1 {
		if len(head) < 16 {
			return 0, 0, false
		}
		size, header = binary.BigEndian.Uint64(head[8:]), 16
	}
	return size, header, size >= uint64(header) && size <= MaxPartSize
}
