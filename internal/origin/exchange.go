package origin

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
)

// headers are the values of header fields that never change, made once: assigning one to a map costs no allocation.
// Each is full, so that whoever adds a value copies it.
type headers struct {
	any, expose, methods, allow, day    []string
	playlist, video, audio, vtt, text   []string
	vary, gzip, bytes, immutable, retry []string
	jpeg                                []string
}

func newHeaders() headers {
	one := func(s string) []string { return []string{s} }
	return headers{
		any:       one("*"),
		expose:    one("Date, Age, Content-Length, Content-Range, ETag, Content-Disposition"),
		methods:   one("GET, HEAD, OPTIONS"),
		allow:     one("Range, If-None-Match, If-Range, Cache-Control"),
		day:       one("86400"),
		playlist:  one(hls.ContentType),
		video:     one("video/mp4"),
		audio:     one("audio/mp4"),
		vtt:       one(hls.ContentTypeVTT),
		jpeg:      one("image/jpeg"),
		text:      one("text/plain; charset=utf-8"),
		vary:      one("Accept-Encoding"),
		gzip:      one("gzip"),
		bytes:     one("bytes"),
		immutable: one("public, max-age=31536000, immutable"),
		retry:     one("1"),
	}
}

// exchange is one request and its answer.
type exchange struct {
	h    *Handler
	w    http.ResponseWriter
	r    *http.Request
	kind kind
}

// setCommon sets what every answer has, errors too (HTTP-3).
func (x *exchange) setCommon() {
	header := x.w.Header()
	header["Access-Control-Allow-Origin"] = x.h.headers.any
	header["Access-Control-Expose-Headers"] = x.h.headers.expose
}

// preflight answers OPTIONS, for any path: a player must get to see the status of the real request (HTTP-5).
func (x *exchange) preflight() {
	header := x.w.Header()
	header["Access-Control-Allow-Methods"] = x.h.headers.methods
	header["Access-Control-Allow-Headers"] = x.h.headers.allow
	header["Access-Control-Max-Age"] = x.h.headers.day
	header["Allow"] = x.h.headers.methods
	header["Cache-Control"] = []string{maxAge(86400)}
	x.w.WriteHeader(http.StatusNoContent)
	x.h.metrics.count(x.kind, http.StatusNoContent, 0)
}

// fail answers with an error's status and a line of text.
func (x *exchange) fail(err error) {
	status, cache := statusOf(err)
	if status == 499 {
		x.h.metrics.count(x.kind, status, 0)
		return
	}
	if status == http.StatusInternalServerError {
		x.h.logger.Error("request not answered", "path", x.r.URL.Path, "err", err)
	}
	text := strconv.Itoa(status) + " " + strings.ToLower(http.StatusText(status)) + "\n"
	if status == http.StatusBadRequest || status == http.StatusConflict {
		text = strconv.Itoa(status) + " " + err.Error() + "\n" // it tells of the request only
	}
	header := x.w.Header()
	header["Cache-Control"] = []string{cache}
	header["Content-Type"] = x.h.headers.text
	header["Content-Length"] = []string{strconv.Itoa(len(text))}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	if status == http.StatusServiceUnavailable || status == http.StatusMisdirectedRequest {
		header["Retry-After"] = x.h.headers.retry
	}
	x.w.WriteHeader(status)
	sent := 0
	if x.r.Method != http.MethodHead {
		// A client that left is no failure of ours.
		sent, _ = io.WriteString(x.w, text)
	}
	x.h.metrics.count(x.kind, status, int64(sent))
}

// sendPlaylist answers with a body, compressed if the client takes it (HTTP-6).
func (x *exchange) sendPlaylist(b *lazyBody, cache string) error {
	header := x.w.Header()
	header["Vary"] = x.h.headers.vary
	header["Cache-Control"] = []string{cache}
	text, etag := b.body.Plain(), b.body.ETag
	packed := acceptsGzip(x.r.Header["Accept-Encoding"])
	if packed {
		etag = b.body.GzipETag
	}
	header["Etag"] = []string{etag}
	if matches(x.r.Header["If-None-Match"], b.body.ETag, b.body.GzipETag) {
		return x.notModified()
	}
	if packed {
		text = x.h.gzip(b)
		header["Content-Encoding"] = x.h.headers.gzip
	}
	header["Content-Type"] = x.h.headers.playlist
	length, sent := textLength(text), int64(0)
	header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method != http.MethodHead {
		sent = writeChunks(x.w, text, 0, length)
	}
	x.h.metrics.count(x.kind, http.StatusOK, sent)
	return nil
}

