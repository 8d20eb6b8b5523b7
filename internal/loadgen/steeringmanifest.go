package loadgen

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// steeringManifest is the answer of a steering server: RFC 8216bis, section 7.2.
type steeringManifest struct {
	Version  int            `json:"VERSION"`
	TTL      float64        `json:"TTL"` // seconds
	Reload   string         `json:"RELOAD-URI"`
	Priority []string       `json:"PATHWAY-PRIORITY"`
	Clones   []pathwayClone `json:"PATHWAY-CLONES"`
}

type pathwayClone struct {
	Base        string         `json:"BASE-ID"`
	ID          string         `json:"ID"`
	Replacement uriReplacement `json:"URI-REPLACEMENT"`
}

type uriReplacement struct {
	Host       string            `json:"HOST"`
	Params     map[string]string `json:"PARAMS"`
	Variants   map[string]string `json:"PER-VARIANT-URIS"`
	Renditions map[string]string `json:"PER-RENDITION-URIS"`
}

const (
	maxSteeringManifest = 256 << 10 // bytes
	// defaultTTL is hls.js's until a manifest tells another: it holds for a first one that fails, too.
	defaultTTL = 300 * time.Second
	maxTTL     = 24 * time.Hour
)

func parseSteeringManifest(text []byte) (steeringManifest, error) {
	var m steeringManifest
	if len(text) > maxSteeringManifest {
		return m, fmt.Errorf("%w: a steering manifest of more than %d bytes", media.ErrTooLarge, maxSteeringManifest)
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("%w: steering manifest: %w", media.ErrInvalid, err)
	}
	if m.Version != 1 {
		return m, fmt.Errorf("%w: VERSION %d of the steering manifest", media.ErrUnsupported, m.Version)
	}
	return m, nil
}

// ttl is how long the manifest holds.
func (m *steeringManifest) ttl() time.Duration {
	if !(m.TTL > 0) { // nor NaN
		return 0
	}
	return time.Duration(min(m.TTL, maxTTL.Seconds()) * float64(time.Second))
}
