package catalog

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"github.com/oxbow-video/oxbow/internal/media"
)

// conformance is the suite that the catalog passes on every database. Open gives an empty catalog.
func conformance(t *testing.T, open func(tb testing.TB) *DB) {
	s := suite{open}
	cases := []struct {
		name string
		f    func(t *testing.T)
	}{
		{"it knows when it was made", s.testBorn},
		{"publishers are created, read and listed", s.testPublishers},
		{"publishers that break a rule are refused", s.testPublisherRefusals},
		{"streams inherit settings", s.testStreams},
		{"streams that break a rule are refused", s.testStreamRefusals},
		{"settings merge on update", s.testUpdateMerges},
		{"settings are reset", s.testReset},
		{"groups have members and no chains", s.testGroups},
		{"a stream may have an SRT passphrase of its own", s.testSRTPassphrase},
		{"what has recordings is not deleted", s.testDeleteConflicts},
		{"keys authorize their stream only", s.testKeys},
		{"keys are bounded and kept as hashes", s.testKeyRefusals},
		{"keys expire", s.testKeyExpiry},
		{"purges", s.testPurges},
		{"keys are rotated", s.testRotateKey},
		{"uses of keys are kept by the minute", s.testKeyUses},
		{"tokens are checked and replaced", s.testTokens},
		{"tokens have scopes, a publisher and an end", s.testTokenRecords},
		{"tokens that break a rule are refused", s.testTokenRefusals},
		{"the audit log is paged, filtered and pruned", s.testAudit},
		{"playback keys are a publisher's own", s.testPlaybackKeys},
		{"what viewers saw is kept once", s.testViewing},
		{"old minutes of viewing are hours", s.testViewingFolds},
		{"playback policies are told with every change", s.testPlaybackPolicies},
		{"steering rules are of all, a publisher or a stream", s.testSteeringRules},
		{"steering rules that break a rule are refused", s.testSteeringRuleRefusals},
		{"one of several processes makes the first token", s.testFirstTokenRace},
		{"a recording is saved and read back whole", s.testSaveRoundTrip},
		{"late and repeated saves", s.testSaveOrder},
		{"saves after the archiver began change nothing", s.testSaveNeverResurrects},
		{"an owner can not save what is not its own", s.testSaveRefusals},
		{"a recording without stream is saved", s.testSaveWithoutStream},
		{"ending computes dues from the settings in force", s.testDues},
		{"changed settings change dues", s.testDuesFollowSettings},
		{"recordings are listed newest first in pages", s.testListing},
		{"paging is exact whatever comes and goes", s.testPagingProperty},
		{"listings filter", s.testFilters},
		{"bad cursors and limits are refused", s.testBadPages},
		{"the latest recording of a stream", s.testLatest},
		{"growing recordings are found and closed as lost", s.testGrowing},
		{"keeping and deleting", s.testKeepAndDelete},
		{"a recording's whole life", s.testLife},
		{"claims are fenced and run out", s.testFencing},
		{"failed claims wait and count", s.testFailClaim},
		{"a process that begins gives up its claims from before", s.testLapseClaims},
		{"what is due for longest is claimed first", s.testClaimOrder},
		{"what grows, is archived or kept does not expire", s.testExpiry},
		{"deletion while a claim is held", s.testDeleteUnderClaim},
		{"growing recordings are claimed for upload", s.testClaimUpload},
		{"what was uploaded of a lost recording is due", s.testSalvage},
		{"no row is claimed twice", s.testClaimRace},
		{"saves, claims and settings at once", s.testEverythingAtOnce},
		{"saves against deletes", s.testSaveDeleteRace},
		{"room is made while shows end and settings change", s.testHastenRace},
		{"recordings belong to a cluster", s.testClusters},
		{"archiving and dropping are hastened", s.testHasten},
		{"what is held or failed is not hastened", s.testHastenLeavesClaims},
		{"rows are restored from storage", s.testRestore},
		{"what can not be is not restored", s.testRestoreRefusals},
		{"clips are made once and are nobody's latest", s.testClips},
		{"clips that can not be are refused", s.testClipRefusals},
		{"clips hold their source's media", s.testClipsHoldMedia},
		{"uploads are remembered", s.testUploads},
		{"publishers with something due are found, and claimed of", s.testDuePublishers},
		{"what is due for longest is known, whoever has it and whether it fails", s.testOldestDue},
		{"actions are claimed apart", s.testDueActions},
		{"progress is told while a claim lasts", s.testProgress},
		{"archives are known by cluster and name", s.testArchives},
		{"no archive is its own mirror", s.testMirrorOfItself},
		{"bounds mark the oldest", s.testBounds},
		{"bounds are applied in steps, and taken back", s.testBoundsInSteps},
		{"holds beat bounds", s.testHolds},
		{"to stop recording deletes nothing archived", s.testRecordOff},
		{"the cluster's copies have policies of their own", s.testLocalTier},
		{"copies go where the volume is short", s.testLocalFree},
		{"what is planned is listed in order", s.testPlan},
		{"a preview is what the change does", s.testPreview},
		{"many are deleted in pages", s.testDeleteMany},
		{"holds against deletions at once", s.testHoldRace},
		{"streams are found by name", s.testStreamsNamed},
		{"sources are kept with their streams", s.testSources},
		{"changes are made on conditions", s.testRevisions},
		{"of changes on one condition one is made", s.testRevisionRace},
		{"recordings are named and labelled, and found by it", s.testChangeRecording},
		{"names and labels are bounded", s.testChangeRefusals},
		{"every order is paged exactly", s.testSortedPages},
		{"a cursor is of its order alone", s.testCursorsOfOrders},
		{"a request is answered once", s.testReplies},
		{"of claims of one answer one is given", s.testReplyRace},
		{"events are logged with the rows that they tell of", s.testEventsWithRows},
		{"what is lost is told", s.testEventsOfLoss},
		{"failures are told once an hour", s.testEventsOfFailures},
		{"who follows the log by id misses nothing", s.testEventOrder},
		{"events are selected, paged and pruned", s.testEventPages},
		{"events that can not be are refused", s.testEventRefusals},
		{"webhooks are made, changed and deleted", s.testWebhooks},
		{"webhooks that break a rule are refused", s.testWebhookRefusals},
		{"events go to the webhooks that ask for them", s.testEnqueue},
		{"deliveries are claimed in order of their subject", s.testDeliveryOrder},
		{"claims of deliveries are fenced and run out", s.testDeliveryFencing},
		{"deliveries are given up with those that waited behind them", s.testDeliveryGivenUp},
		{"a recovered webhook's retries are hastened", s.testDeliveryRecovery},
		{"deliveries of events that the log forgot are given up", s.testDeliveryForgotten},
		{"events are replayed in order", s.testReplay},
		{"deliveries are listed and pruned", s.testDeliveriesListed},
		{"no delivery is lost or out of order among many", s.testDeliveryRace},
		{"a cancelled context is told", s.testCancelled},
	}
	for _, c := range cases {
		t.Run(c.name, c.f)
	}
}

