package cacheproxy

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestReverseInvalidates(t *testing.T) {
	for name, row := range map[string]struct {
		method string
		status int
		lines  []string
		want   []string // paths that are gone
	}{
		"PUT":                  {"PUT x", 200, nil, []string{"/a"}},
		"unknown method":       {"M-SEARCH x", 200, nil, []string{"/a"}},
		"redirected":           {"POST x", 303, nil, []string{"/a"}},
		"refused":              {"POST x", 500, nil, nil},
		"safe":                 {"OPTIONS", 200, nil, nil},
		"Location":             {"POST x", 201, []string{"Location: b"}, []string{"/a", "/b"}},
		"Content-Location":     {"POST x", 201, []string{"Content-Location: /b"}, []string{"/a", "/b"}},
		"Location of another":  {"POST x", 201, []string{"Location: http://elsewhere.invalid/b"}, []string{"/a"}},
		"DELETE without body":  {"DELETE", 204, nil, []string{"/a"}},
		"escaped in Location":  {"POST x", 201, []string{"Location: %62"}, []string{"/a", "/b"}},
		"unreadable Location":  {"POST x", 201, []string{"Location: http://%zz/"}, []string{"/a"}},
		"Location of opposite": {"POST x", 404, []string{"Location: b"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodGet {
					tell(rw, 200, "body", "Cache-Control: max-age=60")
					return
				}
				tell(rw, row.status, "", row.lines...)
			})
			w.get("/a")
			w.get("/b")
			w.landed()
			w.do(row.method, "/a")
			for _, path := range []string{"/a", "/b"} {
				gone := w.cache.cache.get(mediaKey(path)) == nil
				if gone != slices.Contains(row.want, path) {
					t.Errorf("%s gone: %t", path, gone)
				}
			}
		})
	}
}

// What was fetched before a change must not be stored after it.
func TestReverseForgetsWhatWasOnItsWayDuringAChange(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	w := newReverseWorld(t, ReverseConfig{}, func(rw http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			close(asked)
			<-release
		}
		tell(rw, 200, "old", "Cache-Control: max-age=60")
	})
	var group sync.WaitGroup
	group.Go(func() { w.get("/a") })
	<-asked
	w.do("PUT x", "/a")
	close(release)
	group.Wait()
	w.cache.running.Wait()
	if w.cache.cache.get(mediaKey("/a")) != nil {
		t.Error("the answer from before the change was stored")
	}
	if len(w.cache.changes.under) != 0 {
		t.Error("changes are remembered for ever")
	}
}

func TestReverseHEADFreshensOrDrops(t *testing.T) {
	for name, row := range map[string]struct {
		head []string
		want string // body of the next GET
	}{
		"same":      {[]string{"Cache-Control: max-age=60", `ETag: "v1"`, "Content-Length: 3"}, "old"},
		"other tag": {[]string{"Cache-Control: max-age=60", `ETag: "v2"`, "Content-Length: 3"}, "new"},
		"longer":    {[]string{"Cache-Control: max-age=60", `ETag: "v1"`, "Content-Length: 4"}, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newReverseWorld(t, ReverseConfig{}, nil)
			w.answers(200, "old", "Cache-Control: max-age=1", `ETag: "v1"`)
			w.get("/a")
			w.backdate("/a", time.Minute)
			w.answers(200, "", row.head...)
			w.do("HEAD", "/a")
			w.answers(200, "new", "Cache-Control: max-age=60")
			if got := w.get("/a"); got.body != row.want {
				t.Errorf("got %q, want %q", got.body, row.want)
			}
		})
	}
}
