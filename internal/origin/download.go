package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/progressive"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	// buildTimeout bounds the making of a file's header: hours of a recording whose samples must be looked for.
	buildTimeout = 5 * time.Minute
	// buildWait is how long a request waits for it; the next one finds it made.
	buildWait = 8 * time.Second
	// maxBuilds bounds the headers that are being made: each reads its own storage and takes megabytes.
	maxBuilds = 4
	// fewSegments is a cut so short that its samples are looked for rather than those of the whole take.
	fewSegments = 64
	// missingTable is how long it is believed that storage has no sample table.
	missingTable = time.Minute
)

// errGrowing is what a download gets of a recording that has no end yet.
var errGrowing = errors.New("recording grows")

// downloadKey names a file: a cut of a version of a recording.
type downloadKey struct {
	rec *recording
	v   *version
	cut progressive.Cut
}

// tableKey names a track file's sample table, of a version of the recording. Stored is the table that storage has.
type tableKey struct {
	rec    *recording
	v      *version
	take   int // its place
	track  int
	stored bool
}

// downloads are the files that are being downloaded.
type downloads struct {
	files  *cache[downloadKey, *progressive.File]
	tables *cache[tableKey, *progressive.Table]
	copier *progressive.Copier
	slots  chan struct{}
}

func (h *Handler) newDownloads(files reclog.Files) *downloads {
	d := &downloads{copier: progressive.NewCopier(files), slots: make(chan struct{}, h.cfg.MaxDownloads)}
	d.files = newCache(h.cfg.DownloadBytes/2, buildTimeout, h.buildFile)
	d.tables = newCache(h.cfg.DownloadBytes/2, buildTimeout, h.loadTable)
	d.files.slots, d.tables.slots = make(chan struct{}, maxBuilds), make(chan struct{}, maxBuilds)
	return d
}

// download answers with a recording, or a cut of it, as one progressive MP4 file.
func (x *exchange) download(t target) error {
	err := x.sendRecording(t)
	if x.referElsewhere(t, err) {
		err = x.sendRecording(t)
	}
	return err
}

func (x *exchange) sendRecording(t target) error {
	clip, err := hls.ParseClip(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	rec, v, err := x.lookup(t)
	if err != nil {
		return err
	}
	cut, err := cutOf(v, clip)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), buildWait)
	defer cancel()
	file, err := x.h.downloads.files.get(ctx, downloadKey{rec: rec, v: v, cut: cut})
	if err != nil {
		if errors.Is(err, errLeft) && x.r.Context().Err() == nil {
			err = fmt.Errorf("%w: the file is being prepared", media.ErrUnavailable)
		}
		return err
	}
	return x.sendDownload(t, v, clip, file)
}

// cutOf gives what of a version a clip is. A recording that grows can't be downloaded up to its end, for each answer
// would be another file under the same URL; what lies behind it already can.
func cutOf(v *version, clip hls.Clip) (progressive.Cut, error) {
	var cut progressive.Cut
	if v.snap.State.Growing() && (!clip.Ends() || clip.Relative()) {
		return cut, fmt.Errorf("%w: the recording is still growing: download it when it has ended, or a piece that is over, "+
			"by start and end after its begin or as times of day", errGrowing)
	}
	extent, decision, err := v.snap.Resolve(clip)
	switch {
	case err != nil:
		return cut, err
	case decision != hls.Serve:
		return cut, fmt.Errorf("%w: end is not recorded yet", errGrowing)
	}
	start, end := v.snap.Moments(clip)
	cut.From, cut.To = extent.From, extent.To
	if extent.From > 0 {
		cut.HasStart, cut.Start = true, v.snap.MediaTime(extent.From, start)
	}
	if extent.To > 0 {
		cut.HasEnd, cut.End = true, v.snap.MediaTime(extent.To, end)
	}
	return cut, nil
}

// buildFile makes a file's header, and what it needs of storage.
func (h *Handler) buildFile(
	ctx context.Context, key downloadKey, _ *progressive.File, _ bool,
) fetched[*progressive.File] {
	begun := time.Now()
	file, err := h.build(ctx, key)
	if err != nil {
		h.metrics.downloads.WithLabelValues("error").Inc()
		h.logger.Warn("download not prepared", "publisher", key.rec.path.Publisher, "stream", key.rec.path.Stream,
			"recording", key.rec.id, "err", err)
		return fetched[*progressive.File]{err: err, cost: smallCost, ttl: time.Second}
	}
	h.metrics.downloads.WithLabelValues("ok").Inc()
	h.logger.Debug("download prepared", "publisher", key.rec.path.Publisher, "stream", key.rec.path.Stream,
		"recording", key.rec.id, "bytes", file.Size(), "dur", time.Since(begun))
	return fetched[*progressive.File]{value: file, cost: smallCost + file.Weight(), ttl: time.Hour}
}

