package viewing

import "time"

// Config bounds a Book. Its zero value works.
type Config struct {
	// MaxViewers bounds who is known at a time. Zero means 200,000, some 50 MB.
	MaxViewers int
	// MaxStreams bounds the recordings that are watched at a time. Zero means 10,000.
	MaxStreams int
	// MaxRows bounds the rows of minutes that no directory has taken yet: the oldest go first. Zero means 65,536.
	MaxRows int
	// Steered says that other edges send their viewers here, from the first request on. Then a session begins at the edge
	// that it asks for a multivariant playlist, and one that begins here with a media playlist has begun at another.
	Steered bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

func (c Config) withDefaults() Config {
	for _, n := range []struct {
		value *int
		zero  int
	}{{&c.MaxViewers, 200_000}, {&c.MaxStreams, 10_000}, {&c.MaxRows, 65_536}} {
		if *n.value <= 0 {
			*n.value = n.zero
		}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

const (
	// A viewer has left when it has asked for nothing for twice its longest pause of late and a second, within bounds.
	leastAway = 3 * time.Second
	mostAway  = 30 * time.Second
	// firstPause is what a new one's is taken for.
	firstPause = 4 * time.Second
	// forget is how long one is known that has left: who comes back within it goes on with its viewing.
	forget = 2 * time.Minute
	// forgetUnsure is that of who was never answered with anything to watch.
	forgetUnsure = 10 * time.Second
	// idleStream is how long a recording is known that nobody asks for.
	idleStream = 2 * time.Minute
)
