package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/oxbow-video/oxbow/internal/admission"
	"github.com/oxbow-video/oxbow/internal/media"
)

// beatFlags are what an edge tells the directory of itself.
type beatFlags struct {
	Node      string  `placeholder:"ID" help:"This edge's name, unique and the same at every start (default: HOSTNAME-PORT, of --http)."`
	PublicURL baseURL `name:"public-url" placeholder:"URL" help:"Where viewers reach this one edge, like https://edge1.example.com; without it no viewer is steered to it or away from it."`
	Site      string  `placeholder:"NAME" help:"Where it stands: edges of one site share what they fetch (default: alone)."`
	Region    string  `placeholder:"NAME" help:"Its region, by your own names; viewers are kept in theirs (default: none)."`
	Capacity  bitRate `placeholder:"BITRATE" help:"What it may send in bits per second, like 10G or 800M; edges get viewers in proportion (default: unknown)."`
}

// baseURL is a flag's base URL.
type baseURL string

// UnmarshalText reads it.
func (b *baseURL) UnmarshalText(text []byte) error {
	base, err := parseBaseURL(string(text))
	*b = baseURL(base)
	return err
}

// bitRate is a flag's bits per second, in decimal units.
type bitRate int64

// UnmarshalText reads "10G", "2.5G", "800M", "64k" or a number of bits per second.
func (r *bitRate) UnmarshalText(text []byte) error {
	number, factor := string(text), 1.0
	for suffix, f := range map[string]float64{"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12} {
		if n, ok := strings.CutSuffix(number, suffix); ok {
			number, factor = n, f
		}
	}
	v, err := strconv.ParseFloat(number, 64)
	if v *= factor; err != nil || !(v >= 1 && v <= 1e15) { // NaN too
		return fmt.Errorf("%.40q is no bit rate: use bits per second, like 10G, 2.5G or 800M", text)
	}
	*r = bitRate(math.Round(v))
	return nil
}

// edgeNode is what an edge tells of itself, but for what changes. Others reach it where viewers do, as listener says,
// unless it has a port of its own for them.
func (f *beatFlags) edgeNode(listener net.Addr) (media.Node, error) {
	base, err := advertised("", listener)
	if err != nil {
		return media.Node{}, err
	}
	node := media.Node{
		ID: nodeName(f.Node, listener), Role: media.RoleEdge, URL: base, Version: version,
		StartedAt: time.Now().UTC().Truncate(time.Millisecond),
		Edge: &media.Edge{
			PublicURL: string(f.PublicURL), Site: f.Site, Region: f.Region, BitsCapacity: int64(f.Capacity),
		},
	}
	if err := media.CheckEdgeID(node.ID); err != nil {
		return media.Node{}, fmt.Errorf("--node %.100q: %w", node.ID, err)
	}
	if err := node.Check(); err != nil {
		return media.Node{}, fmt.Errorf("--public-url, --site, --region: %w", err)
	}
	return node, nil
}

const (
	// beatWorry is how long no directory takes an edge's beats before the operator is told.
	beatWorry = 5 * time.Second
	// maxOrders bounds a directory's answer, in bytes.
	maxOrders = 256 << 10
)

// edgeBeat tells a directory of an edge every second and does what that orders. While none answers, the last orders
// stand.
type edgeBeat struct {
	directories []string
	tokens      *admission.Tokens
	// node gives what is told; it is asked by one goroutine.
	node func() media.Node
	// obey is given every answer's orders.
	obey   func(media.EdgeOrders)
	logger *slog.Logger
	// wake has it beat at once.
	wake <-chan struct{}

	client *http.Client
	// patience bounds each question to a directory.
	patience time.Duration
	at       int // the directory that answered last
	beats    *prometheus.CounterVec
	// troubled and capacity are what the edge tells of itself.
	troubled, capacity prometheus.Gauge
	since              time.Time // when it began that none answers
	worried            bool
	last               func(time.Time) // told when one answers
}

