// Package hlscheck is a strict client of HLS, Low-Latency HLS and CMAF: it follows a show over time and reports each
// rule that the output breaks, by the rule's id. It imports nothing of this module, so that a mistake in our renderer
// can't hide in our own reading of it.
//
// A Checker asks: multivariant playlist, every media playlist with blocking reloads, deltas and plain polls, every
// init section, part and segment, and now and then what a client may ask besides (HEAD, ranges, conditions, bad
// directives). Each request with its answer and times is an Exchange. A Judge holds exchanges against the rules; it
// asks for nothing and reads no clock, so that a made-up show can be judged with a fault planted in it. Rules is the
// table of rules, with the file that judges each, or why none does and what holds it instead.
//
// Invariants:
//  1. A rule counts as seen only where something was held against it; a report with nothing seen is no green one.
//  2. What a client can't be certain of is not judged: an answer that was asked for before another one came says
//     nothing about their order.
package hlscheck
