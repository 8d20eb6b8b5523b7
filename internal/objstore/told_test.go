package objstore

import (
	"net/http"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestRefusalIsToldInOneLine(t *testing.T) {
	p, s := setUp(t, S3Config{})
	p.reset(func(_ string, _ int, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("X-Amz-Request-Id", "R1")
		w.Header().Set("X-Amz-Id-2", "a host's long id")
		return refuse(w, 403, "InvalidAccessKeyId")
	})
	_, err := s.Put(t.Context(), "a/b", strings.NewReader("x"), 1, media.PutOptions{})
	if err == nil {
		t.Fatal("put")
	}
	text := err.Error()
	for _, want := range []string{"check the access key", "S3 PutObject: 403 Forbidden: InvalidAccessKeyId", "(request R1)"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q does not say %q", text, want)
		}
	}
	if strings.Contains(text, "long id") || strings.Contains(text, "https response error") {
		t.Errorf("%q says too much", text)
	}
}
