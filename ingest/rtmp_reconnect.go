package ingest

import (
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/oxbow-video/oxbow/internal/media"
)

// Capabilities in capsEx (Enhanced RTMP v2, CapsExMask) and of codecs (FourCcInfoMask).
const (
	capReconnect  = 1
	capMultitrack = 2
	capModEx      = 4
	capNanoOffset = 8
	canDecode     = 1
)

const codeReconnect = "NetConnection.Connect.ReconnectRequest"

// errReconnect ends a session whose client was asked to connect again, and left.
var errReconnect = errors.New("client was asked to reconnect")

// capabilities are what a client says of itself in its connect command (Enhanced RTMP v2, "Enhancing NetConnection
// connect Command").
type capabilities struct {
	enhanced  bool // it speaks E-RTMP
	reconnect bool // it obeys a reconnect request
}

func capabilitiesOf(connect amfObject) capabilities {
	caps, _ := connect.get("capsEx").(float64)
	c := capabilities{reconnect: caps > 0 && caps < 1<<31 && int(caps)&capReconnect != 0}
	for _, name := range []string{"capsEx", "fourCcList", "videoFourCcInfoMap", "audioFourCcInfoMap"} {
		c.enhanced = c.enhanced || connect.get(name) != nil
	}
	return c
}

// answer makes the properties that tell of our own capabilities. Clients that do not ask may not expect any.
func (c capabilities) answer() amfObject {
	if !c.enhanced {
		return nil
	}
	var list []any
	infos := func(kind media.Kind) amfObject {
		object := amfObject{}
		for _, fourCC := range fourCCsOf(kind) {
			list = append(list, fourCC)
			object = append(object, amfProperty{name: fourCC, value: float64(canDecode)})
		}
		return object
	}
	video, audio := infos(media.Video), infos(media.Audio)
	return amfObject{
		{"fourCcList", list}, {"videoFourCcInfoMap", video}, {"audioFourCcInfoMap", audio},
		{"capsEx", float64(capReconnect | capMultitrack | capModEx | capNanoOffset)},
	}
}

// callers are the publishing RTMP clients that can be asked to reconnect, by the pulse of their session.
type callers struct {
	sync.Mutex
	of map[*pulse]*caller
}

type caller struct {
	wire  *wire
	asked bool
}

// enter begins a publish.
func (s *callers) enter(c *rtmpConn, of *pulse) {
	if !c.capabilities.reconnect {
		return
	}
	s.Lock()
	defer s.Unlock()
	if s.of == nil {
		s.of = make(map[*pulse]*caller)
	}
	s.of[of] = &caller{wire: &c.wire}
}

// leave ends a publish. It gives errReconnect if the client was asked to go.
func (s *callers) leave(of *pulse) error {
	s.Lock()
	defer s.Unlock()
	c := s.of[of]
	delete(s.of, of)
	if c != nil && c.asked {
		return errReconnect
	}
	return nil
}

// ask sends a reconnect request, and says whether the client publishes and can obey it.
func (s *callers) ask(of *pulse, tcURL, why string) bool {
	s.Lock()
	defer s.Unlock()
	c := s.of[of]
	if c == nil {
		return false
	}
	c.asked = true
	info := amfObject{{"level", "status"}, {"code", codeReconnect}, {"description", why}}
	if tcURL != "" {
		info = append(info, amfProperty{name: "tcUrl", value: tcURL})
	}
	c.wire.urge(appendMessage(nil, chunkStreamCommand, message{
		kind: typeCommandAMF0, payload: appendAMF0(nil, "onStatus", 0.0, nil, info),
	}, answerChunkSize))
	return true
}

// RequestReconnect asks the publishers that can be asked, which are RTMP clients that say so when they connect, to
// publish from now on to another URL; "" is the one that they used. They go when it suits them. It gives their number.
func (s *Server) RequestReconnect(tcURL string) (asked int) {
	s.callers.Lock()
	all := slices.Collect(maps.Keys(s.callers.of))
	s.callers.Unlock()
	for _, of := range all {
		if s.callers.ask(of, tcURL, "the server asks to publish elsewhere") {
			asked++
		}
	}
	return asked
}
