package ingest

import (
	"errors"

	"github.com/oxbow-video/oxbow/internal/bitstream"
	"github.com/oxbow-video/oxbow/internal/media"
)

// maxAudioFrame bounds a coded frame in bytes. The longest are samples of E-AC-3 with many substreams.
const maxAudioFrame = 64 << 10

// tsAudio cuts audio whose frames have headers into them. They need not be aligned with PES packets; a packet's time is
// that of the first that begins in it.
type tsAudio struct {
	header int // bytes that parse needs
	parse  func(b []byte) (bitstream.AudioFrame, bool)
	latm   *bitstream.LATM // reads the frames of a stream of LOAS

	buf    []byte // the end of the last PES packet, and then this one
	locked bool   // a frame was found right behind another: what looks like a header is one

	timed   bool  // the next frame's time is known: base and the samples since then
	base    int64 // 90 kHz, unwrapped
	samples int64
	rate    int64 // of samples

	known bool // the track was configured
	frame bitstream.AudioFrame
	track media.Track
}

func newTSAudio(carries tsCarries) *tsAudio {
	switch carries {
	case carriesLATM:
		latm := &bitstream.LATM{}
		return &tsAudio{header: bitstream.LOASHeader, latm: latm, parse: func(b []byte) (bitstream.AudioFrame, bool) {
			size, ok := latm.Parse(b)
			return bitstream.AudioFrame{Size: size}, ok
		}}
	case carriesAC3:
		return &tsAudio{header: bitstream.AC3Header, parse: bitstream.ParseAC3}
	case carriesMPEGAudio:
		return &tsAudio{header: bitstream.MPEGAudioHeader, parse: bitstream.ParseMPEGAudio}
	}
	return &tsAudio{header: bitstream.ADTSHeader, parse: bitstream.ParseADTS}
}

// cut forgets a frame whose end was lost.
func (a *tsAudio) cut() { a.buf, a.timed, a.locked = a.buf[:0], false, false }

// stamp gives the next frame a time.
func (a *tsAudio) stamp(pts int64) { a.base, a.samples, a.timed = pts, 0, true }

// advance gives the next frame's time and goes past it.
func (a *tsAudio) advance(samples, rate int64) (pts90 int64, since int64) {
	if a.rate != rate {
		if a.samples > 0 {
			a.base += media.Ticks(media.Duration(a.samples, a.rate), 90000)
		}
		a.samples, a.rate = 0, rate
	}
	since = a.samples
	a.samples += samples
	return a.base, since
}

// audioPacket takes a PES packet of frames with headers.
func (d *tsDemuxer) audioPacket(s *tsStream) error {
	a := s.audio
	if !s.head.timed && !a.timed {
		d.sink.repaired(repairTSUntimed)
		a.cut()
		return nil
	}
	rest := len(a.buf)
	a.buf = append(a.buf, s.buf...)
	at, stamped := 0, !s.head.timed
	for len(a.buf)-at >= a.header {
		if at >= rest && !stamped {
			a.stamp(s.head.pts)
			stamped = true
		}
		f, ok := a.parse(a.buf[at:])
		end := at + f.Size
		followed := end+a.header <= len(a.buf)
		if ok && followed {
			var next bitstream.AudioFrame
			next, ok = a.parse(a.buf[end:]) // else the header was a likeness in the data
			ok = ok && (a.locked || next.SameTrack(f))
		}
		if !ok {
			d.sink.repaired(repairAudioSync) // once for each run of bytes
			// A frame that was not found has no length in time.
			a.timed, a.locked = a.timed && !a.locked && stamped && a.samples == 0, false
			for at++; len(a.buf)-at >= a.header; at++ {
				if _, ok := a.parse(a.buf[at:]); ok {
					break
				}
			}
			continue
		}
		if end > len(a.buf) || !followed && !a.locked {
			break
		}
		a.locked = true
		if err := d.audioFrame(s, f, a.buf[at:end]); err != nil {
			return err
		}
		at = end
	}
	left := copy(a.buf, a.buf[at:])
	if a.buf = a.buf[:left]; left > maxAudioFrame {
		a.cut()
	}
	return nil
}

