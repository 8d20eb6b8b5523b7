package objstore

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestContentTypeFollowsFromTheKey(t *testing.T) {
	for key, want := range map[string]string{
		"a/1/video.mp4": "video/mp4", "a/index.m3u8": "application/vnd.apple.mpegurl", "a/recording.json": "application/json",
		"a/1/video.idx": "application/octet-stream", "a": "application/octet-stream",
	} {
		if have := contentType(key, media.PutOptions{}); have != want {
			t.Errorf("%s: %s, want %s", key, have, want)
		}
	}
	if have := contentType("a.mp4", media.PutOptions{ContentType: "x/y"}); have != "x/y" {
		t.Error(have)
	}
}

func FuzzKey(f *testing.F) {
	for _, key := range []string{"a/b/c.mp4", "", ".", "..", "/a", "a/", "a//b", "../a", "a/../b", ".tmp/a", "a/.b", "\xff"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if checkKey(key) != nil {
			return
		}
		if !filepath.IsLocal(key) || filepath.Clean(key) != key || len(key) > maxKey {
			t.Errorf("%q leaves its directory", key)
		}
		for element := range strings.SplitSeq(key, "/") {
			if element == "" || element[0] == '.' {
				t.Errorf("%q has the element %q", key, element)
			}
		}
	})
}

func FuzzDecodeSum(f *testing.F) {
	for _, s := range []string{"rosUhgp5mIg=", "", "rosUhgp5mIg=-2", "rosUhgp5mA=="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		sum, ok := decodeSum(s)
		if !ok {
			return
		}
		if again, ok := decodeSum(encodeSum(sum)); !ok || again != sum {
			t.Errorf("%q: %x, then %x", s, sum, again)
		}
	})
}
