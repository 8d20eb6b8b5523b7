// Package progressive makes one MP4 file for download out of a recording: not fragmented, its moov first, of any
// length. The file lies nowhere. What is kept is how its bytes follow from the recording's track files: samples are
// looked up in the moofs, or in the table that archives have of them, and each range of the file is written when it is
// asked for, the header from the tables, the media out of the track files.
//
// Its flow: Scan or ParseTable for each track file, Build for a recording or a Cut of it, File.ETag and File.Size for
// the answer's header, Copier.Send for its body.
//
// # The file
//
// ftyp, moov, mdat. The mdat has the tracks' segments in turn, as chunks: all samples of the first segment of each
// track, then of the second, so that a player can begin with the first bytes behind the moov. Offsets are 64-bit,
// the mdat has a 64-bit size from 4 GiB on, and durations are 64-bit where 31 bits do not hold them. The tracks' media
// clock is the takes' own; where takes differ, the least that all have a whole part of. Composition offsets are signed
// (ctts version 1, cslg), as in the track files.
//
// Takes with other parameters are other sample entries of the same track. The time of the publisher's absence is left
// out, as in playlists. A gap keeps its time, up to an hour: the last sample before it lasts longer. Tracks that begin
// later than the first have an empty edit. A cut has the samples from the random access point before its start,
// and sound 80 ms earlier; an edit list makes players begin with the first picture at the start or after it, and end at
// the end. Timed metadata, subtitles and captions that are not in the pictures are not in the file.
//
// # Sample table, version 1
//
// The object <take>/<track>.samples of an archive has what a progressive file needs of a track file's moofs, some three
// bytes for a sample. Numbers are the varints of encoding/binary: u unsigned, s signed.
//
//	"oxbowsm" 0x01             8 bytes; the last is the version
//	segments u
//	  msn u                    from the segment before, from zero in the first
//	  size u                   of the segment's block in bytes: all that follows of it
//	  parts u                  1 to 128
//	    skip u                 bytes from the end of the samples of the part before, or from the segment's first byte
//	    dts s                  from the end of the part before, or from zero: ticks of the track
//	    samples u              at least 1
//	    flags u                1: one duration for all; 2: no composition offsets; 4: all are random access points
//	    duration u             if flag 1
//	      size u               bytes; without flag 4 twice that, plus 1 for a random access point
//	      duration s           without flag 1: from the sample before, from zero in the first
//	      offset s             without flag 2: composition offset, from the sample before, from zero in the first
//	checksum                   CRC-32C of all before, 4 bytes, big-endian
//
// Segments without media are left out, and so are gaps that keep some bytes. The object follows from the track file
// alone, so that whoever makes it makes the same.
//
// # Invariants
//
//  1. The same recording and cut give the same bytes and the same ETag on any node, from any storage, with stored
//     tables or without, for as long as layoutVersion stays. A clip's are the same from its source's media and its own.
//  2. A decode time is off its place by less than a tick, however long the file: times are counted from the recording's
//     begin, never added up. All tracks leave out the same time.
//  3. Memory is that of the tables, about four bytes a sample with the chunks, whatever the number of readers; a
//     sending has a buffer of 64 KiB more.
//  4. Nothing of a table is believed before it is checked, and nothing is read outside of a segment's bytes.
package progressive
