// Package thumbnail makes pictures of shows: it has an external ffmpeg decode single random access points, and turns
// what that gives into JPEG files, sheets of small pictures and the WebVTT track that says what is where.
//
//	parts of a track file --FirstSample--> samples --pipe--> ffmpeg --pipe--> PPM --> Picture --> JPEG, Sheet --> VTT
//
// # Invariants
//
//  1. Ffmpeg gets bytes on its standard input, never a name or a URL, and may open nothing else. What it gives is
//     believed as little as any input: each picture is within the box that was asked for, and there are no more of them
//     than samples were sent.
//  2. One ffmpeg runs at a time. It has one thread, nice 19, limits of time, processor time, memory and files, and none
//     of the server's environment. It is not in SCHED_IDLE: on a node that is busy with live streams it would then come
//     to nothing within its time, and the pictures would stop where the show is best watched.
//  3. Over time all of them together take no more than Config.Share of one core, by what the kernel says that they
//     took. After a rest Config.Burst may be taken at once.
//  4. Cancelled is killed, with all that it started.
//  5. A sample that can't be decoded is a missing picture, not the loss of those beside it.
package thumbnail