func (h *Handler) build(ctx context.Context, key downloadKey) (*progressive.File, error) {
	snap := key.v.snap
	rec := &progressive.Recording{
		Path: key.rec.path, ID: key.rec.id, Source: key.rec.source, Takes: snap.Takes,
		Segments: make([][]media.Segment, len(snap.Renditions)),
		Inits:    make([][][]byte, len(snap.Takes)), Tables: make([][]*progressive.Table, len(snap.Takes)),
	}
	if len(snap.Takes) > 0 {
		rec.StartedAt = snap.Takes[0].StartedAt
	}
	for i := range snap.Renditions {
		rec.Segments[i] = storedSegments(&snap.Renditions[i], key.rec.show != nil)
	}
	first, last := rec.Span(key.cut)
	for at := range snap.Takes {
		for i := range rec.Segments {
			segments := spanOf(rec.Segments[i], first, last, snap.Takes[at].Number)
			if segments == nil || i >= len(snap.Takes[at].Tracks) {
				continue
			}
			init, table, err := h.trackFile(ctx, key, at, i, segments)
			if err != nil {
				return nil, err
			}
			if rec.Tables[at] == nil {
				rec.Tables[at] = make([]*progressive.Table, len(rec.Segments))
				rec.Inits[at] = make([][]byte, len(rec.Segments))
			}
			rec.Inits[at][i], rec.Tables[at][i] = init, table
		}
	}
	return progressive.Build(rec, key.cut)
}

// storedSegments gives a rendition's segments as storage has them: what of a show never came there is a gap.
func storedSegments(r *hls.Rendition, show bool) []media.Segment {
	if !show {
		return r.Segments
	}
	var own []media.Segment
	for i := range r.Segments {
		if r.Segments[i].Gap || onStorage(r, &r.Segments[i]) {
			continue
		}
		if own == nil {
			own = slices.Clone(r.Segments)
		}
		own[i].Gap = true
	}
	if own != nil {
		return own
	}
	return r.Segments
}

// spanOf gives the segments of a take from first to last; nil if none of them has media.
func spanOf(segments []media.Segment, first, last media.MSN, take int) []media.Segment {
	from, to := -1, -1
	if len(segments) == 0 {
		return nil
	}
	begin := segments[0].MSN // a clip's is its source's
	for i := max(first-begin, 0); i < min(last-begin+1, media.MSN(len(segments))); i++ {
		if seg := &segments[i]; seg.Take == take && !seg.Gap && seg.Size > 0 {
			if from < 0 {
				from = int(i)
			}
			to = int(i)
		}
	}
	if from < 0 {
		return nil
	}
	return segments[from : to+1]
}

// trackFile gives the init section of a take's track and the samples of some of its segments.
func (h *Handler) trackFile(
	ctx context.Context, key downloadKey, at, i int, segments []media.Segment,
) ([]byte, *progressive.Table, error) {
	take := &key.v.snap.Takes[at]
	track := take.Tracks[i]
	init, err := h.initSection(ctx, key.rec, target{ref: key.rec.ref, take: take.Number, track: track.Name}, track)
	if err != nil {
		return nil, nil, err
	}
	stored := tableKey{rec: key.rec, v: key.v, take: at, track: i, stored: true}
	table, err := h.downloads.tables.get(ctx, stored)
	if errors.Is(err, media.ErrNotFound) {
		stored.stored = false
		if _, known := h.downloads.tables.peek(stored); !known && len(segments) <= fewSegments {
			name := reclog.TrackName(key.rec.path, key.rec.mediaID(), take.Number, track.Name)
			table, err = progressive.Scan(ctx, h.files, name, take.Number, segments)
		} else {
			table, err = h.downloads.tables.get(ctx, stored)
		}
	}
	return init, table, err
}

