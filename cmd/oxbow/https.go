package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"time"

	"github.com/oxbow-video/oxbow/internal/front"
)

// httpsFlags are of a port that speaks TLS: HTTP/1.1 and HTTP/2, and HTTP/3 beside them.
type httpsFlags struct {
	HTTPS    listenAddress `name:"https" placeholder:"ADDR" help:"The same as --http over TLS, by HTTP/1.1 and HTTP/2, like :443; needs --tls-cert and --tls-key, or --acme-domains. Off by default."`
	HTTP3    bool          `name:"http3" env:"OXBOW_HTTP3" help:"HTTP/3 too, on the UDP port of --https's number."`
	Redirect string        `name:"https-redirect" default:"none" enum:"none,pages,all" help:"What asks at --http is sent on to --https: none, pages (the web page and the API), or all, media too: ${enum} (default: ${default})."`
	HSTS     time.Duration `name:"hsts" default:"0s" placeholder:"DURATION" help:"How long browsers are to ask this host over TLS only (Strict-Transport-Security), like 8760h; they hold to it even where TLS is taken away again (default: not told)."`
	TLSMin   string        `name:"tls-min" default:"1.2" enum:"1.2,1.3" help:"Least version of TLS at --https: ${enum} (default: ${default})."`

	ACME acmeFlags `embed:"" prefix:"acme-"`
}

// checkHTTPS refuses flags that say nothing without others. Data is where serve keeps what it has; others have no such
// place.
func (f *httpsFlags) checkHTTPS(data string) error {
	if f.HTTPS != "" {
		if f.ACME.Storage == "" && data != "" {
			f.ACME.Storage = filepath.Join(data, "acme")
		}
		if f.HSTS < 0 || f.HSTS%time.Second != 0 {
			return fmt.Errorf("--hsts %v: give whole seconds", f.HSTS)
		}
		return nil
	}
	for _, set := range []struct {
		flag string
		is   bool
	}{
		{"--http3", f.HTTP3}, {"--https-redirect", f.Redirect != "" && f.Redirect != redirectNone}, {"--hsts", f.HSTS != 0},
		{"--acme-domains", len(f.ACME.Domains) > 0},
	} {
		if set.is {
			return fmt.Errorf("%s without --https: give the port that speaks TLS, like --https :443", set.flag)
		}
	}
	return nil
}

// checkCertificate refuses a certificate that no port serves, of a role whose only port with TLS is --https.
func (f *httpsFlags) checkCertificate(t tlsFlags) error {
	if f.HTTPS == "" && len(t.Cert)+len(t.Key) > 0 {
		return errors.New("--tls-cert without --https: give the port that speaks TLS, like --https :443")
	}
	return nil
}

// httpsPort is --https, opened; a nil one is a server without, whose methods change nothing.
type httpsPort struct {
	node     *node
	flags    httpsFlags
	listener net.Listener
	udp      *net.UDPConn // of HTTP/3; nil without
	certs    *certificates
	metrics  *httpsMetrics
}

// openHTTPS opens the port that --https asks for, beside the one that --http has opened.
func (n *node) openHTTPS(
	ctx context.Context, f httpsFlags, t tlsFlags, data string, plain net.Addr,
) (*httpsPort, error) {
	if err := f.checkHTTPS(data); err != nil || f.HTTPS == "" {
		return nil, err
	}
	certs, err := openCertificates(t, n.logger)
	if err != nil {
		return nil, err
	}
	if certs == nil && len(f.ACME.Domains) == 0 {
		return nil, fmt.Errorf("--https %s: give its certificate with --tls-cert and --tls-key, or its names with "+
			"--acme-domains", f.HTTPS)
	}
	h := &httpsPort{node: n, flags: f, certs: certs}
	if h.listener, err = n.listen(ctx, f.HTTPS, "--https"); err != nil {
		return nil, err
	}
	if f.HTTP3 {
		if err := h.openUDP(ctx); err != nil {
			return nil, err
		}
	}
	if len(f.ACME.Domains) > 0 {
		if certs == nil {
			h.certs = &certificates{}
		}
		if h.certs.acme, err = openACME(f.ACME, h.listener.Addr(), plain, n.logger); err != nil {
			return nil, err
		}
	}
	n.certificates = h.certs
	h.metrics = newHTTPSMetrics(h.certs, n.metrics)
	return h, nil
}

