// Package admission says who may ask a process's --internal port: whoever shows the cluster's token, as
// "Authorization: Bearer TOKEN" (RFC 6750 section 2.1).
//
// Tokens are what a process shows and takes: one that is fixed, or those of a file, which is read again when it
// changes. A Guard stands in front of a port, and a Transport in front of all that asks such ports. Every token of the
// file is taken and its first one shown, so that a secret is changed without a restart and without a refusal: the new
// one is put behind the old one everywhere, then in front of it everywhere, and then the old one is removed.
//
// The file has one token a line, at most four. Empty lines, and those that begin with #, say nothing. The line
//
//	optional
//
// has those be let in too that show no token, as without any: for the time in which the processes of a running cluster
// are given their token one after the other. A wrong token is refused all the same.
//
// Invariants:
//
//  1. A right token never waits, for nothing and nobody: it is compared before anything is remembered about who shows
//     it, in a time that depends on the number of tokens alone, without a lock and without an allocation.
//  2. Only answers to wrong tokens are delayed, and the delayed ones are bounded, per address and in all.
//  3. No text that this package makes has a token or a piece of one in it.
//  4. A file that can't be used changes nothing: what was read before it stays.
package admission
