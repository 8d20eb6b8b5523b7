package main

import (
	"log/slog"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// edgeSetup tells the operator, once each, of an edge's flags that can't do what they seem to be there for. It belongs
// to the goroutine that beats.
type edgeSetup struct {
	edge media.Edge
	told map[string]bool
}

// leastCapacity is the least --capacity in bits per second that is not taken for a slip: "10" for "10G".
const leastCapacity = 100_000

// flags says what is wrong before anybody is asked.
func (s *edgeSetup) flags(logger *slog.Logger) {
	if s.edge.Site != "" && !s.edge.Asks {
		s.warn(logger, "no edge of the site asks this one: it fetches for itself what it does not find at the others",
			"give it --internal, and --advertise if its host's name is not known there")
	}
	if c := s.edge.BitsCapacity; c > 0 && c < leastCapacity {
		s.warn(logger, "--capacity is less than one viewer takes: this edge will be held to be overloaded",
			"give bits per second with their unit, like 10G")
	}
}

// look says what the directory's orders make of the flags.
func (s *edgeSetup) look(logger *slog.Logger, o media.EdgeOrders) {
	public := s.edge.PublicURL
	switch {
	case public != "" && o.Steering.URL == "":
		s.warn(logger, "viewers are not steered to this edge or away from it, although it has a --public-url",
			"start the API with --steering-url, or leave --public-url out")
	case strings.HasPrefix(public, "https:") && strings.HasPrefix(o.Steering.URL, "http:"):
		s.warn(logger, "browsers do not ask for steering by http where page or edge are https: viewers stay where they are",
			"give the API an https --steering-url")
	}
}

func (s *edgeSetup) warn(logger *slog.Logger, what, do string) {
	if s.told[what] {
		return
	}
	if s.told == nil {
		s.told = make(map[string]bool)
	}
	s.told[what] = true
	logger.Warn(what, "do", do)
}
