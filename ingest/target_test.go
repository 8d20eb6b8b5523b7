package ingest

import (
	"errors"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func TestParseTarget(t *testing.T) {
	show := media.StreamPath{Publisher: "acme", Stream: "show"}
	for _, tt := range []struct {
		app, tcURL, name string
		want             target
		err              error
	}{
		{"live", "rtmp://h/live", "KEY", target{key: "KEY"}, nil},
		{"live/", "rtmp://h/live/", "/KEY", target{key: "KEY"}, nil},
		{`"live"`, `"rtmp://h/live"`, `"KEY"`, target{key: "KEY"}, nil},
		{"live", "", "KEY?user=u&pass=p", target{key: "KEY"}, nil},
		{"live", "", "?key=KEY", target{key: "KEY"}, nil},
		{"live", "", "?KEY", target{key: "KEY"}, nil},
		{"live", "", "KEY?key=KEY", target{key: "KEY"}, nil},
		{"live?key=KEY", "", "", target{key: "KEY"}, nil},
		{"live/KEY", "", "", target{key: "KEY"}, nil},
		{"live/KEY", "", "KEY", target{key: "KEY"}, nil},
		{"live/_definst_", "", "KEY", target{key: "KEY"}, nil},
		{"", "rtmp://h:1935/live", "KEY", target{key: "KEY"}, nil},
		{"", "rtmp://h:1935/live/KEY?x=y", "", target{key: "KEY"}, nil},
		{"acme", "rtmp://h/acme", "show?key=KEY", target{path: show, key: "KEY"}, nil},
		{"acme", "", "show?user=u&key=K%2BE+Y&pass=p", target{path: show, key: "K+E+Y"}, nil},
		{"acme", "", "show?key=%zz", target{path: show, key: "%zz"}, nil},
		{"acme", "", "show?KEY=k", target{path: show, key: "k"}, nil},
		{"acme", "", "show?a?key=k", target{path: show, key: "k"}, nil},
		{"acme?key=KEY", "", "show", target{path: show, key: "KEY"}, nil},
		{"acme", "rtmp://h/acme?key=KEY", "show", target{path: show, key: "KEY"}, nil},
		{"acme/show", "", "?key=KEY", target{path: show, key: "KEY"}, nil},
		{"acme/show?key=KEY", "", "", target{path: show, key: "KEY"}, nil},
		{"acme/show", "", "KEY", target{path: show, key: "KEY"}, nil},
		{"live", "", "show?key=KEY", target{path: media.StreamPath{Publisher: "live", Stream: "show"}, key: "KEY"}, nil},

		{"live", "", "KEY?backup=1", target{key: "KEY", backup: true}, nil},
		{"live", "", "?key=KEY&backup=true", target{key: "KEY", backup: true}, nil},
		{"live?backup=1", "", "KEY", target{key: "KEY", backup: true}, nil},
		{"live", "rtmp://h/live?backup=1", "KEY", target{key: "KEY", backup: true}, nil},
		{"live", "rtmp://h/live?backup=1", "KEY?backup=0", target{key: "KEY"}, nil},
		{"acme", "", "show?key=KEY&BACKUP=1", target{path: show, key: "KEY", backup: true}, nil},
		{"acme/show?backup=1", "", "KEY", target{path: show, key: "KEY", backup: true}, nil},
		{"acme", "", "show?key=KEY&backup=0", target{path: show, key: "KEY"}, nil},
		{"acme", "", "show?key=KEY&backup=", target{path: show, key: "KEY"}, nil},
		{"acme", "", "show?key=KEY&backup=KEY", target{}, media.ErrInvalid},

		{"", "", "", target{}, errNoKey},
		{"live", "", "", target{}, errNoKey},
		{"acme", "", "show", target{}, errNoKey},
		{"acme", "", "show?key=", target{}, errNoKey},
		{"acme", "", "", target{}, errNoKey},
		{"KEY", "", "", target{}, errNoKey},
		{"a/b/c", "", "d", target{}, media.ErrBadName},
		{"ACME", "", "show?key=KEY", target{}, media.ErrBadName},
		{"v1", "", "show?key=KEY", target{}, media.ErrBadName},
		{"acme", "", "sh ow?key=KEY", target{}, media.ErrBadName},
		{"live", "", strings.Repeat("k", maxKey+1), target{}, media.ErrDenied},
	} {
		got, err := parseTarget(tt.app, tt.tcURL, tt.name)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q %q %.20q: %v %v, want %v %v", tt.app, tt.tcURL, tt.name, got, err, tt.want, tt.err)
		}
		if err != nil && strings.Contains(strings.TrimSuffix(strings.ReplaceAll(err.Error(), "live/KEY", ""), "key=KEY"), "KEY") {
			t.Errorf("the error may repeat a key: %v", err)
		}
	}
}

func TestRedact(t *testing.T) {
	a, b := redact("one"), redact("two")
	if a == b || strings.Contains(a, "one") || redact("") != "none" {
		t.Errorf("%s, %s, %s", a, b, redact(""))
	}
}
