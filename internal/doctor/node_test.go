package doctor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// freeAddress is an address at which nobody listens. Its port is below those that the kernel gives to whoever asks for
// any, so that no other test is given it meanwhile.
func freeAddress(tb testing.TB) string {
	tb.Helper()
	for {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err == nil {
			must(tb, l.Close())
			return l.Addr().String()
		}
	}
}

// A node that does not run: what listens in its place is found at the URL, or is not.
func TestURLOfNodeThatDoesNotRun(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	check := func(internal, url string) *Report {
		return Run(t.Context(), Config{Node: &Node{URL: url, Internal: internal, Private: true}})
	}
	address := freeAddress(t)
	wantCheck(t, check(address, "http://"+address), "node url", OK, "does not run")
	wantCheck(t, check(address, other.URL), "node url", Fail, "something else")
	wantCheck(t, check(address, "http://"+freeAddress(t)), "node url", Fail, "--advertise")
}

func TestURLOfNodeThatRuns(t *testing.T) {
	running := httptest.NewServer(http.NotFoundHandler())
	defer running.Close()
	address := strings.TrimPrefix(running.URL, "http://")
	for name, test := range map[string]struct {
		node  media.Node
		err   error
		level Level
		says  string
	}{
		"itself":          {media.Node{ID: "a1", Cluster: "a"}, nil, OK, "answered by node a1 of cluster a"},
		"another node":    {media.Node{ID: "a2", Cluster: "a"}, nil, Fail, "answered by node a2, not a1"},
		"another cluster": {media.Node{ID: "a1", Cluster: "b"}, nil, Fail, "--cluster"},
		"another token":   {media.Node{}, media.ErrDenied, Fail, "--cluster-token"},
		"nobody":          {media.Node{}, errors.New("no route"), Fail, "--advertise"},
	} {
		n := &Node{ID: "a1", Cluster: "a", URL: running.URL, Internal: address, Private: true}
		n.Ask = func(context.Context, string) (media.Node, error) { return test.node, test.err }
		c := mustFind(t, Run(t.Context(), Config{Node: n}), "node url")
		if c.Level != test.level || !strings.Contains(c.Text+c.Do, test.says) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func TestOtherNodes(t *testing.T) {
	nodes := []media.Node{
		{ID: "a1", Role: media.RoleIngest, URL: "http://a1"}, {ID: "a2", Role: media.RoleIngest, URL: "http://a2"},
		{ID: "archiver", Role: media.RoleArchiver, URL: "http://archiver"},
	}
	check := func(answer media.Node, err error) *Report {
		return Run(t.Context(), Config{Node: &Node{
			ID: "a1", Internal: "256.0.0.1:1", Nodes: func(context.Context) ([]media.Node, error) { return nodes, nil },
			Ask: func(_ context.Context, url string) (media.Node, error) {
				if url != "http://a2" {
					t.Errorf("asked %s", url)
				}
				return answer, err
			},
		}})
	}
	good := check(nodes[1], nil)
	wantCheck(t, good, "node others", OK, "a2")
	wantCheck(t, good, "node token", Warn, "--cluster-token")
	wantCheck(t, check(nodes[0], nil), "node others", Warn, "node a1 answers there")
	wantCheck(t, check(media.Node{}, media.ErrDenied), "node others", Fail, "--cluster-token")
}

func TestDirectoryServices(t *testing.T) {
	api := httptest.NewServer(http.NotFoundHandler())
	wantCheck(t, Run(t.Context(), Config{Directories: []string{api.URL}}), "directory service", OK, api.URL)
	api.Close()
	wantCheck(t, Run(t.Context(), Config{Directories: []string{api.URL}}), "directory service", Fail, "start the API")
}

// Who has the directory for itself keeps a cluster's nodes out, and nobody else.
func TestHolderOfDirectory(t *testing.T) {
	for _, test := range []struct {
		holder string
		shared bool
		level  Level
		says   string
	}{
		{"", true, OK, "nobody"}, {"", false, OK, "nobody"}, {"process 12", false, OK, "process 12"},
		{"process 12", true, Fail, "stop it"},
	} {
		cfg := Config{Recordings: t.TempDir(), Shared: test.shared, Holder: func(string) (string, error) { return test.holder, nil }}
		c := mustFind(t, Run(t.Context(), cfg), "directory holder")
		if c.Level != test.level || !strings.Contains(c.Text+c.Do, test.says) {
			t.Errorf("%+v: %+v", test, c)
		}
	}
}
