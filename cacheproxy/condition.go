package cacheproxy

import (
	"time"

	"github.com/oxbow-video/oxbow/internal/httpcache"
)

// notModified says whether what the asker has is the object's present state. One that has no date of modification was
// not modified since none: of a playlist there may be several within a second.
func notModified(a asker, o *object) bool {
	return httpcache.NotModified(a.values("If-None-Match"), a.values("If-Modified-Since"), o.validators(), time.Time{})
}
