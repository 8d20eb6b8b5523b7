package ingest

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/oxbow-video/oxbow/internal/media"
)

// trackName is what the metadata calls a track.
type trackName struct{ language, label string }

const maxTrackName = 128 // bytes of a language or a label

// data reads a data message: the metadata says which tracks to wait for and what they are called, and this and other
// events go on as timed metadata. What has no name that is known is passed over.
func (d *flvDemuxer) data(timestamp uint32, body []byte, wall time.Time) error {
	values, err := decodeAMF0(body)
	if err != nil && len(values) < 2 {
		d.sink.repaired(repairBadMetadata)
		return nil
	}
	if len(values) > 0 && values[0] == "@setDataFrame" {
		values = values[1:]
	}
	if len(values) < 2 {
		return nil
	}
	name, _ := values[0].(string)
	value := values[1]
	pts := d.clock.near(timestamp)
	switch name {
	case "onMetaData":
		if object, ok := value.(amfObject); ok {
			if err := d.announce(object); err != nil {
				return err
			}
			return d.tellJSON(media.OnMeta, pts, value, wall)
		}
		return nil
	case "onTextData", "onCaption":
		return d.tellJSON(media.Text, pts, value, wall)
	case "onCaptionInfo":
		if captions := captionsOf(value); captions != nil {
			return d.tell(media.Captions, pts, captions, wall)
		}
		return d.tellJSON(media.Text, pts, value, wall)
	case "onCuePoint", "onAdCue": // the latter by Adobe Primetime and those who follow it
		if section := spliceOf(value); section != nil {
			return d.tell(media.SCTE35, pts, section, wall)
		}
		return d.tellJSON(media.CuePoint, pts, value, wall)
	case "onID3", "onUserDataEvent": // the latter by Azure's encoders
		if tag := id3Of(value); tag != nil {
			return d.tell(media.ID3, pts, tag, wall)
		}
		return d.tellJSON(media.Text, pts, value, wall)
	}
	return nil
}

// videoMetadata reads an E-RTMP metadata packet: pairs of a name and a value, of which "colorInfo" is the one there is.
// Players read the colours of the coded pictures themselves; the light of HDR may be said here alone.
func (d *flvDemuxer) videoMetadata(p *flvPacket) error {
	values, _ := decodeAMF0(p.body)
	var object amfObject
	for ; len(values) >= 2; values = values[2:] {
		if name, ok := values[0].(string); ok {
			object = append(object, amfProperty{name: name, value: values[1]})
		}
	}
	if object == nil {
		d.sink.repaired(repairBadMetadata)
		return nil
	}
	if info, ok := object.get("colorInfo").(amfObject); ok {
		t := &d.videos[p.number]
		t.told = displayOf(info)
		if err := d.redisplay(t, trackID{kind: media.Video, number: p.number}); err != nil {
			return err
		}
	}
	return d.tellJSON(media.OnMeta, d.clock.near(p.timestamp), object, p.wall)
}

func (d *flvDemuxer) tellJSON(kind media.MetadataKind, pts time.Duration, value any, wall time.Time) error {
	text, ok := appendJSON(nil, value, media.MaxMetadata)
	if !ok {
		d.sink.repaired(repairBadMetadata)
		return nil
	}
	return d.tell(kind, pts, text, wall)
}

func (d *flvDemuxer) tell(kind media.MetadataKind, pts time.Duration, payload []byte, wall time.Time) error {
	d.timed = media.TimedMetadata{Kind: kind, PTS: pts, Payload: payload, Wall: wall}
	return d.sink.metadata(&d.timed)
}

// announce tells the sink how many tracks the metadata promises. Track 0 is described by the properties of the object
// itself, the others by the maps (Enhanced RTMP v2, "Enhancing onMetaData").
func (d *flvDemuxer) announce(object amfObject) error {
	names := make(map[trackID]trackName)
	video := promises(object, "videocodecid", "hasVideo", "width", "videodatarate") +
		d.announceMore(names, media.Video, object.get("videoTrackIdInfoMap"))
	audio := promises(object, "audiocodecid", "hasAudio", "audiosamplerate", "audiodatarate") +
		d.announceMore(names, media.Audio, object.get("audioTrackIdInfoMap"))
	if name := nameOf(object); name != (trackName{}) {
		id := trackID{kind: media.Audio}
		if audio == 0 {
			id.kind = media.Video
		}
		if _, said := names[id]; !said {
			names[id] = trackName{language: name.language}
		}
	}
	d.sink.announce(video, audio)
	return d.rename(names)
}

