package hlscheck

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

var stableID = regexp.MustCompile(`^[a-zA-Z0-9+/=._-]+$`)

// judgeMultivariant holds a multivariant playlist against the rules that it can break alone.
func judgeMultivariant(f *findings, p *playlist) {
	f.check("SYN-2", p.version >= p.versionOfVariants(),
		"VERSION %d, its tags need %d", p.version, p.versionOfVariants())
	f.check("SYN-5", p.version <= max(6, p.versionOfVariants()),
		"VERSION %d, its tags need %d", p.version, p.versionOfVariants())
	f.check("MV-12", p.independent, "no INDEPENDENT-SEGMENTS")
	scores := 0
	for i := range p.variants {
		judgeVariant(f, p, &p.variants[i])
		if p.variants[i].has("SCORE") {
			scores++
		}
	}
	f.check("MV-19", scores == 0 || scores == len(p.variants), "SCORE on %d of %d variants", scores, len(p.variants))
	judgeGroups(f, p)
	if slices.ContainsFunc(p.variants, func(v stream) bool { return !v.iframes && v.has("RESOLUTION") }) {
		f.check("MV-15", slices.ContainsFunc(p.variants, func(v stream) bool { return v.iframes }), "no I-frame variant")
	}
}

func (p *playlist) versionOfVariants() int {
	need := 1
	for _, m := range p.media {
		if strings.HasPrefix(m.text("INSTREAM-ID"), "SERVICE") {
			need = 7
		} else if m.text("TYPE") != "CLOSED-CAPTIONS" && m.has("INSTREAM-ID") {
			need = 13
		}
	}
	if p.has("EXT-X-DEFINE") {
		need = max(need, 8)
	}
	return need
}

func judgeVariant(f *findings, p *playlist, v *stream) {
	name := path(v.uri)
	f.check("MV-1", v.number("BANDWIDTH") > 0, "%s: BANDWIDTH %s", name, v.text("BANDWIDTH"))
	f.check("MV-2", v.text("CODECS") != "", "%s: no CODECS", name)
	if v.has("AVERAGE-BANDWIDTH") {
		f.check("MV-6", v.number("AVERAGE-BANDWIDTH") <= v.number("BANDWIDTH"),
			"%s: AVERAGE-BANDWIDTH over BANDWIDTH", name)
	} else {
		f.check("MV-6", v.iframes, "%s: no AVERAGE-BANDWIDTH", name)
	}
	f.check("SYN-7", strings.HasSuffix(name, ".m3u8"), "%s", name)
	if isVideo(v.text("CODECS")) {
		f.check("MV-4", v.has("RESOLUTION"), "%s: no RESOLUTION", name)
		if !v.iframes {
			rate := v.text("FRAME-RATE")
			_, fraction, _ := strings.Cut(rate, ".")
			f.check("MV-5", len(fraction) == 3, "%s: FRAME-RATE=%q", name, rate)
			f.check("CC-1", v.has("CLOSED-CAPTIONS"), "%s: no CLOSED-CAPTIONS", name)
		}
	}
	if r := v.text("VIDEO-RANGE"); v.has("VIDEO-RANGE") {
		f.check("MV-16", r == "SDR" || r == "HLG" || r == "PQ", "%s: VIDEO-RANGE=%s", name, r)
	}
	if v.has("STABLE-VARIANT-ID") {
		f.check("MV-17", stableID.MatchString(v.text("STABLE-VARIANT-ID")), "%s: STABLE-VARIANT-ID", name)
	}
	if v.iframes {
		f.check("IFR-1", v.has("CODECS") && v.has("RESOLUTION"), "%s: I-frame variant without CODECS or RESOLUTION", name)
		return
	}
	for _, group := range []string{"AUDIO", "VIDEO", "SUBTITLES", "CLOSED-CAPTIONS"} {
		if a, ok := v.find(group); ok && (group != "CLOSED-CAPTIONS" || a.quoted) {
			f.check("MV-8", slices.ContainsFunc(p.media, func(m attributes) bool {
				return m.text("TYPE") == group && m.text("GROUP-ID") == a.value
			}), "%s: no %s group %q", name, group, a.value)
		}
	}
	if c, ok := v.find("CLOSED-CAPTIONS"); ok && !c.quoted {
		f.check("CC-1", c.value == "NONE", "%s: CLOSED-CAPTIONS=%s", name, c.value)
	}
}

func isVideo(codecs string) bool {
	for c := range strings.SplitSeq(codecs, ",") {
		switch entry, _, _ := strings.Cut(c, "."); entry {
		case "avc1", "avc3", "hvc1", "hev1", "av01", "vp09", "vp08", "dvh1":
			return true
		}
	}
	return false
}

