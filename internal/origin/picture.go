package origin

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

const (
	// pictureAge is how many seconds caches may keep a picture that changes or may be replaced, and archivedAge one that
	// never changes any more.
	pictureAge  = 5
	archivedAge = 86400
)

// picture answers with a picture of a recording, or of the one that a stream's URL leads to. It is read from storage
// for each request, since caches keep it; the tag is of its bytes, wherever they come from.
func (x *exchange) picture(t target) error {
	if t.kind == kindPoster {
		id, err := x.h.resolve(x.r.Context(), t.path, false)
		if err != nil {
			return err
		}
		t.id = id
	}
	rec, err := x.h.find(x.r.Context(), t.ref)
	if err != nil {
		return err
	}
	var state media.State
	if v, _ := rec.now(); v != nil {
		state = v.snap.State
	}
	data, err := reading(x.r.Context(), x.h.readings, func(ctx context.Context) ([]byte, error) {
		return x.h.files.ReadFile(ctx, reclog.PictureName(t.path, t.id, t.name))
	}, nil)
	switch {
	case errors.Is(err, media.ErrNotFound) && state != media.Archived:
		return fmt.Errorf("%w: %s", errNotYet, t.name)
	case err == nil && len(data) > reclog.MaxPicture:
		return fmt.Errorf("%w: %s has %d bytes", media.ErrCorrupt, t.name, len(data))
	case err != nil:
		return err
	}
	age := pictureAge
	if state == media.Archived && t.kind == kindPicture {
		age = archivedAge
	}
	return x.sendPicture(t, data, age)
}

// sendPicture answers with all of it, or that the client has it.
func (x *exchange) sendPicture(t target, data []byte, age int) error {
	sum := sha256.Sum256(data)
	etag := `"` + hex.EncodeToString(sum[:12]) + `"`
	header := x.w.Header()
	header["Etag"] = []string{etag}
	header["Cache-Control"] = []string{maxAge(age)}
	if matches(x.r.Header["If-None-Match"], etag, "") {
		return x.notModified()
	}
	header["Content-Type"] = x.h.headers.jpeg
	if strings.HasSuffix(t.name, subtitleSuffix) {
		header["Content-Type"] = x.h.headers.vtt
	}
	header["Content-Length"] = []string{strconv.Itoa(len(data))}
	header["X-Content-Type-Options"] = []string{"nosniff"}
	x.w.WriteHeader(http.StatusOK)
	var sent int64
	if x.r.Method != http.MethodHead {
		sent = writeChunks(x.w, [][]byte{data}, 0, int64(len(data)))
	}
	x.h.metrics.count(x.kind, http.StatusOK, sent)
	return nil
}
