package api

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/oxbow-video/oxbow/internal/media"
)

// heartbeats is what edges tell the registry, as a test has it.
type heartbeats struct {
	sync.Mutex
	nodes []media.Node
}

func (h *heartbeats) list(context.Context) ([]media.Node, error) {
	h.Lock()
	defer h.Unlock()
	nodes := make([]media.Node, 0, len(h.nodes))
	for _, n := range h.nodes {
		own := *n.Edge
		own.Beat = time.Now().UnixNano()
		n.Edge = &own
		nodes = append(nodes, n)
	}
	return nodes, nil
}

func steeredNode(id, region string, capacity int64) media.Node {
	return media.Node{
		ID: id, Role: media.RoleEdge, URL: "http://" + id + ":8080", Edge: &media.Edge{
			PublicURL: "https://" + id + ".example.com", Region: region, Ready: true, BitsCapacity: capacity,
		},
	}
}

// steeringManifest is one as a player reads it.
type steeringManifest struct {
	Version  int      `json:"VERSION"`
	TTL      int      `json:"TTL"`
	Reload   string   `json:"RELOAD-URI"`
	Priority []string `json:"PATHWAY-PRIORITY"`
}

func askSteering(tb testing.TB, h http.Handler, query string) (m steeringManifest) {
	tb.Helper()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/steering/acme/show"+query, nil))
	if rec.Code != http.StatusOK || rec.Header().Get("Content-Type") != "application/json" ||
		rec.Header().Get("Cache-Control") != "no-store" || rec.Header().Get("Access-Control-Allow-Origin") != "*" {
		tb.Fatalf("%s: %d %v %s", query, rec.Code, rec.Header(), rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), &m); err != nil || m.Version != 1 || len(m.Priority) == 0 {
		tb.Fatalf("%v: %s", err, rec.Body)
	}
	return m
}

// TestAThousandViewersSettleByCapacity has players ask as their manifests say, and edges tell what that makes of them.
func TestAThousandViewersSettleByCapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const each, ttl = 1_000_000, 10 * time.Second
		beats := &heartbeats{nodes: []media.Node{steeredNode("a", "", 500*each), steeredNode("b", "", 1500*each)}}
		s := New(Config{SteeringURL: "https://api.example.com"}, Deps{Nodes: beats.list}, slog.New(slog.DiscardHandler),
			prometheus.NewRegistry())
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.steerer.run(ctx) })
		var mu sync.Mutex
		at := make(map[string]int)
		moves := 0
		random := rand.New(rand.NewPCG(3, 4))
		for range 1000 {
			delay := time.Duration(random.Int64N(int64(5 * time.Second)))
			running.Go(func() {
				here, query := "a", "?base=a"
				wait := delay
				mu.Lock()
				at[here]++
				mu.Unlock()
				for {
					select {
					case <-time.After(wait):
					case <-ctx.Done():
						return
					}
					m := askSteering(t, s.Public(), query+"&_HLS_pathway="+here+"&_HLS_throughput=5000000")
					query, wait = m.Reload, time.Duration(m.TTL)*time.Second
					if next := m.Priority[0]; next != here {
						mu.Lock()
						at[here], at[next] = at[here]-1, at[next]+1
						moves++
						mu.Unlock()
						here = next
					}
				}
			})
		}
		running.Go(func() { // the edges
			told := make(map[string]float64)
			for {
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
					return
				}
				beats.Lock()
				mu.Lock()
				for i := range beats.nodes {
					n := &beats.nodes[i]
					told[n.ID] += 0.5 * (float64(at[n.ID]*each) - told[n.ID])
					n.Load.BitsOut, n.Load.Viewers = int64(told[n.ID]), at[n.ID]
				}
				mu.Unlock()
				beats.Unlock()
			}
		})
		share := func(id string) float64 {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return float64(at[id]) / 1000
		}
		start := moves
		for i := range 3 {
			time.Sleep(ttl)
			t.Logf("after interval %d: %.3f at a, %.3f at b", i+1, share("a"), share("b"))
		}
		if got := share("a"); got < 0.19 || got > 0.31 {
			t.Errorf("%.3f of the viewers are at the edge that has a quarter of the capacity", got)
		}
		mu.Lock()
		settled := moves
		mu.Unlock()
		time.Sleep(2 * time.Minute)
		if got := share("a"); got < 0.19 || got > 0.31 {
			t.Errorf("%.3f of the viewers are there two minutes later", got)
		}
		mu.Lock()
		t.Logf("%d moves until it had settled, %d in two minutes after that", settled-start, moves-settled)
		if moves-settled > 60 {
			t.Errorf("%d moves in two minutes after it had settled", moves-settled)
		}
		mu.Unlock()
		beats.Lock()
		beats.nodes[1].Draining = true
		beats.Unlock()
		time.Sleep(ttl + time.Second)
		if got := share("b"); got != 0 {
			t.Errorf("%.3f of the viewers are at the edge that drains, after one interval", got)
		}
		cancel()
		running.Wait()
	})
}

