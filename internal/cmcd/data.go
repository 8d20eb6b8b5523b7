package cmcd

import "errors"

const (
	// MaxText is the most bytes of a report, unescaped. Players of a page with long tokens in its URLs (nor) send 1 KiB.
	MaxText = 4096
	// MaxSession is the most bytes of a session id (CTA-5004: 64 characters).
	MaxSession = 64
	// maxKeys is past the keys that there are.
	maxKeys = 64
	// maxNumber bounds every number: a day in milliseconds, or 86 Gbit/s in kbit/s.
	maxNumber = 86_400_000
)

// ErrMalformed is of a text that is no report.
var ErrMalformed = errors.New("malformed CMCD")

// Object is what a request asks for, by ot.
type Object uint8

// The kinds of objects.
const (
	ObjectUnknown  Object = iota
	ObjectPlaylist        // m
	ObjectAudio           // a
	ObjectVideo           // v
	ObjectMuxed           // av
	ObjectInit            // i
	ObjectOther           // captions, keys, and what else there is
)

// Media says that the object has pictures or sound.
func (o Object) Media() bool { return o == ObjectAudio || o == ObjectVideo || o == ObjectMuxed }

// State is what the player does, by version 2's sta.
type State uint8

// The states of players.
const (
	StateUnknown    State = iota
	StateStarting         // s
	StatePlaying          // p
	StateSeeking          // k
	StateStalled          // r
	StatePaused           // a
	StateFailed           // f
	StateEnded            // e
	StatePreloading       // d
)

// Fields say which numbers a report has.
type Fields uint16

// The numbers.
const (
	HasBitrate Fields = 1 << iota
	HasBuffer
	HasThroughput
	HasDuration
	HasStartup
	HasStalls
	HasStalled
	HasErrors
	HasSequence
	HasNewStalls
	HasNewStalled
)

// Data is a report. Use one again and again: its methods begin anew.
type Data struct {
	// Has says which of the numbers were sent.
	Has Fields
	// Version is 1 if nothing was said.
	Version uint8
	Object  Object
	State   State
	// Urgent says that the request is for the start, for what follows a seek, or for the end of a stall (su).
	Urgent bool
	// Starved says that the buffer ran empty since the report before (bs).
	Starved bool
	// Live says that the session is of a live stream (st is l, or ll), VOD that it is not.
	Live, VOD bool
	// Errors is how many errors there were in the session up to now where the player counts them, else how many codes
	// this report has (ec).
	Errors int
	// ErrorCodes says that Errors is of this report alone.
	ErrorCodes bool
	// Bitrate of the object, and Throughput, are in kbit/s; Buffer and Duration in ms. Rate is that of playing, in
	// thousandths: 1000 if nothing was said.
	Bitrate, Throughput, Buffer, Duration, Rate int
	// Startup is how long the session's start took, in ms (msd). Stalls and Stalled are the session's up to now, Stalled
	// in ms (bsa, bsda).
	Startup, Stalls, Stalled int
	// NewStalls and NewStalled are how much of Stalls and Stalled no answer came to yet, so that it may be new to all.
	NewStalls, NewStalled int
	// Sequence counts the session's reports (sn).
	Sequence int

	session int // in text, 0 is none
	length  int // of the session's id
	used    int
	text    [MaxText + 1]byte
}

// Session is the session's id, without its quotes; nil is none, as of no Data. It is good until the Data is used again.
func (d *Data) Session() []byte {
	if d == nil || d.session == 0 {
		return nil
	}
	return d.text[d.session : d.session+d.length]
}

// Empty says that there was no report at all.
func (d *Data) Empty() bool { return d.used == 0 }

func (d *Data) reset() {
	d.Has, d.Version, d.Object, d.State = 0, 1, ObjectUnknown, StateUnknown
	d.Urgent, d.Starved, d.Live, d.VOD, d.ErrorCodes = false, false, false, false, false
	d.Bitrate, d.Throughput, d.Buffer, d.Duration, d.Rate = 0, 0, 0, 0, 1000
	d.Startup, d.Stalls, d.Stalled, d.Errors, d.Sequence = 0, 0, 0, 0, 0
	d.NewStalls, d.NewStalled = 0, 0
	d.session, d.length, d.used = 0, 0, 0
}
