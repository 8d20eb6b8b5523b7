package steering

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Tracks are the media playlists that a multivariant playlist names, where each one's URI is Dir, its stable id,
// ".m3u8" and Query. The zero value is unknown.
type Tracks struct {
	Dir        string   // absolute path, with a slash at its end
	Query      string   // with its question mark; empty is none
	Variants   []string // STABLE-VARIANT-ID
	Renditions []string // STABLE-RENDITION-ID
}

const (
	maxTracks = 64 // of each kind
	maxDir    = 512
	maxQuery  = 128
)

// legal says whether the tracks are of a form that can be given back in URIs.
func (t Tracks) legal() bool {
	if !strings.HasPrefix(t.Dir, "/") || strings.HasPrefix(t.Dir, "//") || !strings.HasSuffix(t.Dir, "/") ||
		len(t.Dir) > maxDir || len(t.Query) > maxQuery || len(t.Variants) == 0 || len(t.Variants) > maxTracks ||
		len(t.Renditions) > maxTracks || strings.ContainsFunc(t.Dir, notInPath) || strings.ContainsFunc(t.Query, notInQuery) {
		return false
	}
	for _, ids := range [][]string{t.Variants, t.Renditions} {
		for _, id := range ids {
			if !LegalPathway(id) { // track names are of the same letters
				return false
			}
		}
	}
	return true
}

func notInPath(r rune) bool { return !legalPathwayRune(r) && r != '/' && r != '~' }

func notInQuery(r rune) bool { return notInPath(r) && !strings.ContainsRune("?=&%:+,", r) }

// ServerQuery is what an edge puts behind the SERVER-URI of a playlist: who it is and, for edges that are not reached
// alike, where the playlist's tracks are.
func ServerQuery(base string, t Tracks) string {
	v := Viewer{Base: base, Tracks: t}
	return string(v.appendQuery(nil))
}

// appendQuery writes what of a viewer comes back with its next request. All of it is of letters that need no escape but
// the tracks' query and the public URL.
func (v *Viewer) appendQuery(dst []byte) []byte {
	dst = append(append(dst, "base="...), v.Base...)
	if v.At != "" {
		dst = append(append(dst, "&at="...), url.QueryEscape(v.At)...)
	}
	if v.Region != "" {
		dst = append(append(dst, "&region="...), url.QueryEscape(v.Region)...)
	}
	if v.Told != "" {
		dst = append(append(dst, "&told="...), v.Told...)
	}
	if v.Round > 0 {
		dst = strconv.AppendInt(append(dst, "&round="...), int64(v.Round), 10)
	}
	if !v.Tracks.legal() {
		return dst
	}
	dst = append(append(dst, "&dir="...), v.Tracks.Dir...)
	if v.Tracks.Query != "" {
		dst = append(append(dst, "&q="...), url.QueryEscape(v.Tracks.Query)...)
	}
	dst = append(append(dst, "&v="...), strings.Join(v.Tracks.Variants, ",")...)
	if len(v.Tracks.Renditions) > 0 {
		dst = append(append(dst, "&r="...), strings.Join(v.Tracks.Renditions, ",")...)
	}
	return dst
}

// ReadViewer reads a request's query. What is out of form is an error only of the base: without the others a viewer is
// steered too, if less well.
func ReadViewer(path media.StreamPath, q url.Values) (Viewer, error) {
	v := Viewer{Path: path, Base: q.Get("base"), Current: strings.Trim(q.Get("_HLS_pathway"), `"`)}
	if !LegalPathway(v.Base) {
		return v, &media.FieldError{Field: "query.base", Want: "use the SERVER-URI of the playlist as it is"}
	}
	if _, ok := placed(q.Get("at")); ok && len(q.Get("at")) <= 256 {
		v.At = q.Get("at")
	}
	if name := q.Get("region"); len(name) <= 64 {
		v.Region = name
	}
	if told := q.Get("told"); LegalPathway(told) {
		v.Told = told
	}
	if round, err := strconv.ParseUint(q.Get("round"), 10, 31); err == nil {
		v.Round = int(round % maxRounds)
	}
	slot, err := strconv.ParseUint(q.Get("slot"), 10, 32)
	v.Slot = uint32(slot)
	if err != nil {
		v.Slot, v.First = NewSlot(), true
	}
	t := Tracks{Dir: q.Get("dir"), Query: q.Get("q"), Variants: listed(q.Get("v")), Renditions: listed(q.Get("r"))}
	if t.legal() {
		v.Tracks = t
	}
	return v, nil
}

func listed(text string) []string {
	if text == "" || strings.Count(text, ",") >= maxTracks {
		return nil
	}
	return strings.Split(text, ",")
}

