package catalog

import (
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// of gives a recording of another publisher, with an id of its own.
func of(publisher string, n int) media.Recording {
	r := ended(n)
	r.Path.Publisher = publisher
	return r
}

func (s suite) testDuePublishers(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	delay := media.Span(0)
	for _, name := range []string{"beta", "gamma", "quiet"} {
		noError(t, db.CreatePublisher(ctx, media.Publisher{Name: name, Settings: media.SettingsPatch{ArchiveDelay: &delay}}))
	}
	save(t, db, ended(0)) // due 5 minutes after its end
	save(t, db, ended(1))
	for n, publisher := range []string{"beta", "beta", "gamma"} {
		save(t, db, of(publisher, 2+n))
	}
	save(t, db, of("quiet", 60)) // not due yet
	save(t, db, growing(of("quiet", 61), media.Live))
	elsewhere := of("quiet", 6)
	elsewhere.Cluster = "west"
	save(t, db, elsewhere)

	now, due := start.Add(10*time.Minute), media.Due{Cluster: media.DefaultCluster}
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	want := []media.DuePublisher{{Publisher: "beta", Due: minute(2)}, {Publisher: "gamma", Due: minute(4)}, {Publisher: "acme", Due: minute(5)}}
	check := func(want []media.DuePublisher) {
		t.Helper()
		have, err := db.DuePublishers(ctx, due, now)
		noError(t, err)
		same(t, "publishers", want, have)
	}
	check(want)
	due.Publisher = "acme"
	for _, n := range []int{0, 1} { // the oldest of acme's, though others are older
		c, err := db.ClaimDue(ctx, "a", due, now, time.Hour)
		noError(t, err)
		same(t, "claimed", recordingID(n), c.Recording.ID)
		if !c.Begun {
			t.Error("a claim to archive does not say that archiving has begun")
		}
	}
	_, err := db.ClaimDue(ctx, "a", due, now, time.Hour)
	wantError(t, err, media.ErrNotFound)
	check(want[:2])
	due.Publisher = "beta"
	c, err := db.ClaimDue(ctx, "a", due, now, time.Hour)
	noError(t, err)
	noError(t, db.FailClaim(ctx, c, errTest, now.Add(time.Hour))) // waits for its retry
	want[0].Due = minute(3)
	check(want[:2])
}

func (s suite) testDueActions(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	save(t, db, ended(0))
	save(t, db, ended(1))
	_, err := db.RequestDelete(ctx, recordingID(0))
	noError(t, err)
	now := start.Add(time.Hour)
	one := func(actions ...media.Action) (media.Claim, error) {
		return db.ClaimDue(ctx, "a", media.Due{Cluster: media.DefaultCluster, Actions: actions}, now, time.Minute)
	}
	_, err = one(media.ActDropLocal)
	wantError(t, err, media.ErrNotFound)
	_, err = one("mow the lawn")
	wantError(t, err, media.ErrInvalid)
	_, err = db.DuePublishers(ctx, media.Due{Actions: []media.Action{"mow the lawn"}}, now)
	wantError(t, err, media.ErrInvalid)
	c, err := one(media.ActArchive)
	noError(t, err)
	same(t, "archived first", recordingID(1), c.Recording.ID)
	noError(t, db.FinishClaim(ctx, c, now))
	have, err := db.DuePublishers(ctx, media.Due{
		Cluster: media.DefaultCluster, Actions: []media.Action{media.ActDropLocal, media.ActDelete},
	}, now)
	noError(t, err)
	same(t, "publishers", []media.DuePublisher{{Publisher: "acme", Due: start}}, have)
	c, err = one(media.ActDropLocal, media.ActDelete)
	noError(t, err)
	same(t, "deleted first", recordingID(0), c.Recording.ID)
	if c.Begun {
		t.Error("archiving is said to have begun of what was never claimed for it")
	}
	c, err = one(media.ActDropLocal)
	noError(t, err)
	same(t, "dropped", recordingID(1), c.Recording.ID)
	if c.Action != media.ActDropLocal || c.Recording.State != media.Archived || !c.Begun {
		t.Errorf("claim %+v", c)
	}
}

func (s suite) testProgress(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	save(t, db, ended(0))
	now := start.Add(time.Hour)
	c := claim(t, db, "a", now)
	p := media.Progress{Done: 5, Total: 9, Rate: 3, At: now}
	noError(t, db.SaveProgress(ctx, c, p))
	same(t, "progress", p, read(t, db, c.Recording.ID).Progress)
	noError(t, db.FailClaim(ctx, c, errTest, now))
	wantError(t, db.SaveProgress(ctx, c, p), media.ErrFenced)
	p.Rate = 0
	same(t, "progress of what waits", p, read(t, db, c.Recording.ID).Progress)
	c = claim(t, db, "a", now)
	noError(t, db.FinishClaim(ctx, c, time.Time{}))
	same(t, "progress at the end", media.Progress{}, read(t, db, c.Recording.ID).Progress)
	wantError(t, db.SaveProgress(ctx, c, p), media.ErrFenced)
}

func (s suite) testArchives(t *testing.T) {
	ctx := t.Context()
	db := s.fresh(t)
	list := func() []media.ArchiveStatus {
		t.Helper()
		have, err := db.Archives(ctx)
		noError(t, err)
		return have
	}
	same(t, "archives", 0, len(list()))
	a := media.ArchiveStatus{
		Cluster: "main", Name: "eu", Place: "s3://b/p", State: media.ArchiveOK, Since: start, CheckedAt: start,
	}
	west := a
	west.Cluster = "west"
	other := a
	other.Name = "default"
	for _, row := range []media.ArchiveStatus{west, a, other} {
		noError(t, db.SaveArchive(ctx, row))
	}
	same(t, "archives", []media.ArchiveStatus{other, a, west}, list())

	later := a
	later.Since, later.CheckedAt = start.Add(time.Minute), start.Add(time.Minute)
	noError(t, db.SaveArchive(ctx, later))
	later.Since = a.Since // it is as it was
	same(t, "the same state later", later, list()[1])
	full := later
	full.State, full.LastError, full.Since, full.CheckedAt = "full", "no room", start.Add(time.Hour), start.Add(time.Hour)
	noError(t, db.SaveArchive(ctx, full))
	noError(t, db.SaveArchive(ctx, a)) // seen before, told late
	same(t, "another state", full, list()[1])
	noError(t, db.RemoveArchives(ctx, "main", start.Add(time.Hour)))
	same(t, "what is looked at", []media.ArchiveStatus{full, west}, list())
	a.Name = "No Name"
	wantError(t, db.SaveArchive(ctx, a), media.ErrBadName)
}

func (s suite) testMirrorOfItself(t *testing.T) {
	ctx := t.Context()
	db := s.furnished(t)
	name := func(s string) *string { return &s }
	for _, p := range []media.SettingsPatch{
		{Mirror: name("default")}, {Archive: name("eu"), Mirror: name("eu")}, {Archive: name(""), Mirror: name("default")},
	} {
		wantField(t, db.CreatePublisher(ctx, media.Publisher{Name: "beta", Settings: p}), "mirror")
		_, err := db.UpdatePublisher(ctx, "acme", p)
		wantField(t, err, "mirror")
		_, err = db.CreateStream(ctx, media.StreamPath{Publisher: "acme", Stream: "talk"}, p)
		wantField(t, err, "mirror")
		_, err = db.UpdateStream(ctx, show, p)
		wantField(t, err, "mirror")
	}
	_, err := db.UpdateStream(ctx, show, media.SettingsPatch{Mirror: name("eu")})
	noError(t, err)
	_, err = db.UpdatePublisher(ctx, "acme", media.SettingsPatch{Archive: name("eu")})
	wantField(t, err, "mirror")
	if err != nil && !strings.Contains(err.Error(), "stream show") {
		t.Errorf("%v does not name the stream", err)
	}
}
