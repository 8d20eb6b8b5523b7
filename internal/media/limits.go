package media

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths of an SRT passphrase in bytes (HAICRYPT_SECRET_MAX_SZ).
const (
	minSRTPassphrase = 10
	maxSRTPassphrase = 79
)

// CheckSRTPassphrase says what is wrong with a passphrase, without repeating it. Empty is none, and right.
func CheckSRTPassphrase(s string) error {
	if s == "" {
		return nil
	}
	if len(s) < minSRTPassphrase || len(s) > maxSRTPassphrase {
		return &FieldError{Field: "srt_passphrase", Want: fmt.Sprintf("%d bytes: use %d to %d, or \"\" for none of its own",
			len(s), minSRTPassphrase, maxSRTPassphrase)}
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return &FieldError{Field: "srt_passphrase", Want: "use printable characters"}
	}
	return nil
}

// Bounds of the limits themselves.
const (
	maxStreamsLimit = 1_000_000
	minBitrateLimit = 10_000        // less carries no media, and would be a slip of the unit
	maxBitrateLimit = 1_000_000_000 // bits per second
	maxSide         = 16384         // pixels
)

// ParseResolution reads "1920x1080". An empty text is no resolution: 0, 0, true.
func ParseResolution(s string) (width, height int, ok bool) {
	if s == "" {
		return 0, 0, true
	}
	left, right, _ := strings.Cut(s, "x")
	width, okWidth := parseSide(left)
	height, okHeight := parseSide(right)
	if !okWidth || !okHeight {
		return 0, 0, false
	}
	return width, height, true
}

func parseSide(s string) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 16)
	return int(n), err == nil && n > 0 && n <= maxSide
}

// FitsResolution says whether a picture is within MaxResolution, upright or on its side.
func (s Settings) FitsResolution(width, height int) bool {
	w, h, ok := ParseResolution(s.MaxResolution)
	return !ok || w == 0 || max(width, height) <= max(w, h) && min(width, height) <= min(w, h)
}

// checkResolution says what is wrong with a setting's picture.
func checkResolution(text string) string {
	if _, _, ok := ParseResolution(text); !ok {
		return fmt.Sprintf("%.40q is no resolution: write it like \"1920x1080\", up to %d each, or \"\" for no limit",
			text, maxSide)
	}
	return ""
}
