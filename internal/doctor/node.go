package doctor

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Node is an ingest node that runs on this machine, or will, as the others of its cluster see it.
type Node struct {
	// ID and Cluster are what it has to say of itself; empty is anything.
	ID, Cluster string
	// URL is what others are told, and Internal the address at which it listens.
	URL, Internal string
	// Guarded says that it takes orders with a token only, and Private that nobody but this machine reaches it.
	Guarded, Private bool
	// Ask has a running node say who it is.
	Ask func(ctx context.Context, url string) (media.Node, error)
	// Nodes lists all that are registered; nil leaves the check of them out.
	Nodes func(ctx context.Context) ([]media.Node, error)
}

const (
	doAdvertise = "give --advertise the URL at which edges and nodes reach --internal, and let it through firewalls"
	doToken     = "give all nodes and the API the same --cluster-token"
	// maxAsked is the most nodes that are asked at a time.
	maxAsked = 16
)

func (n *Node) check(ctx context.Context, r *Report) {
	if n == nil {
		return
	}
	switch {
	case n.Guarded:
		r.ok("node token", "orders need the cluster's token")
	case n.Private:
		r.ok("node token", "there is none, and %s is reached from this machine only", n.Internal)
	default:
		r.add(Warn, "node token", "set --cluster-token here, at the other nodes and at the API, and keep the port private",
			"whoever reaches %s may end streams and drain this node", n.Internal)
	}
	n.checkURL(ctx, r)
	n.checkOthers(ctx, r)
}

// checkURL asks the node at its URL, or, where it does not run, whatever it is that listens at its port meanwhile.
func (n *Node) checkURL(ctx context.Context, r *Report) {
	const name = "node url"
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", n.Internal)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		n.checkAnswer(ctx, r, name)
		return
	case err != nil:
		return // the check of the port tells
	}
	word := rand.Text()
	server := &http.Server{
		ReadHeaderTimeout: serviceTimeout,
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, word) }),
	}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	defer serving.Wait()
	defer server.Close()
	text, err := limited(ctx, func(ctx context.Context) (string, error) {
		return getText(ctx, n.URL+"/doctor", len(word))
	})
	switch {
	case err != nil:
		r.add(Fail, name, doAdvertise, "%s does not lead here: %s", n.URL, reason(err))
	case text != word:
		r.add(Fail, name, doAdvertise, "%s leads to something else than %s", n.URL, n.Internal)
	default:
		r.ok(name, "%s leads to %s; the node does not run", n.URL, n.Internal)
	}
}

// getText gives as many bytes of what is at a URL.
func getText(ctx context.Context, url string, most int) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	transport := &http.Transport{DisableKeepAlives: true, Proxy: nil} // nodes use no proxy either
	res, err := transport.RoundTrip(req)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(res.Body, int64(most)))
	return string(text), errors.Join(err, res.Body.Close())
}

// checkAnswer asks the node that runs.
func (n *Node) checkAnswer(ctx context.Context, r *Report, name string) {
	begun := time.Now()
	node, err := limited(ctx, func(ctx context.Context) (media.Node, error) { return n.Ask(ctx, n.URL) })
	switch {
	case errors.Is(err, media.ErrDenied):
		r.add(Fail, name, doToken, "%s wants another token", n.URL)
	case err != nil:
		r.add(Fail, name, doAdvertise, "%s is not answered by an ingest node: %s", n.URL, reason(err))
	case n.ID != "" && node.ID != n.ID:
		r.add(Fail, name, "give each node an --advertise of its own",
			"%s is answered by node %s, not %s", n.URL, node.ID, n.ID)
	case n.Cluster != "" && node.Cluster != n.Cluster:
		r.add(Fail, name, "correct --cluster, here or there",
			"node %s is of cluster %s, not %s", node.ID, node.Cluster, n.Cluster)
	default:
		r.ok(name, "%s is answered by node %s of cluster %s in %v", n.URL, node.ID, node.Cluster,
			time.Since(begun).Round(10*time.Microsecond))
	}
}

// checkOthers asks every ingest node that is registered: this one must reach them to serve what they have live.
func (n *Node) checkOthers(ctx context.Context, r *Report) {
	const name = "node others"
	if n.Nodes == nil {
		return
	}
	registered, err := limited(ctx, n.Nodes)
	if err != nil {
		return // the check of the registry tells
	}
	var nodes []media.Node
	for _, node := range registered {
		if node.Role == media.RoleIngest && node.ID != n.ID {
			nodes = append(nodes, node)
		}
	}
	errs := make([]error, len(nodes))
	var asking sync.WaitGroup
	slots := make(chan struct{}, maxAsked)
	for i, node := range nodes {
		slots <- struct{}{}
		asking.Go(func() {
			defer func() { <-slots }()
			answer, err := limited(ctx, func(ctx context.Context) (media.Node, error) { return n.Ask(ctx, node.URL) })
			if err == nil && answer.ID != node.ID {
				err = fmt.Errorf("node %s answers there", answer.ID)
			}
			errs[i] = err
		})
	}
	asking.Wait()
	var good []string
	for i, node := range nodes {
		switch err := errs[i]; {
		case err == nil:
			good = append(good, node.ID)
		case errors.Is(err, media.ErrDenied):
			r.add(Fail, name, doToken, "node %s at %s has another token", node.ID, node.URL)
		default:
			r.add(Warn, name, "if it runs, correct its --advertise; if it is gone, it leaves the list by itself",
				"node %s does not answer at %s: %s", node.ID, node.URL, reason(err))
		}
	}
	if len(good) == len(nodes) {
		r.ok(name, "%s", cmp.Or(strings.Join(good, ", "), "no other node is registered"))
	}
}

// checkAPIs looks whether the directory services of an edge answer at all.
func checkAPIs(ctx context.Context, r *Report, urls []string) {
	for _, url := range urls {
		const name = "directory service"
		begun := time.Now()
		_, err := limited(ctx, func(ctx context.Context) (time.Time, error) {
			return HTTPDate(ctx, http.DefaultClient, url+"/healthz") // which needs no token
		})
		if err != nil {
			r.add(Fail, name, "start the API, or correct --directory: it is the URL of its --internal",
				"%s: %s", url, reason(err))
			continue
		}
		r.ok(name, "%s answers in %v", url, time.Since(begun).Round(10*time.Microsecond))
	}
}
