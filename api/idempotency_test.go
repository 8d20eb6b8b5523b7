package api

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

const replyKey = "5e1c9f0e-3f63-4d53-9d2e-6f1f0b0f5a11"

func TestCreationsAreDoneOncePerKey(t *testing.T) {
	f := newFixture(t, nil)
	show := media.StreamPath{Publisher: "acme", Stream: "show"}
	for i, c := range []struct{ target, body, list string }{
		{"/v1/publishers", `{"name":"acme"}`, "/v1/publishers"},
		{"/v1/publishers/acme/streams", `{"name":"show"}`, "/v1/publishers/acme/streams"},
		{"/v1/publishers/acme/streams/show/keys", `{"label":"studio"}`, ""},
		{"/v1/publishers/acme/streams/show/keys", "", "/v1/publishers/acme/streams/show/keys"},
		{"/v1/recordings/" + string(recordingID(1)) + "/clips", `{"start":0,"end":5}`,
			"/v1/recordings/" + string(recordingID(1)) + "/clips"},
	} {
		if c.list != "" && strings.HasSuffix(c.list, "clips") {
			f.recording(show, 1, media.Ended)
		}
		key := replyKey + string(rune('a'+i))
		first := f.do("POST", c.target, c.body, idempotencyKey, key)
		again := f.do("POST", c.target, c.body, idempotencyKey, key)
		if first.Code != 201 || first.Header().Get("Idempotent-Replayed") != "" {
			t.Fatalf("POST %s: %d %s", c.target, first.Code, first.Body)
		}
		if again.Code != 201 || again.Body.String() != first.Body.String() ||
			again.Header().Get("Idempotent-Replayed") != "true" {
			t.Errorf("POST %s again: %d %v\n%s\nfirst %s", c.target, again.Code, again.Header(), again.Body, first.Body)
		}
		for _, h := range []string{"Location", "ETag", "Content-Type"} {
			if again.Header().Get(h) != first.Header().Get(h) {
				t.Errorf("POST %s: %s is %q, and was %q", c.target, h, again.Header().Get(h), first.Header().Get(h))
			}
		}
		a := f.do("POST", c.target, `{"name":"other"}`, idempotencyKey, key)
		if a.Code != 422 || !slices.Equal(a.locations(), []string{"header.Idempotency-Key"}) {
			t.Errorf("another request under the key: %d %s", a.Code, a.Body)
		}
		want := map[int]int{0: 1, 1: 1, 3: 3, 4: 1}[i] // with the first key of the stream
		if c.list != "" && len(f.must(200, "GET", c.list, "").items()) != want {
			t.Errorf("%s: %s", c.list, f.must(200, "GET", c.list, "").Body)
		}
	}
}

func TestBadIdempotencyKeysAreRefused(t *testing.T) {
	f := newFixture(t, nil)
	for _, key := range []string{"", "short", strings.Repeat("a", 15), strings.Repeat("a", 201), "with spaces in the key",
		"with-ümlauts-in-the-key"} {
		a := f.do("POST", "/v1/publishers", `{"name":"acme"}`, idempotencyKey, key)
		if a.Code != 422 || !slices.Equal(a.locations(), []string{"header.Idempotency-Key"}) {
			t.Errorf("key %q: %d %s", key, a.Code, a.Body)
		}
	}
	if a := f.do("GET", "/v1/publishers", "", idempotencyKey, "x"); a.Code != 200 {
		t.Errorf("GET with a key, which has no use for it: %d", a.Code)
	}
	body := `{"name":"` + strings.Repeat("a", 64<<10) + `"}`
	if a := f.do("POST", "/v1/publishers", body, idempotencyKey, replyKey); a.Code != 413 {
		t.Errorf("too large a body: %d %s", a.Code, a.Body)
	}
}

func TestFailuresMayBeTriedAgainUnderTheirKey(t *testing.T) {
	f := newFixture(t, nil)
	post := func(want int) {
		t.Helper()
		a := f.do("POST", "/v1/publishers/acme/streams", `{"name":"show"}`, idempotencyKey, replyKey)
		if a.Code != want {
			t.Errorf("got %d, want %d: %s", a.Code, want, a.Body)
		}
	}
	post(404)
	f.must(201, "POST", "/v1/publishers", `{"name":"acme"}`)
	post(201)
	post(201)
}

type anyPublishers = Publishers // embedded, it leaves the method Publishers be

