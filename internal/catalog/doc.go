// Package catalog keeps Oxbow's durable metadata in SQL: publishers, streams, keys, tokens, recordings and the uploads
// of their archiving. SQLite serves the processes of one machine, PostgreSQL those of many: the same statements and the
// same migrations run on both.
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
//  7. Keys and tokens are stored as SHA-256 only, and found by it: the look-up's time tells nothing of the secret.
//     They are random and long, so a slow hash would protect nothing.
//  8. A write is one statement that carries its conditions, or a transaction that first locks its publisher's row, or,
//     for name and labels, the recording's. So
//     READ COMMITTED is enough, nothing is run again for having lost a race, and no two writers wait for each other.
//  9. Times are kept to the millisecond, in UTC; a duration is cut to the millisecond.
//  10. A recording belongs to one cluster for ever, and only an archiver of that cluster claims it.
//  11. A claim, and the question which publishers have something due, cost what the publishers are, not what the
//     backlog is: each goes by an index to the one row that has been due for longest.
//  12. The archive and the mirror of a recording are those of the settings in force until archiving has begun, and no
//     settings in force have the mirror be the archive itself.
//  13. Bounds of count and bytes are judged by indexes alone, under the publisher's lock: in the transaction that
//     changes them, and from a note (retention_bounds.judge_at) that whoever ends, archives, keeps or deletes a
//     recording leaves. The note may be lost: a minute is the longest wait. Who bounds nothing has no row there.
//  14. A hold that stands before a deletion is claimed wins over it; one that comes later is told so (media.ErrGone).
//     To stop recording deletes nothing whose archiving has begun.
//  15. A preview is the change itself, rolled back.
//  16. A claim to upload a growing recording changes nothing that its owner saves, and ends with the ending save: what
//     has ended is never kept from being archived by it.
//  17. A token that is less than an administrator's for ever is not found by a version that knows no scopes. Tokens of
//     a publisher go with it.
//  18. The audit log refers to nothing and is changed by nothing but its pruning by age.
//  19. A change on the condition of a revision is made at that one or not at all: they are compared in the transaction,
//     or the statement, that changes it.
//  20. A page of recordings is exact in every order: the id breaks ties, a cursor serves the order that it came from,
//     and what grows is in no order but that of its start.
//  21. Of the answers that are kept for repeated requests neither what they hold nor the keys that give them back can
//     be read from the database.
//  22. A key that has expired is denied (media.ErrKeyExpired), with SQL or from memory, and stays listed until it is
//     removed or its stream is full of keys. That a key was used is noted later, and at most once a minute: no publish
//     waits for it.
//  23. An event is logged in the transaction of what it tells of, as its last act: it draws the id from a counter whose
//     row it locks until the commit. So ids are in the order in which events become visible, and who reads on from an
//     id misses none. Who has the counter waits for nobody else's lock.
//  24. What an event is to be sent to is enqueued in the transaction that logs it. Of a webhook and subject one
//     delivery is claimed at a time, the oldest; who adds to a queue and who settles its claim both lock its row, so
//     that none is left behind. Whoever writes to several queues holds the counter, or passes over locked rows.
//  25. Whatever changes who may watch, a policy or a playback key, counts playback_version up in its transaction: who
//     knows the version knows all. That counter is locked after the publisher, and before the events' one.
//
// Why READ COMMITTED is enough on PostgreSQL, statement by statement:
//
//   - A publisher's row is locked by an update that changes nothing (lockPublisher), which waits for whoever has it
//     and then sees what that one committed, as every later statement of the transaction does. Settings, streams,
//     keys, sources and the dues that follow from them change in its order. A save while a show grows takes no
//     lock: it is one upsert, whose condition PostgreSQL evaluates on the row's newest version.
//   - A claim chooses a row and changes it in one statement. PostgreSQL evaluates the outer condition again on a
//     row that was changed in between, so two archivers never get the same one. They pass over rows that others are
//     just taking (SKIP LOCKED, the one clause that SQLite does not have, and does not need), so they do not queue
//     for one row either.
//   - Three statements change many rows: the dues of a stream (setDues), the marks of its publisher's bounds (judgeIn)
//     and hastening. The first two wait for row locks, under the publisher's, so for one another before they have any;
//     the third passes over them. So none waits for one who waits for it. All others change one row, or one after
//     having locked the publisher.
//   - Events take their ids under the lock of one row, by an update, after which a transaction waits for no lock.
//     What is committed is visible before its lock is given up, so the next id is drawn behind it.
//   - A stream can be deleted just when the first row of a show of it is saved. The row is right (recordings refer
//     to no stream) and is archived by the default settings.
//
// How PostgreSQL may fail, and what that costs:
//
//   - Connections: at most 16 for a process (pool_max_conns in the URL), each made within 2 s (connect_timeout).
//     While the server is away, one caller at a time tries to connect and the others get its error at once.
//   - The server ends a statement after 8 s, a wait for a lock after 5 s, an idle transaction after 10 s
//     (statement_timeout and lock_timeout in the URL). A server, or a network, that is silent for 10 s in the
//     middle of a statement is given up; an idle connection is tried for 1 s before its use. When one hangs, all
//     that are open are given up.
//   - All that is media.ErrUnavailable, as are shutdown, start-up, crash, too many connections, a full disk and a
//     server that has become a standby. With several hosts in the URL the one that takes writes is looked for; its
//     connections alone are used. A statement that was cut off may have been committed: saves may be repeated; a
//     repeated settlement of a claim may find it settled, and say media.ErrFenced; a claim that nobody heard of
//     runs out.
//   - The order of names in listings is that of the database's collation; create it with the C collation for
//     SQLite's.
//   - Poolers that share sessions between transactions must pass the start-up parameters named above, and need
//     default_query_exec_mode=exec in the URL; oxbow migrate must reach the server itself.
//
// The schema: SQLite migrates itself when it is opened. PostgreSQL is migrated by Migrate alone, and its version is
// looked at whenever a connection is made: an older one is refused until it is migrated, a newer one by who starts
// on it. Who runs already goes on under a newer one, so that a cluster can be migrated first and its nodes be
// restarted one after the other. That is why a migration adds, and never takes away what the version before it
// uses.
package catalog
