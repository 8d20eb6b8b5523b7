// Package httpcache is what a shared HTTP cache may do with an answer: pure functions over headers, after RFC 9111 and
// its kin. It stores nothing and asks nobody.
//
//	Judge        may it be stored, how long is it fresh, how long may it serve stale (RFC 9111, 5861, 8246, 9213)
//	InitialAge   how old it came
//	VaryOf       what of a request chose it, and Variant, the request's values of that in one spelling
//	NotModified  does the client have it already (RFC 9110 section 13)
//	IfRange      does a Range count, and ParseRanges, which bytes it names (section 14)
//	Stored       the header that is kept, and Update, what a 304 or a HEAD makes of it
//	Invalidated  what an unsafe request has changed
//	Status       what Cache-Status says (RFC 9211)
//
// Invariants:
//
//  1. What can't be read counts by its strictest meaning: a lifetime as none, an Age as none, a validator as different,
//     a condition as not met. A targeted field that can't be read is as good as absent (RFC 9213 section 2.1).
//  2. A directive that is given twice counts by its strictest value, and one that forbids wins over one that allows.
//  3. No input makes a function allocate more than a small multiple of its length.
package httpcache
