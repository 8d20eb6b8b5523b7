package media

import (
	"errors"
	"strings"
	"testing"
)

func TestSRTPassphraseIsCheckedAndNotRepeated(t *testing.T) {
	for _, good := range []string{"", "0123456789", "correct horse battery", "pässwörter", strings.Repeat("x", 79)} {
		if err := CheckSRTPassphrase(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"012345678", strings.Repeat("x", 80), "0123456789\n", "0123456789\xff"} {
		err := CheckSRTPassphrase(bad)
		var field *FieldError
		if !errors.As(err, &field) || field.Field != "srt_passphrase" || strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestParseResolution(t *testing.T) {
	for text, want := range map[string][2]int{"": {}, "1920x1080": {1920, 1080}, "1x16384": {1, 16384}} {
		if w, h, ok := ParseResolution(text); !ok || [2]int{w, h} != want {
			t.Errorf("%q: %dx%d, %v", text, w, h, ok)
		}
	}
	for _, text := range []string{
		"1920", "x", "1920x", "x1080", "0x1080", "-1x1", "+1x1", "1920X1080", "16385x1", "1 x1", "1x1x1", "99999999999x1",
	} {
		if w, h, ok := ParseResolution(text); ok {
			t.Errorf("%q became %dx%d", text, w, h)
		}
	}
}

func TestFitsResolution(t *testing.T) {
	for _, c := range []struct {
		limit         string
		width, height int
		want          bool
	}{
		{"", 16384, 16384, true},
		{"1920x1080", 1920, 1080, true},
		{"1920x1080", 1080, 1920, true},
		{"1080x1920", 1920, 1080, true},
		{"1920x1080", 1921, 1080, false},
		{"1920x1080", 1920, 1088, false},
		{"1920x1080", 1440, 1440, false},
	} {
		if got := (Settings{MaxResolution: c.limit}).FitsResolution(c.width, c.height); got != c.want {
			t.Errorf("%dx%d within %q: %v", c.width, c.height, c.limit, got)
		}
	}
}

func FuzzParseResolution(f *testing.F) {
	for _, seed := range []string{"", "1920x1080", "0x0", "1x", "x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if w, h, ok := ParseResolution(text); ok && text != "" && (w < 1 || h < 1 || w > maxSide || h > maxSide) {
			t.Errorf("%q became %dx%d", text, w, h)
		}
	})
}
