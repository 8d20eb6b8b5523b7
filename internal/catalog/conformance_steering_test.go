package catalog

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testSteeringRules(t *testing.T) {
	db := s.open(t)
	now := time.Now()
	db.now = func() time.Time { return now }
	path := media.StreamPath{Publisher: "acme", Stream: "show"}
	choices := []media.SteeringChoice{{Edge: "a", Percent: 30}, {Region: "eu", Percent: 70}}
	if _, err := db.PutSteeringRule(t.Context(), media.SteeringRule{Publisher: "acme", Choices: choices}); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("a rule of an unknown publisher: %v", err)
	}
	if err := db.CreatePublisher(t.Context(), media.Publisher{Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.PutSteeringRule(t.Context(), media.SteeringRule{Publisher: "acme", Stream: "show", Choices: choices}); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("a rule of an unknown stream: %v", err)
	}
	if _, err := db.CreateStream(t.Context(), path, media.SettingsPatch{}); err != nil {
		t.Fatal(err)
	}
	var want []media.SteeringRule
	for _, r := range []media.SteeringRule{
		{Choices: choices[:1:1], Reason: "all there", ExpiresAt: now.Add(time.Hour)},
		{Publisher: "acme", Choices: choices}, {Publisher: "acme", Stream: "show", Choices: []media.SteeringChoice{{Edge: "b"}}},
	} {
		if r.Publisher == "" {
			r.Choices = []media.SteeringChoice{{Edge: "a"}}
		}
		put, err := db.PutSteeringRule(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, put)
	}
	if got, err := db.SteeringRules(t.Context()); err != nil || !cmp.Equal(got, want) {
		t.Errorf("%v %s", err, cmp.Diff(want, got))
	}
	want[1].Reason = "again"
	if put, err := db.PutSteeringRule(t.Context(), want[1]); err != nil || put.Reason != "again" {
		t.Errorf("%+v %v", put, err)
	}
	now = now.Add(2 * time.Hour)
	if got, err := db.SteeringRules(t.Context()); err != nil || len(got) != 2 || got[0].Reason != "again" {
		t.Errorf("after the first expired: %v %v", got, err)
	}
	if err := db.DeleteSteeringRule(t.Context(), "", ""); !errors.Is(err, media.ErrNotFound) {
		t.Errorf("deleting one that expired: %v", err)
	}
	if err := db.DeleteSteeringRule(t.Context(), "acme", ""); err != nil {
		t.Error(err)
	}
	if err := db.DeleteStream(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	if got, err := db.SteeringRules(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("after its stream was deleted: %v %v", got, err)
	}
}

func (s suite) testSteeringRuleRefusals(t *testing.T) {
	db := s.open(t)
	a := media.SteeringChoice{Edge: "a"}
	for name, r := range map[string]media.SteeringRule{
		"no choice":          {},
		"no name":            {Choices: []media.SteeringChoice{{}}},
		"two names":          {Choices: []media.SteeringChoice{{Edge: "a", Region: "eu"}}},
		"twice":              {Choices: []media.SteeringChoice{a, a}},
		"some shares":        {Choices: []media.SteeringChoice{a, {Edge: "b", Percent: 100}}},
		"shares of 90":       {Choices: []media.SteeringChoice{{Edge: "a", Percent: 40}, {Edge: "b", Percent: 50}}},
		"negative":           {Choices: []media.SteeringChoice{{Edge: "a", Percent: -1}}},
		"over":               {Choices: []media.SteeringChoice{a}, ExpiresAt: time.Now().Add(-time.Second)},
		"a stream of nobody": {Stream: "show", Choices: []media.SteeringChoice{a}},
		"a long reason":      {Choices: []media.SteeringChoice{a}, Reason: strings.Repeat("x", 201)},
		"a line break":       {Choices: []media.SteeringChoice{a}, Reason: "a\nb"},
		"a long name":        {Choices: []media.SteeringChoice{{Region: strings.Repeat("x", 65)}}},
	} {
		var field *media.FieldError
		if _, err := db.PutSteeringRule(t.Context(), r); !errors.As(err, &field) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
