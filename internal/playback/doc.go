// Package playback makes and checks playback tokens: what a viewer of a signed stream brings along.
//
// A token is a JSON Web Token (RFC 7519), signed with a key of the publisher whose media it opens. The claims:
//
//	publisher  whose media it opens; required
//	stream     that stream's only
//	recording  that recording's only
//	exp        when it ends; required
//	nbf, iat   not before
//	ip         only from that address, or prefix
//	origin     only for pages of that web origin
//
// The header's kid names the key. Claims that are none of these are not looked at.
//
// Flow: an edge has a Verifier of each publisher's keys. Verify gives the Grant of a token, which holds whatever the
// time and the request are, so that it can be remembered; Grant.Admit says of each request whether it is within it.
//
// A Signer makes tokens, with a key that the server has (NewSigner) or with one in a file (ParseSigner).
//
// Invariants:
//
//  1. A token is judged by the algorithm of the key that its kid names, never by the one that it names itself: those
//     two must be the same. So no public key is ever taken for a secret, and there is no token without a signature.
//  2. Nothing is parsed of what is longer than MaxToken.
//  3. What is not understood is refused: a critical header parameter, a claim of ours in a form that we do not know, a
//     claim twice.
//  4. A clock may be wrong by Skew, to either side.
package playback
