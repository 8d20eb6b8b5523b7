package ingest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// fmp4Demuxer takes media out of fragmented MP4 as HLS has it: an init section, then segments of moof and mdat (ISO/IEC
// 14496-12, which the section numbers are of). It reads what lies in memory, and allocates by the boxes' true sizes.
type fmp4Demuxer struct {
	sink     sink
	maxFrame int
	init     []byte // the section that tracks is of
	tracks   []*fmp4Track
	frame    media.Frame // reused

	// What the segment may still give, so that runs that overlap are not worth their while.
	samples, bytes int
}

// fmp4Track is one track of the init section.
type fmp4Track struct {
	id        uint32
	trackID   trackID
	timescale int64
	shift     int64 // of the edit list, in ticks: presentation is media time plus it
	track     media.Track
	video     bitstream.Video // of video whose payload is looked into
	announced bool            // configure was called
	given     []byte          // the configuration that the sink was told last
	stated    media.Display   // what the boxes say of showing the pictures

	// Defaults of trex (8.8.3).
	duration, size uint32

	next int64 // decode time after the last sample, for fragments without tfdt
}

// maxFMP4Samples bounds the samples of one segment. Their bytes are bounded by the segment's.
const maxFMP4Samples = 1 << 16

var errMP4 = fmt.Errorf("%w: torn MP4 boxes", media.ErrInvalid)

// mp4Box takes the first box off b (4.2).
func mp4Box(b []byte) (kind string, body, rest []byte, err error) {
	if len(b) < 8 {
		return "", nil, nil, errMP4
	}
	size, header := uint64(binary.BigEndian.Uint32(b)), uint64(8)
	switch size {
	case 0:
		size = uint64(len(b))
	case 1:
		if len(b) < 16 {
			return "", nil, nil, errMP4
		}
		size, header = binary.BigEndian.Uint64(b[8:]), 16
	}
	if size < header || size > uint64(len(b)) {
		return "", nil, nil, errMP4
	}
	return string(b[4:8]), b[header:size], b[size:], nil
}