// suite has the cases, in the files beside this one.
type suite struct {
	open func(tb testing.TB) *DB
}

// start is when the tests' clock stands.
var start = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

var show = media.StreamPath{Publisher: "acme", Stream: "show"}

// fresh gives an empty catalog with its clock at start.
func (s suite) fresh(tb testing.TB) *DB {
	db := s.open(tb)
	db.now = func() time.Time { return start }
	return db
}

// furnished gives a catalog with the stream acme/show.
func (s suite) furnished(tb testing.TB) *DB {
	db := s.fresh(tb)
	noError(tb, db.CreatePublisher(tb.Context(), media.Publisher{Name: "acme"}))
	_, err := db.CreateStream(tb.Context(), show, media.SettingsPatch{})
	noError(tb, err)
	return db
}

// recordingID gives the nth of a row of ids that sort as their numbers.
func recordingID(n int) media.RecordingID {
	return media.RecordingID(strings.ToLower(ulid.MustNew(uint64(start.UnixMilli()+int64(n)), nil).String()))
}

// ended is a recording of acme/show that lasted ten minutes and ended at start plus n minutes.
func ended(n int) media.Recording {
	end := start.Add(time.Duration(n) * time.Minute)
	return media.Recording{
		ID: recordingID(n), Path: show, Cluster: media.DefaultCluster, State: media.Ended, StartedAt: end.Add(-10 * time.Minute), EndedAt: end,
		Duration: 10 * time.Minute, Bytes: 1 << 20,
	}
}

func growing(r media.Recording, state media.State) media.Recording {
	r.State, r.EndedAt = state, time.Time{}
	return r
}

func save(tb testing.TB, db *DB, r media.Recording) media.Recording {
	tb.Helper()
	noError(tb, db.SaveRecording(tb.Context(), r))
	return read(tb, db, r.ID)
}

func read(tb testing.TB, db *DB, id media.RecordingID) media.Recording {
	tb.Helper()
	r, err := db.Recording(tb.Context(), id)
	noError(tb, err)
	return r
}

func claim(tb testing.TB, db *DB, owner string, now time.Time) media.Claim {
	tb.Helper()
	c, err := db.ClaimDue(tb.Context(), owner, media.Due{Cluster: media.DefaultCluster}, now, time.Minute)
	noError(tb, err)
	return c
}

func nothingDue(tb testing.TB, db *DB, now time.Time) {
	tb.Helper()
	if c, err := db.ClaimDue(tb.Context(), "nobody", media.Due{Cluster: media.DefaultCluster}, now, time.Minute); !errors.Is(err, media.ErrNotFound) {
		tb.Errorf("ClaimDue = %s of %s, %v, want ErrNotFound", c.Action, c.Recording.ID, err)
	}
}

func same(tb testing.TB, what string, want, got any) {
	tb.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		tb.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// wantError wants the sentinel, and each of the words in the text.
func wantError(tb testing.TB, err, sentinel error, words ...string) {
	tb.Helper()
	if !errors.Is(err, sentinel) {
		tb.Errorf("error is %v, want %v", err, sentinel)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			tb.Errorf("error %q does not say %q", err, word)
		}
	}
}

func wantField(tb testing.TB, err error, field string) {
	tb.Helper()
	var bad *media.FieldError
	if !errors.As(err, &bad) || bad.Field != field {
		tb.Errorf("error is %v, want a FieldError of %s", err, field)
	}
}

func span(d time.Duration) *media.Span { s := media.Span(d); return &s }

func (s suite) testCancelled(t *testing.T) {
	db := s.furnished(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, errStream := db.Stream(ctx, show)
	_, errUpdate := db.UpdateStream(ctx, show, media.SettingsPatch{})
	_, errClaim := db.ClaimDue(ctx, "a", media.Due{Cluster: media.DefaultCluster}, start, time.Minute)
	for _, err := range []error{db.SaveRecording(ctx, ended(0)), errStream, errUpdate, errClaim, db.Ping(ctx)} {
		wantError(t, err, context.Canceled)
	}
}

func silentLogger() *slog.Logger { return slog.New(slog.DiscardHandler) }

func testLogger(tb testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(tb.Output(), nil))
}
