package media

import "time"

// ReplyClaim is somebody's wish to answer a request that came with an idempotency key.
type ReplyClaim struct {
	// Hash is of who asked and of the key, Fingerprint of the request.
	Hash        string
	Fingerprint string
	// ID is unique: it tells this claim from one that follows when its lease has ended.
	ID    string
	Lease time.Duration
	// Keep is how long the answer is kept.
	Keep time.Duration
}
