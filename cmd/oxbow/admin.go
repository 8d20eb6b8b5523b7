package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// adminHandler is for the operator: metrics, health, profiles. Who reaches the port gets metrics and health; profiles,
// which show memory's structure and cost time, are for this machine alone.
func adminHandler(registry *prometheus.Registry, ready func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", serveReady(ready))
	for path, serve := range map[string]http.HandlerFunc{
		"": pprof.Index, "cmdline": commandLine, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		mux.HandleFunc("/debug/pprof/"+path, ofThisMachine(serve))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		mux.ServeHTTP(w, r)
	})
}

// ofThisMachine lets requests through that come from here: kubectl port-forward and ssh tunnels do too. A browser on
// this machine must not be led here by a page whose host's name was given a loopback address (DNS rebinding), so the
// request must name the machine by an address or as localhost; nor may a page of another site ask.
func ofThisMachine(serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		remote, err := netip.ParseAddrPort(r.RemoteAddr)
		switch site := r.Header.Get("Sec-Fetch-Site"); {
		case err != nil || !remote.Addr().Unmap().IsLoopback():
			http.Error(w, "profiles are for this machine alone: use ssh -L or kubectl port-forward, which come from here",
				http.StatusForbidden)
		case !localName(r.Host):
			http.Error(w, "profiles are asked for by address: use http://127.0.0.1:PORT", http.StatusForbidden)
		case site != "" && site != "same-origin" && site != "none":
			http.Error(w, "profiles are not for pages of other sites", http.StatusForbidden)
		default:
			serve(w, r)
		}
	}
}

// localName says whether a Host is an address, or localhost.
func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil || strings.EqualFold(host, "localhost")
}

// commandLine gives the command line without the values, of which some are secrets.
func commandLine(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, strings.Join(withoutValues(os.Args), "\x00"))
}

// withoutValues keeps the program, the command and the flags' names.
func withoutValues(args []string) []string {
	var kept []string
	for i, arg := range args {
		name, _, valued := strings.Cut(arg, "=")
		switch flag := strings.HasPrefix(arg, "-"); {
		case flag && valued:
			kept = append(kept, name+"=...")
		case flag, i == 0, i == 1:
			kept = append(kept, arg)
		default:
			kept = append(kept, "...")
		}
	}
	return kept
}
