// Package reindex makes the catalog know again what storage has: the recordings of one cluster's directory and of the
// archive. It is for a catalog that was lost, or restored from a backup that is too old.
//
//	directory --List--> recording.json --+
//	                                     +-- by id: Load both, judge --> Row, compare --> Restore
//	archive   --List--> recording.json --+
//
// # What is decided, and by whom
//
//	directory   archive    row                    what is done
//	ended       -          none                   added: ended, local
//	any         complete   none                   added: archived, local if the directory has it
//	growing     any        any                    left: the node that has it saves its row; without one, the archiver
//	                                              closes it and saves it then
//	any         complete   ended                  changed to archived, unless an archiver holds it just now
//	ended       any        live, interrupted      changed to ended
//	ended       any        ended, closed as lost  changed: the directory has it after all
//	any         any        deleting, deleted      left, and said: what was deleted on purpose does not come back
//	any         any        of another cluster     left, and said
//	damaged     damaged    any                    left, and named: `oxbow inspect` tells more
//
// # Invariants
//
//  1. Storage is only read. A recording is archived only if each file that its archived manifest names is there, and
//     reaches as far as the index says: the row lets the local copy go.
//  2. A row is written by one statement of the catalog that carries its own conditions (Config.Restore), so that nodes
//     and archivers may work meanwhile. What was looked at before is for the report alone.
//  3. It may be run again, and then changes nothing.
//  4. One bad recording keeps no other from being restored. A storage that is away ends the run.
//
// Publishers and streams are not made: storage does not know their keys and tokens. The report lists those that are
// missing, with the settings that their newest recordings had, and the rows of recordings that no storage has. An
// archive may serve several clusters, and its manifests do not say which: a recording that is in the archive alone, and
// has no row, becomes the given cluster's.
package reindex
