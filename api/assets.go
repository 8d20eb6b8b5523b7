package api

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed builtin
var builtin embed.FS

// asset is a file of the web pages, in memory: some megabytes in all.
type asset struct {
	body        []byte
	zipped      func() []byte // empty when gzip does not help; made when it is asked for
	etag        string
	contentType string
}

// assets are the files by their path under /assets/, and the page.
type assets struct {
	page  *asset // nil without a built page
	docs  *asset // of the API; nil without a built one
	files map[string]*asset
}

// loadAssets reads the built page, when there is one, and what the built-in page needs.
func (s *Server) loadAssets() *assets {
	a := &assets{files: map[string]*asset{}}
	style, err := builtin.ReadFile("builtin/style.css")
	if err != nil {
		panic("BUG: built-in page: " + err.Error())
	}
	a.files["builtin.css"] = newAsset("builtin.css", style)
	if s.deps.Assets == nil {
		return a
	}
	page, err := fs.ReadFile(s.deps.Assets, "index.html")
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.log.Error("web page not readable: the built-in one is served", "err", err)
		}
		return a
	}
	err = fs.WalkDir(s.deps.Assets, "assets", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(s.deps.Assets, name)
		if err == nil {
			a.files[strings.TrimPrefix(name, "assets/")] = newAsset(name, body)
		}
		return err
	})
	if err != nil {
		s.log.Error("web page not complete: the built-in one is served", "err", err)
		return a
	}
	a.page = newAsset("index.html", page)
	if docs, err := fs.ReadFile(s.deps.Assets, "docs.html"); err == nil {
		a.docs = newAsset("docs.html", docs)
	}
	return a
}

func newAsset(name string, body []byte) *asset {
	sum := sha256.Sum256(body)
	return &asset{
		body: body, etag: hex.EncodeToString(sum[:12]), contentType: contentType(name),
		zipped: sync.OnceValue(func() []byte { return zip(body) }),
	}
}

func zip(body []byte) []byte {
	var zipped bytes.Buffer
	zw, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err == nil {
		_, err = zw.Write(body)
	}
	if err == nil {
		err = zw.Close()
	}
	if err != nil {
		panic("BUG: gzip to memory: " + err.Error())
	}
	if zipped.Len() < len(body)*9/10 {
		return zipped.Bytes()
	}
	return nil
}

func contentType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".png":
		return "image/png"
	case ".json":
		return "application/json"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// ServeHTTP answers with the file. Names do not change with content, so browsers ask each time and mostly hear 304.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	body, etag := a.body, `"`+a.etag+`"`
	if zipped := a.zipped(); zipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) {
			body, etag = zipped, `"`+a.etag+`-gzip"`
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", etag)
	h.Set("Cache-Control", "no-cache")
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(known), "W/") == etag {
			h.Del("Content-Encoding")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client may have left
}

func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, quality, _ := strings.Cut(coding, ";")
		if strings.TrimSpace(name) == "gzip" {
			quality = strings.ReplaceAll(quality, " ", "")
			return quality != "q=0" && quality != "q=0.0"
		}
	}
	return false
}

func (s *Server) serveAsset(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/assets/")
	if a, ok := s.assets.files[name]; ok {
		a.ServeHTTP(w, r)
		return
	}
	writeProblem(w, newProblem(http.StatusNotFound, "there is no asset %.100q", name))
}
