package media

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// SteeringRule is what an operator says of where viewers go, in the place of what load and capacity say: those of one
// stream, of a publisher's streams, or all. The narrowest rule that has not expired holds.
type SteeringRule struct {
	// Publisher and Stream are whose viewers; both empty are all, and Stream alone is never set.
	Publisher string
	Stream    string
	// Choices are where they go. Without shares the first that has a usable edge takes all, and the others are what is
	// left if it has none; with shares each gets its own. Edges that no choice names are the last resort.
	Choices   []SteeringChoice
	Reason    string
	ExpiresAt time.Time // zero is never
	UpdatedAt time.Time
}

// SteeringChoice is an edge, or all edges of a region.
type SteeringChoice struct {
	Edge   string `json:"edge,omitempty" maxLength:"253" doc:"An edge's id"`
	Region string `json:"region,omitempty" maxLength:"64" doc:"Or a region's name: all of its edges, by load"`
	// Percent is its share of the viewers; zero in all choices is the order alone.
	Percent int `json:"percent,omitempty" minimum:"0" maximum:"100" doc:"Its share in percent; of all or of none"`
}

const (
	maxSteeringChoices = 32
	maxSteeringReason  = 200 // characters
)

// Check says what is wrong with a rule as a *FieldError.
func (r SteeringRule) Check(now time.Time) error {
	refuse := func(field, format string, args ...any) error {
		return &FieldError{Field: field, Want: fmt.Sprintf(format, args...)}
	}
	if r.Publisher == "" && r.Stream != "" {
		return refuse("publisher", "a stream's rule names its publisher too")
	}
	if len(r.Choices) == 0 || len(r.Choices) > maxSteeringChoices {
		return refuse("choices", "%d choices: use 1 to %d", len(r.Choices), maxSteeringChoices)
	}
	shares, sum := 0, 0
	seen := make(map[SteeringChoice]bool)
	for i, c := range r.Choices {
		field := fmt.Sprintf("choices[%d]", i)
		named := SteeringChoice{Edge: c.Edge, Region: c.Region}
		switch {
		case (c.Edge == "") == (c.Region == ""):
			return refuse(field, "name an edge or a region, one of them")
		case len(c.Edge) > 253 || len(c.Region) > maxPlaceName || !printable(c.Edge) || !printable(c.Region):
			return refuse(field, "use the id of an edge, or the name of a region, as GET /v1/steering lists them")
		case seen[named]:
			return refuse(field, "it is there twice: leave one out")
		case c.Percent < 0 || c.Percent > 100:
			return refuse(field+".percent", "%d: use 1 to 100, or none in every choice", c.Percent)
		}
		seen[named] = true
		if c.Percent > 0 {
			shares, sum = shares+1, sum+c.Percent
		}
	}
	switch {
	case shares > 0 && shares < len(r.Choices):
		return refuse("choices", "give each choice its percent, or none of them")
	case shares > 0 && sum != 100:
		return refuse("choices", "the percents add up to %d: make it 100", sum)
	case utf8.RuneCountInString(r.Reason) > maxSteeringReason || !printable(r.Reason):
		return refuse("reason", "use at most %d printable characters", maxSteeringReason)
	case !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now):
		return refuse("expires_at", "it is over: use a time to come")
	}
	return nil
}

func printable(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// HoldsAt says whether the rule has not expired.
func (r SteeringRule) HoldsAt(now time.Time) bool {
	return r.ExpiresAt.IsZero() || r.ExpiresAt.After(now)
}
