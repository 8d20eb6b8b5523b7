//go:build linux

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// report is all that was measured.
type report struct {
	Machine string       `json:"machine"`
	Hits    []hitRow     `json:"hits,omitempty"`
	TLS     []tlsRow     `json:"tls,omitempty"`
	Fanout  []fanRow     `json:"fanout,omitempty"`
	Cluster []clusterRow `json:"cluster,omitempty"`
	Soak    *soakResult  `json:"soak,omitempty"`
}

// machine says what it was measured on.
func machine() string {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	info, _ := os.ReadFile("/proc/cpuinfo")
	model := "unknown processor"
	for line := range bytes.Lines(info) {
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && string(bytes.TrimSpace(name)) == "model name" {
			model = string(bytes.TrimSpace(value))
			break
		}
	}
	return fmt.Sprintf("%s, Linux %s", model, bytes.TrimSpace(kernel))
}

// verdict is the soak's: what else was measured is for the reader to judge.
func (r *report) verdict() error {
	if r.Soak != nil && len(r.Soak.Faults) > 0 {
		return errors.New("soak: " + strings.Join(r.Soak.Faults, "; "))
	}
	return nil
}

func (r *report) print(asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(os.Stdout)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s; servers and origin on one core, clients on another.\n", r.Machine)
	r.printHits(&b)
	r.printTLS(&b)
	r.printFanout(&b)
	r.printCluster(&b)
	if r.Soak != nil {
		r.Soak.print(&b)
	}
	_, err := io.WriteString(os.Stdout, b.String())
	return err
}

// titles are how servers are called in tables.
var titles = map[string]string{
	"oxbow": "Oxbow", "oxbow-upstream": "Oxbow, `--upstream`", "oxbow-other": "Oxbow, other build",
	"nginx": "nginx proxy_cache", "nginx-files": "nginx proxy_cache, open_file_cache", "varnish": "Varnish",
	"ats": "Traffic Server", "none": "no cache: the origin itself",
}

// groups gathers rows that have the same key, in the order of their coming.
func groups[K comparable, R any](rows []R, key func(R) K) (keys []K, of map[K][]R) {
	of = make(map[K][]R)
	for _, row := range rows {
		k := key(row)
		if len(of[k]) == 0 {
			keys = append(keys, k)
		}
		of[k] = append(of[k], row)
	}
	return keys, of
}

// median gives the row in the middle by a figure: all figures of a table's line are of one run.
func median[R any](rows []R, by func(R) float64) R {
	sorted := slices.SortedFunc(slices.Values(rows), func(a, b R) int { return cmp.Compare(by(a), by(b)) })
	return sorted[len(sorted)/2]
}

func (r *report) printHits(b *strings.Builder) {
	type key struct {
		size        string
		connections int
	}
	tables, rows := groups(r.Hits, func(h hitRow) key { return key{h.Size, h.Connections} })
	for _, k := range tables {
		fmt.Fprintf(b, "\n### Cached objects of %s, %d connections\n\n"+
			"| server | requests per CPU-second | to the first | spread | requests/s | MB/s | server cores | client cores | "+
			"RSS MiB | memory MiB | origin requests | failed |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
			k.size, k.connections)
		servers, of := groups(rows[k], func(h hitRow) string { return h.Server })
		per := func(h hitRow) float64 { return h.PerCPU }
		ours := median(of[servers[0]], per).PerCPU
		for _, name := range servers {
			h, failed := median(of[name], per), 0
			low, high := h.PerCPU, h.PerCPU
			for _, one := range of[name] {
				low, high, failed = min(low, one.PerCPU), max(high, one.PerCPU), failed+one.Failed
			}
			fmt.Fprintf(b, "| %s | %.0f | %.2f | %.0f to %.0f | %.0f | %.0f | %.2f | %.2f | %.0f | %.0f | %d | %d |\n",
				titles[name], h.PerCPU, h.PerCPU/ours, low, high, h.Requests, h.Bytes/1e6, h.ServerCPU, h.ClientCPU,
				h.RSS, h.Memory, h.Misses, failed)
		}
	}
}

func (r *report) printFanout(b *strings.Builder) {
	type key struct {
		mode    string
		viewers int
	}
	words := map[string]string{
		"part":   "Parts of 60 KiB",
		"pieces": "Parts of 60 KiB that arrive in 6 pieces over 20 ms (the 20 ms are in the delay)",
		"list":   "Blocking playlist reloads",
	}
	tables, rows := groups(r.Fanout, func(f fanRow) key { return key{f.Mode, f.Viewers} })
	for _, k := range tables {
		fmt.Fprintf(b, "\n### %s, %d viewers\n\n"+
			"| server | p50 ms | p99 ms | max ms | upstream requests per object | server us per answer | server cores | "+
			"client cores | RSS MiB | memory MiB | missing | failed |\n"+
			"|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n", words[k.mode], k.viewers)
		servers, of := groups(rows[k], func(f fanRow) string { return f.Server })
		for _, name := range servers {
			f := median(of[name], func(f fanRow) float64 { return f.P99 })
			fmt.Fprintf(b, "| %s | %.1f | %.1f | %.1f | %.2f (most %d) | %.1f | %.2f | %.2f | %.0f | %.0f | %d | %d |\n",
				titles[name], f.P50, f.P99, f.Max, f.Upstream, f.MostOf, f.PerAnswer, f.ServerCPU, f.ClientCPU, f.RSS, f.Memory,
				f.Missing, f.Failed)
		}
	}
}
