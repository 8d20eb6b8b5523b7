package main

import (
	"context"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/bluenviron/gortmplib"
	"github.com/bluenviron/gortmplib/pkg/codecs"
	"github.com/bluenviron/mediacommon/v2/pkg/codecs/mpeg4audio"
)

// sampleFLV is the clip that the built-in publisher loops; sample.sh makes it.
//
//go:embed sample.flv
var sampleFLV []byte

// sampleDuration is the clip's length: whole frames of both tracks.
const sampleDuration = 16 * time.Second

// demoCommand is `oxbow demo`.
type demoCommand struct {
	serveFlags `embed:""`
}

// Run serves and publishes the sample until the context ends.
func (c *demoCommand) Run(ctx runContext) error {
	return c.serve(ctx, publishSample)
}

// publishSample loops the clip to the server's stream demo/live until the context ends.
func publishSample(ctx context.Context, target demoTarget) error {
	sample, err := parseSample(sampleFLV)
	if err != nil {
		return fmt.Errorf("read the built-in sample: %w", err)
	}
	key, err := target.freshKey(ctx)
	if err != nil {
		return err
	}
	server := &url.URL{Scheme: "rtmp", Host: target.rtmp, Path: "/live", Fragment: key}
	return sample.publishForever(ctx, server, target.logger)
}

// sample is the parsed clip.
type sample struct {
	sps, pps []byte
	audio    mpeg4audio.AudioSpecificConfig
	frames   []sampleFrame // in order of time
}

type sampleFrame struct {
	video    bool
	dts, pts time.Duration
	units    [][]byte // NAL units, or one AAC access unit
}

// parseSample reads the FLV tags of our own clip. It is no general demuxer: the clip is H.264 and AAC as sample.sh
// makes it, and anything else is an error.
func parseSample(flv []byte) (*sample, error) {
	const header, tagHeader, tagTrailer = 9 + 4, 11, 4
	if len(flv) < header {
		return nil, errors.New("no FLV header")
	}
	s := &sample{}
	for rest := flv[header:]; len(rest) > 0; {
		if len(rest) < tagHeader {
			return nil, errors.New("torn tag")
		}
		size := int(binary.BigEndian.Uint32(rest) & 0xffffff)
		end := tagHeader + size
		if len(rest) < end+tagTrailer {
			return nil, errors.New("torn tag")
		}
		dts := time.Duration(uint32(rest[7])<<24|binary.BigEndian.Uint32(rest[4:])>>8) * time.Millisecond
		if err := s.addTag(rest[0], dts, rest[tagHeader:end]); err != nil {
			return nil, err
		}
		rest = rest[end+tagTrailer:]
	}
	if s.sps == nil || s.audio.SampleRate == 0 || len(s.frames) == 0 {
		return nil, errors.New("a track is missing")
	}
	return s, nil
}

func (s *sample) addTag(kind byte, dts time.Duration, body []byte) error {
	const audioTag, videoTag = 8, 9
	switch {
	case kind == videoTag && len(body) > 5 && body[1] == 0:
		return s.setParameterSets(body[5:])
	case kind == videoTag && len(body) > 5 && body[1] == 1:
		composition := int32(binary.BigEndian.Uint32(body[1:])<<8) >> 8
		units, err := splitUnits(body[5:])
		if err != nil {
			return err
		}
		s.addFrame(sampleFrame{video: true, dts: dts, pts: dts + time.Duration(composition)*time.Millisecond, units: units})
	case kind == audioTag && len(body) > 2 && body[1] == 0:
		return s.audio.Unmarshal(body[2:])
	case kind == audioTag && len(body) > 2 && body[1] == 1:
		s.addFrame(sampleFrame{dts: dts, pts: dts, units: [][]byte{body[2:]}})
	}
	return nil
}

// addFrame leaves out what lies past the loop's end, counted from the track's own first frame.
func (s *sample) addFrame(f sampleFrame) {
	for _, first := range s.frames {
		if first.video == f.video {
			if f.dts-first.dts >= sampleDuration {
				return
			}
			break
		}
	}
	s.frames = append(s.frames, f)
}

// setParameterSets reads the one SPS and the one PPS of an AVCDecoderConfigurationRecord.
func (s *sample) setParameterSets(record []byte) error {
	errForm := errors.New("unexpected decoder configuration")
	take := func(at int) (unit []byte, next int, err error) {
		if len(record) < at+3 {
			return nil, 0, errForm
		}
		size := int(binary.BigEndian.Uint16(record[at+1:]))
		next = at + 3 + size
		if record[at]&0x1f != 1 || size == 0 || len(record) < next {
			return nil, 0, errForm
		}
		return record[at+3 : next], next, nil
	}
	const countOfSPS = 5
	sps, next, err := take(countOfSPS)
	if err != nil {
		return err
	}
	pps, _, err := take(next)
	s.sps, s.pps = sps, pps
	return err
}

func splitUnits(payload []byte) ([][]byte, error) {
	var units [][]byte
	for len(payload) > 0 {
		if len(payload) < 4 {
			return nil, errors.New("torn NAL unit")
		}
		size := binary.BigEndian.Uint32(payload)
		if uint64(len(payload)) < 4+uint64(size) {
			return nil, errors.New("torn NAL unit")
		}
		units = append(units, payload[4:4+size])
		payload = payload[4+size:]
	}
	return units, nil
}

// publishForever publishes the clip in a loop with running timestamps, and again after a lost connection.
func (s *sample) publishForever(ctx context.Context, target *url.URL, logger *slog.Logger) error {
	const pause = time.Second
	for {
		err := s.publish(ctx, target)
		select {
		case <-ctx.Done():
			return nil
		default:
		}
		logger.Warn("demo publisher lost its connection", "err", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// publish sends the clip at its own pace until the context or the connection ends.
func (s *sample) publish(ctx context.Context, target *url.URL) error {
	client := &gortmplib.Client{URL: target, Publish: true}
	if err := client.Initialize(ctx); err != nil {
		return err
	}
	defer client.Close()
	// Reading takes the server's acknowledgements, and its goodbye: then writing fails too.
	go func() {
		for {
			if _, err := client.Read(); err != nil {
				client.Close()
				return
			}
		}
	}()

	video := &gortmplib.Track{Codec: &codecs.H264{SPS: s.sps, PPS: s.pps}}
	audio := &gortmplib.Track{Codec: &codecs.MPEG4Audio{Config: &s.audio}}
	writer := &gortmplib.Writer{Conn: client, Tracks: []*gortmplib.Track{video, audio}}
	if err := writer.Initialize(); err != nil {
		return err
	}
	start := time.Now()
	for loop := time.Duration(0); ; loop += sampleDuration {
		for _, f := range s.frames {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Until(start.Add(loop + f.dts))):
			}
			var err error
			if f.video {
				err = writer.WriteH264(video, loop+f.pts, loop+f.dts, f.units)
			} else {
				err = writer.WriteMPEG4Audio(audio, loop+f.pts, f.units[0])
			}
			if err != nil {
				return err
			}
		}
	}
}
