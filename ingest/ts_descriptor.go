package ingest

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// tsCarries says what the PES packets or sections of a stream hold.
type tsCarries byte

const (
	carriesNothing tsCarries = iota // that we take
	carriesAVC
	carriesHEVC
	carriesADTS
	carriesLATM
	carriesMPEGAudio
	carriesAC3
	carriesOpus
	carriesSCTE35
	carriesID3
	carriesKLV      // triplets as they are
	carriesKLVCells // in metadata access unit cells (2.12.4)
)

// kind is the kind of the track that a stream becomes; empty for timed metadata.
func (c tsCarries) kind() media.Kind {
	switch {
	case c == carriesAVC, c == carriesHEVC:
		return media.Video
	case c >= carriesADTS && c <= carriesOpus:
		return media.Audio
	}
	return ""
}

// tsForm is what a PMT says of a stream.
type tsForm struct {
	carries  tsCarries
	channels byte // channel_config_code of Opus
	language string
	label    string
}

// Stream types (table 2-34 and those of ATSC and SCTE).
const (
	tsTypePrivate  = 0x06
	tsTypeADTS     = 0x0f
	tsTypeMetadata = 0x15
	tsTypeH264     = 0x1b
	tsTypeHEVC     = 0x24
	tsTypeSCTE35   = 0x86
)

// tsTypes are the stream types that say all.
var tsTypes = []struct {
	kind    byte
	carries tsCarries
	name    string
}{
	{0x01, carriesNothing, "MPEG-1 video"},
	{0x02, carriesNothing, "MPEG-2 video"},
	{0x03, carriesMPEGAudio, "MPEG audio"},
	{0x04, carriesMPEGAudio, "MPEG audio"},
	{tsTypeADTS, carriesADTS, "AAC"},
	{0x10, carriesNothing, "MPEG-4 Part 2 video"},
	{0x11, carriesLATM, "AAC"},
	{tsTypeMetadata, carriesNothing, "timed metadata of an unknown form"},
	{tsTypeH264, carriesAVC, "H.264"},
	{0x20, carriesNothing, "H.264 MVC"},
	{0x21, carriesNothing, "JPEG 2000"},
	{tsTypeHEVC, carriesHEVC, "HEVC (H.265)"},
	{0x33, carriesNothing, "VVC (H.266)"},
	{0x80, carriesNothing, "LPCM"},
	{0x81, carriesAC3, "AC-3"},
	{0x82, carriesNothing, "DTS"},
	{0x85, carriesNothing, "DTS-HD"},
	{tsTypeSCTE35, carriesSCTE35, "SCTE-35"},
	{0x87, carriesAC3, "E-AC-3"},
	{0xd1, carriesNothing, "Dirac"},
	{0xea, carriesNothing, "VC-1"},
}

// tsFormats are the format identifiers of registration descriptors (2.6.8) and metadata descriptors (2.6.60).
var tsFormats = []struct {
	id      string
	carries tsCarries
	name    string
}{
	{"Opus", carriesOpus, "Opus"},
	{"HEVC", carriesHEVC, "HEVC (H.265)"},
	{"AC-3", carriesAC3, "AC-3"},
	{"EAC3", carriesAC3, "E-AC-3"},
	{"KLVA", carriesKLV, "KLV"},
	{"ID3 ", carriesID3, "ID3"},
	{"AV01", carriesNothing, "AV1"},
	{"VVC ", carriesNothing, "VVC (H.266)"},
	{"BSSD", carriesNothing, "SMPTE 302M audio"},
	{"DTS1", carriesNothing, "DTS"},
	{"DTS2", carriesNothing, "DTS"},
	{"DTS3", carriesNothing, "DTS"},
}

// Descriptor tags (table 2-45 and ETSI EN 300 468, table 12).
const (
	tagRegistration = 0x05
	tagLanguage     = 0x0a
	tagMetadata     = 0x26
	tagTeletext     = 0x56
	tagSubtitling   = 0x59
	tagAC3          = 0x6a
	tagEAC3         = 0x7a
	tagDTS          = 0x7b
	tagExtension    = 0x7f
)

