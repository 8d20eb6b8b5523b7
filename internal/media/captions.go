package media

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Caption is one channel of CEA-608 or service of CEA-708 in the pictures.
type Caption struct {
	// ID is the INSTREAM-ID: CC1 to CC4, SERVICE1 to SERVICE63.
	ID string
	// Language is a BCP 47 tag; empty is unknown.
	Language string
}

// The most of each there are: channels of CEA-608, services of CEA-708.
const (
	maxCaptionChannel = 4
	maxCaptionService = 63
)

// MaxCaptions is how many different captions there can be.
const MaxCaptions = maxCaptionChannel + maxCaptionService

// captionRank orders ids, CC1 first; zero is none.
func captionRank(id string) int {
	digits, most, base := "", maxCaptionChannel, 0
	if rest, ok := strings.CutPrefix(id, "CC"); ok {
		digits = rest
	} else if rest, ok := strings.CutPrefix(id, "SERVICE"); ok {
		digits, most, base = rest, maxCaptionService, maxCaptionChannel
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 1 || n > most || strconv.Itoa(n) != digits {
		return 0
	}
	return base + n
}

// ParseCaptions reads the setting: "CC1=en CC3=es SERVICE1=en", each caption once, the language left out where it is
// unknown. The list is in the order of channels, then services. The error says what is wrong with which word.
func ParseCaptions(text string) ([]Caption, error) {
	var list []Caption
	for word := range strings.FieldsSeq(text) {
		id, language, said := strings.Cut(word, "=")
		switch {
		case captionRank(id) == 0:
			return nil, fmt.Errorf("%w caption %.40q: use CC1 to CC%d and SERVICE1 to SERVICE%d, like CC1=en SERVICE1=en",
				ErrInvalid, word, maxCaptionChannel, maxCaptionService)
		case said && !IsLanguage(language):
			return nil, fmt.Errorf("%w language of %.40q: use a tag like en or pt-BR", ErrInvalid, word)
		case slices.ContainsFunc(list, func(c Caption) bool { return c.ID == id }):
			return nil, fmt.Errorf("%w caption %s: it is there twice", ErrInvalid, id)
		}
		list = append(list, Caption{ID: id, Language: language})
	}
	return sortCaptions(list), nil
}

// CaptionsOf gives the captions of a recording in the order of channels, then services: those of its setting, and the
// ids that were seen in the pictures besides. What is no id, or can't be read, is left out.
func CaptionsOf(setting string, seen []string) []Caption {
	list, err := ParseCaptions(setting)
	if err != nil {
		list = nil // from before it was checked
	}
	for _, id := range seen {
		if captionRank(id) > 0 && !slices.ContainsFunc(list, func(c Caption) bool { return c.ID == id }) {
			list = append(list, Caption{ID: id})
		}
	}
	return sortCaptions(list)
}

func sortCaptions(list []Caption) []Caption {
	slices.SortFunc(list, func(a, b Caption) int { return cmp.Compare(captionRank(a.ID), captionRank(b.ID)) })
	return list
}

// languageForm is that of RFC 5646, 2.1, without its private and grandfathered tags: language, up to three extensions
// of it, script, region, variants and extensions.
var languageForm = regexp.MustCompile(`^[A-Za-z]{2,3}(-[A-Za-z]{3}){0,3}(-[A-Za-z]{4})?(-([A-Za-z]{2}|[0-9]{3}))?` +
	`(-([A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3})){0,4}(-[0-9A-WY-Za-wy-z](-[A-Za-z0-9]{2,8}){1,4})?$`)

// maxLanguage is the least length that a field for a tag should have, in bytes (RFC 5646, 4.4.1).
const maxLanguage = 35

// IsLanguage says whether a text has the form of a BCP 47 language tag.
func IsLanguage(tag string) bool { return len(tag) <= maxLanguage && languageForm.MatchString(tag) }

// maxCaptionsText bounds the setting in bytes.
const maxCaptionsText = 1024

// checkSubtitles says what is wrong with the setting of subtitles.
func checkSubtitles(language string) string {
	if !IsLanguage(language) {
		return fmt.Sprintf("%.40q is no language tag: write it like \"en\" or \"pt-BR\", or \"\" for no subtitles", language)
	}
	return ""
}

// checkCaptions says what is wrong with the setting of captions.
func checkCaptions(text string) string {
	if len(text) > maxCaptionsText {
		return fmt.Sprintf("%d bytes: use %d or less", len(text), maxCaptionsText)
	}
	if _, err := ParseCaptions(text); err != nil {
		return err.Error()
	}
	return ""
}
