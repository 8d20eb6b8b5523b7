package inspect

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Limits of playlists that are believed.
const (
	maxPlaylist     = 64 << 20
	maxPlaylistLine = 64 << 10
	maxRenditions   = 64
)

// entry is one segment of a media playlist.
type entry struct {
	uri      string
	offset   int64
	size     int64 // zero: the whole resource
	seconds  float64
	msn      int64
	gap      bool
	breaks   bool // EXT-X-DISCONTINUITY stands before it
	init     string
	initFrom int64
	initSize int64
}

// playlist is what a media playlist says, or a multivariant one.
type playlist struct {
	entries []entry
	// uris are what a multivariant playlist names: variants and renditions, without I-frame playlists. iframes are
	// those.
	uris    []string
	media   []string // of EXT-X-MEDIA, until the end
	iframes []string
	codecs  string
	width   int
	height  int
	target  float64
	ended   bool
	frames  bool // EXT-X-I-FRAMES-ONLY
	variant bool // the URI of a variant comes next
}

var attributes = regexp.MustCompile(`([A-Z0-9-]+)=("[^"]*"|[^,]*)`)

func attribute(list, name string) string {
	for _, m := range attributes.FindAllStringSubmatch(list, -1) {
		if m[1] == name {
			return strings.Trim(m[2], `"`)
		}
	}
	return ""
}

// parsePlaylist reads either kind (RFC 8216bis 4).
func parsePlaylist(data []byte) (*playlist, error) {
	if !bytes.HasPrefix(data, []byte("#EXTM3U")) {
		return nil, fmt.Errorf("%w: no playlist", media.ErrInvalid)
	}
	p := &playlist{}
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, maxPlaylistLine)
	var next entry
	after := map[string]int64{} // where a BYTERANGE without offset begins, by URI
	for scanner.Scan() {
		text := scanner.Text()
		name, value, _ := strings.Cut(text, ":")
		var err error
		switch {
		case text == "":
		case !strings.HasPrefix(text, "#"):
			if p.variant {
				p.uris, p.variant = append(p.uris, text), false
				continue
			}
			next.uri = text
			if next.size > 0 && next.offset < 0 {
				next.offset = after[text]
			}
			after[text] = next.offset + next.size
			p.entries = append(p.entries, next)
			next = entry{msn: next.msn + 1, init: next.init, initFrom: next.initFrom, initSize: next.initSize}
		default:
			err = p.tag(name, value, &next)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %.200q: %w", media.ErrInvalid, text, err)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", media.ErrInvalid, err)
	}
	p.uris, p.media = append(p.uris, p.media...), nil
	if len(p.uris)+len(p.iframes) > maxRenditions {
		return nil, fmt.Errorf("%w: %d renditions", media.ErrTooLarge, len(p.uris))
	}
	p.renumber()
	return p, nil
}

// renumber gives the entries of a clip the numbers that its source gave to them, by the name of the first: a finished
// playlist begins with 1 whatever those are.
func (p *playlist) renumber() {
	if !p.ended || p.frames || len(p.entries) == 0 {
		return
	}
	name, ok := strings.CutSuffix(path.Base(p.entries[0].uri), ".m4s")
	first, err := strconv.ParseInt(name, 10, 32)
	if !ok || err != nil || first <= p.entries[0].msn {
		return
	}
	for i, shift := 0, first-p.entries[0].msn; i < len(p.entries); i++ {
		p.entries[i].msn += shift
	}
}

func (p *playlist) tag(name, value string, next *entry) (err error) {
	switch name {
	case "#EXT-X-STREAM-INF":
		p.codecs, p.variant = attribute(value, "CODECS"), true
		if w, h, ok := media.ParseResolution(attribute(value, "RESOLUTION")); ok && w > p.width {
			p.width, p.height = w, h
		}
	case "#EXT-X-MEDIA":
		if uri := attribute(value, "URI"); uri != "" {
			p.media = append(p.media, uri)
		}
	case "#EXT-X-I-FRAME-STREAM-INF":
		p.iframes = append(p.iframes, attribute(value, "URI"))
	case "#EXT-X-I-FRAMES-ONLY":
		p.frames = true
	case "#EXT-X-TARGETDURATION":
		p.target, err = strconv.ParseFloat(value, 64)
	case "#EXT-X-MEDIA-SEQUENCE":
		next.msn, err = strconv.ParseInt(value, 10, 64)
	case "#EXT-X-ENDLIST":
		p.ended = true
	case "#EXT-X-GAP":
		next.gap = true
	case "#EXT-X-DISCONTINUITY":
		next.breaks = true
	case "#EXTINF":
		length, _, _ := strings.Cut(value, ",")
		next.seconds, err = strconv.ParseFloat(length, 64)
		if err == nil && !(next.seconds >= 0 && next.seconds < math.MaxInt32) {
			err = errors.New("no duration")
		}
	case "#EXT-X-BYTERANGE":
		next.offset, next.size, err = parseRange(value)
	case "#EXT-X-MAP":
		next.init, next.initFrom, next.initSize = attribute(value, "URI"), 0, 0
		if r := attribute(value, "BYTERANGE"); r != "" {
			next.initFrom, next.initSize, err = parseRange(r)
			next.initFrom = max(next.initFrom, 0)
		}
	}
	return err
}

