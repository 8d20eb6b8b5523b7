// Package bitstream knows what coded video and audio look like inside: it makes of each access unit that a protocol
// carries the sample that an MP4 file keeps (ISO/IEC 14496-15 and its kin) and says what the unit is; and it makes and
// reads decoder configurations. It is the only place that looks into coded pictures and sound.
//
// Flow:
//
//	AVC, HEVC, AV1, VP9     one video stream each: SetConfig takes the container's record, Read an access unit
//	ByteStream              NAL units between start codes (annex B) to NAL units behind lengths
//	FirstUnit               where the next access unit begins among them
//	CaptionScan             which captions of CEA-608 and CEA-708 are in use
//	Field                   which field of a frame an access unit of H.264 holds, for who joins them
//	ParseADTS and its like  an AudioFrame by its own header: ADTS, AC-3, E-AC-3, MPEG audio
//	LATM                    AAC out of LOAS
//	OpusOfHead, FLACOfHeader, OpusSamples, ...  configurations and lengths of what has its header elsewhere
//
// Invariants:
//
//  1. Input is a network's: nothing is allocated past a stated limit, and no input panics.
//  2. A payload is borrowed. What Read gives lies in the caller's buffer, changed in place, or in the stream's own, and
//     is valid until the next call.
//  3. A sample has NAL units behind 4-byte lengths (AVC, HEVC), or low-overhead OBUs (AV1), or the frame as it is (VP9,
//     audio), without delimiters, fillers and the parameter sets that its configuration has (CMF-14). Only AV1's
//     sequence headers stay, since a sync sample must have one.
//  4. A configuration is the body of the MP4 box that holds it, in one form: equal parameter sets give equal bytes.
package bitstream