// serve answers at the port by the handler, and has certificates obtained from now on. The edge's viewers are sent away
// at the end; nil is no edge.
func (h *httpsPort) serve(ctx context.Context, handler http.Handler, clients clientsFront, edge leaver) {
	if h == nil {
		return
	}
	leaving := new(front.Leaving)
	handler = leaving.Handler(h.secured(handler))
	listener := clients.listener(h.listener, false)
	server := &httpsServer{tcp: newHTTPServer(handler, h.node.logger)}
	server.tcp.TLSConfig = h.config("h2", "http/1.1")
	server.tcp.HTTP2 = h.http2Config()
	if h.udp != nil {
		server.quic = newQUICServer(h, handler)
	}
	service := serveUntilDone(listener, server)
	if edge != nil {
		service = serveUntilLeft(listener, server, leaving, edge, usualLeave())
	}
	h.node.services.add(ctx, "HTTPS", service)
	if acme := h.certs.acme; acme != nil {
		h.node.services.add(ctx, "ACME", acme.Run)
	}
	h.node.logger.Info("HTTPS is up", "https", h.listener.Addr().String(), "http3", h.udp != nil)
}

// config is for a listener of the port, which counts its handshakes.
func (h *httpsPort) config(protocols ...string) *tls.Config {
	if h.certs.acme != nil {
		protocols = append(protocols, challengeProtocol)
	}
	config := h.certs.config(protocols...)
	if h.flags.TLSMin == "1.3" {
		config.MinVersion = tls.VersionTLS13
	}
	h.metrics.watch(config)
	return config
}

// Limits of an HTTP/2 connection. A player of Low-Latency HLS has two requests under way for each of its renditions, a
// held playlist and a hinted part, and what it fetches ahead; a page with several players has one connection.
const (
	maxStreams = 128
	// Requests have no body worth a window, so clients are given the least.
	streamWindow     = 64 << 10
	connectionWindow = 256 << 10
	frameSize        = 16 << 10
	// A viewer who vanished with a playlist held is noticed by a ping that nobody answers.
	pingAfter   = 15 * time.Second
	pingTimeout = 10 * time.Second
	// A connection that takes no byte of what waits for it is cut, as in the fast lane.
	writeTimeout = 30 * time.Second
)

func (h *httpsPort) http2Config() *http.HTTP2Config {
	return &http.HTTP2Config{
		MaxConcurrentStreams:          maxStreams,
		MaxReceiveBufferPerStream:     streamWindow,
		MaxReceiveBufferPerConnection: connectionWindow,
		MaxReadFrameSize:              frameSize,
		SendPingTimeout:               pingAfter,
		PingTimeout:                   pingTimeout,
		WriteByteTimeout:              writeTimeout,
		CountError:                    h.metrics.http2Error,
	}
}

// altSvcAge is how long a browser may know of HTTP/3 here, in seconds.
const altSvcAge = 86400

// secured is the port's handler: it tells browsers of TLS and HTTP/3, and counts.
func (h *httpsPort) secured(handler http.Handler) http.Handler {
	var hsts, altSvc []string // shared: nobody changes a header's values in place
	if h.flags.HSTS > 0 {
		hsts = []string{"max-age=" + strconv.FormatInt(int64(h.flags.HSTS/time.Second), 10)}
	}
	if h.udp != nil {
		altSvc = []string{fmt.Sprintf(`h3=":%d"; ma=%d`, port(h.listener.Addr()), altSvcAge)}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.metrics.request(r.ProtoMajor)
		if hsts != nil {
			w.Header()["Strict-Transport-Security"] = hsts
		}
		if altSvc != nil && r.ProtoMajor < 3 {
			w.Header()["Alt-Svc"] = altSvc
		}
		handler.ServeHTTP(w, r)
	})
}

// httpsServer serves TCP and, where there is one, the UDP port beside it.
type httpsServer struct {
	tcp  *http.Server
	quic *quicServer
}

// Serve implements httpServer. It ends with the first of both.
func (s *httpsServer) Serve(l net.Listener) error {
	if s.quic == nil {
		return s.tcp.ServeTLS(l, "", "")
	}
	ended := make(chan error, 2)
	go func() { ended <- s.tcp.ServeTLS(l, "", "") }()
	go func() { ended <- s.quic.Serve() }()
	err := <-ended
	if !errors.Is(err, http.ErrServerClosed) {
		_ = s.Close()
	}
	if second := <-ended; errors.Is(err, http.ErrServerClosed) {
		err = second
	}
	return err
}

// Shutdown implements httpServer: both tell their clients to go (GOAWAY) and wait for what is under way.
func (s *httpsServer) Shutdown(ctx context.Context) error {
	if s.quic == nil {
		return s.tcp.Shutdown(ctx)
	}
	gone := make(chan error, 1)
	go func() { gone <- s.quic.Shutdown(ctx) }()
	return errors.Join(s.tcp.Shutdown(ctx), <-gone)
}

// Close implements httpServer.
func (s *httpsServer) Close() error {
	if s.quic == nil {
		return s.tcp.Close()
	}
	return errors.Join(s.tcp.Close(), s.quic.Close())
}
