package packager

import (
	"bytes"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	// videoTimescale is the ticks per second of every video track.
	videoTimescale = 90000
	// maxFrameRate is the most that a stream's own timing is believed; some encoders write a clock there.
	maxFrameRate = 300
	// maxConfig bounds a decoder configuration in bytes.
	maxConfig = 64 << 10
	// maxAccessUnit bounds a sample in bytes.
	maxAccessUnit = 16 << 20
)

// format is what a track's decoder configuration says. It is never modified once made.
type format struct {
	track media.Track
	// entry is the kind of the sample entry, and box that of the box with the configuration in it.
	entry, box string

	// Video.

	// codedWidth and codedHeight are the picture after cropping, before the sample aspect ratio.
	codedWidth, codedHeight int
	// uprightWidth and uprightHeight are the picture in the shape of its samples, before it is turned.
	uprightWidth, uprightHeight int
	pixel                       [2]int // the sample aspect ratio; zero is square
	colour                      colour

	// Audio.

	unit       int64  // samples in an access unit
	sampleSize uint16 // bits, where the sample entry must say them: FLAC, or Chromium refuses it
	// silence is an access unit of digital silence; nil if none can be made.
	silence []byte
}

// newFormat reads a track's configuration and fills in the rest of the track. Errors are media.ErrUnsupported or
// media.ErrInvalid.
func newFormat(t media.Track) (*format, error) {
	if err := media.CheckStreamName(t.Name); err != nil { // a track's name becomes a file's and a URL's
		return nil, fmt.Errorf("track: %w", err)
	}
	if t.Name == media.SubtitlesName { // its URLs are those of the subtitles
		return nil, fmt.Errorf("track %s: %w: the name is reserved: choose another", t.Name, media.ErrBadName)
	}
	if len(t.Config) > maxConfig {
		return nil, fmt.Errorf("track %s: %w: configuration of %d bytes", t.Name, media.ErrInvalid, len(t.Config))
	}
	readers := map[media.Kind]map[media.Codec]func(*format) error{
		media.Video: {
			media.H264: (*format).readAVC, media.HEVC: (*format).readHEVC, media.AV1: (*format).readAV1,
			media.VP9: (*format).readVP9,
		},
		media.Audio: {
			media.AAC: (*format).readAAC, media.Opus: (*format).readOpus, media.FLAC: (*format).readFLAC,
			media.AC3: (*format).readAC3, media.EAC3: (*format).readEAC3, media.MP3: (*format).readMPEGAudio,
			media.MP2: (*format).readMPEGAudio,
		},
	}
	read, ok := readers[t.Kind][t.Codec]
	if !ok {
		return nil, fmt.Errorf("track %s: %w: %.20q as %.20q", t.Name, media.ErrUnsupported, t.Codec, t.Kind)
	}
	f := &format{track: t}
	if err := read(f); err != nil {
		return nil, fmt.Errorf("track %s: %w", t.Name, err)
	}
	return f, nil
}

func (f *format) video() bool { return f.track.Kind == media.Video }

// unitTime is how long an access unit of audio lasts.
func (f *format) unitTime() time.Duration { return media.Duration(f.unit, f.track.Timescale) }

// sameConfig says that a decoder need not be told of the other. A language or a name that comes late is no reason for a
// discontinuity: it waits for the next take. So does the light of HDR, which the pictures say too and which changes how
// a display is set at the most. A turn is not in the pictures for most players: it needs its own init section (MV-4).
func (f *format) sameConfig(g *format) bool {
	a, b := &f.track, &g.track
	return a.Codec == b.Codec && bytes.Equal(a.Config, b.Config) && a.Unit == b.Unit && a.Width == b.Width &&
		a.Height == b.Height && a.Display.Rotation == b.Display.Rotation
}

// colour is what a stream says of its colours (ITU-T H.273), for a player that would else guess SDR.
type colour struct {
	known                       bool
	primaries, transfer, matrix uint8
	full                        bool
}

// setColour notes colours, and the dynamic range for playlists (MV-16).
func (f *format) setColour(primaries, transfer, matrix uint8, full bool) {
	const pq, hlg = 16, 18
	f.colour = colour{known: true, primaries: primaries, transfer: transfer, matrix: matrix, full: full}
	switch transfer {
	case pq:
		f.track.VideoRange = "PQ"
	case hlg:
		f.track.VideoRange = "HLG"
	}
}

// setSound takes what all audio has. Time counts in samples (CMF-15).
func (f *format) setSound(rate, channels int, unit int64) {
	f.track.Timescale, f.track.SampleRate, f.track.Channels = int64(rate), rate, channels
	f.unit = unit
}

// aspect is a sample aspect ratio as a VUI has it.
type aspect struct{ idc, width, height int }

// setPicture takes a picture's size after cropping, the shape of its samples (MV-4), and the frame rate that the
// stream says, zero for none.
func (f *format) setPicture(width, height int, ratio aspect, rate float64) error {
	if width < 1 || height < 1 || width > 1<<15 || height > 1<<15 {
		return fmt.Errorf("%w: picture of %d x %d", media.ErrInvalid, width, height)
	}
	t := &f.track
	t.Timescale = videoTimescale
	f.codedWidth, f.codedHeight = width, height
	t.Width, t.Height = width, height
	if w, h := ratio.size(); w != h {
		f.pixel = [2]int{w, h}
		t.Width = (width*w + h/2) / h
	}
	f.uprightWidth, f.uprightHeight = t.Width, t.Height
	t.Width, t.Height = t.Display.Shown(t.Width, t.Height)
	if rate > 0 && rate <= maxFrameRate {
		t.FrameRate = rate
	}
	return nil
}

// size gives the ratio's two sides; 1:1 for what can't be.
func (a aspect) size() (width, height int) {
	// ITU-T H.264 and H.265 table E-1.
	ratios := [...][2]int{
		{1, 1}, {1, 1}, {12, 11}, {10, 11}, {16, 11}, {40, 33}, {24, 11}, {20, 11}, {32, 11}, {80, 33}, {18, 11}, {15, 11},
		{64, 33}, {160, 99}, {4, 3}, {3, 2}, {2, 1},
	}
	w, h := 1, 1
	switch {
	case a.idc >= 0 && a.idc < len(ratios):
		w, h = ratios[a.idc][0], ratios[a.idc][1]
	case a.idc == 255:
		w, h = a.width, a.height
	}
	if w < 1 || h < 1 || w > 8*h || h > 8*w {
		return 1, 1
	}
	return w, h
}

// checkResolution refuses a picture past the publisher's limit, upright or on its side; the limit is as
// media.Settings.MaxResolution.
func checkResolution(limit string, width, height int) error {
	if (media.Settings{MaxResolution: limit}).FitsResolution(width, height) {
		return nil
	}
	return fmt.Errorf("%w: picture of %d x %d: set the encoder's output to %s or less", media.ErrLimit, width, height,
		limit)
}
