package hlscheck

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Exchange is one request and its answer, with their times: all that the judging sees.
type Exchange struct {
	Method string
	URL    string
	Header http.Header // of the request
	Asked  time.Time
	Done   time.Time // the whole answer was had
	Status int       // 0: no answer, or one that was cut
	Answer http.Header
	Body   []byte // as it came, perhaps gzip
}

// text gives the decoded body; false if its encoding is broken.
func (x *Exchange) text() (string, bool) {
	if x.Answer.Get("Content-Encoding") != "gzip" {
		return string(x.Body), true
	}
	z, err := gzip.NewReader(bytes.NewReader(x.Body))
	if err != nil {
		return "", false
	}
	text, err := io.ReadAll(io.LimitReader(z, maxPlaylist+1))
	return string(text), err == nil && z.Close() == nil
}

func (x *Exchange) took() time.Duration { return x.Done.Sub(x.Asked) }

// base is the URL without its delivery directives.
func (x *Exchange) base() string { return path(x.URL) }

// maxAge reads s-maxage or max-age; -1 where there is none.
func (x *Exchange) maxAge() time.Duration {
	age := time.Duration(-1)
	for d := range strings.SplitSeq(x.Answer.Get("Cache-Control"), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(d), "=")
		n, err := strconv.Atoi(value)
		switch {
		case name == "no-store" || name == "no-cache":
			return 0
		case err == nil && (name == "s-maxage" || name == "max-age" && age < 0):
			age = time.Duration(n) * time.Second
		}
	}
	return age
}

// directives are a request's delivery directives (d§6.2.5).
type directives struct {
	msn, part       int64
	hasMSN, hasPart bool
	bad             bool // a value is no number
	skip            string
	foreign         bool // something else is in the query, or the order is not the usual one
}

func parseDirectives(uri string) (d directives) {
	_, query, _ := strings.Cut(uri, "?")
	place := 0
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		value, _ = url.QueryUnescape(value)
		n, err := strconv.ParseInt(value, 10, 64)
		at := 0
		switch name {
		case "_HLS_msn":
			at, d.msn, d.hasMSN, d.bad = 1, n, true, d.bad || err != nil || n < 0
		case "_HLS_part":
			at, d.part, d.hasPart, d.bad = 2, n, true, d.bad || err != nil || n < 0
		case "_HLS_skip":
			at, d.skip = 3, value
		case "":
			continue
		}
		d.foreign = d.foreign || at == 0 || at < place
		place = at
	}
	return d
}

func (d *directives) blocks() bool { return d.hasMSN || d.hasPart }
