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
	t, ok := map[string]tag{
		"EXTM3U":                       {inBoth, true, ""},
		"EXT-X-VERSION":                {inBoth, true, ""},
		"EXT-X-INDEPENDENT-SEGMENTS":   {inBoth, true, ""},
		"EXT-X-START":                  {inBoth, true, "!TIME-OFFSET:s PRECISE:e"},
		"EXT-X-DEFINE":                 {inBoth, false, "NAME:q VALUE:q IMPORT:q QUERYPARAM:q"},
		"EXT-X-TARGETDURATION":         {inMedia, true, ""},
		"EXT-X-MEDIA-SEQUENCE":         {inMedia, true, ""},
		"EXT-X-DISCONTINUITY-SEQUENCE": {inMedia, true, ""},
		"EXT-X-ENDLIST":                {inMedia, true, ""},
		"EXT-X-PLAYLIST-TYPE":          {inMedia, true, ""},
		"EXT-X-I-FRAMES-ONLY":          {inMedia, true, ""},
		"EXT-X-PART-INF":               {inMedia, true, "!PART-TARGET:d"},
		"EXT-X-SERVER-CONTROL":         {inMedia, true, "CAN-SKIP-UNTIL:d CAN-SKIP-DATERANGES:e HOLD-BACK:d PART-HOLD-BACK:d CAN-BLOCK-RELOAD:e"},
		"EXTINF":                       {inMedia, false, ""},
		"EXT-X-BYTERANGE":              {inMedia, false, ""},
		"EXT-X-DISCONTINUITY":          {inMedia, false, ""},
		"EXT-X-KEY":                    {inMedia, false, "!METHOD:e URI:q IV:x KEYFORMAT:q KEYFORMATVERSIONS:q"},
		"EXT-X-MAP":                    {inMedia, false, "!URI:q BYTERANGE:q"},
		"EXT-X-PROGRAM-DATE-TIME":      {inMedia, false, ""},
		"EXT-X-GAP":                    {inMedia, false, ""},
		"EXT-X-BITRATE":                {inMedia, false, ""},
		"EXT-X-PART":                   {inMedia, false, "!URI:q !DURATION:d INDEPENDENT:e BYTERANGE:q GAP:e"},
		"EXT-X-DATERANGE":              {inMedia, false, dateRangeForms},
		"EXT-X-SKIP":                   {inMedia, true, "!SKIPPED-SEGMENTS:i RECENTLY-REMOVED-DATERANGES:q"},
		"EXT-X-PRELOAD-HINT":           {inMedia, false, "!TYPE:e !URI:q BYTERANGE-START:i BYTERANGE-LENGTH:i"},
		"EXT-X-RENDITION-REPORT":       {inMedia, false, "!URI:q LAST-MSN:i LAST-PART:i"},
		"EXT-X-MEDIA":                  {inMultivariant, false, mediaForms},
		"EXT-X-STREAM-INF":             {inMultivariant, false, streamForms},
		"EXT-X-I-FRAME-STREAM-INF":     {inMultivariant, false, streamForms + " !URI:q"},
		"EXT-X-SESSION-DATA":           {inMultivariant, false, "!DATA-ID:q VALUE:q URI:q FORMAT:e LANGUAGE:q"},
		"EXT-X-SESSION-KEY":            {inMultivariant, false, "!METHOD:e URI:q IV:x KEYFORMAT:q KEYFORMATVERSIONS:q"},
		"EXT-X-CONTENT-STEERING":       {inMultivariant, true, "!SERVER-URI:q PATHWAY-ID:q"},
	}[name]
	return t, ok
}

const (
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
	forms := map[string]form{}
	for spec := range strings.FieldsSeq(t.forms) {
		key, value, _ := strings.Cut(spec, ":")
		plain := strings.TrimPrefix(key, "!")
		forms[plain] = form(value[0])
		if plain != key {
			f.check("SYN-3", list.has(plain), "%s without %s", name, plain)
		}
	}
	for _, a := range list {
		want, known := forms[a.name]
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