func TestSteeringRulesAreObeyedAtOnce(t *testing.T) {
	beats := &heartbeats{nodes: []media.Node{steeredNode("a", "eu", 1000), steeredNode("b", "us", 1000)}}
	f := newFixture(t, func(c *Config, d *Deps) {
		c.SteeringURL, d.Nodes = "https://api.example.com", beats.list
	})
	f.stream(media.StreamPath{Publisher: "acme", Stream: "show"}, false)
	want := func(first string) {
		t.Helper()
		for range 20 {
			if m := askSteering(t, f.Public(), "?base=a&_HLS_pathway=a"); m.Priority[0] != first || len(m.Priority) != 2 {
				t.Fatalf("%v, want %s first", m.Priority, first)
			}
		}
	}
	want("a") // its region
	const rules = "/v1/steering/rules"
	f.must(200, "PUT", rules, `{"choices":[{"region":"us"}],"reason":"fibre cut"}`)
	want("b")
	f.must(200, "PUT", rules+"?publisher=acme", `{"choices":[{"edge":"a"}]}`)
	want("a")
	f.must(200, "PUT", rules+"?publisher=acme&stream=show", `{"choices":[{"edge":"b"},{"edge":"a"}],"expires_at":"2036-01-01T00:00:00Z"}`)
	want("b")
	list := f.must(200, "GET", rules, "").json["items"].([]any)
	if len(list) != 3 || list[0].(map[string]any)["reason"] != "fibre cut" {
		t.Errorf("rules %v", list)
	}
	f.must(204, "DELETE", rules+"?publisher=acme&stream=show", "")
	want("a")
	f.must(204, "DELETE", rules+"?publisher=acme", "")
	f.must(204, "DELETE", rules, "")
	want("a")
	for _, c := range []struct {
		status        int
		query, body   string
		location, say string
	}{
		{404, "?publisher=nobody", `{"choices":[{"edge":"a"}]}`, "query.publisher", ""},
		{404, "?publisher=acme&stream=none", `{"choices":[{"edge":"a"}]}`, "query.stream", ""},
		{422, "?stream=show", `{"choices":[{"edge":"a"}]}`, "query.publisher", "whose"},
		{422, "", `{"choices":[{"edge":"a","percent":50}]}`, "body.choices", "100"},
		{422, "", `{"choices":[]}`, "body.choices", ""},
		{422, "", `{"choices":[{"edge":"a","region":"eu"}]}`, "body.choices[0]", "one of them"},
		{422, "", `{"choices":[{"edge":"a"}],"expires_at":"2020-01-01T00:00:00Z"}`, "body.expires_at", "to come"},
	} {
		a := f.do("PUT", rules+c.query, c.body)
		if a.Code != c.status || !strings.Contains(a.Body.String(), c.location) || !strings.Contains(a.Body.String(), c.say) {
			t.Errorf("%s %s: %d %s", c.query, c.body, a.Code, a.Body)
		}
	}
	if a := f.do("DELETE", rules, ""); a.Code != 404 {
		t.Errorf("deleted twice: %d %s", a.Code, a.Body)
	}
	edges := f.must(200, "GET", "/v1/steering", "").json["items"].([]any)
	if row := edges[0].(map[string]any); len(edges) != 2 || row["in"] != true || fmt.Sprint(row["share"]) != "0.5" {
		t.Errorf("edges %v", edges)
	}
}