// parseRange reads size[@offset]; an offset that is not there is negative.
func parseRange(text string) (offset, size int64, err error) {
	length, from, ok := strings.Cut(text, "@")
	offset = -1
	if size, err = strconv.ParseInt(length, 10, 62); err == nil && ok {
		offset, err = strconv.ParseInt(from, 10, 62)
	}
	if err == nil && (size < 1 || ok && offset < 0) {
		err = errors.New("no byte range")
	}
	return offset, size, err
}

// checkPlaylists holds the playlists beside an archived recording's files against the index. A recording in a
// cluster's directory has none.
func (c *recordingCheck) checkPlaylists(ctx context.Context) error {
	const index = "index.m3u8"
	data, err := c.folder.ReadFile(ctx, index)
	switch {
	case missing(err) && c.manifest.State == media.Archived && c.inArchive() && len(c.listed) > 0:
		c.report.add(Error, "playlist", index, "have it archived again", "the archive has no playlists")
		return nil
	case missing(err):
		return nil
	case err != nil:
		return err
	}
	main, err := parsePlaylist(data)
	if err != nil {
		c.report.add(Error, "playlist", index, doCopy, "%v", err)
		return nil
	}
	c.report.Bytes += int64(len(data))
	for _, name := range append(main.uris, main.iframes...) {
		if path.Base(name) != name {
			c.report.add(Error, "playlist", index, doCopy, "it names %.200q, outside of the recording", name)
			continue
		}
		data, err := c.folder.ReadFile(ctx, name)
		if missing(err) {
			c.report.add(Error, "playlist", name, doCopy, "%s names it, and it is not there", index)
			continue
		}
		if err != nil {
			return err
		}
		c.report.Bytes += int64(len(data))
		list, err := parsePlaylist(data)
		if err != nil {
			c.report.add(Error, "playlist", name, doCopy, "%v", err)
			continue
		}
		if !list.ended {
			c.report.add(Error, "playlist", name, doCopy, "it has no EXT-X-ENDLIST: players wait for more")
		}
		if ranges, ok := c.listed[strings.TrimSuffix(name, ".m3u8")]; ok {
			c.checkRanges(name, list, ranges)
		}
	}
	return nil
}

// inArchive says that the folder is an archive's: its manifest alone does not tell, as the local one says archived too.
func (c *recordingCheck) inArchive() bool {
	_, local := c.folder.(*Dir)
	return !local
}

// checkRanges compares what a static playlist lists with the index.
func (c *recordingCheck) checkRanges(name string, list *playlist, ranges []listedRange) {
	i := 0
	for _, e := range list.entries {
		if e.gap {
			continue
		}
		if i == len(ranges) {
			c.report.add(Error, "playlist", name, doCopy, "it lists more segments than the index, from %s %d@%d on",
				e.uri, e.size, e.offset)
			return
		}
		want := ranges[i]
		file := c.mediaBase() + strconv.Itoa(want.take) + "/" + strings.TrimSuffix(name, ".m3u8") + ".mp4"
		if e.uri != file || e.offset != want.offset || e.size != want.size {
			c.report.add(Error, "playlist", name, doCopy, "it lists %s %d@%d where the index has %s %d@%d",
				e.uri, e.size, e.offset, file, want.size, want.offset)
			return
		}
		if e.init != file {
			c.report.add(Error, "playlist", name, doCopy, "%s %d@%d has the init section of %s", e.uri, e.size, e.offset, e.init)
			return
		}
		i++
	}
	if i < len(ranges) {
		c.report.add(Error, "playlist", name, doCopy, "it lists %d segments, and the index has %d", i, len(ranges))
	}
}
