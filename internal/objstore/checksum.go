package objstore

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/oxbow-video/oxbow/internal/media"
)

// encodeSum gives S3's form of a CRC: base64 of eight bytes, the highest first.
func encodeSum(sum uint64) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}

// decodeSum reads S3's form. A form with "-2" behind it is of parts, not of bytes, and is none of ours.
func decodeSum(s string) (sum uint64, ok bool) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// encodeDigest gives S3's form of a SHA-256.
func encodeDigest(digest [sha256.Size]byte) string {
	return base64.StdEncoding.EncodeToString(digest[:])
}

// combineDigests gives S3's composite form: the SHA-256 of the parts' SHA-256, and how many they are.
func combineDigests(parts []types.CompletedPart) (string, error) {
	whole := sha256.New()
	for i := range parts {
		b, err := base64.StdEncoding.DecodeString(aws.ToString(parts[i].ChecksumSHA256))
		if err != nil || len(b) != sha256.Size {
			return "", fmt.Errorf("part %d has no SHA-256", i+1)
		}
		_, _ = whole.Write(b)
	}
	return encodeDigest([sha256.Size]byte(whole.Sum(nil))) + "-" + strconv.Itoa(len(parts)), nil
}

// digestParts gives how many parts a composite SHA-256 is of; zero for one of all the bytes.
func digestParts(digest string) int {
	_, count, _ := strings.Cut(digest, "-")
	n, err := strconv.Atoi(count)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// sums are a range's.
type sums struct {
	crc    uint64
	sha256 string // empty unless it was asked for
}

// sumBoth sums bytes in one reading.
func sumBoth(ctx context.Context, r io.ReaderAt, offset, size int64, kind sumKind) (sums, error) {
	crc := media.NewChecksum()
	if kind != sumSHA256 {
		err := copyRange(ctx, crc, r, offset, size)
		return sums{crc: crc.Sum64()}, err
	}
	digest := sha256.New()
	err := copyRange(ctx, io.MultiWriter(crc, digest), r, offset, size)
	return sums{crc: crc.Sum64(), sha256: encodeDigest([sha256.Size]byte(digest.Sum(nil)))}, err
}

// combineSums gives the CRC of a+b from those of a and b and the length of b: a's register is run over size zero bytes.
// In this bit order x^0 is the top bit and shifting right multiplies by x.
func combineSums(a, b uint64, size int64) uint64 {
	power := uint64(1) << 62 // x
	for range 3 {            // x^8: one byte
		power = multiply(power, power)
	}
	for ; size > 0; size >>= 1 {
		if size&1 != 0 {
			a = multiply(a, power)
		}
		power = multiply(power, power)
	}
	return a ^ b
}

// multiply is the product of two polynomials modulo the CRC's.
func multiply(a, b uint64) uint64 {
	var product uint64
	for ; a != 0; a <<= 1 {
		if a>>63 != 0 {
			product ^= b
		}
		if b&1 != 0 {
			b = b>>1 ^ media.ChecksumPolynomial
		} else {
			b >>= 1
		}
	}
	return product
}

// sumRange sums bytes and fails when there are fewer.
func sumRange(ctx context.Context, r io.ReaderAt, offset, size int64) (uint64, error) {
	sum := media.NewChecksum()
	if err := copyRange(ctx, sum, r, offset, size); err != nil {
		return 0, err
	}
	return sum.Sum64(), nil
}

// copyRange copies exactly size bytes and looks at the context now and then.
func copyRange(ctx context.Context, w io.Writer, r io.ReaderAt, offset, size int64) error {
	buf := make([]byte, min(media.ChecksumBuffer, size))
	for size > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(int64(len(buf)), size)]
		n, err := r.ReadAt(b, offset)
		if n < len(b) {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("read source at %d: %w", offset, sourceError{err})
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		offset += int64(n)
		size -= int64(n)
	}
	return nil
}
