package hlscheck

import "strings"

// place is where a tag may stand.
type place byte

const (
	inBoth         place = 'b'
	inMedia        place = 'm'
	inMultivariant place = 'v'
)

// tag is what the draft says of one tag.
type tag struct {
	place place
	once  bool
	// forms are the attributes' forms as "NAME:f NAME:f", f a form; "" for a tag without an attribute list. A name
	// with a leading ! must be there.
	forms string
}

// tagOf gives a tag's rules (d§4.4); false for one that the draft does not define.
func tagOf(name string) (tag, bool) {
	switch name {
	case "EXTM3U":
		return tag{inBoth, true, ""}, true
	case "EXT-X-VERSION":
		return tag{inBoth, true, ""}, true
	case "EXT-X-INDEPENDENT-SEGMENTS":
		return tag{inBoth, true, ""}, true
	case "EXT-X-START":
		return tag{inBoth, true, "!TIME-OFFSET:s PRECISE:e"}, true
	case "EXT-X-DEFINE":
		return tag{inBoth, false, "NAME:q VALUE:q IMPORT:q QUERYPARAM:q"}, true
	case "EXT-X-TARGETDURATION":
		return tag{inMedia, true, ""}, true
	case "EXT-X-MEDIA-SEQUENCE":
		return tag{inMedia, true, ""}, true
	case "EXT-X-DISCONTINUITY-SEQUENCE":
		return tag{inMedia, true, ""}, true
	case "EXT-X-ENDLIST":
		return tag{inMedia, true, ""}, true
	case "EXT-X-PLAYLIST-TYPE":
		return tag{inMedia, true, ""}, true
	case "EXT-X-I-FRAMES-ONLY":
		return tag{inMedia, true, ""}, true
	case "EXT-X-PART-INF":
		return tag{inMedia, true, "!PART-TARGET:d"}, true
	case "EXT-X-SERVER-CONTROL":
		return tag{inMedia, true, controlForms}, true
	case "EXTINF":
		return tag{inMedia, false, ""}, true
	case "EXT-X-BYTERANGE":
		return tag{inMedia, false, ""}, true
	case "EXT-X-DISCONTINUITY":
		return tag{inMedia, false, ""}, true
	case "EXT-X-KEY":
		return tag{inMedia, false, "!METHOD:e URI:q IV:x KEYFORMAT:q KEYFORMATVERSIONS:q"}, true
	case "EXT-X-MAP":
		return tag{inMedia, false, "!URI:q BYTERANGE:q"}, true
	case "EXT-X-PROGRAM-DATE-TIME":
		return tag{inMedia, false, ""}, true
	case "EXT-X-GAP":
		return tag{inMedia, false, ""}, true
	case "EXT-X-BITRATE":
		return tag{inMedia, false, ""}, true
	case "EXT-X-PART":
		return tag{inMedia, false, "!URI:q !DURATION:d INDEPENDENT:e BYTERANGE:q GAP:e"}, true
	case "EXT-X-DATERANGE":
		return tag{inMedia, false, dateRangeForms}, true
	case "EXT-X-SKIP":
		return tag{inMedia, true, "!SKIPPED-SEGMENTS:i RECENTLY-REMOVED-DATERANGES:q"}, true
	case "EXT-X-PRELOAD-HINT":
		return tag{inMedia, false, "!TYPE:e !URI:q BYTERANGE-START:i BYTERANGE-LENGTH:i"}, true
	case "EXT-X-RENDITION-REPORT":
		return tag{inMedia, false, "!URI:q LAST-MSN:i LAST-PART:i"}, true
	case "EXT-X-MEDIA":
		return tag{inMultivariant, false, mediaForms}, true
	case "EXT-X-STREAM-INF":
		return tag{inMultivariant, false, streamForms}, true
	case "EXT-X-I-FRAME-STREAM-INF":
		return tag{inMultivariant, false, streamForms + " !URI:q"}, true
	case "EXT-X-SESSION-DATA":
		return tag{inMultivariant, false, "!DATA-ID:q VALUE:q URI:q FORMAT:e LANGUAGE:q"}, true
	case "EXT-X-SESSION-KEY":
		return tag{inMultivariant, false, "!METHOD:e URI:q IV:x KEYFORMAT:q KEYFORMATVERSIONS:q"}, true
	case "EXT-X-CONTENT-STEERING":
		return tag{inMultivariant, true, "!SERVER-URI:q PATHWAY-ID:q"}, true
	}
	return tag{}, false
}

const (
	controlForms   = "CAN-SKIP-UNTIL:d CAN-SKIP-DATERANGES:e HOLD-BACK:d PART-HOLD-BACK:d CAN-BLOCK-RELOAD:e"
	dateRangeForms = "!ID:q CLASS:q START-DATE:q CUE:q END-DATE:q DURATION:d PLANNED-DURATION:d " +
		"SCTE35-CMD:x SCTE35-OUT:x SCTE35-IN:x END-ON-NEXT:e"
	mediaForms = "!TYPE:e URI:q !GROUP-ID:q LANGUAGE:q ASSOC-LANGUAGE:q !NAME:q STABLE-RENDITION-ID:q DEFAULT:e " +
		"AUTOSELECT:e FORCED:e INSTREAM-ID:q BIT-DEPTH:i SAMPLE-RATE:i CHARACTERISTICS:q CHANNELS:q"
	streamForms = "!BANDWIDTH:i AVERAGE-BANDWIDTH:i SCORE:d CODECS:q SUPPLEMENTAL-CODECS:q RESOLUTION:r FRAME-RATE:d " +
		"HDCP-LEVEL:e ALLOWED-CPC:q VIDEO-RANGE:e REQ-VIDEO-LAYOUT:q STABLE-VARIANT-ID:q AUDIO:q VIDEO:q SUBTITLES:q " +
		"CLOSED-CAPTIONS:? PATHWAY-ID:q NAME:q"
)

// checkForms holds the attributes of a tag against its rules.
func (t tag) checkForms(f *findings, name string, list attributes) {
	if t.forms == "" {
		return
	}
	for spec := range strings.FieldsSeq(t.forms) {
		key, _, _ := strings.Cut(spec, ":")
		if plain, must := strings.CutPrefix(key, "!"); must {
			f.check("SYN-3", list.has(plain), "%s without %s", name, plain)
		}
	}
	for _, a := range list {
		want, known := t.formOf(a.name)
		switch {
		case !known, want == '?': // clients ignore unknown ones; X- is for anybody
		default:
			f.check("SYN-3", a.obeys(want), "%s: %s=%s is written in a wrong form", name, a.name, a.value)
			if want == enum && strings.HasPrefix(a.value, "Y") {
				f.check("SYN-3", a.value == "YES", "%s: %s=%s", name, a.name, a.value)
			}
		}
	}
}

// formOf finds the form of an attribute; false for one that is not the tag's.
func (t tag) formOf(attribute string) (form, bool) {
	for spec := range strings.FieldsSeq(t.forms) {
		if key, value, _ := strings.Cut(strings.TrimPrefix(spec, "!"), ":"); key == attribute {
			return form(value[0]), true
		}
	}
	return 0, false
}
