package objstore

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// MaxFile is the most bytes that ReadFile gives: manifests, indexes and playlists. The index of a show of a week with
// segments of a second is a tenth of it.
const MaxFile = 256 << 20

// maxKey is S3's limit on the bytes of a key.
const maxKey = 1024

func checkKey(key string) error {
	if !fs.ValidPath(key) || key == "." || len(key) > maxKey ||
		strings.HasPrefix(key, ".") || strings.Contains(key, "/.") {
		return fmt.Errorf("%w: object key %.80q", media.ErrBadName, key)
	}
	return nil
}

func isKey(key string) bool { return checkKey(key) == nil }

// checkPrefix allows what checkKey does, the empty prefix, and a prefix that ends in mid-name or with a slash.
func checkPrefix(prefix string) error {
	if prefix == "" {
		return nil
	}
	return checkKey(strings.TrimSuffix(prefix, "/"))
}

func contentType(key string, options media.PutOptions) string {
	if options.ContentType != "" {
		return options.ContentType
	}
	switch path.Ext(key) {
	case ".mp4", ".m4s":
		return "video/mp4"
	case ".m3u8":
		return "application/vnd.apple.mpegurl"
	case ".json":
		return "application/json"
	case ".jpg":
		return "image/jpeg"
	}
	return "application/octet-stream"
}