// loadTable reads the sample table that storage has of a take's track, or makes it.
func (h *Handler) loadTable(
	ctx context.Context, key tableKey, _ *progressive.Table, _ bool,
) fetched[*progressive.Table] {
	take := &key.v.snap.Takes[key.take]
	name := take.Tracks[key.track].Name
	segments := storedSegments(&key.v.snap.Renditions[key.track], key.rec.show != nil)
	var table *progressive.Table
	var err error
	if key.stored {
		table, err = h.readTable(ctx, key.rec, take.Number, name, segments)
	} else {
		file := reclog.TrackName(key.rec.path, key.rec.mediaID(), take.Number, name)
		table, err = progressive.Scan(ctx, h.files, file, take.Number, segments)
	}
	switch {
	case errors.Is(err, media.ErrNotFound):
		return fetched[*progressive.Table]{err: err, cost: smallCost, ttl: missingTable}
	case err != nil:
		return fetched[*progressive.Table]{err: err, cost: smallCost, ttl: time.Second}
	}
	return fetched[*progressive.Table]{value: table, cost: smallCost + table.Weight(), ttl: time.Hour}
}

// readTable reads the object that archivers make. One that does not fit is as good as none: the samples are found in
// the media.
func (h *Handler) readTable(
	ctx context.Context, rec *recording, take int, track string, segments []media.Segment,
) (*progressive.Table, error) {
	name := progressive.SamplesName(rec.path, rec.mediaID(), take, track)
	data, err := h.files.ReadFile(ctx, name)
	if err != nil {
		return nil, err
	}
	table, err := progressive.ParseTable(data)
	if err == nil && !table.Fits(take, segments) {
		err = fmt.Errorf("%w: it is not of this recording", media.ErrCorrupt)
	}
	if err != nil {
		h.logger.Error("sample table not usable", "object", name, "err", err)
		return nil, fmt.Errorf("%w: %s", media.ErrNotFound, name)
	}
	return table, nil
}

// sendDownload answers with a file or a range of it.
func (x *exchange) sendDownload(t target, v *version, clip hls.Clip, file *progressive.File) error {
	header := x.w.Header()
	header["Etag"] = []string{file.ETag()}
	header["Accept-Ranges"] = x.h.headers.bytes
	header["Cache-Control"] = []string{maxAge(60)} // it stays as it is, but may be deleted
	if matches(x.r.Header["If-None-Match"], file.ETag(), "") {
		return x.notModified()
	}
	out := &download{x: x, status: http.StatusOK, control: http.NewResponseController(x.w)}
	from, length := int64(0), file.Size()
	if spec := x.r.Header.Get("Range"); spec != "" && x.r.Method == http.MethodGet && x.rangeHolds(file.ETag()) {
		switch a, n, what := parseRange(spec, file.Size()); what {
		case rangePart:
			out.status, from, length = http.StatusPartialContent, a, n
			header["Content-Range"] = []string{contentRange(a, n, file.Size())}
		case rangeBeyond:
			return x.beyond(file.Size())
		}
	}
	header["Content-Type"] = x.h.headers.audio
	if file.HasVideo() {
		header["Content-Type"] = x.h.headers.video
	}
	header["Content-Disposition"] = []string{`attachment; filename="` + fileName(t, v, clip) + `"`}
	header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	if x.r.Method == http.MethodHead {
		out.begin()
		x.h.metrics.count(x.kind, out.status, 0)
		return nil
	}
	return out.send(t, file, from, length)
}

// beyond answers a range that begins behind the end.
func (x *exchange) beyond(size int64) error {
	header := x.w.Header()
	header["Content-Range"] = []string{"bytes */" + strconv.FormatInt(size, 10)}
	header["Content-Length"] = []string{"0"}
	header["Cache-Control"] = []string{"no-store"}
	x.w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
	x.h.metrics.count(x.kind, http.StatusRequestedRangeNotSatisfiable, 0)
	return nil
}

// fileName is what a download is saved as: names have no other characters than file systems and headers take.
func fileName(t target, v *version, clip hls.Clip) string {
	at := v.snap.Takes[0].StartedAt
	suffix := ""
	if r := v.snap.Renditions; len(r) > 0 && r[0].First() > 1 && len(r[0].Segments) > 0 { // a clip's take is its source's
		at, suffix = r[0].Segments[0].Date, "_clip"
	}
	if clip != (hls.Clip{}) {
		suffix = "_clip"
		if start, _ := v.snap.Moments(clip); !start.IsZero() {
			at = start
		}
	}
	return t.path.Publisher + "_" + t.path.Stream + "_" + at.UTC().Format("2006-01-02_15-04-05") + suffix + ".mp4"
}
