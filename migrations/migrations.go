// Package migrations holds the schema of Oxbow's catalog as numbered SQL files, embedded in the binary.
//
//  1. One text runs on SQLite and on PostgreSQL. So: TEXT ids, BIGINT Unix milliseconds, BOOLEAN, JSON as TEXT that
//     SQL never looks into, $N, RETURNING, upserts, partial indexes. Not: ->>, TIMESTAMPTZ, IDENTITY, SKIP LOCKED.
//  2. A file that was released is never changed: the next change is the next file.
//  3. There is no way down. A catalog that a newer Oxbow migrated is refused by an older one that starts.
//  4. A file takes away nothing that the version before uses, and what it adds has a default: while a cluster is
//     updated node by node, the version before runs on the new schema.
package migrations

import "embed"

// FS has the migrations at its root, as goose reads them.
//
//go:embed *.sql
var FS embed.FS