// mp4Boxes calls f with each box of b.
func mp4Boxes(b []byte, f func(kind string, body []byte) error) error {
	for len(b) > 0 {
		kind, body, rest, err := mp4Box(b)
		if err != nil {
			return err
		}
		if err := f(kind, body); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// mp4Path calls f with each box that lies at the path.
func mp4Path(b []byte, f func(body []byte) error, path ...string) error {
	return mp4Boxes(b, func(kind string, body []byte) error {
		switch {
		case kind != path[0]:
			return nil
		case len(path) == 1:
			return f(body)
		}
		return mp4Path(body, f, path[1:]...)
	})
}

// setInit reads an init section. The same one again changes nothing.
func (d *fmp4Demuxer) setInit(section []byte) error {
	if d.init != nil && bytes.Equal(d.init, section) {
		return nil
	}
	before := d.tracks
	d.tracks = nil
	counts := map[media.Kind]int{}
	err := mp4Path(section, func(trak []byte) error {
		t, err := readFMP4Track(trak)
		if err != nil || t == nil {
			return err
		}
		t.trackID = trackID{kind: t.track.Kind, number: counts[t.track.Kind]}
		counts[t.track.Kind]++
		if t.trackID.number < maxTracksOfKind {
			d.tracks = append(d.tracks, t)
		}
		return nil
	}, "moov", "trak")
	if err != nil {
		return err
	}
	if len(d.tracks) == 0 {
		return fmt.Errorf("%w: the source's MP4 has no track that is taken", media.ErrUnsupported)
	}
	if err := mp4Path(section, d.readTrex, "moov", "mvex", "trex"); err != nil {
		return err
	}
	d.init = bytes.Clone(section)
	d.sink.announce(counts[media.Video], counts[media.Audio])
	for _, old := range before {
		if d.find(func(t *fmp4Track) bool { return t.trackID == old.trackID }) == nil {
			d.sink.remove(old.trackID)
		}
	}
	for _, t := range d.tracks {
		// The samples of the others say how long a unit is.
		if t.track.Kind == media.Video || t.track.Codec == media.AAC || t.track.Unit > 0 {
			if err := d.configure(t, t.track.Config); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *fmp4Demuxer) find(is func(*fmp4Track) bool) *fmp4Track {
	for _, t := range d.tracks {
		if is(t) {
			return t
		}
	}
	return nil
}

// configure hands over a track's configuration.
func (d *fmp4Demuxer) configure(t *fmp4Track, config []byte) error {
	if t.video != nil && !t.announced {
		given, _ := t.video.SetConfig(config)
		if given == nil { // it comes with the pictures
			t.announced = true
			return nil
		}
		config = given
	}
	t.announced = true
	t.given = config
	track := t.track
	track.Config = config
	return d.sink.configure(t.trackID, track)
}

// picture hands over what a picture brings beside itself: another configuration, another way of showing, captions.
func (d *fmp4Demuxer) picture(t *fmp4Track, unit *bitstream.Unit, wall time.Time) error {
	if unit.Display != nil {
		t.track.Display = unit.Display.Over(t.stated)
		t.track.Display.Rotation = t.stated.Rotation // players of MP4 go by the track's matrix alone
	}
	config := unit.Config
	if config != nil && unit.Width > 0 {
		t.track.Width, t.track.Height = unit.Width, unit.Height
	}
	if config == nil && unit.Display != nil {
		config = t.given
	}
	if config != nil {
		if err := d.configure(t, bytes.Clone(config)); err != nil {
			return err
		}
	}
	if !unit.Picture || t.trackID.number > 0 || len(unit.Captions) == 0 {
		return nil
	}
	return d.sink.metadata(&media.TimedMetadata{
		Kind: media.Captions, PTS: d.frame.PTS, Payload: unit.Captions, Wall: wall,
	})
}

func (d *fmp4Demuxer) readTrex(body []byte) error {
	if len(body) < 24 {
		return errMP4
	}
	id := binary.BigEndian.Uint32(body[4:])
	if t := d.find(func(t *fmp4Track) bool { return t.id == id }); t != nil {
		t.duration, t.size = binary.BigEndian.Uint32(body[12:]), binary.BigEndian.Uint32(body[16:])
	}
	return nil
}

// feed takes a whole segment.
func (d *fmp4Demuxer) feed(segment []byte, wall time.Time) error {
	d.samples, d.bytes = maxFMP4Samples, len(segment)
	var moof []byte
	moofAt := 0
	for rest := segment; len(rest) > 0; {
		at := len(segment) - len(rest)
		kind, body, after, err := mp4Box(rest)
		if err != nil {
			return err
		}
		rest = after
		switch {
		case kind == "moof":
			moof, moofAt = body, at
		case kind == "mdat" && moof != nil:
			end := len(segment) - len(after)
			err := mp4Path(moof, func(traf []byte) error { return d.fragment(segment[:end], moofAt, traf, wall) }, "traf")
			if err != nil {
				return err
			}
			moof = nil
		}
	}
	return nil
}

// fmp4Fragment is a track fragment's header (8.8.7) and decode time (8.8.12).
type fmp4Fragment struct {
	track          *fmp4Track
	base           int // of data offsets, in the segment
	duration, size uint32
	decode         int64
	at             int // where the next run's data begins
}

// fragment reads one traf of the moof at that offset.
func (d *fmp4Demuxer) fragment(segment []byte, moofAt int, traf []byte, wall time.Time) error {
	f := fmp4Fragment{base: moofAt, at: -1}
	return mp4Boxes(traf, func(kind string, body []byte) error {
		switch {
		case kind == "tfhd":
			return d.fragmentHeader(&f, body)
		case f.track == nil:
			return nil // of a track that is not taken
		case kind == "tfdt":
			return f.decodeTime(body)
		case kind == "trun":
			return d.run(&f, segment, body, wall)
		}
		return nil
	})
}

func (d *fmp4Demuxer) fragmentHeader(f *fmp4Fragment, body []byte) error {
	const baseOffset, description, duration, size = 1, 2, 8, 0x10
	if len(body) < 8 {
		return errMP4
	}
	flags, id := binary.BigEndian.Uint32(body)&0xffffff, binary.BigEndian.Uint32(body[4:])
	if f.track = d.find(func(t *fmp4Track) bool { return t.id == id }); f.track == nil {
		return nil
	}
	f.duration, f.size, f.decode = f.track.duration, f.track.size, f.track.next
	rest := body[8:]
	if flags&baseOffset != 0 {
		// An offset in the file that the segment was cut from: CMAF and HLS have none. Data follows its moof there too.
		if len(rest) < 8 {
			return errMP4
		}
		rest = rest[8:]
	}
	for _, field := range []struct {
		flag uint32
		into *uint32
	}{{description, new(uint32)}, {duration, &f.duration}, {size, &f.size}} {
		if flags&field.flag == 0 {
			continue
		}
		if len(rest) < 4 {
			return errMP4
		}
		*field.into, rest = binary.BigEndian.Uint32(rest), rest[4:]
	}
	return nil
}

func (f *fmp4Fragment) decodeTime(body []byte) error {
	switch {
	case len(body) >= 12 && body[0] == 1:
		f.decode = int64(binary.BigEndian.Uint64(body[4:]))
	case len(body) >= 8 && body[0] == 0:
		f.decode = int64(binary.BigEndian.Uint32(body[4:]))
	default:
		return errMP4
	}
	if f.decode < 0 {
		return errMP4
	}
	return nil
}

// run reads the samples of one trun (8.8.8).
func (d *fmp4Demuxer) run(f *fmp4Fragment, segment, body []byte, wall time.Time) error {
	const dataOffset, firstFlags, duration, size, sampleFlags, composition = 1, 4, 0x100, 0x200, 0x400, 0x800
	if len(body) < 8 {
		return errMP4
	}
	flags, count := binary.BigEndian.Uint32(body)&0xffffff, binary.BigEndian.Uint32(body[4:])
	rest := body[8:]
	if flags&dataOffset != 0 {
		if len(rest) < 4 {
			return errMP4
		}
		f.at = f.base + int(int32(binary.BigEndian.Uint32(rest)))
		rest = rest[4:]
	}
	if flags&firstFlags != 0 {
		if len(rest) < 4 {
			return errMP4
		}
		rest = rest[4:]
	}
	if f.at < 0 || int64(count) > int64(d.samples) {
		return errMP4
	}
	d.samples -= int(count)
	for range count {
		sample := fmp4Sample{duration: f.duration, size: f.size}
		for _, field := range []struct {
			flag uint32
			into *uint32
		}{
			{duration, &sample.duration}, {size, &sample.size}, {sampleFlags, new(uint32)},
			{composition, &sample.composition},
		} {
			if flags&field.flag == 0 {
				continue
			}
			if len(rest) < 4 {
				return errMP4
			}
			*field.into, rest = binary.BigEndian.Uint32(rest), rest[4:]
		}
		if uint64(f.at)+uint64(sample.size) > uint64(len(segment)) || int64(sample.size) > int64(d.bytes) {
			return errMP4
		}
		d.bytes -= int(sample.size)
		payload := segment[f.at : f.at+int(sample.size)]
		f.at += int(sample.size)
		if err := d.sample(f, sample, payload, wall); err != nil {
			return err
		}
		f.decode += int64(sample.duration)
		f.track.next = f.decode
	}
	return nil
}

type fmp4Sample struct{ duration, size, composition uint32 }

// sample hands over one sample.
func (d *fmp4Demuxer) sample(f *fmp4Fragment, s fmp4Sample, payload []byte, wall time.Time) error {
	t := f.track
	if len(payload) == 0 {
		d.sink.repaired(repairEmptyFrame)
		return nil
	}
	// Composition offsets of version 0 are unsigned by the book and signed by the hand of many.
	dts := f.decode + t.shift
	d.frame = media.Frame{
		DTS: media.Duration(dts, t.timescale), PTS: media.Duration(dts+int64(int32(s.composition)), t.timescale),
		Sync: true, Payload: payload, Wall: wall,
	}
	if t.video == nil {
		if !t.announced {
			if t.track.Codec != media.AAC && t.track.Unit == 0 {
				t.track.Unit = int64(s.duration)
			}
			if err := d.configure(t, t.track.Config); err != nil {
				return err
			}
		}
		return d.sink.write(t.trackID, &d.frame)
	}
	unit, err := t.video.Read(payload, d.maxFrame, func(fault bitstream.Fault) { d.sink.repaired(string(fault)) })
	if err != nil {
		return err
	}
	if err := d.picture(t, &unit, wall); err != nil {
		return err
	}
	if !unit.Picture {
		d.sink.repaired(string(bitstream.NoPicture))
		return nil
	}
	d.frame.Payload, d.frame.Sync, d.frame.Recovery, d.frame.Leading = unit.Payload, unit.Sync, unit.Recovery, unit.Leading
	return d.sink.write(t.trackID, &d.frame)
}
