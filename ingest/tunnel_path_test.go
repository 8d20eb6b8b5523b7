package ingest

import (
	"net/http"
	"strings"
	"testing"
)

// tunnelPaths is the table, and what fuzzing starts from.
var tunnelPaths = map[string]tunnelCall{
	"/fcs/ident2":        {verb: tunnelIdent},
	"/fcs/ident":         {verb: tunnelIdent},
	"/open/1":            {verb: tunnelOpen},
	"/send/Ab0/0":        {verb: tunnelSend, id: "Ab0"},
	"/idle/Ab0/17":       {verb: tunnelIdle, id: "Ab0", sequence: 17},
	"/close/9/0099":      {verb: tunnelClose, id: "9", sequence: 99},
	"/idle/a/4294967297": {}, "/send/a/-1": {}, "/send/a/+1": {}, "/send/a": {}, "/send/a/": {}, "/send//1": {}, "/send/a/1/2": {},
	"/send/a b/1": {}, "/open/": {}, "/open/1/1": {}, "/open": {}, "": {}, "/": {}, "/fcs/": {}, "/demo/live/index.m3u8": {},
	"/send/" + strings.Repeat("a", maxTunnelID+1) + "/1": {},
}

func TestTunnelPaths(t *testing.T) {
	for path, want := range tunnelPaths {
		got, err := parseTunnelPath(path)
		if got != want || (err == nil) != (want.verb != "") {
			t.Errorf("%q: %+v, %v", path, got, err)
		}
		if err == nil && !TunnelPath(path) {
			t.Errorf("%q is not the tunnel's", path)
		}
	}
	for path, want := range map[string]bool{"/": false, "/opened/1": false, "/close": true, "/demo/open": false} {
		if TunnelPath(path) != want {
			t.Errorf("TunnelPath(%q) is not %v", path, want)
		}
	}
}

func FuzzTunnelPath(f *testing.F) {
	for path := range tunnelPaths {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		call, err := parseTunnelPath(path)
		if err != nil {
			if call != (tunnelCall{}) || tunnelStatus(err) != http.StatusNotFound {
				t.Errorf("%q: %+v, %v", path, call, err)
			}
			return
		}
		if !TunnelPath(path) || call.sequence < 0 || len(call.id) > maxTunnelID || strings.ContainsAny(call.id, "/. ") {
			t.Errorf("%q: %+v", path, call)
		}
	})
}
