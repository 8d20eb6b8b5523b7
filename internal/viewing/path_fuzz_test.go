package viewing

import (
	"strings"
	"testing"
)

// FuzzPath: a path is read without going past it, its parts put together are its beginning, and a name that is counted by
// is a name.
func FuzzPath(f *testing.F) {
	const id = "01arz3ndektsv4rrffq69g5fav"
	for _, path := range []string{
		"/acme/show/index.m3u8", "/acme/show/" + id + "/index.m3u8", "/acme/show/" + id + "/1/video.m3u8",
		"/acme/show/" + id + "/1/video/7.m4s", "/acme/show/" + id + "/1/video/init.mp4", "/acme/show/thumbnail.jpg",
		"/", "//", "/a/b/", "/../../" + id + "/x.m4s", "/acme/show/" + strings.Repeat("x", 26) + "/", "/acme//index.m3u8",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got, ok := parse(path)
		if !ok {
			return
		}
		if !strings.HasPrefix(path, "/"+got.name+"/") || got.object != "" && got.object != path {
			t.Fatalf("%q: %+v", path, got)
		}
		if !got.good() {
			return
		}
		stream, recording := split(got.name)
		if stream != got.stream() || (recording != "") != got.recording || strings.Count(stream, "/") != 1 ||
			strings.ContainsAny(got.name, ".%\\ \x00") {
			t.Errorf("%q: stream %q, recording %q", path, stream, recording)
		}
	})
}