// blocking lets a creation wait until the test lets it go.
type blocking struct {
	anyPublishers
	begun, free chan struct{}
	err         error
}

func (b *blocking) CreatePublisher(ctx context.Context, p media.Publisher) error {
	close(b.begun)
	<-b.free
	b.err = ctx.Err()
	return b.anyPublishers.CreatePublisher(ctx, p)
}

func TestRequestThatIsBeingAnsweredIsNotDoneTwice(t *testing.T) {
	b := &blocking{begun: make(chan struct{}), free: make(chan struct{})}
	f := newFixture(t, func(_ *Config, deps *Deps) { b.anyPublishers, deps.Publishers = deps.Publishers, b })
	ctx, leave := context.WithCancel(t.Context())
	r := httptest.NewRequestWithContext(ctx, "POST", "/v1/publishers", strings.NewReader(`{"name":"acme"}`))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(idempotencyKey, replyKey)
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.Public().ServeHTTP(httptest.NewRecorder(), r)
	}()
	<-b.begun
	a := f.do("POST", "/v1/publishers", `{"name":"acme"}`, idempotencyKey, replyKey)
	if a.Code != 409 || a.Header().Get("Retry-After") == "" || !slices.Equal(a.locations(), []string{"header.Idempotency-Key"}) {
		t.Errorf("while it is being answered: %d %s", a.Code, a.Body)
	}
	leave() // its client; the work goes on
	close(b.free)
	<-done
	if b.err != nil {
		t.Errorf("the work ended with its client: %v", b.err)
	}
	a = f.do("POST", "/v1/publishers", `{"name":"acme"}`, idempotencyKey, replyKey)
	if a.Code != 201 || a.Header().Get("Idempotent-Replayed") != "true" {
		t.Errorf("after the first client left: %d %s", a.Code, a.Body)
	}
}

func TestDeadProcessBlocksNobodyForEver(t *testing.T) {
	f := newFixture(t, nil)
	body := `{"name":"acme"}`
	claim := media.ReplyClaim{ID: "dead", Lease: -time.Second, Keep: time.Hour}
	f.ownHash(&claim, body)
	if _, err := f.db.ClaimReply(t.Context(), claim); err != nil {
		t.Fatal(err)
	}
	if a := f.do("POST", "/v1/publishers", body, idempotencyKey, replyKey); a.Code != 201 {
		t.Errorf("got %d: %s", a.Code, a.Body)
	}
}

// ownHash gives the claim the hash that a request of the test's token has.
func (f *fixture) ownHash(claim *media.ReplyClaim, body string) {
	spy := &spyReplies{Replies: f.deps.Replies, claim: claim}
	f.deps.Replies = spy
	f.do("POST", "/v1/publishers", body, idempotencyKey, replyKey)
	f.deps.Replies = spy.Replies
}

// spyReplies sees which answer is claimed, and refuses it.
type spyReplies struct {
	Replies
	claim *media.ReplyClaim
}

func (s *spyReplies) ClaimReply(_ context.Context, c media.ReplyClaim) (string, error) {
	s.claim.Hash, s.claim.Fingerprint = c.Hash, c.Fingerprint
	return "", media.ErrUnavailable
}

func TestKeptAnswersCanBeReadWithTheirKeyAlone(t *testing.T) {
	r := &reply{Status: 201, Header: http.Header{"Etag": {`"1"`}}, Body: []byte(`{"key":"ox_secret"}`)}
	mine := newSealed("me", replyKey)
	text := mine.seal(r)
	if strings.Contains(text, "secret") || strings.Contains(mine.hash, hex.EncodeToString([]byte(replyKey))) {
		t.Error("what is kept tells the answer or the key")
	}
	if got, err := mine.open(text); err != nil || string(got.Body) != string(r.Body) || got.Status != 201 {
		t.Errorf("opened: %+v, %v", got, err)
	}
	for _, other := range []*sealed{newSealed("you", replyKey), newSealed("me", replyKey+"x")} {
		if other.hash == mine.hash {
			t.Error("another's hash is the same")
		}
		if _, err := other.open(text); err == nil {
			t.Error("it is opened with another key")
		}
	}
	if _, err := mine.open("%"); err == nil {
		t.Error("what is no base64 is opened")
	}
	if mine.fingerprint("POST", "/a", []byte("b")) == mine.fingerprint("POST", "/ab", nil) {
		t.Error("two requests have one fingerprint")
	}
	if _, err := io.ReadAll(failing{}); err != nil {
		t.Error(err)
	}
}
