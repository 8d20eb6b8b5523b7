package origin

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/oxbow-video/oxbow/internal/hls"
	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/progressive"
	"github.com/oxbow-video/oxbow/internal/slab"
)

// downloadWrite bounds each write of a download, of a megabyte at most. The whole may take hours.
const downloadWrite = time.Minute

// sentShare is how many times DownloadBytes what is being sent may take: it may have left the cache meanwhile.
const sentShare = 4

// filesSent are the files that are being sent, each counted once.
type filesSent struct {
	limit int64

	mu struct {
		sync.Mutex
		senders map[*progressive.File]int
		bytes   int64
	}
}

// add has a file in memory until remove; false if there is no more room. One that is alone has room always.
func (s *filesSent) add(f *progressive.File) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.senders == nil {
		s.mu.senders = make(map[*progressive.File]int)
	}
	if n := s.mu.senders[f]; n == 0 {
		if s.mu.bytes > 0 && s.mu.bytes+f.Weight() > s.limit {
			return false
		}
		s.mu.bytes += f.Weight()
	}
	s.mu.senders[f]++
	return true
}

func (s *filesSent) remove(f *progressive.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.senders[f]--; s.mu.senders[f] == 0 {
		delete(s.mu.senders, f)
		s.mu.bytes -= f.Weight()
	}
}

// download is the body of one answer. Its status goes out with the first byte, so that storage's trouble before that is
// the answer.
type download struct {
	x       *exchange
	clip    hls.Clip
	control *http.ResponseController
	status  int
	begun   bool
	failed  error // a write's
}

func (d *download) begin() {
	if !d.begun {
		d.begun = true
		d.x.w.WriteHeader(d.status)
	}
}

func (d *download) prepare() {
	d.begin()
	_ = d.control.SetWriteDeadline(time.Now().Add(downloadWrite)) // a writer that knows none has its own
}

// Write implements io.Writer.
func (d *download) Write(p []byte) (int, error) {
	d.prepare()
	n, err := d.x.w.Write(p)
	d.failed = err
	return n, err
}

// ReadFrom implements io.ReaderFrom, so that the kernel may copy.
func (d *download) ReadFrom(r io.Reader) (int64, error) {
	d.prepare()
	if to, ok := d.x.w.(io.ReaderFrom); ok {
		return to.ReadFrom(r)
	}
	return io.Copy(struct{ io.Writer }{d.x.w}, r)
}

// WritePiece implements slab.PieceWriter.
func (d *download) WritePiece(p slab.Piece, again slab.Weak) error {
	d.prepare()
	if to, ok := d.x.w.(slab.PieceWriter); ok {
		d.failed = to.WritePiece(p, again)
	} else {
		_, d.failed = d.x.w.Write(p.Data)
		runtime.KeepAlive(p.Buffer)
	}
	return d.failed
}

// send sends a range of a file. If storage fails in the middle, the answer stays shorter than its Content-Length, and
// the client goes on from there.
func (d *download) send(t target, file *progressive.File, from, length int64) error {
	x := d.x
	select {
	case x.h.downloads.slots <- struct{}{}:
	default:
		x.clearDownload()
		return fmt.Errorf("%w: too many downloads", errBusy)
	}
	x.h.metrics.downloading.Inc()
	defer func() {
		<-x.h.downloads.slots
		x.h.metrics.downloading.Dec()
	}()
	sent, err := d.copy(t, file, from, length)
	if errors.Is(err, media.ErrNotFound) && x.r.Context().Err() == nil && x.reread(t) {
		// A clip's media has become its own, and its source has gone: the bytes are the same elsewhere.
		_, again, rebuilt := x.prepare(t, d.clip)
		if rebuilt == nil && again.ETag() == file.ETag() {
			var more int64
			more, err = d.copy(t, again, from+sent, length-sent)
			sent += more
		}
	}
	if err != nil && !d.begun {
		x.clearDownload()
		if x.r.Context().Err() != nil {
			return errLeft
		}
		return err
	}
	d.begin()
	_ = d.control.SetWriteDeadline(time.Time{}) // or it would hold for the connection's next answer
	x.h.metrics.count(x.kind, d.status, sent)
	if err != nil && d.failed == nil && x.r.Context().Err() == nil && !errors.Is(err, http.ErrHandlerTimeout) {
		x.h.metrics.broken.Inc()
		level := slog.LevelWarn
		if errors.Is(err, media.ErrNotFound) { // its local copy went, or it was deleted: edges know where to go on
			level = slog.LevelDebug
		}
		x.h.logger.Log(x.r.Context(), level, "download not sent whole", "publisher", t.path.Publisher,
			"stream", t.path.Stream, "recording", t.id, "from", from, "sent", sent, "size", length, "err", err)
	}
	return nil
}

// clearDownload takes back the fields that an error's answer must not have.
func (x *exchange) clearDownload() {
	x.clearMedia()
	delete(x.w.Header(), "Content-Disposition")
}

// copy sends a range of a file as it lies on storage now.
func (d *download) copy(t target, file *progressive.File, from, length int64) (int64, error) {
	x := d.x
	if !x.h.downloads.sent.add(file) {
		return 0, fmt.Errorf("%w: the downloads of %s and others take too much memory", errBusy, t.id)
	}
	defer x.h.downloads.sent.remove(file)
	return x.h.downloads.copier.Send(x.r.Context(), d, file, from, length)
}