// announceMore counts the tracks of a map but for track 0, which some encoders list there, too.
func (d *flvDemuxer) announceMore(names map[trackID]trackName, kind media.Kind, value any) (count int) {
	infos, _ := value.(amfObject)
	for _, p := range infos {
		number, err := strconv.Atoi(p.name)
		info, ok := p.value.(amfObject)
		if err != nil || !ok || number < 0 {
			continue
		}
		if number >= maxTracksOfKind {
			d.sink.repaired(repairTrackLimit)
			continue
		}
		if number > 0 {
			count++
		}
		names[trackID{kind: kind, number: number}] = nameOf(info)
	}
	return count
}

// nameOf reads what a track is called. Languages that are no tags are left out, and of labels what no playlist could
// quote.
func nameOf(object amfObject) trackName {
	first := func(names ...string) string {
		for _, name := range names {
			if text := object.text(name); text != "" {
				return clip(text, maxTrackName)
			}
		}
		return ""
	}
	language := first("language", "lang")
	if strings.ContainsFunc(language, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		language = ""
	}
	label := strings.Map(func(r rune) rune {
		if r == '"' || unicode.IsControl(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, first("label", "name", "title"))
	return trackName{language: language, label: label}
}

// rename tells the sink of configured tracks that are called something else now.
func (d *flvDemuxer) rename(names map[trackID]trackName) error {
	d.names = names
	for kind, told := range map[media.Kind]func(int) *media.Track{
		media.Video: func(i int) *media.Track { return &d.videos[i].track },
		media.Audio: func(i int) *media.Track { return &d.audios[i].track },
	} {
		for i := range maxTracksOfKind {
			id, t := trackID{kind: kind, number: i}, told(i)
			if t.Config == nil || names[id] == (trackName{language: t.Language, label: t.Label}) {
				continue
			}
			if err := d.configure(id, t, *t); err != nil {
				return err
			}
		}
	}
	return nil
}

// promises gives 1 if any of the properties has a value that is not zero, false or empty.
func promises(object amfObject, names ...string) int {
	for _, name := range names {
		switch v := object.get(name).(type) {
		case float64:
			if v != 0 {
				return 1
			}
		case bool:
			if v {
				return 1
			}
		case string:
			if v != "" {
				return 1
			}
		}
	}
	return 0
}

// captionsOf finds captions in onCaptionInfo of type 708, in the form that bitstream.Unit gives them. Its data is in
// base64: registered user data (ATSC A/53, 6.2.3), from the country code, the ATSC identifier or the captions on.
func captionsOf(value any) []byte {
	object, _ := value.(amfObject)
	if object.text("type") != "708" {
		return nil
	}
	b, _ := base64Of(object.text("data"))
	b = bytes.TrimPrefix(b, []byte("\xb5\x00\x31"))
	if text, atsc := bytes.CutPrefix(b, []byte("GA94")); atsc {
		if b, atsc = bytes.CutPrefix(text, []byte{3}); !atsc {
			return nil // bar data
		}
	}
	const head, process = 2, 0x40
	if len(b) < head || b[0]&process == 0 {
		return nil
	}
	if size := 3 * int(b[0]&0x1f); size > 0 && head+size <= len(b) {
		return b[head : head+size]
	}
	return nil
}

// spliceOf finds a splice_info_section (SCTE 35, 9.6) in base64 among the values of an object.
func spliceOf(value any) []byte {
	const tableID = 0xfc // so the first letter in base64 is fixed
	return findBinary(value, 0, "/", func(b []byte) []byte {
		if len(b) < 17 || b[0] != tableID {
			return nil
		}
		size := 3 + int(b[1]&0x0f)<<8 + int(b[2])
		if size > len(b) || size < 17 || crcMPEG(b[:size]) != 0 {
			return nil
		}
		return b[:size]
	})
}

// id3Of finds an ID3v2 tag in base64 among the values of an object.
func id3Of(value any) []byte {
	return findBinary(value, 0, "SUQz", func(b []byte) []byte {
		const header = 10
		if len(b) < header {
			return nil
		}
		size := header + int(b[6]&0x7f)<<21 + int(b[7]&0x7f)<<14 + int(b[8]&0x7f)<<7 + int(b[9]&0x7f)
		if size > len(b) {
			return nil
		}
		return b[:size]
	})
}

// findBinary looks for a string in base64 with a prefix that means something.
func findBinary(value any, depth int, prefix string, means func([]byte) []byte) []byte {
	if depth > amfMaxDepth {
		return nil
	}
	switch v := value.(type) {
	case string:
		if strings.HasPrefix(v, prefix) {
			if b, ok := base64Of(v); ok {
				return means(b)
			}
		}
	case amfObject:
		for _, p := range v {
			if b := findBinary(p.value, depth+1, prefix, means); b != nil {
				return b
			}
		}
	case []any:
		for _, x := range v {
			if b := findBinary(x, depth+1, prefix, means); b != nil {
				return b
			}
		}
	}
	return nil
}

// base64Of decodes base64 with padding or without.
func base64Of(text string) ([]byte, bool) {
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(text), "="))
	return b, err == nil
}
