package objstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"

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
			return fmt.Errorf("read source at %d: %w", offset, err)
		}
		if _, err := w.Write(b); err != nil {
			return err
		}
		offset += int64(n)
		size -= int64(n)
	}
	return nil
}
