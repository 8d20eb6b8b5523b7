package origin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"time"
	"weak"

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
	// maxWaitingBuilds bounds those and the ones that wait for them: there are as many files as clients think of cuts.
	maxWaitingBuilds = 64
	// fewSegments is a cut so short that its samples are looked for rather than those of the whole take.
	fewSegments = 64
	// growingFile is how long a file of a recording that grows is believed: what storage lacked may be there then.
	growingFile = 10 * time.Second
	// missingTable is how long it is believed that storage has no sample table.
	missingTable = time.Minute
)

// errGrowing is what a download gets of a recording that has no end yet.
var errGrowing = errors.New("recording grows")

// downloadKey names a file: a cut of a version of a recording. A cut of one that grows is the same in each version that
// has it, so v is empty. The pointers are weak: a key does not keep a recording that its own cache has let go.
type downloadKey struct {
	rec weak.Pointer[recording]
	v   weak.Pointer[version]
	cut progressive.Cut
}

// tableKey names a track file's sample table, of a version of the recording. Stored is the table that storage has.
type tableKey struct {
	rec    weak.Pointer[recording]
	v      weak.Pointer[version]
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
	sent   filesSent
}

func (h *Handler) newDownloads(files reclog.Files) *downloads {
	d := &downloads{copier: progressive.NewCopier(files), slots: make(chan struct{}, h.cfg.MaxDownloads)}
	d.files = newCache(h.cfg.DownloadBytes/4*3, buildTimeout, h.buildFile)
	d.tables = newCache(h.cfg.DownloadBytes/4, buildTimeout, h.loadTable)
	d.sent.limit = sentShare * h.cfg.DownloadBytes
	d.files.queue = maxWaitingBuilds
	d.files.slots, d.tables.slots = make(chan struct{}, maxBuilds), make(chan struct{}, maxBuilds)
	return d
}

