package main

import (
	"net"
	"strings"
	"testing"
)

func TestEdgePeerFlagsThatContradictThemselvesAreRefused(t *testing.T) {
	for name, row := range map[string]struct {
		flags    peerFlags
		upstream bool
		err      string
	}{
		"none":            {peerFlags{}, false, ""},
		"none, a proxy":   {peerFlags{}, true, ""},
		"a site":          {peerFlags{Internal: ":8081", Siblings: baseURLs{"http://a"}}, false, ""},
		"asks only":       {peerFlags{Siblings: baseURLs{"http://a"}}, false, ""},
		"a shield":        {peerFlags{Internal: ":8081", Shield: true, Siblings: baseURLs{"http://a"}}, false, ""},
		"of a proxy":      {peerFlags{Siblings: baseURLs{"http://a"}}, true, "--upstream"},
		"no port":         {peerFlags{Advertise: "http://a"}, false, "--advertise"},
		"a deaf shield":   {peerFlags{Shield: true}, false, "--shield"},
		"shield's shield": {peerFlags{Shield: true, Internal: ":1", Shields: baseURLs{"http://a"}}, false, "--shields"},
	} {
		t.Run(name, func(t *testing.T) {
			err := row.flags.check(row.upstream)
			if (err == nil) != (row.err == "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("error %v, want one of %q", err, row.err)
			}
		})
	}
}

func TestEdgeIsCalledByItsURLWhereListsAreFixed(t *testing.T) {
	public := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8080}
	for name, row := range map[string]struct {
		flags peerFlags
		id    string
	}{
		"fixed": {peerFlags{
			Internal: "127.0.0.1:0", Advertise: "http://edge1:81", Siblings: baseURLs{"http://edge1:81", "http://edge2:81"},
		}, "edge1:81"},
		"by the directory": {peerFlags{Internal: "127.0.0.1:0"}, "sydney-1"},
		"not asked":        {peerFlags{Siblings: baseURLs{"http://edge2:81"}}, "sydney-1"},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(runContext{Context: t.Context()})
			t.Cleanup(func() {
				if err := n.close(); err != nil {
					t.Error(err)
				}
			})
			self, err := n.identifyEdge(t.Context(), &row.flags, "sydney-1", public)
			if err != nil || self.id != row.id {
				t.Errorf("id %q, want %q: %v", self.id, row.id, err)
			}
			if (self.internal != nil) != (row.flags.Internal != "") || len(self.peers.Siblings) != len(row.flags.Siblings) {
				t.Errorf("%+v", self)
			}
		})
	}
}