// AppendManifest writes the viewer's steering manifest, version 1, as JSON (RFC 8216bis section 7.2).
//
// A clone's HOST changes the host name only: players keep the scheme, the port and the path of what they clone. Where
// those differ, the clone names every track's URI, which takes that the edge told of them. A pathway that can be named
// neither way is not offered, nor one over http to who has https: a browser would refuse it.
//
// A viewer who is not where its last manifest put it has met an error there, and shuns that pathway for a while
// (hls.js: five minutes): should its own fail too, it would have nowhere to go. So it stays, if it can, and the edges
// get new names for it. Where it is gets one beside its own: what fails late at the edge that it left hls.js books on
// the one that it went to, and it would leave that for whatever comes next in the list, the dead edge above all.
//
// Moved says that the first pathway is of another edge than the viewer is at.
func (f *Fleet) AppendManifest(dst []byte, v Viewer, ttl time.Duration, now time.Time) (text []byte, moved bool) {
	at, known := f.usual, false
	if i, ok := f.find(v.Base); ok && f.Edges[i].place.host != "" {
		e := &f.Edges[i]
		at, known = e.place, true
		v.At = e.Node.Edge.PublicURL
		if v.Region == "" {
			v.Region = e.Node.Edge.Region
		}
	} else if p, ok := placed(v.At); ok {
		at, known = p, true
	}
	list := f.order(&v, now, func(i int) bool {
		p := f.Edges[i].place
		switch {
		case f.Edges[i].Pathway == v.Base, p.alike(at):
			return true
		case at.scheme == "https" && p.scheme == "http":
			return false
		}
		return len(v.Tracks.Variants) > 0
	})
	here, isHere := f.find(v.here())
	if told, ok := f.find(v.Told); ok && isHere && v.Current != "" && told != here {
		v.Round = (v.Round + 1) % maxRounds
		if at := slices.Index(list, here); at > 0 {
			list = slices.Insert(slices.Delete(list, at, at+1), 0, here)
		}
	}
	if v.Told = ""; len(list) > 0 {
		v.Told = f.Edges[list[0]].Pathway
	}
	dst = append(dst, `{"VERSION":1,"TTL":`...)
	dst = strconv.AppendInt(dst, max(1, int64(ttl/time.Second)), 10)
	dst = append(dst, `,"RELOAD-URI":"?`...)
	dst = v.appendQuery(dst) // nothing in it has to be escaped in JSON
	dst = append(dst, "&slot="...)
	dst = strconv.AppendUint(dst, uint64(v.Slot), 10)
	dst = append(dst, `","PATHWAY-PRIORITY":[`...)
	if len(list) == 0 { // an empty one is not allowed
		dst = appendText(dst, v.here())
	}
	var names [2]string
	for n, i := range list {
		for m, name := range v.names(names[:0], f.Edges[i].Pathway) {
			if n+m > 0 {
				dst = append(dst, ',')
			}
			dst = appendText(dst, name)
		}
	}
	dst = append(dst, ']')
	clones := `,"PATHWAY-CLONES":[`
	for _, i := range list {
		e := &f.Edges[i]
		for _, name := range v.names(names[:0], e.Pathway) {
			if name == v.Base {
				continue
			}
			dst = append(append(dst, clones...), `{"BASE-ID":`...)
			dst = appendText(dst, v.Base)
			dst = append(dst, `,"ID":`...)
			dst = appendText(dst, name)
			dst = append(dst, `,"URI-REPLACEMENT":{"HOST":`...)
			dst = appendText(dst, e.place.host)
			if !e.place.alike(at) || !known && len(v.Tracks.Variants) > 0 {
				dst = v.Tracks.appendURIs(dst, `,"PER-VARIANT-URIS":{`, e.place, v.Tracks.Variants)
				dst = v.Tracks.appendURIs(dst, `,"PER-RENDITION-URIS":{`, e.place, v.Tracks.Renditions)
			}
			dst = append(dst, "}}"...)
			clones = ","
		}
	}
	if clones == "," {
		dst = append(dst, ']')
	}
	return append(dst, "}\n"...), len(list) > 0 && (!isHere || list[0] != here)
}

// maxRounds bounds a viewer's rounds: the pathways of so many ago are shunned no more.
const maxRounds = 1000

// names are what a pathway is called for the viewer: where it is keeps its name, or the player would begin there anew,
// and has the round's behind it.
func (v *Viewer) names(list []string, pathway string) []string {
	here := v.here()
	at := strings.LastIndexByte(here, '_')
	isHere := here == pathway || at > 0 && here[:at] == pathway
	if isHere {
		list = append(list, here)
	}
	if v.Round == 0 && isHere {
		return list
	}
	if v.Round > 0 {
		pathway += "_" + strconv.Itoa(v.Round)
	}
	if pathway != here {
		list = append(list, pathway)
	}
	return list
}

// here is the pathway that the viewer has.
func (v *Viewer) here() string {
	if LegalPathway(v.Current) {
		return v.Current
	}
	return v.Base
}

// appendURIs writes where each track is at a place.
func (t Tracks) appendURIs(dst []byte, begin string, at place, ids []string) []byte {
	for i, id := range ids {
		if i > 0 {
			begin = ","
		}
		dst = append(dst, begin...)
		dst = appendText(dst, id)
		dst = append(dst, ':')
		dst = appendText(dst, at.base()+t.Dir+id+".m3u8"+t.Query)
	}
	if len(ids) > 0 {
		dst = append(dst, '}')
	}
	return dst
}

// appendText writes a JSON string. Hosts and paths were read by net/url, which leaves nothing to escape but what a
// quote would do.
func appendText(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c >= 0x7f:
			dst = append(dst, "\\ufffd"...)
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
