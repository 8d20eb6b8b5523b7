// Package viewing counts who watches at an edge, and how well.
//
// A Book is told of every request twice, when it is asked and when it is answered, and knows viewers by it. A Sweep a
// second counts them, and closes each minute's rows; a Reporter tells the directories, which add up all edges. Nothing
// of it is on the way of an answer but a look into a map.
//
// Who is a viewer? One session of CMCD (sid) of one stream: it stays one when its address changes, and ten behind one
// address are ten. Without CMCD there is only the address, the player's name and the token, which may be those of a
// whole house. What tells them apart then is that a player fetches each segment or part once: as often as the same one
// is asked for, so many are there (crowd.go). That holds for who watches live within some seconds of each other; of a
// recording, where everybody is elsewhere, it counts too few, never too many.
//
// A viewer is there while it asks, a held reload included, and for a little longer than it lets pass between requests.
//
// Invariants:
//
//  1. The numbers of viewers, of streams and of rows that wait are bounded; what is past them is counted as left out.
//  2. Nobody is a viewer who was not answered with media or a media playlist once: guessed paths make no rows.
//  3. A known viewer's request allocates nothing.
//  4. A row tells of its whole minute up to now: who hears it twice has it once.
//  5. A session that came from another edge has begun there: its start, and what it counted before, is not told again.
//     Where viewers are steered it begins with the multivariant playlist, whichever edge gives it the first media.
//  6. Sessions share a lock only with those of their shard, and a known one's request takes it twice, for some lines.
package viewing
