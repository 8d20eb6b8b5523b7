package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/oxbow-video/oxbow/internal/media"
)

// What a client of a tunnel asks for: the first element of the path.
const (
	tunnelIdent = "fcs"
	tunnelOpen  = "open"
	tunnelSend  = "send"
	tunnelIdle  = "idle"
	tunnelClose = "close"
)

// maxTunnelID bounds a session id in a path; ours are shorter.
const maxTunnelID = 63

// tunnelCall is the path of a tunnel's request.
type tunnelCall struct {
	verb     string
	id       string // of the session; empty for fcs and open
	sequence int64  // the request's number in its session, from 0 or 1
}

// parseTunnelPath reads the five forms of a path:
//
//	/fcs/ident2    /open/1    /send/{session}/{sequence}    /idle/{session}/{sequence}    /close/{session}/{sequence}
func parseTunnelPath(path string) (tunnelCall, error) {
	verb, rest, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch verb {
	case tunnelIdent:
		if rest == "ident" || rest == "ident2" {
			return tunnelCall{verb: verb}, nil
		}
	case tunnelOpen:
		if rest == "1" {
			return tunnelCall{verb: verb}, nil
		}
	case tunnelSend, tunnelIdle, tunnelClose:
		id, number, _ := strings.Cut(rest, "/")
		sequence, err := strconv.ParseUint(number, 10, 31)
		if err == nil && id != "" && len(id) <= maxTunnelID && strings.IndexFunc(id, isNoIDLetter) < 0 {
			return tunnelCall{verb: verb, id: id, sequence: int64(sequence)}, nil
		}
	}
	return tunnelCall{}, fmt.Errorf("%w: want /open/1, or /send, /idle or /close with /SESSION/NUMBER", media.ErrNotFound)
}

func isNoIDLetter(r rune) bool {
	return (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// TunnelPath says whether a path's first element belongs to the tunnel. They are reserved: no publisher has such a
// name.
func TunnelPath(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case tunnelIdent, tunnelOpen, tunnelSend, tunnelIdle, tunnelClose:
		return true
	default:
		return false
	}
}

// tunnelStatus is the one table from errors to HTTP statuses.
func tunnelStatus(err error) int {
	for _, row := range []struct {
		err    error
		status int
	}{
		{media.ErrNotFound, http.StatusNotFound},
		{errTunnelMethod, http.StatusMethodNotAllowed},
		{errTunnelType, http.StatusUnsupportedMediaType},
		{errTunnelOrder, http.StatusConflict},
		{errTunnelEnded, http.StatusNotFound},
		{media.ErrUnavailable, http.StatusServiceUnavailable},
	} {
		if errors.Is(err, row.err) {
			return row.status
		}
	}
	return http.StatusBadRequest
}
