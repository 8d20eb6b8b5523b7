// Package catalog keeps Oxbow's durable metadata in SQL: publishers, streams, keys, tokens, recordings and the uploads
// of their archiving. SQLite serves one process; the same text runs on PostgreSQL.
//
// The flow: the API writes publishers, streams and keys; ingest asks whether a key may publish; the packager saves the
// row of each show while it grows; the archiver claims what is due for finished ones; the API lists and deletes.
//
// A row's state moves one way, but for two pairs:
//
//	live <-> interrupted -> ended <-> archiving -> archived -> deleting -> deleted
//
// Invariants:
//
//  1. A recording's owner saves it in any order and as often as it likes: a late save never reopens what ended, and
//     never touches a row that the archiver has begun on.
//  2. Due times are those of the settings in force. Changing the settings changes them in the same transaction, for
//     every recording that was not yet acted on.
//  3. A recording is claimed by one archiver at a time. Each claim raises the row's epoch, and who holds an older one
//     gets media.ErrFenced and changes nothing.
//  4. A recording that grows or is being archived does not expire, and a kept one neither expires nor is deleted.
//  5. A deleted recording leaves its row behind, so that its URL answers "deleted" for ever.
//  6. Nothing that has recordings is deleted with them unsaid: media.ErrConflict names what stands in the way.
//  7. Keys and tokens are stored as SHA-256 only, and found by it: the look-up's time tells nothing of the secret. They
//     are random and long, so a slow hash would protect nothing.
//  8. A write is one statement that carries its conditions, or a transaction that first locks its publisher's row. So
//     READ COMMITTED is enough, nothing is run again for having lost a race, and no two writers wait for each other.
//  9. Times are kept to the millisecond, in UTC; a duration is cut to the millisecond.
package catalog
