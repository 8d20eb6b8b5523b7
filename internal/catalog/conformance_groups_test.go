package catalog

import (
	"fmt"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (s suite) testGroups(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t) // acme/show
	path := func(name string) media.StreamPath { return media.StreamPath{Publisher: "acme", Stream: name} }
	in := func(group string) media.SettingsPatch { return media.SettingsPatch{Group: &group} }
	members := func(name, want string) {
		t.Helper()
		names, err := db.Members(ctx, path(name))
		noError(t, err)
		same(t, "members of "+name, want, strings.Join(names, " "))
	}
	members("show", "")
	members("nobody", "")

	created, err := db.CreateStream(ctx, path("show_720"), in("show"))
	noError(t, err)
	same(t, "group", "show", created.Settings.Group)
	_, err = db.CreateStream(ctx, path("other"), media.SettingsPatch{})
	noError(t, err)
	_, err = db.CreateStream(ctx, path("show_1080"), media.SettingsPatch{})
	noError(t, err)
	_, err = db.UpdateStream(ctx, path("show_1080"), in("show"))
	noError(t, err)
	members("show", "show_1080 show_720")
	_, err = db.UpdateStream(ctx, path("show_1080"), media.SettingsPatch{Latency: new("standard")})
	noError(t, err)
	members("show", "show_1080 show_720") // another setting changes nothing

	for _, c := range []struct{ stream, group, says string }{
		{"other", "other", "its own"},
		{"other", "nobody", "create it first"},
		{"other", "a/b", "no stream's name"},
		{"other", "show_720", "in group \"show\" itself"},
		{"show", "other", "is the group of show_1080, show_720"},
	} {
		_, err := db.UpdateStream(ctx, path(c.stream), in(c.group))
		wantField(t, err, "group")
		wantError(t, err, media.ErrInvalid, c.says)
	}
	_, err = db.CreateStream(ctx, path("fresh"), in("fresh"))
	wantField(t, err, "group")
	_, err = db.UpdatePublisher(ctx, "acme", in("show"))
	wantField(t, err, "group")
	wantField(t, db.CreatePublisher(ctx, media.Publisher{Name: "umbrella", Settings: in("show")}), "group")
	noError(t, db.CreatePublisher(ctx, media.Publisher{Name: "umbrella", Settings: in("")}))

	wantError(t, db.DeleteStream(ctx, path("show")), media.ErrConflict, "show_1080, show_720")
	for i := range maxMembers - 2 {
		_, err = db.CreateStream(ctx, path(fmt.Sprintf("more_%d", i)), in("show"))
		noError(t, err)
	}
	_, err = db.UpdateStream(ctx, path("show_720"), in("show")) // it is one of them
	noError(t, err)
	_, err = db.UpdateStream(ctx, path("other"), in("show"))
	wantField(t, err, "group")
	for i := range maxMembers - 2 {
		noError(t, db.DeleteStream(ctx, path(fmt.Sprintf("more_%d", i))))
	}
	for _, name := range []string{"show_720", "show_1080"} {
		_, err = db.UpdateStream(ctx, path(name), in(""))
		noError(t, err)
	}
	members("show", "")
	noError(t, db.DeleteStream(ctx, path("show")))
}
