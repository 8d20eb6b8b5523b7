package packager

import (
	"bytes"
	"fmt"

	"github.com/bluenviron/mediacommon/v2/pkg/codecs/h264"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"

	"github.com/oxbow-video/oxbow/internal/media"
)

// videoTimescale is the ticks per second of every video track.
const videoTimescale = 90000

// maxFrameRate is the most that a VUI's timing is believed; some encoders write a clock there.
const maxFrameRate = 300

// format is what a track's decoder configuration says. It is never modified once made.
type format struct {
	track media.Track
	// sets are the parameter sets of the init section: H.264 only.
	sets parameterSets
	// codedWidth and codedHeight are the picture after cropping, before the sample aspect ratio.
	codedWidth, codedHeight int
	// unit is the samples in an access unit: audio only.
	unit int64
	// silence is an access unit of digital silence; nil if none can be made.
	silence []byte
}

// newFormat reads a track's configuration and fills in the rest of the track. Errors are media.ErrUnsupported or
// media.ErrInvalid.
func newFormat(t media.Track) (*format, error) {
	if err := media.CheckStreamName(t.Name); err != nil { // a track's name becomes a file's and a URL's
		return nil, fmt.Errorf("track: %w", err)
	}
	f := &format{track: t}
	var err error
	switch {
	case t.Kind == media.Video && t.Codec == media.H264:
		err = f.readAVC()
	case t.Kind == media.Audio && t.Codec == media.AAC:
		err = f.readAAC()
	default:
		err = fmt.Errorf("%w: %.20q as %.20q", media.ErrUnsupported, t.Codec, t.Kind)
	}
	if err != nil {
		return nil, fmt.Errorf("track %s: %w", t.Name, err)
	}
	return f, nil
}

// sameConfig says that both give the same init section.
func (f *format) sameConfig(g *format) bool {
	return f.track.Codec == g.track.Codec && bytes.Equal(f.track.Config, g.track.Config)
}

func (f *format) readAVC() error {
	sets, err := parseAVCConfig(f.track.Config)
	if err != nil {
		return err
	}
	return f.setAVC(sets)
}

// setAVC takes the parameter sets and writes the configuration anew, with 4-byte lengths, so that equal sets give equal
// init sections whatever the publisher's container wrote around them.
func (f *format) setAVC(sets parameterSets) error {
	var sps h264.SPS
	if err := sps.Unmarshal(sets.sps[0]); err != nil {
		return fmt.Errorf("%w: sequence parameter set: %w", media.ErrInvalid, err)
	}
	f.sets = sets
	f.codedWidth, f.codedHeight = sps.Width(), sps.Height()
	if f.codedWidth < 1 || f.codedHeight < 1 || f.codedWidth > 1<<15 || f.codedHeight > 1<<15 {
		return fmt.Errorf("%w: picture of %d x %d", media.ErrInvalid, f.codedWidth, f.codedHeight)
	}
	t := &f.track
	t.Config = appendAVCConfig(nil, sets, &sps)
	t.Timescale = videoTimescale
	t.CodecString = fmt.Sprintf("avc1.%02x%02x%02x", sets.sps[0][1], sets.sps[0][2], sets.sps[0][3])
	t.Width, t.Height = displaySize(&sps, f.codedWidth, f.codedHeight)
	if fps := sps.FPS(); fps > 0 && fps <= maxFrameRate {
		t.FrameRate = fps
	}
	return nil
}

// displaySize applies the sample aspect ratio (MV-4).
func displaySize(sps *h264.SPS, width, height int) (int, int) {
	if sps.VUI == nil || !sps.VUI.AspectRatioInfoPresentFlag {
		return width, height
	}
	// ITU-T H.264 table E-1.
	ratios := [...][2]int{
		{1, 1}, {1, 1}, {12, 11}, {10, 11}, {16, 11}, {40, 33}, {24, 11}, {20, 11}, {32, 11}, {80, 33}, {18, 11}, {15, 11},
		{64, 33}, {160, 99}, {4, 3}, {3, 2}, {2, 1},
	}
	w, h := 1, 1
	switch idc := int(sps.VUI.AspectRatioIdc); {
	case idc < len(ratios):
		w, h = ratios[idc][0], ratios[idc][1]
	case idc == 255:
		w, h = int(sps.VUI.SarWidth), int(sps.VUI.SarHeight)
	}
	if w < 1 || h < 1 || w > 8*h || h > 8*w {
		return width, height
	}
	return (width*w + h/2) / h, height
}

func (f *format) readAAC() error {
	var asc mpeg4audio.AudioSpecificConfig
	if err := asc.Unmarshal(f.track.Config); err != nil {
		return fmt.Errorf("%w: audio specific config: %w", media.ErrInvalid, err)
	}
	if asc.SampleRate < 7350 || asc.SampleRate > 96000 {
		return fmt.Errorf("%w: sample rate %d", media.ErrInvalid, asc.SampleRate)
	}
	t := &f.track
	t.Timescale = int64(asc.SampleRate)
	t.SampleRate = asc.SampleRate
	t.Channels = channels(asc.ChannelConfig)
	// Explicit signalling of SBR or PS (object types 5, 29) names the extension; the core is always LC.
	object := asc.Type
	if asc.ExtensionType != 0 {
		object = asc.ExtensionType
		t.SampleRate = asc.ExtensionSampleRate
	}
	t.CodecString = fmt.Sprintf("mp4a.40.%d", object)
	f.unit = 1024
	if asc.FrameLengthFlag {
		f.unit = 960
	}
	f.silence = silentAAC(asc.ChannelConfig)
	return nil
}

func channels(config uint8) int {
	switch config {
	case 7:
		return 8
	case 0: // a program config element says; stereo is the usual guess, for CHANNELS only
		return 2
	}
	return int(config)
}
