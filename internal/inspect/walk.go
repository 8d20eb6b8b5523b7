package inspect

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// doNode is the answer to what an edge shows wrong.
const doNode = "inspect the recording in the cluster's directory or the archive, to see whether it or the way to it " +
	"is at fault"

// Playlists inspects a recording as players see it: it walks from index.m3u8 to every segment. A playlist that still
// grows or slides is checked as it was when it was read; a segment that has slid out meanwhile is no fault.
func Playlists(ctx context.Context, web *Web, o Options) (*Report, error) {
	w := &walk{
		web: web, fast: o.Fast, tell: o.progress(),
		report: &Report{Source: o.Source, MediaRead: !o.Fast, Findings: []Finding{}},
	}
	return w.report.end(o, w.run(ctx))
}

type walk struct {
	web    *Web
	fast   bool
	tell   func(At)
	report *Report
}

func (w *walk) run(ctx context.Context) error {
	const index = "index.m3u8"
	data, err := w.web.ReadFile(ctx, index)
	if err != nil {
		return err
	}
	main, err := parsePlaylist(data)
	if err != nil {
		w.report.add(Error, "playlist", index, doNode, "%v", err)
		return nil
	}
	uris := main.uris
	if len(main.entries) > 0 {
		uris = []string{index}
	} else if len(uris) == 0 {
		w.report.add(Error, "playlist", index, doNode, "it names no variant")
	}
	take := Take{Number: 1, Sealed: true}
	seen := map[string]bool{}
	for _, uri := range uris {
		if seen[uri] {
			continue
		}
		seen[uri] = true
		track, list, err := w.media(ctx, uri)
		if err != nil {
			return err
		}
		if list == nil {
			continue
		}
		track.Codec, take.Sealed = main.codecs, take.Sealed && list.ended
		if len(take.Tracks) == 0 {
			track.Width, track.Height = main.width, main.height
		}
		take.Tracks = append(take.Tracks, track)
		w.report.Seconds = max(w.report.Seconds, track.Seconds)
		w.report.Bytes += track.Bytes
	}
	w.report.Takes = []Take{take}
	if !take.Sealed {
		w.report.add(Info, "growing", index, "", "a playlist has no EXT-X-ENDLIST: the show is on")
	}
	return nil
}

// media checks one media playlist; nil if it is not there.
func (w *walk) media(ctx context.Context, uri string) (Track, *playlist, error) {
	track := Track{Name: uri}
	data, err := w.web.ReadFile(ctx, uri)
	if missing(err) {
		w.report.add(Error, "playlist", uri, doNode, "%v", err)
		return track, nil, nil
	}
	if err != nil {
		return track, nil, err
	}
	list, err := parsePlaylist(data)
	if err != nil {
		w.report.add(Error, "playlist", uri, doNode, "%v", err)
		return track, nil, nil
	}
	if len(list.entries) == 0 && list.ended {
		w.report.add(Error, "playlist", uri, doNode, "it has no segment")
	}
	m := mediaWalk{walk: w, uri: uri, list: list, track: &track, dts: -1}
	for i := range list.entries {
		if err := ctx.Err(); err != nil {
			return track, nil, err
		}
		w.tell(At{Name: uri, Done: int64(i), Total: int64(len(list.entries)), Segments: true})
		if err := m.segment(ctx, &list.entries[i]); err != nil {
			return track, nil, err
		}
	}
	if track.Seconds > 0 {
		track.Rate = int64(float64(track.Bytes) * 8 / track.Seconds)
	}
	return track, list, nil
}

// mediaWalk is one media playlist under way.
type mediaWalk struct {
	*walk
	uri   string
	list  *playlist
	track *Track
	init  string // the init section that was read last
	scale int64
	dts   int64 // where the next part should begin; negative is anywhere
	p     part
}

