package accesslog

import (
	"path"
	"strings"
)

// hidden stands for a playback token that was not where tokens are.
const hidden = "redacted"

// withoutToken gives a path without what may be a playback token: the edge has taken it off where it belongs, but
// people put slashes and dots before it, or write it in another place, and who reads the log could watch with it.
func withoutToken(asked string) string {
	if !strings.Contains(asked, "/t/") && !strings.Contains(asked, "/eyJ") {
		return asked
	}
	if rest, ok := strings.CutPrefix(path.Clean("/"+asked), "/t/"); ok {
		_, rest, _ = strings.Cut(rest, "/")
		asked = "/t/" + hidden + "/" + rest
	}
	elements := strings.Split(asked, "/")
	for i, element := range elements {
		if strings.HasPrefix(element, "eyJ") && strings.Count(element, ".") == 2 { // a JWT, of which the head is JSON
			elements[i] = hidden
		}
	}
	return strings.Join(elements, "/")
}
