package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/reclog"
)

// webTimeout bounds one request. A window of a slow bucket takes its time.
const webTimeout = 2 * time.Minute

// Web is a Folder behind HTTP: a public bucket, or an edge, which shows playlists and media alone.
type Web struct {
	base   *url.URL
	client *http.Client
}

// OpenWeb takes the URL of a recording's folder or of its index.m3u8. Nothing is asked yet.
func OpenWeb(text string) (*Web, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w: the target is no http(s) URL", media.ErrInvalid) // there may be a password in it
	}
	u.Path = strings.TrimSuffix(u.Path, "index.m3u8")
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	return &Web{base: u, client: &http.Client{Timeout: webTimeout}}, nil
}

// Redacted names a target for errors and reports, which people pass on: of an http(s) URL without user, password, the
// values of the query, which sign it, and a playback token in the path.
func Redacted(target string) string {
	if !strings.HasPrefix(target, "http://") && !strings.HasPrefix(target, "https://") {
		return target
	}
	return media.Source{URL: target}.Redacted()
}

// Close closes idle connections.
func (w *Web) Close() error {
	w.client.CloseIdleConnections()
	return nil
}

func (w *Web) ask(ctx context.Context, method, name, byteRange string) (*http.Response, error) {
	ref, err := url.Parse(name)
	if err != nil {
		return nil, fmt.Errorf("%w: URL %.200q", media.ErrInvalid, name)
	}
	u := w.base.ResolveReference(ref)
	if ref.RawQuery == "" && ref.Host == "" {
		u.RawQuery = w.base.RawQuery
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("%w: URL %.200q", media.ErrInvalid, name)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	if byteRange != "" {
		req.Header.Set("Range", byteRange)
	}
	res, err := w.client.Do(req)
	if err != nil {
		if failed := (*url.Error)(nil); errors.As(err, &failed) {
			err = failed.Err // without the URL, which may have a token in it
		}
		return nil, fmt.Errorf("%s %s: %w", method, Redacted(u.String()), err)
	}
	want := http.StatusOK
	if byteRange != "" {
		want = http.StatusPartialContent
	}
	switch {
	case res.StatusCode == want:
		return res, nil
	case res.StatusCode == http.StatusNotFound, res.StatusCode == http.StatusGone,
		res.StatusCode == http.StatusForbidden && w.isBucket(res):
		err = fmt.Errorf("%w: %s", media.ErrNotFound, res.Status)
	case res.StatusCode == http.StatusOK:
		err = fmt.Errorf("%w: the server knows no ranges", media.ErrUnsupported)
	default:
		err = fmt.Errorf("%w: %s", media.ErrUnavailable, res.Status)
	}
	return nil, errors.Join(fmt.Errorf("%s %s: %w", method, Redacted(u.String()), err), res.Body.Close())
}

// isBucket says that a refusal is how S3 answers for what is not there, to those who may not list.
func (w *Web) isBucket(res *http.Response) bool { return res.Header.Get("X-Amz-Request-Id") != "" }

// ReadFile reads a whole file.
func (w *Web) ReadFile(ctx context.Context, name string) ([]byte, error) {
	limit := int64(maxPlaylist)
	if strings.HasSuffix(name, ".idx") {
		limit = reclog.MaxIndex
	}
	res, err := w.ask(ctx, http.MethodGet, name, "")
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%w: more than %d bytes", media.ErrTooLarge, limit)
	}
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return data, nil
}

// OpenRange reads a range of a file.
func (w *Web) OpenRange(ctx context.Context, name string, offset, size int64) (io.ReadCloser, error) {
	if size == 0 {
		return io.NopCloser(strings.NewReader("")), nil
	}
	res, err := w.ask(ctx, http.MethodGet, name, fmt.Sprintf("bytes=%d-%d", offset, offset+size-1))
	if err != nil {
		return nil, err
	}
	if res.ContentLength != size {
		err := fmt.Errorf("open %s: range %d+%d gave %d bytes: %w", name, offset, size, res.ContentLength,
			io.ErrUnexpectedEOF)
		return nil, errors.Join(err, res.Body.Close())
	}
	return res.Body, nil
}

// Stat asks for a file's size.
func (w *Web) Stat(ctx context.Context, name string) (media.Object, error) {
	res, err := w.ask(ctx, http.MethodHead, name, "")
	if err != nil {
		return media.Object{}, err
	}
	if err := res.Body.Close(); err != nil {
		return media.Object{}, err
	}
	if res.ContentLength < 0 {
		return media.Object{}, fmt.Errorf("stat %s: %w: the server tells no size", name, media.ErrUnsupported)
	}
	return media.Object{Key: name, Size: res.ContentLength}, nil
}

// openWhole reads all of a file; its size is negative when the server does not tell it.
func (w *Web) openWhole(ctx context.Context, name string) (io.ReadCloser, int64, error) {
	res, err := w.ask(ctx, http.MethodGet, name, "")
	if err != nil {
		return nil, 0, err
	}
	return res.Body, res.ContentLength, nil
}