func textLength(chunks [][]byte) int64 {
	var n int64
	for _, c := range chunks {
		n += int64(len(c))
	}
	return n
}

func (x *exchange) notModified() error {
	x.w.WriteHeader(http.StatusNotModified)
	x.h.metrics.count(x.kind, http.StatusNotModified, 0)
	return nil
}

// sendMedia answers with media or a range of it (HTTP-9, HTTP-14).
func (x *exchange) sendMedia(t target, track media.Track, res *resource) error {
	etag := t.etag()
	header := x.w.Header()
	header["Etag"] = []string{etag}
	header["Accept-Ranges"] = x.h.headers.bytes
	header["Cache-Control"] = x.h.headers.immutable
	if matches(x.r.Header["If-None-Match"], etag, "") {
		return x.notModified()
	}
	status, from, length := http.StatusOK, int64(0), res.size
	if spec := x.r.Header.Get("Range"); spec != "" && x.r.Method == http.MethodGet && x.rangeHolds(etag) {
		switch a, n, what := parseRange(spec, res.size); what {
		case rangePart:
			status, from, length = http.StatusPartialContent, a, n
			header["Content-Range"] = []string{contentRange(a, n, res.size)}
		case rangeBeyond:
			header["Content-Range"] = []string{"bytes */" + strconv.FormatInt(res.size, 10)}
			header["Content-Length"] = []string{"0"}
			header["Cache-Control"] = []string{"no-store"}
			x.w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			x.h.metrics.count(x.kind, http.StatusRequestedRangeNotSatisfiable, 0)
			return nil
		}
	}
	var in io.ReadCloser
	if res.chunks == nil && x.r.Method != http.MethodHead {
		opened, done, err := x.h.openRange(x.r.Context(), res.file, res.offset+from, length)
		if err != nil { // before the status, so that storage's trouble is the answer
			x.clearMedia()
			return err
		}
		defer done()
		in = opened
	}
	header["Content-Type"] = x.h.headers.video
	switch {
	case t.kind == kindSubtitle:
		header["Content-Type"] = x.h.headers.vtt
	case track.Kind == media.Audio:
		header["Content-Type"] = x.h.headers.audio
	}
	header["Content-Length"] = []string{strconv.FormatInt(length, 10)}
	x.w.WriteHeader(status)
	var sent int64
	switch {
	case x.r.Method == http.MethodHead:
	case in != nil:
		sent = x.copyFile(t, in, length)
	default:
		sent = writeChunks(x.w, res.chunks, from, length)
	}
	x.h.metrics.count(x.kind, status, sent)
	return nil
}

// clearMedia takes back the fields that an error's answer must not have.
func (x *exchange) clearMedia() {
	for _, name := range []string{"Etag", "Accept-Ranges", "Content-Range"} {
		delete(x.w.Header(), name)
	}
}

// rangeHolds says that If-Range does not make the range moot.
func (x *exchange) rangeHolds(etag string) bool {
	condition := x.r.Header.Get("If-Range")
	return condition == "" || condition == etag
}

// copyFile sends a file's range. Nothing stands between reader and writer, so that the kernel may copy. If storage
// fails in the middle, the answer stays shorter than its Content-Length, which the client sees as an error.
func (x *exchange) copyFile(t target, in io.ReadCloser, length int64) int64 {
	sent, err := io.Copy(x.w, in)
	if err = errors.Join(err, in.Close()); err == nil && sent == length {
		return sent
	}
	if x.r.Context().Err() == nil {
		x.h.metrics.broken.Inc()
		x.h.logger.Warn("media not sent whole", "publisher", t.path.Publisher, "stream", t.path.Stream, "recording", t.id,
			"take", t.take, "track", t.track, "msn", t.msn, "sent", sent, "size", length, "err", err)
	}
	return sent
}

// writeChunks sends length bytes from an offset into the chunks.
func writeChunks(w io.Writer, chunks [][]byte, from, length int64) int64 {
	var sent int64
	for _, c := range chunks {
		if from >= int64(len(c)) {
			from -= int64(len(c))
			continue
		}
		c = c[from:]
		from = 0
		c = c[:min(int64(len(c)), length-sent)]
		if len(c) == 0 {
			break
		}
		n, err := w.Write(c)
		sent += int64(n)
		if err != nil {
			break // the client left
		}
	}
	return sent
}
