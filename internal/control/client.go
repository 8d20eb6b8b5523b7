package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
)

// Config tunes a client; its zero value works.
type Config struct {
	// Tokens are what the nodes demand; nil is none.
	Tokens *admission.Tokens
	// Timeout bounds one ask of one node; zero is 2 s.
	Timeout time.Duration
	// MaxAnswer is the most bytes of an answer; zero is 16 MiB: the reports of some thousands of publishers.
	MaxAnswer int64
	// Parallel bounds the nodes that are asked at once for one list; zero is 16.
	Parallel int
	// KickTries is how often a kick is tried that no node takes, a second apart; zero is 10.
	KickTries int
}

// Directory says whom to ask. Either may answer from memory while the registry is away: an error of Owner along with a
// lease is that, and the lease is used.
type Directory struct {
	Nodes func(ctx context.Context) ([]media.Node, error)
	Owner func(ctx context.Context, path media.StreamPath) (media.Lease, bool, error)
}

// Client asks ingest nodes for what the api tells. It is the api's Sessions and Events, and its Kick, Drain and
// SwitchFeed. Close ends its kicks.
type Client struct {
	cfg       Config
	directory Directory
	http      *http.Client
	logger    *slog.Logger
	kicks     kicks
}

// NewClient makes a client.
func NewClient(cfg Config, directory Directory, logger *slog.Logger) *Client {
	cfg.Timeout = cmp.Or(cfg.Timeout, 2*time.Second)
	cfg.MaxAnswer = cmp.Or(cfg.MaxAnswer, 16<<20)
	cfg.Parallel = cmp.Or(cfg.Parallel, 16)
	cfg.KickTries = cmp.Or(cfg.KickTries, 10)
	c := &Client{cfg: cfg, directory: directory, logger: logger}
	c.http = &http.Client{
		Transport: cfg.Tokens.Transport(&http.Transport{
			DialContext:            (&net.Dialer{Timeout: cfg.Timeout, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    8,
			MaxConnsPerHost:        32,
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: 32 << 10,
			DisableCompression:     true,
		}, logger),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	c.kicks.start()
	return c
}

// Close gives up the kicks under way and waits for them.
func (c *Client) Close() error {
	c.kicks.stop()
	c.http.CloseIdleConnections()
	return nil
}

// Sessions lists the publishers that are connected to any node, in order of publisher and stream. Along with what came
// a *media.UnansweredError names the nodes that gave nothing.
func (c *Client) Sessions(ctx context.Context) ([]media.IngestReport, error) {
	nodes, err := c.directory.Nodes(ctx)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	nodes = slices.DeleteFunc(slices.Clone(nodes), func(n media.Node) bool { return n.Role != media.RoleIngest })
	answers := make([][]media.IngestReport, len(nodes))
	failures := make([]error, len(nodes))
	c.each(nodes, func(i int) { failures[i] = c.ask(ctx, nodes[i], http.MethodGet, "sessions", nil, &answers[i]) })
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	var silent []string
	for i, err := range failures {
		if err != nil {
			c.logger.WarnContext(ctx, "sessions of a node are missing", "node", nodes[i].ID, "err", err)
			silent = append(silent, nodes[i].ID)
		}
	}
	reports := merge(answers)
	if len(silent) > 0 {
		slices.Sort(silent)
		return reports, &media.UnansweredError{Nodes: silent}
	}
	return reports, nil
}

// merge makes one list: of each stream who is live, then its standbys. Of two live ones the later stays, for the node
// of the other is about to lose the stream; standbys all stay, wherever they are.
func merge(answers [][]media.IngestReport) []media.IngestReport {
	reports := slices.Concat(answers...)
	slices.SortStableFunc(reports, func(a, b media.IngestReport) int {
		return cmp.Or(strings.Compare(a.Publisher, b.Publisher), strings.Compare(a.Stream, b.Stream),
			cmp.Compare(standing(a), standing(b)), cmp.Compare(b.Epoch, a.Epoch))
	})
	return slices.CompactFunc(reports, func(a, b media.IngestReport) bool {
		return a.Publisher == b.Publisher && a.Stream == b.Stream && !a.Standby && !b.Standby
	})
}

func standing(r media.IngestReport) int {
	if r.Standby {
		return 1
	}
	return 0
}

// Session gives the report of a stream's publisher. media.ErrNotFound: nobody publishes it now.
func (c *Client) Session(ctx context.Context, path media.StreamPath) (report media.IngestReport, err error) {
	err = c.askOwner(ctx, path, media.ErrNotFound, http.MethodGet, "session", nil, &report)
	return report, err
}

// EndSession closes the connection of a stream's publisher; the reason is told to it. media.ErrNotFound.
func (c *Client) EndSession(ctx context.Context, path media.StreamPath, reason string) error {
	return c.askOwner(ctx, path, media.ErrNotFound, http.MethodDelete, "session", endRequest{reason}, nil)
}

// SwitchFeed makes a feed of a stream the live one. The node that keeps the feed ready does it, which need not be the
// stream's owner. media.ErrNotFound, media.ErrConflict.
func (c *Client) SwitchFeed(ctx context.Context, path media.StreamPath, feed string) error {
	refusal := c.askOwner(ctx, path, media.ErrNotFound, http.MethodPost, "feed", feedRequest{feed}, nil)
	if !errors.Is(refusal, media.ErrNotFound) && !errors.Is(refusal, media.ErrConflict) {
		return refusal
	}
	reports, err := c.Sessions(ctx)
	var unanswered *media.UnansweredError
	if err != nil && !errors.As(err, &unanswered) {
		return refusal
	}
	at := slices.IndexFunc(reports, func(r media.IngestReport) bool {
		return r.Publisher == path.Publisher && r.Stream == path.Stream && r.Feed == feed && r.Standby
	})
	if at < 0 {
		return refusal
	}
	nodes, err := c.directory.Nodes(ctx)
	keeper := slices.IndexFunc(nodes, func(n media.Node) bool { return n.ID == reports[at].Node })
	if err != nil || keeper < 0 {
		return refusal
	}
	return c.ask(ctx, nodes[keeper], http.MethodPost, "streams/"+path.String()+"/feed", feedRequest{feed}, nil)
}

// AddEvent keeps a timed event with the stream's live recording. media.ErrConflict: there is none.
func (c *Client) AddEvent(
	ctx context.Context, path media.StreamPath, e media.TimedEvent,
) (added media.ShowEvent, err error) {
	err = c.askOwner(ctx, path, media.ErrConflict, http.MethodPost, "events", e, &added)
	return added, err
}

// CompleteEvent tells more of an event. media.ErrConflict: the stream is not live; media.ErrNotFound.
func (c *Client) CompleteEvent(
	ctx context.Context, path media.StreamPath, more media.TimedEvent,
) (whole media.ShowEvent, err error) {
	err = c.askOwner(ctx, path, media.ErrConflict, http.MethodPatch, "events", more, &whole)
	return whole, err
}

// Events lists the events of a stream's live recording. media.ErrConflict: there is none.
func (c *Client) Events(ctx context.Context, path media.StreamPath) (events []media.ShowEvent, err error) {
	err = c.askOwner(ctx, path, media.ErrConflict, http.MethodGet, "events", nil, &events)
	return events, err
}

// Drain has a node give its streams up and stop. It does not wait for that.
func (c *Client) Drain(ctx context.Context, node media.Node) error {
	return c.ask(ctx, node, http.MethodPost, "drain", nil, nil)
}

// Status asks a node what it serves.
func (c *Client) Status(ctx context.Context, node media.Node) (status Status, err error) {
	err = c.ask(ctx, node, http.MethodGet, "status", nil, &status)
	for i := range status.Leases {
		row := &status.Leases[i]
		row.Path = media.StreamPath{Publisher: row.Publisher, Stream: row.Stream}
	}
	return status, err
}

// askOwner asks the node that owns the stream, and once more another one that has taken it over meanwhile. None is the
// error when nobody owns it.
func (c *Client) askOwner(
	ctx context.Context, path media.StreamPath, none error, method, what string, in, out any,
) error {
	asked := ""
	var failure error
	for range 2 {
		node, err := c.owner(ctx, path, none)
		if err != nil {
			return cmp.Or(failure, err)
		}
		if node.ID == asked {
			return failure
		}
		asked = node.ID
		failure = c.ask(ctx, node, method, "streams/"+path.String()+"/"+what, in, out)
		if failure == nil || !moved(failure) {
			return failure
		}
	}
	return failure
}

// moved says that a refusal may come from the stream's having left the node.
func moved(err error) bool {
	for _, sign := range []error{media.ErrNotFound, media.ErrConflict, media.ErrFenced, media.ErrTakenOver} {
		if errors.Is(err, sign) {
			return true
		}
	}
	return false
}

func (c *Client) owner(ctx context.Context, path media.StreamPath, none error) (media.Node, error) {
	lease, ok, err := c.directory.Owner(ctx, path)
	switch {
	case ok: // remembered, if there is an error too
	case err != nil:
		return media.Node{}, fmt.Errorf("owner of %s: %w", path, err)
	default:
		return media.Node{}, fmt.Errorf("%w: nobody publishes %s now", none, path)
	}
	nodes, err := c.directory.Nodes(ctx)
	if err != nil {
		return media.Node{}, fmt.Errorf("owner of %s: %w", path, err)
	}
	i := slices.IndexFunc(nodes, func(n media.Node) bool { return n.ID == lease.Node })
	if i < 0 {
		return media.Node{}, fmt.Errorf("owner of %s: node %s is not there: %w", path, lease.Node, media.ErrUnavailable)
	}
	return nodes[i], nil
}

// ask sends one request to a node. What in says is its body, out what its answer is read into. A node that can't be
// reached is media.ErrUnavailable.
func (c *Client) ask(ctx context.Context, node media.Node, method, what string, in, out any) error {
	asking, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	var body io.Reader = http.NoBody
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("ask node %s: %w: %w", node.ID, media.ErrInvalid, err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(asking, method, strings.TrimSuffix(node.URL, "/")+Prefix+what, body)
	if err != nil {
		return fmt.Errorf("ask node %s: %w", node.ID, err)
	}
	req.Header.Set("Content-Type", "application/json")
	err = c.exchange(req, out)
	var told *toldError
	switch {
	case err == nil, errors.As(err, &told):
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("ask node %s: %w", node.ID, ctx.Err())
	case asking.Err() != nil:
		return fmt.Errorf("ask node %s: no answer within %s: %w", node.ID, c.cfg.Timeout, media.ErrUnavailable)
	}
	return fmt.Errorf("ask node %s: %w", node.ID, err)
}

func (c *Client) exchange(req *http.Request, out any) error {
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", media.ErrUnavailable, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.cfg.MaxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", media.ErrUnavailable, err)
	case int64(len(body)) > c.cfg.MaxAnswer:
		return fmt.Errorf("%w: more than %d bytes", errAnswer, c.cfg.MaxAnswer)
	case resp.StatusCode >= http.StatusBadRequest:
		p := problem{}
		if json.Unmarshal(body, &p) != nil {
			p = problem{}
		}
		p.Status = resp.StatusCode
		return p.err()
	case resp.StatusCode >= http.StatusMultipleChoices:
		return fmt.Errorf("%w: status %d", errAnswer, resp.StatusCode)
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	return nil
}
