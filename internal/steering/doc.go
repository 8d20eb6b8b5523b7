// Package steering decides at which edge a viewer is, and writes that as a steering manifest (content steering,
// RFC 8216bis section 7).
//
// The flow: a Watch is shown the list of nodes every second or so, and makes a Fleet of it: the edges, which of them
// are in and why the others are out, and what weight each has. A Fleet is asked once per viewer and steering interval:
// Manifest gives the viewer's pathways, best first, with a clone for each that the viewer's playlist does not have.
//
// How it decides. Each viewer has a slot, a number drawn at its first request and carried in its RELOAD-URI. The slot
// and the edges' weights give the viewer's home by rendezvous hashing: the parts that edges get are as their weights,
// and where an edge comes or goes only its own viewers move. A viewer stays where it is, though, as long as its edge is
// in and bears no more of its weight than the home does of its own: who spread well by other means is not moved at all.
//
// Invariants:
//
//  1. Nothing is remembered of viewers: every API process that sees the same nodes decides the same.
//  2. An edge that drains, is not ready, in trouble, or silent for SilentAfter is in no priority list, so that its
//     viewers leave with their next steering request. If no edge is in, those in trouble are better than none, and then
//     any that are listed: the list of an empty fleet is the pathway that the viewer has.
//  3. Homes follow from capacities and slots. Load changes them only of an edge above Hot of its capacity, and it moves
//     only viewers to whom it gives another home: each moves once, and there is no swinging.
//  4. Viewers are sent within the region of the edge that they began at, until that region's edges bear Hot of their
//     capacity together; beyond that a growing part goes elsewhere, and comes back below Cool.
//  5. A rule by hand is over all of that but invariant 2.
//  6. A pathway is only offered to a viewer who can reach it: see Manifest for clones and ports.
package steering