// tsIdentify says what a stream is from its type, its program's descriptors and its own, and names it for people.
func tsIdentify(kind byte, program, descriptors []byte) (form tsForm, name string) {
	name = fmt.Sprintf("stream type 0x%02x", kind)
	for _, t := range tsTypes {
		if t.kind == kind {
			form.carries, name = t.carries, t.name
		}
	}
	private := kind == tsTypePrivate || kind == tsTypeMetadata
	if kind == tsTypePrivate {
		name = "private data"
	}
	form.channels = noChannels
	eachDescriptor(descriptors, func(tag byte, body []byte) {
		if private {
			if carries, known := formatOf(tag, body); known != "" && form.carries == carriesNothing {
				form.carries, name = carries, known
			}
		}
		form.describe(tag, body)
	})
	switch {
	case kind == tsTypeSCTE35 && isBluRay(program):
		form.carries, name = carriesNothing, "DTS-HD"
	case kind == tsTypeMetadata && form.carries == carriesKLV:
		form.carries = carriesKLVCells
	case form.carries == carriesOpus && (form.channels == 0 || form.channels > 8):
		form.carries, name = carriesNothing, "Opus of unusual channels"
	}
	if form.carries != carriesOpus {
		form.channels = 0
	}
	if form.carries.kind() != media.Audio {
		form.language, form.label = "", ""
	}
	return form, name
}

// noChannels is the channel_config_code of a stream that has none.
const noChannels = 0xff

// eachDescriptor goes through a list of descriptors (2.6).
func eachDescriptor(list []byte, do func(tag byte, body []byte)) {
	for len(list) >= 2 && int(list[1]) <= len(list)-2 {
		tag, body := list[0], list[2:2+int(list[1])]
		list = list[2+len(body):]
		do(tag, body)
	}
}

// formatOf says what a descriptor tells of private data; the name is empty if nothing.
func formatOf(tag byte, body []byte) (carries tsCarries, name string) {
	switch tag {
	case tagAC3:
		return carriesAC3, "AC-3"
	case tagEAC3:
		return carriesAC3, "E-AC-3"
	case tagDTS:
		return carriesNothing, "DTS"
	case tagTeletext:
		return carriesNothing, "teletext"
	case tagSubtitling:
		return carriesNothing, "DVB subtitles"
	case tagMetadata:
		// metadata_application_format, and its identifier if that says so; then the same of metadata_format.
		if bytes.HasPrefix(body, []byte{0xff, 0xff}) {
			body = body[min(4, len(body)):]
		}
		if len(body) < 3 || body[2] != 0xff {
			return carriesNothing, ""
		}
		body = body[3:]
	case tagRegistration:
	default:
		return carriesNothing, ""
	}
	for _, f := range tsFormats {
		if bytes.HasPrefix(body, []byte(f.id)) {
			return f.carries, f.name
		}
	}
	return carriesNothing, ""
}

// describe obeys a descriptor of what is the same for all codecs.
func (f *tsForm) describe(tag byte, body []byte) {
	const opusChannels, supplementaryAudio = 0x80, 0x06
	switch {
	case tag == tagLanguage && len(body) >= 4 && f.language == "": // of several, that of the first channel
		f.language = languageOf(body)
		if f.label == "" {
			// audio_type (table 2-60)
			f.label = map[byte]string{1: "Clean effects", 2: "Hearing impaired", 3: "Visually impaired"}[body[3]]
		}
	case tag == tagExtension && len(body) >= 2 && body[0] == opusChannels:
		f.channels = body[1]
	case tag == tagExtension && len(body) >= 2 && body[0] == supplementaryAudio:
		// editorial_classification (EN 300 468, table J.3)
		label := map[byte]string{1: "Visually impaired", 2: "Hearing impaired", 3: "Spoken subtitles"}[body[1]>>2&0x1f]
		if label != "" {
			f.label = label
		}
		if body[1]&1 != 0 && len(body) >= 5 {
			if language := languageOf(body[2:]); language != "" {
				f.language = language
			}
		}
	}
}

// languageOf reads an ISO 639-2 code; empty if it says none.
func languageOf(code []byte) string {
	language := strings.ToLower(string(code[:3]))
	for _, c := range []byte(language) {
		if c < 'a' || c > 'z' {
			return ""
		}
	}
	switch language {
	case "und", "mis", "mul", "zxx":
		return ""
	}
	return language
}

// isBluRay says whether a program's stream types of users are those of Blu-ray discs.
func isBluRay(program []byte) (is bool) {
	eachDescriptor(program, func(tag byte, body []byte) {
		is = is || tag == tagRegistration && bytes.HasPrefix(body, []byte("HDMV"))
	})
	return is
}