func (b *edgeBeat) start(metrics prometheus.Registerer) {
	b.patience = beatTimeout
	b.client = &http.Client{
		Transport: b.tokens.Transport(&http.Transport{
			DialContext:         (&net.Dialer{Timeout: beatTimeout, KeepAlive: 15 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 32 << 10,
		}, b.logger),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	factory := promauto.With(metrics)
	b.beats = factory.NewCounterVec(prometheus.CounterOpts{
		Name: "oxbow_edge_beats_total",
		Help: "Times that the edge told a directory of itself, by outcome: taken, refused or unanswered.",
	}, []string{"outcome"})
	for _, outcome := range []string{"taken", "refused", "unanswered"} {
		b.beats.WithLabelValues(outcome)
	}
	ordered := factory.NewGauge(prometheus.GaugeOpts{
		Name: "oxbow_edge_orders_time_seconds", Help: "When a directory gave orders last, in Unix time; 0: never.",
	})
	b.troubled = factory.NewGauge(prometheus.GaugeOpts{
		Name: "oxbow_edge_trouble", Help: "1 while the edge tells its directory that viewers had better be elsewhere.",
	})
	b.capacity = factory.NewGauge(prometheus.GaugeOpts{
		Name: "oxbow_edge_capacity_bytes_per_second", Help: "What --capacity says that the edge may send; 0 is unknown.",
	})
	b.last = func(at time.Time) { ordered.Set(float64(at.UnixMilli()) / 1000) }
	b.since = time.Now()
}

// Run beats until ctx ends, and then takes the edge from the list.
func (b *edgeBeat) Run(ctx context.Context) error {
	defer b.client.CloseIdleConnections()
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		b.beat(ctx)
		select {
		case <-ctx.Done():
			b.leave(ctx)
			return nil
		case <-b.wake:
		case <-tick.C:
		}
	}
}

// refusedError is a directory's answer that is no orders.
type refusedError struct {
	status int
	detail string
}

func (e *refusedError) Error() string { return fmt.Sprintf("status %d: %s", e.status, e.detail) }

// beat tells the first directory that answers, beginning with the one that did last.
func (b *edgeBeat) beat(ctx context.Context) {
	node := b.node()
	b.told(node)
	body, err := json.Marshal(node)
	if err != nil {
		panic("BUG: an edge's beat: " + err.Error())
	}
	var refused *refusedError
	for range b.directories {
		var orders media.EdgeOrders
		if orders, err = b.tell(ctx, b.directories[b.at], node.ID, body); err == nil {
			b.beats.WithLabelValues("taken").Inc()
			b.taken()
			b.obey(orders)
			return
		}
		if ctx.Err() != nil {
			return
		}
		if errors.As(err, &refused) && refused.status < http.StatusInternalServerError {
			break // so would the others
		}
		b.at = (b.at + 1) % len(b.directories)
	}
	if refused != nil {
		b.beats.WithLabelValues("refused").Inc()
	} else {
		b.beats.WithLabelValues("unanswered").Inc()
	}
	b.missed(err)
}

// told notes what is told of the edge.
func (b *edgeBeat) told(node media.Node) {
	if node.Edge == nil {
		return
	}
	b.capacity.Set(float64(node.Edge.BitsCapacity) / 8)
	trouble := 0.0
	if node.Edge.Trouble != "" {
		trouble = 1
	}
	b.troubled.Set(trouble)
}

func (b *edgeBeat) taken() {
	if b.worried {
		b.logger.Info("the directory lists this edge again")
	}
	b.since, b.worried = time.Now(), false
	b.last(b.since)
}

// missed tells the operator, once, what to do if it lasts.
func (b *edgeBeat) missed(err error) {
	if b.worried || time.Since(b.since) < beatWorry {
		return
	}
	b.worried = true
	do := "see that --directory is reached; the last orders hold"
	var refused *refusedError
	if errors.As(err, &refused) {
		switch refused.status {
		case http.StatusUnauthorized:
			do = "give the edge the --cluster-token of the API"
		case http.StatusNotFound, http.StatusMethodNotAllowed:
			do = "let --directory name the --internal port of the API, and the API be as new as this edge"
		case http.StatusConflict:
			do = "give each edge its own --node"
		}
	}
	b.logger.Warn("no directory lists this edge: no viewer is steered to it", "do", do, "err", err)
}

func (b *edgeBeat) request(ctx context.Context, method, target string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, target, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "User-Agent": {"oxbow-edge"}}
	resp, err := b.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxOrders+1))
	switch {
	case err != nil:
		return nil, err
	case len(answer) > maxOrders:
		return nil, fmt.Errorf("%w: more than %d bytes", media.ErrTooLarge, maxOrders)
	case resp.StatusCode >= http.StatusMultipleChoices:
		var problem struct{ Detail string }
		_ = json.Unmarshal(answer, &problem) // an answer of somebody else has none
		return nil, &refusedError{status: resp.StatusCode, detail: fmt.Sprintf("%.300s", b.tokens.Hide(problem.Detail))}
	}
	return answer, nil
}

func (b *edgeBeat) tell(ctx context.Context, base, id string, body []byte) (orders media.EdgeOrders, err error) {
	answer, err := b.request(ctx, http.MethodPost, base+"/internal/v1/edges/"+id, body)
	if err == nil {
		err = json.Unmarshal(answer, &orders)
	}
	if err == nil {
		err = checkOrders(orders)
	}
	if err != nil {
		return orders, fmt.Errorf("tell directory %s of this edge: %w", base, err)
	}
	return orders, nil
}

// checkOrders refuses orders that can't be obeyed.
func checkOrders(o media.EdgeOrders) error {
	for _, peers := range [][]media.EdgePeer{o.Peers.Siblings, o.Peers.Shields} {
		for _, peer := range peers {
			if err := media.CheckEdgeID(peer.ID); err != nil {
				return fmt.Errorf("peer: %w", err)
			}
			if err := media.CheckBaseURL(peer.URL); err != nil {
				return fmt.Errorf("peer %s: %w", peer.ID, err)
			}
		}
	}
	if o.Steering.URL != "" {
		if err := media.CheckBaseURL(o.Steering.URL); err != nil {
			return fmt.Errorf("steering: %w", err)
		}
	}
	return nil
}

// leave takes the edge from the list; where that fails it leaves by itself.
func (b *edgeBeat) leave(ctx context.Context) {
	node := b.node()
	started := url.QueryEscape(node.StartedAt.Format(time.RFC3339Nano))
	target := b.directories[b.at] + "/internal/v1/edges/" + node.ID + "?started_at=" + started
	if _, err := b.request(context.WithoutCancel(ctx), http.MethodDelete, target, nil); err != nil {
		b.logger.Debug("leave the directory", "err", err)
	}
}
