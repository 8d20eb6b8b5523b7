package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/oxbow-video/oxbow/internal/media"
)

// What can't work is told once, with what to do; what can is not.
func TestEdgeSetupsThatCanNotWorkAreTold(t *testing.T) {
	steered := media.EdgeOrders{Steering: media.Steering{URL: "https://api.example/steering", Pathway: "e1"}}
	for name, test := range map[string]struct {
		edge   media.Edge
		orders media.EdgeOrders
		says   string
	}{
		"nothing said":    {},
		"steered":         {edge: media.Edge{PublicURL: "https://e1.example"}, orders: steered},
		"of http":         {edge: media.Edge{PublicURL: "http://e1.example"}, orders: steered},
		"no steering":     {edge: media.Edge{PublicURL: "https://e1.example"}, says: "--steering-url"},
		"a site":          {edge: media.Edge{Site: "fra", Asks: true}},
		"a site and deaf": {edge: media.Edge{Site: "fra"}, says: "--internal"},
		"10G":             {edge: media.Edge{BitsCapacity: 10e9}},
		"10":              {edge: media.Edge{BitsCapacity: 10}, says: "10G"},
		"steering by http": {
			edge:   media.Edge{PublicURL: "https://e1.example"},
			orders: media.EdgeOrders{Steering: media.Steering{URL: "http://api.example/steering"}}, says: "https --steering-url",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, nil))
			setup := edgeSetup{edge: test.edge}
			setup.flags(logger)
			for range 3 {
				setup.look(logger, test.orders)
			}
			want := 1
			if test.says == "" {
				want = 0
			}
			if n := strings.Count(log.String(), "level=WARN"); n != want || !strings.Contains(log.String(), test.says) {
				t.Errorf("%d warnings, want %d with %q:\n%s", n, want, test.says, &log)
			}
		})
	}
}

func TestCertificateWithoutItsPortIsRefused(t *testing.T) {
	files := tlsFlags{Cert: fileNames{"live.pem"}, Key: fileNames{"live.key"}}
	for name, test := range map[string]struct {
		flags httpsFlags
		tls   tlsFlags
		bad   bool
	}{
		"neither":     {},
		"both":        {flags: httpsFlags{HTTPS: ":443"}, tls: files},
		"port alone":  {flags: httpsFlags{HTTPS: ":443"}}, // ACME may bring it, which is looked at elsewhere
		"files alone": {tls: files, bad: true},
	} {
		if err := test.flags.checkCertificate(test.tls); (err != nil) != test.bad {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEdgesThatViewersCanBeSentTo(t *testing.T) {
	nodes := []media.Node{
		{ID: "in1", Role: media.RoleIngest}, {ID: "e1", Role: media.RoleEdge, Edge: &media.Edge{}},
		{ID: "e2", Role: media.RoleEdge, Edge: &media.Edge{PublicURL: "https://e2.example"}},
	}
	if edges, public := edgesOf(nodes); edges != 2 || public != 1 {
		t.Errorf("%d edges, %d public", edges, public)
	}
}