// audioFrame hands over what a frame holds.
func (d *tsDemuxer) audioFrame(s *tsStream, f bitstream.AudioFrame, frame []byte) error {
	a := s.audio
	if !a.timed {
		d.sink.repaired(repairTSUntimed)
		return nil
	}
	if a.latm != nil {
		return d.latmFrame(s, frame)
	}
	if f.Unsupported {
		// The channels are told in the data, or the blocks' lengths only by decoding them. No encoder of today does.
		a.advance(f.Samples, f.Rate)
		d.note("AAC in a form of ADTS that is not supported")
		return nil
	}
	changed := !a.known || !f.SameTrack(a.frame)
	if changed {
		a.frame, a.track = f, f.Track()
	}
	return d.writeAudio(s, changed, f.Samples, f.Rate, frame[f.Header:])
}

// latmFrame hands over the access units of a LOAS frame.
func (d *tsDemuxer) latmFrame(s *tsStream, frame []byte) error {
	a := s.audio
	units, track, changed, err := a.latm.Read(frame)
	if errors.Is(err, bitstream.ErrLATM) {
		a.timed = false // it is not known how long they are
		d.note("AAC in a form of LATM that is not supported")
		return nil
	} else if err != nil {
		return err
	}
	if changed {
		a.track = track
	}
	samples, rate, ok := bitstream.AACTiming(a.track.Config)
	if !ok {
		a.timed = false
		d.sink.repaired(repairNoConfig)
		return nil
	}
	for _, unit := range units {
		if err := d.writeAudio(s, changed, samples, rate, unit); err != nil {
			return err
		}
		changed = false
	}
	return nil
}

// writeAudio hands over one access unit, which is so many samples long, of the stream's track.
func (d *tsDemuxer) writeAudio(s *tsStream, changed bool, samples, rate int64, unit []byte) error {
	a := s.audio
	base, since := a.advance(samples, rate)
	if changed || !a.known || s.renamed {
		a.known, s.renamed = true, false
		a.track.Language, a.track.Label = s.form.language, s.form.label
		if err := d.sink.configure(s.id, a.track); err != nil {
			return err
		}
	}
	pts := media.Duration(base, 90000) + media.Duration(since, rate)
	d.frame = media.Frame{DTS: pts, PTS: pts, Sync: true, Payload: unit, Wall: s.wall}
	d.emitted++
	return d.sink.write(s.id, &d.frame)
}

// opusPacket takes a PES packet of Opus: access units, each behind a control header (ETSI TS 103 491, 4.3).
func (d *tsDemuxer) opusPacket(s *tsStream) error {
	a := s.audio
	if s.head.timed {
		a.stamp(s.head.pts)
	} else if !a.timed {
		d.sink.repaired(repairTSUntimed)
		return nil
	}
	for rest := s.buf; len(rest) > 0; {
		unit, next, ok := opusUnit(rest)
		samples, valid := bitstream.OpusSamples(unit)
		if !ok || !valid {
			d.sink.repaired(repairAudioSync)
			a.timed = false
			return nil
		}
		rest = next
		changed := !a.known || a.track.Unit != samples
		if changed {
			a.track = media.Track{
				Codec: media.Opus, Config: bitstream.OpusOfChannels(int(s.form.channels)), Unit: samples,
			}
		}
		if err := d.writeAudio(s, changed, samples, 48000, unit); err != nil {
			return err
		}
	}
	return nil
}

// opusUnit takes the first access unit of a PES packet. How much of it is to be trimmed is not used: the first samples
// of a live stream are not heard, and the last are silence.
func opusUnit(b []byte) (unit, rest []byte, ok bool) {
	const startTrim, endTrim, extension = 0x10, 0x08, 0x04
	if len(b) < 3 || b[0] != 0x7f || b[1]&0xe0 != 0xe0 {
		return nil, nil, false
	}
	flags, size, more := b[1], 0, true
	for b = b[2:]; more; b = b[1:] {
		if len(b) == 0 {
			return nil, nil, false
		}
		size += int(b[0])
		more = b[0] == 0xff
	}
	skip := 0
	if flags&startTrim != 0 {
		skip += 2
	}
	if flags&endTrim != 0 {
		skip += 2
	}
	if flags&extension != 0 {
		if len(b) <= skip {
			return nil, nil, false
		}
		skip += 1 + int(b[skip])
	}
	if len(b) < skip+size {
		return nil, nil, false
	}
	b = b[skip:]
	return b[:size:size], b[size:], true
}
