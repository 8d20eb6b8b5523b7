// Package cmcd reads Common Media Client Data (CTA-5004, versions 1 and 2): what a player tells with each request of
// its session, its buffer, its network and its stalls, in the query field CMCD or in four headers.
//
// The text is a dictionary of structured fields (RFC 8941), from anybody. Invariants:
//
//  1. At most MaxText bytes are looked at, and nothing is allocated: a Data holds all that it gives.
//  2. A text that is out of form gives nothing at all: half a report would be counted as a whole one. Keys that are
//     unknown are passed over, if their values are in form.
//  3. Every number has bounds, within which it can be added up for years.
//
// In version 2 a key may have a list, with an item for each kind of object. Of a buffer's lengths the least counts, for
// that is where playing stops; of all others the greatest.
package cmcd
