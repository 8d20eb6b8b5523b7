package hlscheck

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// scene is what is known of the show when an answer is judged.
type scene struct {
	target   time.Duration // 0 while unknown
	known    bool          // the URL was listed, hinted or given
	listed   bool          // it is listed now
	ended    bool          // its playlist has ENDLIST
	slack    time.Duration // what network and client may add to a time
	previous *Exchange     // a whole 200 of the same URL
}

// judgeAnswer holds an HTTP answer against the HTTP rules, whatever it is about.
func judgeAnswer(f *findings, x *Exchange, s scene) {
	h := x.Answer
	if !f.check("HTTP-15", x.Status != 0 || !s.listed, "no answer") || x.Status == 0 {
		return
	}
	f.check("HTTP-4", h.Get("Access-Control-Allow-Origin") != "",
		"%s %d without Access-Control-Allow-Origin", x.Method, x.Status)
	if strings.HasPrefix(x.Header.Get("Origin"), "http") && h.Get("Access-Control-Allow-Origin") != "*" {
		f.check("HTTP-4", strings.Contains(h.Get("Vary"), "Origin"), "an echoed origin without Vary")
	}
	f.check("HTTP-16", h.Get("Set-Cookie") == "", "Set-Cookie")
	if isPlaylist(x.base()) {
		f.check("HTTP-19", x.Status/100 != 3 || x.Status == 304, "%d to %s", x.Status, h.Get("Location"))
	} else {
		f.check("HTTP-12", x.Status/100 != 3 || x.Status == 304, "%d to %s", x.Status, h.Get("Location"))
	}
	_, err := http.ParseTime(h.Get("Date"))
	f.check("HTTP-21", err == nil, "Date %q", h.Get("Date"))
	if x.Method == http.MethodOptions {
		judgePreflight(f, x)
		return
	}
	switch {
	case !s.known:
		f.check("HTTP-11", x.Status == 404, "%d for what is not there", x.Status)
		f.check("HTTP-11", x.took() < 2*time.Second+s.slack, "an answer for what is not there after %v", x.took())
		f.check("HNT-7", x.took() < time.Second+s.slack && x.Status == 404,
			"%d after %v for what is neither listed nor hinted", x.Status, x.took())
	case s.listed && !isPlaylist(x.base()):
		f.check("HTTP-15", x.Status == 200 || x.Status == 206 || x.Status == 304 || x.Status == 416,
			"%d for what is listed", x.Status)
		f.check("PRT-6", x.Status < 400 || x.Status == 416, "%d for what is listed", x.Status)
	}
	judgeCaching(f, x, s)
	judgeKind(f, x)
	judgeAgain(f, x, s)
}

func isPlaylist(uri string) bool { return strings.HasSuffix(path(uri), ".m3u8") }

func judgePreflight(f *findings, x *Exchange) {
	h := x.Answer
	f.check("HTTP-5", x.Status/100 == 2, "preflight %d", x.Status)
	f.check("HTTP-5", strings.Contains(strings.ToLower(h.Get("Access-Control-Allow-Headers")), "range"),
		"Access-Control-Allow-Headers %q", h.Get("Access-Control-Allow-Headers"))
	f.check("HTTP-5", h.Get("Access-Control-Max-Age") != "", "no Access-Control-Max-Age")
}

// judgeCaching: HTTP-7 to 10.
func judgeCaching(f *findings, x *Exchange, s scene) {
	d := parseDirectives(x.URL)
	age := x.maxAge()
	switch {
	case x.Status >= 400:
		limit := s.target
		if d.blocks() {
			limit = 4 * s.target
		}
		f.check("HTTP-10", age >= 0 && (s.target == 0 || age <= limit),
			"%d with Cache-Control %q", x.Status, x.Answer.Get("Cache-Control"))
	case x.Status != 200 && x.Status != 206:
	case isPlaylist(x.base()):
		f.check("HTTP-8", age >= 0, "Cache-Control %q", x.Answer.Get("Cache-Control"))
		text, _ := x.text()
		if !s.ended && !d.blocks() && s.target > 0 && !strings.Contains(text, "#EXT-X-ENDLIST") {
			f.check("HTTP-8", age <= max(s.target/2, time.Second), "a plain playlist with %q", x.Answer.Get("Cache-Control"))
		}
	default:
		f.check("HTTP-9", age >= 6*s.target, "media with %q", x.Answer.Get("Cache-Control"))
	}
}

