package objstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/oxbow-video/oxbow/internal/media"
)

// sumKind is which checksum goes with what is put.
type sumKind uint32

const (
	sumUnknown sumKind = iota // nobody has asked the store yet
	sumCRC64NVME
	sumSHA256
	sumNone
)

func (k sumKind) String() string { return [...]string{"unknown", "crc64nvme", "sha256", "none"}[k] }

// algorithm is S3's name, empty for none.
func (k sumKind) algorithm() types.ChecksumAlgorithm {
	switch k {
	case sumCRC64NVME:
		return types.ChecksumAlgorithmCrc64nvme
	case sumSHA256:
		return types.ChecksumAlgorithmSha256
	}
	return ""
}

// kinds gives those that may be used, the best first.
func (s *S3) kinds() []sumKind {
	switch s.config.Checksums {
	case ChecksumsCRC64NVME:
		return []sumKind{sumCRC64NVME}
	case ChecksumsSHA256:
		return []sumKind{sumSHA256}
	case ChecksumsOff:
		return nil
	}
	return []sumKind{sumCRC64NVME, sumSHA256}
}

// Checksums gives what is used with this store, after asking it if nobody did: "crc64nvme", "sha256" or "none".
func (s *S3) Checksums(ctx context.Context) (string, error) {
	kind, err := s.settle(ctx)
	if err != nil {
		return "", s.wrap("ask for checksums with", probeName, err)
	}
	return kind.String(), nil
}

// settle finds out, once, which checksum the store has. That it takes one is not enough: some servers ignore it, or
// keep what they are told without looking at the bytes. So a byte is put with a wrong checksum, which must be refused.
func (s *S3) settle(ctx context.Context) (sumKind, error) {
	if kind := sumKind(s.sums.Load()); kind != sumUnknown {
		return kind, nil
	}
	select {
	case s.settling <- struct{}{}:
		defer func() { <-s.settling }()
	case <-ctx.Done():
		return sumUnknown, ctx.Err()
	}
	if kind := sumKind(s.sums.Load()); kind != sumUnknown {
		return kind, nil
	}
	var found []string
	for _, kind := range s.kinds() {
		verdict, err := s.probe(ctx, kind)
		if err != nil {
			return sumUnknown, err
		}
		if verdict == "" {
			s.sums.Store(uint32(kind))
			return kind, nil
		}
		found = append(found, kind.String()+" "+verdict)
	}
	if s.config.Checksums == ChecksumsRequired {
		return sumUnknown, unfit(strings.Join(found, ", "))
	}
	s.doWithout(strings.Join(found, ", "))
	return sumNone, nil
}

func unfit(found string) error {
	return &stateError{state: StateUnfit, kind: media.ErrUnavailable, err: fmt.Errorf(
		"%w: checksums are required (checksums=required): %s", errUnfit, found)}
}

// doWithout turns to signatures of the payload, and says so once.
func (s *S3) doWithout(found string) {
	if sumKind(s.sums.Swap(uint32(sumNone))) != sumNone {
		s.config.Logger.Warn("the archive's store verifies no checksums: what is put is read back to verify it",
			"bucket", s.config.Bucket, "endpoint", s.config.Endpoint, "found", found)
	}
}

// probeName begins the key of what must be refused.
const probeName = "oxbow-checksum-probe-"

// probe asks about one checksum. An empty verdict means that the store verifies it.
func (s *S3) probe(ctx context.Context, kind sumKind) (verdict string, err error) {
	key := probeName + strings.ToLower(rand.Text())
	in := &s3.PutObjectInput{
		Bucket: &s.config.Bucket, Key: aws.String(s.prefix + key), ContentLength: aws.Int64(1),
		Body: bytes.NewReader([]byte{'x'}),
	}
	switch kind {
	case sumCRC64NVME:
		in.ChecksumCRC64NVME = aws.String(encodeSum(1))
	case sumSHA256:
		in.ChecksumSHA256 = aws.String(encodeDigest([32]byte{}))
	}
	err = s.config.Limits.send(ctx, func() error {
		_, err := s.client.PutObject(ctx, in, unsigned)
		return err
	})
	switch {
	case err == nil:
		verdict = "accepted with wrong sums"
	case classify(err) == StateDamaged, refusedSum(err):
		return "", nil
	case unknownToStore(err):
		return "refused", nil
	}
	// Accepted, or who knows.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if deleteErr := s.Delete(ctx, key); deleteErr != nil && err == nil {
		s.config.Logger.Warn("a probe for checksums is left in the archive: delete it", "object", s.prefix+key,
			"err", deleteErr)
	}
	return verdict, err
}

// refusedSum tells a verdict on a checksum from one on asking for it, where the codes are the same.
func refusedSum(err error) bool {
	_, code := reply(err)
	return code == "InvalidDigest"
}
