package media

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestCC1_ParseCaptions(t *testing.T) {
	got, err := ParseCaptions(" SERVICE10  CC3=es CC1=en\tSERVICE2=pt-BR ")
	want := []Caption{{"CC1", "en"}, {"CC3", "es"}, {"SERVICE2", "pt-BR"}, {"SERVICE10", ""}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{
		"CC0=en", "CC5=en", "CC=en", "SERVICE0", "SERVICE64", "SERVICE01", "cc1=en", "CC1=", "CC1=english!", "CC1=en CC1=es", "en", "CC+1",
	} {
		if got, err := ParseCaptions(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
	seen := []string{"SERVICE63", "CC4", "nothing", "CC1"}
	want = []Caption{{"CC1", "en"}, {"CC4", ""}, {"SERVICE63", ""}}
	if got := CaptionsOf("CC1=en", seen); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestSUB1_CC1_SettingsAreChecked(t *testing.T) {
	for _, c := range []struct {
		subtitles, captions, field string
	}{
		{"", "", ""}, {"en", "CC1=en", ""}, {"pt-BR", "SERVICE1", ""}, {"zh-Hant-TW", "", ""}, {"es-419", "", ""}, {"sl-rozaj", "", ""},
		{"english", "", "subtitles"}, {"e", "", "subtitles"}, {"en_US", "", "subtitles"}, {"en-", "", "subtitles"},
		{"en\"", "", "subtitles"}, {"en\n", "", "subtitles"}, {"yes", "", ""},
		{"", "CC9=en", "captions"}, {"", "CC1=\"", "captions"}, {"", strings.Repeat(" ", 1025), "captions"},
	} {
		err := SettingsPatch{Subtitles: &c.subtitles, Captions: &c.captions}.Check()
		var field *FieldError
		if errors.As(err, &field) != (c.field != "") || field != nil && field.Field != c.field {
			t.Errorf("%q, %q: %v", c.subtitles, c.captions, err)
		}
	}
}

func FuzzParseCaptions(f *testing.F) {
	for _, seed := range []string{"CC1=en SERVICE1=en", "CC5", "SERVICE63=zh-Hant-TW", "CC1=a-b-c-d"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, err := ParseCaptions(text)
		if err == nil && len(list) > MaxCaptions {
			t.Errorf("%d captions", len(list))
		}
		for _, c := range list {
			if strings.ContainsAny(c.Language+c.ID, "\"\n,=") {
				t.Errorf("%q", c)
			}
		}
	})
}
