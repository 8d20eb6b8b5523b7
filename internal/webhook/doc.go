// Package webhook sends events to webhooks.
//
// The flow: the catalog puts an event into the outbox of every webhook that asks for its like, in the transaction of
// what the event tells of. A Deliverer looks which webhooks have something due, claims from each in turn the oldest
// delivery of some subjects, has a Sender post them, and settles the claims. docs/webhooks.md tells receivers what
// comes.
//
// Invariants:
//
//  1. Every event arrives at least once, unless its receiver refuses it for a day: a claim is settled after the answer,
//     and one that was not settled is due again when its lease ends.
//  2. Of one webhook and subject one delivery is under way at a time, and the next one goes only when it has arrived or
//     was given up. A try ends before its claim's lease does, so that also two processes keep the order.
//  3. A webhook has PerWebhook tries under way in a process, all together Workers, and webhooks take turns: one whose
//     receiver hangs holds up its own events only.
//  4. An answer of 2xx that arrives whole, or past its bound, is success; all else is failure. Redirects are not
//     followed.
//  5. What is not trusted reaches no address of a private network, whatever its name resolves to: the address is judged
//     when it is dialled.
//  6. An answer is read to 64 KiB at most, and waited for no longer than the timeout.
//  7. A secret is neither logged nor told.
package webhook
