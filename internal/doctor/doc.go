// Package doctor checks a machine and the services that a role of Oxbow needs, before the role runs or when it does not
// run well: `oxbow doctor`.
//
// Each check is one line: ok, warn or FAIL, what was found, and what to do about it. The checks do what the roles do,
// on scratch files, objects and keys of their own, and take back what they made:
//
//	Directory  what the recording log and its NFS rules need: exclusive creation, bytes at an offset seen by another
//	           descriptor, renames over open files, syncs, locks between processes, room, speed
//	Secrets    files that others may read, flags that others see, the cluster's token, the reach of the admin port
//	Clocks     this machine's against NTP and against every service that tells its time
//	Ports      whether they can be bound, and else who has them
//	Node       that the URL which others are told leads to its internal port, that the nodes reach each other, the token
//	Edge       what viewers, players and other edges reach at its URLs, the other edges and the token, its certificates
//	Archives   what the archiver does with objects
//	Registry, Catalog   through functions of their adapters, which this package does not import
//	Kernel     limits that the roles run into
//
// # Invariants
//
//  1. A check changes nothing of the roles': scratch names are random and hidden, schemas are not migrated.
//  2. FAIL means that a role will not work, or will lose something. Warn means that it may be slow, or needs a look.
//  3. A check that can't be made says so, as a warning; one that hangs is given up after its time.
package doctor
