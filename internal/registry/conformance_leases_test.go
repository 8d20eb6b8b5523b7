package registry

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oxbow-video/oxbow/internal/media"
)

func (b bench) testLearnt(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{}) // it knows nothing: as after a restart
	// An owner that was stopped comes back before it knows that it was taken over.
	noError(t, r.Renew(ctx, owned(show, "a", 3)))
	noError(t, r.Renew(ctx, owned(show, "a", 3)))
	noError(t, r.Renew(ctx, owned(show, "b", 5)))
	wantError(t, r.Renew(ctx, owned(show, "a", 3)), media.ErrFenced)
	wantOwner(t, r, show, "b", 5)
	// A lease that was given since goes before all that are learnt.
	noError(t, r.Renew(ctx, owned(show, "b", 5)))
	epoch := acquire(t, r, show, "c", 0)
	wantError(t, r.Renew(ctx, owned(show, "d", epoch+1)), media.ErrFenced)
	wantOwner(t, r, show, "c", 6)
}

func (b bench) testClaim(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	b.pass(b.youth)
	if epoch := claim(t, r, show, "a", 7); epoch != 8 {
		t.Errorf("Claim over floor 7 = %d, want 8", epoch)
	}
	for _, node := range []string{"a", "b"} {
		_, err := r.Claim(ctx, owned(show, node, 0), 7)
		wantError(t, err, media.ErrConflict)
		if err != nil && !strings.Contains(err.Error(), "node a") {
			t.Errorf("error %q does not name the owner", err)
		}
	}
	noError(t, r.Renew(ctx, owned(show, "a", 8)))
	wantOwner(t, r, show, "a", 8)
	b.pass(6 * time.Second) // it ran out
	if epoch := claim(t, r, show, "b", 0); epoch != 9 {
		t.Errorf("Claim of a lease that ran out = %d, want 9", epoch)
	}
	wantError(t, r.Renew(ctx, owned(show, "a", 8)), media.ErrFenced)
	noError(t, r.Release(ctx, show, "b", 9))
	if epoch := claim(t, r, show, "c", 0); epoch != 10 {
		t.Errorf("Claim of a released lease = %d, want 10", epoch)
	}
	if epoch := acquire(t, r, show, "d", 0); epoch != 11 {
		t.Errorf("Acquire of a claimed lease = %d, want 11", epoch)
	}
}

func (b bench) testShow(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	lease := media.Lease{
		Path: show, Node: "a node's & näme", Cluster: "main", Recording: "01jd0000000000000000000000", Feed: media.FeedPrimary,
	}
	var err error
	lease.Epoch, err = r.Acquire(ctx, lease, 4)
	noError(t, err)
	wantLeases(t, r, "acme", lease)
	lease.Recording, lease.Feed, lease.Silent = "01jd0000000000000000000001", media.FeedBackup, media.Span(1500*time.Millisecond)
	noError(t, r.Renew(ctx, lease))
	if got, ok, err := r.Owner(ctx, show); err != nil || !ok || got != lease {
		t.Errorf("Owner = %+v, %v, %v, want %+v", got, ok, err, lease)
	}
	wantLeases(t, r, "acme", lease)
	// A renewal that is refused changes nothing.
	late := lease
	late.Epoch, late.Recording = lease.Epoch-1, ""
	wantError(t, r.Renew(ctx, late), media.ErrFenced)
	wantLeases(t, r, "", lease)
}

func (b bench) testLeases(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	wantLeases(t, r, "")
	var all []media.Lease
	for _, name := range []string{"acme/b", "acme/a", "acm/e", "acme-2/a", "zoo/z", "zoo/gone", "zoo/late"} {
		path, err := media.ParseStreamPath(name)
		noError(t, err)
		all = append(all, owned(path, "n", acquire(t, r, path, "n", 0)))
	}
	noError(t, r.Release(ctx, all[5].Path, "n", 1))
	b.pass(3 * time.Second)
	for _, lease := range all[:5] {
		noError(t, r.Renew(ctx, lease))
	}
	b.pass(3 * time.Second)
	wantLeases(t, r, "acme", all[1], all[0])
	wantLeases(t, r, "zoo", all[4])
	wantLeases(t, r, "nobody")
	wantLeases(t, r, "", all[2], all[3], all[1], all[0], all[4])
	b.pass(3 * time.Second)
	wantLeases(t, r, "")
}

func (b bench) testRenewAll(t *testing.T) {
	ctx := t.Context()
	r := b.open(t, Config{})
	if errs := r.RenewAll(ctx, nil); len(errs) != 0 {
		t.Errorf("RenewAll of nothing = %v", errs)
	}
	leases := make([]media.Lease, 600) // one publisher's are more than one batch
	for i := range leases {
		path := media.StreamPath{Publisher: fmt.Sprintf("p%d", i%2*i), Stream: fmt.Sprintf("s%d", i)}
		leases[i] = owned(path, "a", 1) // as after a restart of the registry
	}
	acquire(t, r, leases[7].Path, "b", 1)
	leases[9].Node = ""
	for i, err := range r.RenewAll(ctx, leases) {
		if lost := i == 7 || i == 9; !lost {
			noError(t, err)
		} else {
			wantError(t, err, media.ErrFenced)
		}
	}
	got, err := r.Leases(ctx, "")
	noError(t, err)
	if len(got) != len(leases)-1 {
		t.Errorf("%d leases are listed, want %d", len(got), len(leases)-1)
	}
	b.pass(4 * time.Second)
	r.RenewAll(ctx, slices.Concat(leases[:7], leases[10:]))
	b.pass(4 * time.Second)
	got, err = r.Leases(ctx, "")
	noError(t, err)
	if len(got) != len(leases)-3 {
		t.Errorf("%d leases are listed after a round of renewals, want %d", len(got), len(leases)-3)
	}
}

func claim(t *testing.T, r Registry, path media.StreamPath, node string, floor uint64) uint64 {
	t.Helper()
	epoch, err := r.Claim(t.Context(), owned(path, node, 0), floor)
	noError(t, err)
	return epoch
}

func wantLeases(t *testing.T, r Registry, publisher string, want ...media.Lease) {
	t.Helper()
	got, err := r.Leases(t.Context(), publisher)
	noError(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("leases of %q differ (-want +got):\n%s", publisher, diff)
	}
}