// download answers with a recording, or a cut of it, as one progressive MP4 file.
func (x *exchange) download(t target) error {
	clip, err := hls.ParseClip(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	v, file, err := x.prepare(t, clip)
	if errors.Is(err, media.ErrNotFound) && x.reread(t) {
		v, file, err = x.prepare(t, clip)
	}
	if err != nil {
		return err
	}
	return x.sendDownload(t, v, clip, file)
}

// prepare gives the file of a cut, and the version of the recording that it is of.
func (x *exchange) prepare(t target, clip hls.Clip) (*version, *progressive.File, error) {
	rec, v, err := x.lookup(t)
	if err != nil {
		return nil, nil, err
	}
	cut, err := cutOf(v, clip)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(x.r.Context(), buildWait)
	defer cancel()
	key := downloadKey{rec: weak.Make(rec), cut: cut}
	if !v.snap.State.Growing() {
		key.v = weak.Make(v)
	}
	file, err := x.h.downloads.files.get(ctx, key)
	runtime.KeepAlive(rec)
	if errors.Is(err, errLeft) && x.r.Context().Err() == nil {
		err = fmt.Errorf("%w: the file is being prepared", media.ErrUnavailable)
	}
	return v, file, err
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
	of, v := key.rec.Value(), key.v.Value()
	if of != nil && v == nil {
		v, _ = of.now()
	}
	if v == nil { // whoever asked has left, and the recording was let go
		return fetched[*progressive.File]{err: errLeft, cost: smallCost, ttl: time.Second}
	}
	file, err := h.build(ctx, of, v, key.cut)
	if err != nil {
		h.metrics.downloads.WithLabelValues("error").Inc()
		h.logger.Warn("download not prepared", "publisher", of.path.Publisher, "stream", of.path.Stream,
			"recording", of.id, "err", err)
		return fetched[*progressive.File]{err: err, cost: smallCost, ttl: time.Second}
	}
	h.metrics.downloads.WithLabelValues("ok").Inc()
	h.logger.Debug("download prepared", "publisher", of.path.Publisher, "stream", of.path.Stream,
		"recording", of.id, "bytes", file.Size(), "dur", time.Since(begun))
	ttl := time.Hour
	if v.snap.State.Growing() {
		ttl = growingFile
	}
	return fetched[*progressive.File]{value: file, cost: smallCost + file.Weight(), ttl: ttl}
}

func (h *Handler) build(
	ctx context.Context, of *recording, v *version, cut progressive.Cut,
) (*progressive.File, error) {
	snap := v.snap
	rec := &progressive.Recording{
		Path: of.path, ID: of.id, Media: of.mediaID(), StartedAt: startOf(snap), Takes: snap.Takes,
		Segments: make([][]media.Segment, len(snap.Renditions)),
		Inits:    make([][][]byte, len(snap.Takes)), Tables: make([][]*progressive.Table, len(snap.Takes)),
	}
	for i := range snap.Renditions {
		rec.Segments[i] = storedSegments(&snap.Renditions[i], of.show != nil)
	}
	first, last := rec.Span(cut)
	for at := range snap.Takes {
		for i := range rec.Segments {
			segments := spanOf(rec.Segments[i], first, last, snap.Takes[at].Number)
			if segments == nil || i >= len(snap.Takes[at].Tracks) {
				continue
			}
			init, table, err := h.trackFile(ctx, of, v, at, i, segments)
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
	return progressive.Build(rec, cut)
}

// startOf is when what a recording has begins: of a clip that is not the begin of its first take.
func startOf(snap *hls.Snapshot) time.Time {
	if len(snap.Renditions) > 0 {
		if segments := snap.Renditions[0].Segments; len(segments) > 0 && segments[0].MSN > 1 {
			return segments[0].Date
		}
	}
	if len(snap.Takes) > 0 {
		return snap.Takes[0].StartedAt
	}
	return time.Time{}
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
	for i := range segments {
		seg := &segments[i]
		if seg.MSN >= first && seg.MSN <= last && seg.Take == take && !seg.Gap && seg.Size > 0 {
			if from < 0 {
				from = i
			}
			to = i
		}
	}
	if from < 0 {
		return nil
	}
	return segments[from : to+1]
}

// trackFile gives the init section of a take's track and the samples of some of its segments.
func (h *Handler) trackFile(
	ctx context.Context, rec *recording, v *version, at, i int, segments []media.Segment,
) ([]byte, *progressive.Table, error) {
	take := &v.snap.Takes[at]
	track := take.Tracks[i]
	t := target{ref: rec.ref, take: take.Number, track: track.Name}
	init, err := h.initSection(ctx, rec, t, track)
	if err != nil {
		return nil, nil, err
	}
	if v.snap.State.Growing() { // no table of all would hold for long
		table, err := progressive.Scan(ctx, h.files, rec.file(t), take.Number, segments)
		return init, table, err
	}
	key := tableKey{rec: weak.Make(rec), v: weak.Make(v), take: at, track: i, stored: true}
	table, err := h.downloads.tables.get(ctx, key)
	if errors.Is(err, media.ErrNotFound) {
		key.stored = false
		if _, known := h.downloads.tables.peek(key); !known && len(segments) <= fewSegments {
			table, err = progressive.Scan(ctx, h.files, rec.file(t), take.Number, segments)
		} else {
			table, err = h.downloads.tables.get(ctx, key)
		}
	}
	runtime.KeepAlive(rec)
	runtime.KeepAlive(v)
	return init, table, err
}

// loadTable reads the sample table that storage has of a take's track, or makes it.
func (h *Handler) loadTable(
	ctx context.Context, key tableKey, _ *progressive.Table, _ bool,
) fetched[*progressive.Table] {
	rec, v := key.rec.Value(), key.v.Value()
	if rec == nil || v == nil {
		return fetched[*progressive.Table]{err: errLeft, cost: smallCost, ttl: time.Second}
	}
	take := &v.snap.Takes[key.take]
	t := target{ref: rec.ref, take: take.Number, track: take.Tracks[key.track].Name}
	segments := storedSegments(&v.snap.Renditions[key.track], rec.show != nil)
	var table *progressive.Table
	var err error
	if key.stored {
		table, err = h.readTable(ctx, rec, t, segments)
	} else {
		table, err = progressive.Scan(ctx, h.files, rec.file(t), take.Number, segments)
	}
	switch {
	case errors.Is(err, media.ErrNotFound):
		return fetched[*progressive.Table]{err: err, cost: smallCost, ttl: missingTable}
	case err != nil:
		return fetched[*progressive.Table]{err: err, cost: smallCost, ttl: time.Second}
	}
	return fetched[*progressive.Table]{value: table, cost: smallCost + table.Weight(), ttl: time.Hour}
}

// readTable reads the object that archivers make of a track's file, also where that is a clip's source's: samples are
// found by the segments' numbers, which are the same. One that does not fit is as good as none: the samples are found
// in the media.
func (h *Handler) readTable(
	ctx context.Context, rec *recording, t target, segments []media.Segment,
) (*progressive.Table, error) {
	name := progressive.SamplesName(rec.path, rec.mediaID(), t.take, t.track)
	data, err := h.files.ReadFile(ctx, name)
	if err != nil {
		return nil, err
	}
	table, err := progressive.ParseTable(data)
	if err == nil && !table.Fits(t.take, segments) {
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
	out := &download{x: x, clip: clip, status: http.StatusOK, control: http.NewResponseController(x.w)}
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
	at := startOf(v.snap)
	suffix := ""
	if clip != (hls.Clip{}) {
		suffix = "_clip"
		if start, _ := v.snap.Moments(clip); !start.IsZero() {
			at = start
		}
	}
	return t.path.Publisher + "_" + t.path.Stream + "_" + at.UTC().Format("2006-01-02_15-04-05") + suffix + ".mp4"
}
