package objstore

import (
	"bytes"
	"errors"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

func TestReadChanged(t *testing.T) {
	gateway := objstoretest.MustStartGateway(t)
	gateway.MustMakeBucket(t, "bucket")
	s := mustOpenS3(t, gateway.Endpoint, S3Config{Bucket: "bucket"})
	const key = "acme/show/recording.json"
	if _, _, _, err := s.ReadChanged(t.Context(), key, ""); !errors.Is(err, media.ErrNotFound) {
		t.Fatalf("absent: %v", err)
	}
	one, two := objstoretest.Bytes(1, 1000), objstoretest.Bytes(2, 1000)
	objstoretest.MustPut(t, s, key, one, media.PutOptions{})
	data, tag, changed, err := s.ReadChanged(t.Context(), key, "")
	if err != nil || !changed || tag == "" || !bytes.Equal(data, one) {
		t.Fatalf("first: %d bytes, tag %q, changed %v, %v", len(data), tag, changed, err)
	}
	data, again, changed, err := s.ReadChanged(t.Context(), key, tag)
	if err != nil || changed || again != tag || data != nil {
		t.Fatalf("the same: %d bytes, tag %q, changed %v, %v", len(data), again, changed, err)
	}
	objstoretest.MustPut(t, s, key, two, media.PutOptions{})
	data, again, changed, err = s.ReadChanged(t.Context(), key, tag)
	if err != nil || !changed || again == tag || !bytes.Equal(data, two) {
		t.Fatalf("another: %d bytes, tag %q, changed %v, %v", len(data), again, changed, err)
	}
	if err := s.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := s.ReadChanged(t.Context(), key, again); !errors.Is(err, media.ErrNotFound) {
		t.Fatalf("deleted: %v", err)
	}
}