// judgeKind: content types and encodings.
func judgeKind(f *findings, x *Exchange) {
	if x.Status != 200 && x.Status != 206 {
		return
	}
	kind := x.Answer.Get("Content-Type")
	expose := strings.ToLower(x.Answer.Get("Access-Control-Expose-Headers"))
	f.check("HTTP-5", strings.Contains(expose, "age") && strings.Contains(expose, "date"),
		"Access-Control-Expose-Headers %q", expose)
	if x.Method == http.MethodGet && x.Answer.Get("Content-Length") != "" {
		f.check("HTTP-14", x.Answer.Get("Content-Length") == fmt.Sprint(len(x.Body)), "Content-Length %s, %d bytes came",
			x.Answer.Get("Content-Length"), len(x.Body))
	}
	if isPlaylist(x.base()) {
		f.check("HTTP-1", kind == "application/vnd.apple.mpegurl", "Content-Type %q", kind)
		f.check("SYN-7", kind == "application/vnd.apple.mpegurl", "Content-Type %q", kind)
		f.check("HTTP-6", strings.Contains(x.Answer.Get("Vary"), "Accept-Encoding"), "Vary %q", x.Answer.Get("Vary"))
		if strings.Contains(x.Header.Get("Accept-Encoding"), "gzip") && x.Method == http.MethodGet {
			f.check("HTTP-6", x.Answer.Get("Content-Encoding") == "gzip",
				"not compressed: Content-Encoding %q", x.Answer.Get("Content-Encoding"))
		}
		etag := x.Answer.Get("Etag")
		f.check("HTTP-21", strings.HasPrefix(etag, `"`), "ETag %q", etag)
		return
	}
	want := []string{"video/mp4", "audio/mp4", "video/iso.segment", "audio/iso.segment"}
	if strings.HasSuffix(x.base(), ".vtt") {
		want = []string{"text/vtt", "text/vtt; charset=utf-8"}
	}
	f.check("HTTP-2", slices.Contains(want, kind), "Content-Type %q", kind)
	f.check("HTTP-14", x.Answer.Get("Content-Length") != "", "media without Content-Length")
}

// judgeAgain: the same URL asked for with a condition, a range or HEAD, next to its whole answer.
func judgeAgain(f *findings, x *Exchange, s scene) {
	plain := x.Method == http.MethodGet && x.Header.Get("If-None-Match") == ""
	if s.previous == nil || plain && isPlaylist(x.base()) && x.Status == 200 {
		return
	}
	whole := s.previous.Body
	asked := x.Header.Get("Range")
	switch {
	case x.Method == http.MethodHead:
		f.check("HTTP-18", x.Status == 200 && len(x.Body) == 0 &&
			x.Answer.Get("Content-Type") == s.previous.Answer.Get("Content-Type"),
			"HEAD: %d %q", x.Status, x.Answer.Get("Content-Type"))
		if !isPlaylist(x.base()) {
			f.check("HTTP-18", x.Answer.Get("Content-Length") == fmt.Sprint(len(whole)), "HEAD: Content-Length %s of %d",
				x.Answer.Get("Content-Length"), len(whole))
		}
	case x.Header.Get("If-None-Match") != "":
		same := x.Answer.Get("Etag") == x.Header.Get("If-None-Match")
		f.check("HTTP-21", x.Status == 304 && len(x.Body) == 0 || x.Status == 200 && !same,
			"If-None-Match of the same version: %d", x.Status)
	case asked != "":
		judgeRange(f, x, whole, asked)
	case x.Status == 200 && !isPlaylist(x.base()):
		f.check("LIF-7", bytes.Equal(x.Body, whole), "other bytes than before at one URL")
	}
}

func judgeRange(f *findings, x *Exchange, whole []byte, asked string) {
	var from, to int
	if n, _ := fmt.Sscanf(asked, "bytes=%d-%d", &from, &to); n < 2 {
		to = len(whole) - 1
	}
	if from >= len(whole) {
		f.check("HTTP-14", x.Status == 416, "%s of %d bytes: %d", asked, len(whole), x.Status)
		return
	}
	to = min(to, len(whole)-1)
	f.check("HTTP-14", x.Status == 206, "%s: %d", asked, x.Status)
	want := fmt.Sprintf("bytes %d-%d/%d", from, to, len(whole))
	f.check("HTTP-14", x.Answer.Get("Content-Range") == want,
		"Content-Range %q, want %q", x.Answer.Get("Content-Range"), want)
	f.check("HTTP-14", x.Status != 206 || bytes.Equal(x.Body, whole[from:to+1]), "%s gives other bytes", asked)
}
