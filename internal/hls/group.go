package hls

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/oxbow-video/oxbow/internal/media"
)

const (
	subtitlesGroup = "subs"
	captionsGroup  = "cc"
)

// audioGroup is the audio tracks of one codec, and in the place of those that it lacks another codec's: all groups have
// the same members, so that a change of group never changes the language (MV-8, d§4.4.6.1.1).
type audioGroup struct {
	id      string
	members []member
}

// member is a place in an audio group. It has one name and language in all groups.
type member struct {
	entry
	name string
	tag  string
}

// sound is what makes two tracks of different codecs the same member: what publishers say of them, and which it is of
// those that they say the same of.
type sound struct {
	tag, label string
	nth        int
}

// audioGroups makes a group per codec, in the order of the tracks.
func audioGroups(tracks []entry) []audioGroup {
	var codecs []media.Codec
	var sounds []sound
	var names []string
	have := make(map[media.Codec]map[sound]entry)
	for i := range tracks {
		e := &tracks[i]
		if have[e.Codec] == nil {
			codecs = append(codecs, e.Codec)
			have[e.Codec] = make(map[sound]entry)
		}
		is := sound{tag: language(e.Language), label: e.Label}
		for ; have[e.Codec][is].Name != ""; is.nth++ {
		}
		have[e.Codec][is] = *e
		if !slices.Contains(sounds, is) {
			sounds = append(sounds, is)
			names = append(names, uniqueName(displayName(&e.Track), names))
		}
	}
	var groups []audioGroup
	for _, codec := range codecs {
		g := audioGroup{id: "audio"}
		if len(codecs) > 1 {
			g.id = "audio-" + string(codec)
		}
		for i, is := range sounds {
			m := member{entry: have[codec][is], name: names[i], tag: is.tag}
			for j := 0; m.Name == ""; j++ {
				m.entry = have[codecs[j]][is]
			}
			g.members = append(g.members, m)
		}
		groups = append(groups, g)
	}
	return groups
}

// appendAudio writes the groups (MV-8, MV-9, MV-10). The first member of each is the default.
func (l *lineup) appendAudio(dst []byte) []byte {
	for i := range l.groups {
		g := &l.groups[i]
		inVariant := ""
		if len(l.videos) == 0 { // the first member is the variant itself, and a lone track needs no group
			if len(g.members) == 1 {
				continue
			}
			inVariant = g.members[0].Name
		}
		for j := range g.members {
			m := &g.members[j]
			dst = appendMedia(dst, "AUDIO", g.id, m.name, m.tag)
			dst = appendQuoted(dst, "STABLE-RENDITION-ID", m.Name)
			if j == 0 {
				dst = append(dst, ",DEFAULT=YES,AUTOSELECT=YES"...)
			} else {
				dst = append(dst, ",DEFAULT=NO,AUTOSELECT=YES"...)
			}
			if m.Channels > 0 {
				dst = appendQuoted(dst, "CHANNELS", strconv.Itoa(m.Channels))
			}
			if m.Name != inVariant { // a rendition without URI is in the variant's own playlist
				dst = append(dst, `,URI="`...)
				dst = l.appendURI(dst, m.Name)
				dst = append(dst, '"')
			}
			dst = append(dst, '\n')
		}
	}
	return dst
}

// appendSubtitles writes the group of subtitles (SUB-1). Nobody gets them unasked: they are what the publisher chose to
// write, not a translation that somebody needs.
func (l *lineup) appendSubtitles(dst []byte) []byte {
	if !l.snap.HasSubtitles() {
		return dst
	}
	tag := language(l.snap.Subtitles)
	dst = appendMedia(dst, "SUBTITLES", subtitlesGroup, languageName(tag), tag)
	dst = appendQuoted(dst, "STABLE-RENDITION-ID", "subtitles")
	dst = append(dst, `,DEFAULT=NO,AUTOSELECT=YES,FORCED=NO,URI="`...)
	dst = l.appendURI(dst, "subtitles")
	return append(dst, "\"\n"...)
}

// captions are those in the pictures; without video there are none.
func (l *lineup) captions() []media.Caption {
	if len(l.videos) == 0 {
		return nil
	}
	return l.snap.Captions
}

// appendCaptions writes the group of closed captions (CC-1).
func (l *lineup) appendCaptions(dst []byte) []byte {
	var names []string
	for _, c := range l.captions() {
		tag := language(c.Language)
		name := c.ID
		if tag != "und" {
			name = languageName(tag)
		}
		name = uniqueName(name, names)
		names = append(names, name)
		dst = appendMedia(dst, "CLOSED-CAPTIONS", captionsGroup, name, tag)
		dst = append(dst, ",DEFAULT=NO,AUTOSELECT=YES"...)
		dst = appendQuoted(dst, "INSTREAM-ID", c.ID)
		dst = append(dst, '\n')
	}
	return dst
}

// appendMedia writes what every EXT-X-MEDIA has.
func appendMedia(dst []byte, kind, group, name, tag string) []byte {
	dst = append(dst, "#EXT-X-MEDIA:TYPE="...)
	dst = append(dst, kind...)
	dst = appendQuoted(dst, "GROUP-ID", group)
	dst = appendQuoted(dst, "NAME", name)
	return appendQuoted(dst, "LANGUAGE", tag)
}

// displayName is what people choose a track by: its label, its language, or its name for want of both. A label comes
// from the publisher.
func displayName(tr *media.Track) string {
	const most = 64 // runes
	label := strings.Map(func(r rune) rune {
		if r == '"' || r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.TrimSpace(tr.Label))
	if runes := []rune(label); len(runes) > most {
		label = string(runes[:most])
	}
	if label != "" {
		return label
	}
	if tag := language(tr.Language); tag != "und" {
		return languageName(tag)
	}
	return tr.Name
}

// uniqueName gives the name, with a number if it is taken (MV-8).
func uniqueName(name string, taken []string) string {
	unique := name
	for n := 2; slices.Contains(taken, unique); n++ {
		unique = fmt.Sprintf("%s %d", name, n)
	}
	return unique
}