func (m *mediaWalk) segment(ctx context.Context, e *entry) error {
	t := m.track
	if t.Segments++; t.Segments == 1 {
		t.FirstMSN = media.MSN(e.msn)
	}
	t.LastMSN = media.MSN(e.msn)
	where := fmt.Sprintf("%s segment %d", m.uri, e.msn)
	if m.list.target > 0 && math.Round(e.seconds) > m.list.target {
		m.report.add(Error, "duration", where, doNode, "EXTINF %.3f is longer than the target duration %.0f",
			e.seconds, m.list.target)
	}
	if e.breaks || e.gap {
		m.dts = -1
	}
	t.Seconds += e.seconds
	if e.gap {
		t.Gaps++
		m.report.gap(Gap{
			Take: 1, Track: m.uri, From: media.MSN(e.msn), To: media.MSN(e.msn), Start: t.Seconds - e.seconds,
			Seconds: e.seconds,
		})
		return nil
	}
	if m.fast {
		t.Bytes += e.size
		return nil
	}
	if e.init != "" && m.init != initKey(e) {
		if err := m.readInit(ctx, e, where); err != nil {
			return err
		}
	}
	err := m.read(ctx, e, where)
	if missing(err) && !m.list.ended {
		m.report.add(Info, "growing", where, "", "it is not there any more: the playlist slides")
		return nil
	}
	var netError *url.Error
	if missing(err) || errors.Is(err, media.ErrUnavailable) || errors.As(err, &netError) && ctx.Err() == nil ||
		errors.Is(err, io.ErrUnexpectedEOF) {
		m.report.add(Error, "missing-segment", where, doNode, "%v", err)
		m.dts = -1
		return nil
	}
	return err
}

func initKey(e *entry) string { return fmt.Sprint(e.init, "@", e.initFrom, "+", e.initSize) }

func (m *mediaWalk) readInit(ctx context.Context, e *entry, where string) error {
	m.init, m.scale = initKey(e), 0
	body, _, err := m.open(ctx, e.init, e.initFrom, e.initSize)
	if missing(err) {
		m.report.add(Error, "init", where, doNode, "%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(body, reclog.MaxInit+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return err
	}
	if err := checkInit(data, media.Track{}); err != nil {
		m.report.add(Error, "init", where, doNode, "%v", err)
	}
	m.scale = timescaleOf(data)
	return nil
}

func (m *mediaWalk) open(ctx context.Context, name string, offset, size int64) (io.ReadCloser, int64, error) {
	if size > 0 {
		body, err := m.web.OpenRange(ctx, m.resolve(name), offset, size)
		return body, size, err
	}
	return m.web.openWhole(ctx, m.resolve(name))
}

// resolve makes a URI of the media playlist one of the folder.
func (m *mediaWalk) resolve(name string) string {
	base, err := url.Parse(m.uri)
	ref, refErr := url.Parse(name)
	if err != nil || refErr != nil {
		return name
	}
	joined := base.ResolveReference(ref)
	if base.Host == "" && !strings.HasPrefix(base.Path, "/") && ref.Host == "" && !strings.HasPrefix(ref.Path, "/") {
		joined.Path = strings.TrimPrefix(joined.Path, "/")
	}
	return joined.String()
}

// read loads a segment and holds its boxes against the playlist. Segments that are no fragmented MP4 (WebVTT) are
// loaded only.
func (m *mediaWalk) read(ctx context.Context, e *entry, where string) error {
	body, size, err := m.open(ctx, e.uri, e.offset, e.size)
	if err != nil {
		return err
	}
	defer body.Close()
	if e.init == "" || m.scale == 0 {
		n, err := io.Copy(io.Discard, io.LimitReader(body, reclog.MaxPartSize))
		m.track.Bytes += n
		return err
	}
	if size < 0 {
		return fmt.Errorf("%s: %w: the server tells no size", e.uri, media.ErrUnsupported)
	}
	m.track.Bytes += size
	s := &stream{ctx: ctx, end: size, curEnd: size, cur: io.NopCloser(body)}
	s.buf = bufio.NewReaderSize(source{s}, 8<<10)
	var duration int64
	for s.left() > 0 {
		err := s.next(&m.p)
		if errors.Is(err, errBox) || errors.Is(err, errTorn) {
			m.report.add(Error, "media", where, doNode, "the bytes at %d are no whole moof and mdat: %v", s.at(), err)
			m.dts = -1
			return nil
		}
		if err != nil {
			return err
		}
		if int64(m.p.msn) != e.msn && e.size == 0 {
			m.report.add(Error, "sequence", where, doNode, "its part is of segment %d", m.p.msn)
		}
		if apart := media.Duration(m.p.dts-m.dts, m.scale); m.dts >= 0 && apart.Abs() > slack {
			m.report.add(Error, "tfdt", where, doNode, "its decode time is %v off the one before and its length", apart)
		}
		m.dts, duration = m.p.dts+m.p.duration, duration+m.p.duration
		m.track.Parts++
	}
	const near = 0.005
	if apart := media.Duration(duration, m.scale).Seconds() - e.seconds; math.Abs(apart) > near {
		m.report.add(Error, "duration", where, doNode, "EXTINF says %.5f s, and its samples last %.5f", e.seconds,
			apart+e.seconds)
	}
	return nil
}