// judgeGroups: members of EXT-X-MEDIA groups.
func judgeGroups(f *findings, p *playlist) {
	names, defaults, members := map[string]bool{}, map[string]int{}, map[string][]string{}
	for _, m := range p.media {
		group := m.text("TYPE") + " " + m.text("GROUP-ID")
		key := group + " " + m.text("NAME")
		f.check("MV-8", !names[key], "NAME %q twice in group %s", m.text("NAME"), group)
		names[key] = true
		if m.text("DEFAULT") == "YES" {
			defaults[group]++
			f.check("MV-8", m.text("AUTOSELECT") != "NO" && m.has("AUTOSELECT"), "%s: DEFAULT without AUTOSELECT", key)
		}
		f.check("MV-8", defaults[group] <= 1, "group %s has %d DEFAULT members", group, defaults[group])
		members[group] = append(members[group], m.text("NAME"))
		f.check("MV-9", m.text("LANGUAGE") != "", "%s: no LANGUAGE", key)
		switch m.text("TYPE") {
		case "AUDIO":
			f.check("MV-10", m.text("CHANNELS") != "", "%s: no CHANNELS", key)
			f.check("MV-13", m.text("URI") != "" || len(p.variants) > 0, "%s", key)
		case "SUBTITLES":
			f.check("MV-8", m.text("URI") != "", "%s: no URI", key)
		case "CLOSED-CAPTIONS":
			f.check("CC-1", m.text("INSTREAM-ID") != "" && !m.has("URI"), "%s: INSTREAM-ID or URI", key)
		case "VIDEO":
		default:
			f.check("MV-8", false, "TYPE=%s", m.text("TYPE"))
		}
		if m.has("STABLE-RENDITION-ID") {
			f.check("MV-17", stableID.MatchString(m.text("STABLE-RENDITION-ID")), "%s: STABLE-RENDITION-ID", key)
		}
	}
	for group, list := range members {
		kind, _, _ := strings.Cut(group, " ")
		for other, names := range members {
			if strings.HasPrefix(other, kind+" ") {
				f.check("MV-8", slices.Equal(slices.Sorted(slices.Values(list)), slices.Sorted(slices.Values(names))),
					"groups %s and %s have other members", group, other)
			}
		}
	}
}

// renditions gives the URLs of the media playlists, the I-frame ones last.
func (p *playlist) renditions() (uris []string) {
	for pass := range 2 {
		for _, v := range p.variants {
			if v.iframes == (pass == 1) && !slices.Contains(uris, v.uri) {
				uris = append(uris, v.uri)
			}
		}
		for _, m := range p.media {
			if u := m.text("URI"); pass == 0 && u != "" && !slices.Contains(uris, u) {
				uris = append(uris, u)
			}
		}
	}
	return uris
}

// judgeCodecs holds CODECS and RESOLUTION of the variants against the init sections of their renditions.
func judgeCodecs(f *findings, p *playlist, inits map[string]*initSection) {
	for _, v := range p.variants {
		var want []string
		whole := true
		add := func(uri string) {
			if i := inits[uri]; i != nil {
				want = append(want, i.codec)
			} else {
				whole = false
			}
		}
		add(v.uri)
		for _, m := range p.media {
			a, ok := v.find("AUDIO")
			if !v.iframes && ok && m.text("TYPE") == "AUDIO" && m.text("GROUP-ID") == a.value && m.has("URI") {
				add(m.text("URI"))
			}
		}
		if i := inits[v.uri]; i != nil && i.video && v.has("RESOLUTION") {
			size := fmt.Sprintf("%dx%d", i.width, i.height)
			f.check("MV-4", v.text("RESOLUTION") == size,
				"RESOLUTION=%s, the init section says %s", v.text("RESOLUTION"), size)
		}
		if !whole {
			continue
		}
		told := strings.Split(v.text("CODECS"), ",")
		for _, w := range want {
			f.check("MV-3", slices.ContainsFunc(told, func(c string) bool { return strings.HasPrefix(c, w) }),
				"CODECS=%q lacks %s", v.text("CODECS"), w)
		}
		for _, c := range told {
			subtitles := strings.HasPrefix(c, "wvtt") || strings.HasPrefix(c, "stpp")
			f.check("MV-3", subtitles || slices.ContainsFunc(want, func(w string) bool { return strings.HasPrefix(c, w) }),
				"CODECS=%q names %s, which nothing has", v.text("CODECS"), c)
		}
	}
}
