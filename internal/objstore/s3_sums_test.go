package objstore

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
	"github.com/oxbow-video/oxbow/internal/objstore/objstoretest"
)

// mustOpenLacking opens a store that lacks something, and gives what it logs.
func mustOpenLacking(t *testing.T, lacks objstoretest.Lacks, c S3Config) (*objstoretest.Gateway, *S3, *bytes.Buffer) {
	t.Helper()
	gateway := objstoretest.MustStartGateway(t)
	c.Bucket = "vod"
	gateway.MustMakeBucket(t, c.Bucket)
	log := new(bytes.Buffer)
	c.Logger = slog.New(slog.NewTextHandler(log, nil))
	return gateway, mustOpenS3(t, objstoretest.MustStartLacking(t, gateway, lacks), c), log
}

func TestBestChecksumThatTheStoreVerifiesIsUsed(t *testing.T) {
	for _, c := range []struct {
		name      string
		lacks     objstoretest.Lacks
		checksums string
		want      string // empty: puts fail
	}{
		{"whole", objstoretest.Lacks{}, ChecksumsAuto, "crc64nvme"},
		{"whole, required", objstoretest.Lacks{}, ChecksumsRequired, "crc64nvme"},
		{"whole, sha256", objstoretest.Lacks{}, ChecksumsSHA256, "sha256"},
		{"whole, off", objstoretest.Lacks{}, ChecksumsOff, "none"},
		{"no CRC64NVME", objstoretest.Lacks{CRC64NVME: true}, ChecksumsAuto, "sha256"},
		{"no CRC64NVME, required", objstoretest.Lacks{CRC64NVME: true}, ChecksumsRequired, "sha256"},
		{"no CRC64NVME, crc64nvme", objstoretest.Lacks{CRC64NVME: true}, ChecksumsCRC64NVME, "none"},
		{"none", objstoretest.Lacks{CRC64NVME: true, SHA256: true}, ChecksumsAuto, "none"},
		{"none, required", objstoretest.Lacks{CRC64NVME: true, SHA256: true}, ChecksumsRequired, ""},
		{"ignored", objstoretest.Lacks{Answers: true}, ChecksumsAuto, "none"},
		{"ignored, required", objstoretest.Lacks{Answers: true}, ChecksumsRequired, ""},
		{"not looked at", objstoretest.Lacks{Attention: true}, ChecksumsAuto, "none"},
		{"not looked at, required", objstoretest.Lacks{Attention: true}, ChecksumsRequired, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, s, log := mustOpenLacking(t, c.lacks, S3Config{Checksums: c.checksums})
			for key, size := range map[string]int{"acme/small": 1000, "acme/large": objstoretest.Large} {
				b := objstoretest.Bytes(1, size)
				sent, err := s.Put(t.Context(), key, bytes.NewReader(b), int64(size), media.PutOptions{})
				if c.want == "" {
					if !errors.Is(err, media.ErrUnavailable) || StateOf(err) != StateUnfit {
						t.Errorf("put %s: %v, state %q", key, err, StateOf(err))
					}
					objstoretest.MustLack(t, s, key)
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				objstoretest.MustHave(t, s, key, b)
				wantProof(t, s, sent, c.want)
				if c.checksums != ChecksumsRequired { // told as without it
					objstoretest.MustTell(t, s, key, b)
				}
			}
			if have, err := s.Checksums(t.Context()); have != c.want || (err != nil) != (c.want == "") {
				t.Errorf("checksums %q, %v", have, err)
			}
			warned := strings.Count(log.String(), "level=WARN")
			if want := c.want == "none" && c.checksums != ChecksumsOff; warned > 1 || (warned == 1) != want {
				t.Errorf("%d warnings: %s", warned, log)
			}
			for _, key := range objstoretest.MustKeys(t, s, "") {
				if strings.HasPrefix(key, probeName) {
					t.Errorf("%s is left", key)
				}
			}
		})
	}
}

// wantProof holds what Stat proves against the kind of checksum.
func wantProof(t *testing.T, s *S3, sent media.Object, kind string) {
	t.Helper()
	have, err := s.Stat(t.Context(), sent.Key)
	if err != nil {
		t.Fatal(err)
	}
	if have.HasChecksum != (kind == "crc64nvme") || have.HasChecksum && have.Checksum != sent.Checksum {
		t.Errorf("%s: sent %+v, the store has %+v", kind, sent, have)
	}
	if have.SHA256 != sent.SHA256 || (have.SHA256 != "") != (kind == "sha256") {
		t.Errorf("%s: sent %+v, the store has %+v", kind, sent, have)
	}
}

func TestSHA256OfOtherPartsIsReadBack(t *testing.T) {
	gateway, s, _ := mustOpenLacking(t, objstoretest.Lacks{CRC64NVME: true}, S3Config{})
	b := objstoretest.Bytes(1, objstoretest.Large)
	objstoretest.MustPut(t, s, largeKey, b, media.PutOptions{})
	for _, part := range []int64{minPartSize + 1<<20, minPartSize + 4<<20} { // as many parts, and fewer
		other := mustOpenS3(t, gateway.Endpoint, S3Config{Bucket: "vod"})
		other.config.PartSize = part
		objstoretest.MustTell(t, other, largeKey, b)
	}
}

func TestUploadGoesOnWithTheChecksumOfItsBeginning(t *testing.T) {
	for _, lacks := range []objstoretest.Lacks{{}, {CRC64NVME: true}, {CRC64NVME: true, SHA256: true}} {
		t.Run(fmt.Sprintf("%+v", lacks), func(t *testing.T) {
			_, s, _ := mustOpenLacking(t, lacks, S3Config{Parallel: 1})
			b := objstoretest.Bytes(1, objstoretest.Large)
			var noted notes
			broken := &brokenAt{Reader: bytes.NewReader(b), offset: 6 << 20}
			_, err := s.Put(t.Context(), largeKey, broken, int64(len(b)), noted.options(""))
			if !errors.Is(err, errBroken) || StateOf(err) != "" {
				t.Fatalf("%v, state %q", err, StateOf(err))
			}
			// Another process, that finds another checksum best.
			_, err = s.settle(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			options := noted.options(noted.ids[0])
			var done []int64
			options.Progress = func(n int64) { done = append(done, n) }
			objstoretest.MustPut(t, s, largeKey, b, options)
			objstoretest.MustHave(t, s, largeKey, b)
			if len(noted.ids) != 1 || done[0] != minPartSize || done[len(done)-1] != int64(len(b)) {
				t.Errorf("noted %v, progress %v", noted.ids, done)
			}
		})
	}
}

var errBroken = errors.New("disk is broken")

// brokenAt cannot be read behind an offset.
type brokenAt struct {
	*bytes.Reader
	offset int64
}

func (r *brokenAt) ReadAt(p []byte, offset int64) (int, error) {
	if offset+int64(len(p)) > r.offset {
		return 0, errBroken
	}
	return r.Reader.ReadAt(p, offset)
}
