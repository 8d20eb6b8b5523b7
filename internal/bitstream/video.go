package bitstream

import "github.com/oxbow-video/oxbow/internal/media"

// Limits of one access unit.
const (
	// MaxUnits is the most NAL units or OBUs.
	MaxUnits = 500
	// maxParameterSet bounds one parameter set in bytes; those of real encoders have some 10 to 200.
	maxParameterSet = 4096
)

// Fault names something wrong that was passed over; it is a label of counters.
type Fault string

// The faults of coded video.
const (
	RepeatedConfig Fault = "repeated_config" // the same decoder configuration again
	BadConfig      Fault = "bad_config"      // empty or torn; passed over
	EmptyUnit      Fault = "empty_unit"      // a NAL unit of length zero; taken out
	TornUnit       Fault = "torn_unit"       // a unit past the end of its access unit; cut off
	NoPicture      Fault = "no_picture"      // an access unit without a picture; dropped by who asked
	InBandConfig   Fault = "in_band_config"  // parameter sets in the stream that differ from the configuration
)

// Unit is what one access unit turned out to be.
type Unit struct {
	// Payload is the sample's bytes: see invariants 2 and 3.
	Payload []byte
	// Picture says that there is a coded picture; without one Payload is of no use.
	Picture bool
	// Sync marks a random access point: an IDR, CRA or BLA picture, a key frame.
	Sync bool
	// Recovery marks where decoding may begin and is right a little later: a recovery point of intra refresh.
	Recovery bool
	// Leading marks a picture that refers past the random access point before it and can't be decoded when decoding
	// began there (HEVC RASL).
	Leading bool
	// Field is set of an access unit that holds a single field: with the other one it is a sample.
	Field Field
	// Config is a new decoder configuration that holds from this unit on; nil if there is none.
	Config []byte
	// Width and Height go with Config where it does not tell the picture's size: VP9.
	Width, Height int
	// Captions is the CEA-608/708 captions (ATSC A/53) in the unit, three bytes each as cc_data_pkt has them: flags and
	// cc_type, cc_data_1, cc_data_2. It is nil if there are none, and borrowed as Payload is.
	Captions []byte
	// Display is what the stream says of showing its pictures, if that changed with this unit; nil if not.
	Display *media.Display
}

// Video follows one video stream.
type Video interface {
	// SetConfig takes the decoder configuration of a container and gives it in its one form if it says something new;
	// else the fault says why not. Both are empty if the record was taken but the configuration comes with the next key
	// frame (VP9, whose record does not tell the picture's size).
	SetConfig(record []byte) (config []byte, fault Fault)
	// Read reads one access unit, of at most limit bytes, as the container has it: NAL units behind lengths, OBUs, a
	// frame. repaired is told of every fault that was passed over. The error is media.ErrTooLarge.
	Read(payload []byte, limit int, repaired func(Fault)) (Unit, error)
}
