package main

import (
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/catalog"
	"github.com/oxbow-video/oxbow/internal/media"
)

func TestOperatorsTokenIsAnAdministrators(t *testing.T) {
	ctx := t.Context()
	db, err := catalog.OpenSQLite(ctx, filepath.Join(t.TempDir(), "catalog.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	n := &node{catalog: db}
	start := func(token string) {
		t.Helper()
		if made, err := n.firstToken(ctx, token); err != nil || made != "" && token != "" {
			t.Fatalf("start with %q: made %q, %v", token, made, err)
		}
	}
	start("one")
	if _, err := db.CreateToken(ctx, media.Token{Label: "reader", Scopes: []string{media.ScopeRead}}, "reader"); err != nil {
		t.Fatal(err)
	}
	if _, err := n.firstToken(ctx, "reader"); !errors.Is(err, media.ErrConflict) ||
		!strings.Contains(err.Error(), "OXBOW_ADMIN_TOKEN") {
		t.Errorf("a reader's token as the operator's: %v", err)
	}
	start("one")
	start("two") // in the place of the first
	if _, err := db.CheckToken(ctx, "one"); !errors.Is(err, media.ErrDenied) {
		t.Errorf("the token before: %v", err)
	}
	for token, admin := range map[string]bool{"two": true, "reader": false} {
		if known, err := db.CheckToken(ctx, token); err != nil || known.Admin() != admin {
			t.Errorf("%s: %+v, %v", token, known, err)
		}
	}
	if made, err := n.firstToken(ctx, ""); err != nil || made != "" {
		t.Errorf("made %q beside an admin token, %v", made, err)
	}
}

func TestFirstStartTellsHowToManage(t *testing.T) {
	usual := manage("oxbow", "http://localhost:8080", "oxt_A")
	for _, want := range []string{
		"  OXBOW_TOKEN=oxt_A oxbow publisher list\n", "shown only now", "http://localhost:8080/docs\n",
	} {
		if !strings.Contains(usual, want) {
			t.Errorf("first start lacks %q:\n%s", want, usual)
		}
	}
	later := manage("./bin/oxbow", "http://localhost:9000", "")
	if !strings.Contains(later, "OXBOW_API=http://localhost:9000 OXBOW_TOKEN=YOUR-TOKEN ./bin/oxbow publisher list\n") ||
		strings.Contains(later, "only now") || !strings.Contains(later, "A start with that sets another") {
		t.Errorf("later start at another port:\n%s", later)
	}
}

func TestFirstStartNamesTheProgramAsItIsFound(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin")
	for name, want := range map[string]string{
		"/bin/sh": "sh", "sh": "sh", "./bin/oxbow-of-nobody": "./bin/oxbow-of-nobody", "/opt/sh/nothing": "/opt/sh/nothing",
	} {
		if got := calledAs(name); got != want {
			t.Errorf("%s is told as %s, not %s", name, got, want)
		}
	}
}

func TestKeepTime(t *testing.T) {
	for text, good := range map[string]bool{"9600h": true, "1m": true, "0": false, "-1h": false, "400d": false, "": false} {
		var k keepTime
		if err := k.UnmarshalText([]byte(text)); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
}