func TestSteeringManifestRefusals(t *testing.T) {
	f := newFixture(t, nil)
	ask := func(f *fixture, method, target string) answer {
		t.Helper()
		return f.send(f.Public(), method, target, "")
	}
	if a := ask(f, "GET", "/steering/acme/show?base=a"); a.Code != http.StatusGone {
		t.Errorf("without steering: %d, want 410, which has players stop", a.Code)
	}
	f = newFixture(t, func(c *Config, _ *Deps) { c.SteeringURL = "https://api.example.com"; c.SteeringRate = 10 })
	for target, status := range map[string]int{
		"/steering/acme/show": 400, "/steering/acme/show?base=%22": 400, "/steering/Acme/show?base=a": 404,
		"/steering/acme/s.h?base=a": 404, "/steering/v1/show?base=a": 404, "/steering/acme": 404,
	} {
		if a := ask(f, "GET", target); a.Code != status {
			t.Errorf("%s: %d, want %d", target, a.Code, status)
		}
	}
	if a := ask(f, "OPTIONS", "/steering/acme/show?base=a"); a.Code != 204 || a.Header().Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("preflight: %d %v", a.Code, a.Header())
	}
}

func TestSteeringManifestsAreAskedForLessOftenUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(Config{SteeringURL: "https://api.example.com", SteeringRate: 10}, Deps{}, slog.New(slog.DiscardHandler),
			prometheus.NewRegistry())
		longest, away := 0, 0
		for range 100 {
			rec := httptest.NewRecorder()
			s.Public().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/steering/acme/show?base=a&slot=7", nil))
			var m steeringManifest
			switch {
			case rec.Code == http.StatusServiceUnavailable && rec.Header().Get("Retry-After") != "":
				away++
			case rec.Code != http.StatusOK || json.Unmarshal(rec.Body.Bytes(), &m) != nil:
				t.Fatalf("%d %s", rec.Code, rec.Body)
			default:
				longest = max(longest, m.TTL)
			}
		}
		if longest < 39 || longest > 40 || away != 60 {
			t.Errorf("TTLs up to %d s and %d that come later, want 40 s from the fourth ten on, and 60 beyond", longest, away)
		}
		if m := askSteering(t, s.Public(), "?base=a"); m.TTL < 90 {
			t.Errorf("a new viewer is told to come in %d s", m.TTL)
		}
		time.Sleep(3 * time.Second)
		if m := askSteering(t, s.Public(), "?base=a&slot=7"); m.TTL > 10 {
			t.Errorf("TTL %d later", m.TTL)
		}
	})
}

func BenchmarkServeSteering(b *testing.B) {
	beats := &heartbeats{}
	for i := range 10 {
		beats.nodes = append(beats.nodes, steeredNode(fmt.Sprintf("edge-%d", i), "eu", 1000))
	}
	s := New(Config{SteeringURL: "https://api.example.com", SteeringRate: 1e9}, Deps{Nodes: beats.list},
		slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	h := s.Public()
	m := askSteering(b, h, "?base=edge-1")
	r := httptest.NewRequest(http.MethodGet, "/steering/acme/show"+m.Reload+"&_HLS_pathway=edge-1&_HLS_throughput=5000000", nil)
	rec := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		rec.Body.Reset()
		h.ServeHTTP(rec, r)
	}
}
