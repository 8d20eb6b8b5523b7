package api

// operationTexts says of each operation what its summary has no room for.
func operationTexts() map[string]string {
	return map[string]string{
		"create-publisher": "Makes a tenant. Settings that are not given are the defaults.",
		"list-publishers":  "In order of name, with the settings in force.",
		"get-publisher":    "With the settings in force; the ETag is for If-Match.",
		"change-publisher": "Sets what is given and leaves the rest. It is in force for streams that do not set it " +
			"themselves, also for what is recorded already. dry_run shows what would become due.",
		"create-stream": "The answer holds the first stream key, this once. Settings that are not given are the " +
			"publisher's.",
		"list-streams":    "In order of name, with the settings in force.",
		"get-stream":      "With the settings in force, and which of them are its own; the ETag is for If-Match.",
		"change-stream":   "Sets what is given and leaves the rest. dry_run shows what would become due.",
		"delete-stream":   "Ends its connection too. Only one without recordings; 409 says what it has.",
		"create-key":      "A stream may have several keys, so that one can take another's place. Each is shown once.",
		"list-keys":       "All but the keys themselves, the oldest first.",
		"revoke-key":      "Nobody can publish with it from now on; whoever does is cut off.",
		"get-source":      "Secrets in the URL read redacted.",
		"delete-source":   "Nothing is fetched any more; the show that it brings ends.",
		"list-sessions":   "Each with what its stream is made of and how it arrives.",
		"get-session":     "What the stream is made of, how it arrives, and warnings with what to do.",
		"end-session":     "The stream's key stays good: revoke it, to keep the encoder away.",
		"get-event":       "As it stands in the show's playlists.",
		"list-recordings": "Newest first, or in another order. The cursor of a page is of that order alone.",
		"get-recording":   "A deleted one answers 410 for ever.",
		"change-recording": "Sets what is given and leaves the rest; labels are replaced together. To hold a recording " +
			"keeps it from retention and deletion until it is let go.",
		"delete-recording": "It answers 410 from now on, and its bytes go soon after. What is live, being archived or held " +
			"is refused with 409.",
		"delete-recordings": "Those that the filter selects, the oldest first; the answer says which were left and why. " +
			"At least one filter must be given.",
		"create-clip": "A recording of its own, of whole segments, at once. Its media goes on when that of the other " +
			"recording goes.",
		"list-clips":     "Also those of a recording that was deleted.",
		"list-retention": "By the settings in force, the first due first; what a hold delays is listed as held.",
		"get-listing":    "Needs no token: what the publishers and streams with the setting listed have to show.",
		"get-node":       "With its load, and whether it is giving its streams up.",
		"rotate-key": "The answer holds the new key, this once. The old one works until the grace is over; without one it " +
			"is revoked at once.",
		"list-playback-keys": "All but their secrets, the oldest first.",
		"get-playback-key":   "All but its secret.",
		"create-playback-key": "The server makes a secret (HS256) or a pair (EdDSA) and shows it this once, or takes a " +
			"public key whose private one it never has.",
		"revoke-playback-key": "Edges that hear of it refuse its tokens at once, others within five seconds.",
		"create-playback-token": "Signed with a key whose secret the server has, the newest unless kid names one. The " +
			"answer has the URL that players open.",
		"list-webhooks": "The oldest first, each with whether its receiver takes what is sent.",
		"get-webhook":   "With whether its receiver takes what is sent, since when it does not, and the last error.",
		"update-webhook": "Sets what is given and leaves the rest. A URL that is set with the token of a publisher " +
			"reaches public addresses only.",
		"delete-webhook": "What waits for it is deleted too.",
		"rotate-webhook": "The answer holds the new secret, this once. The one before signs too until the overlap is over.",
		"list-tokens":    "All but the tokens themselves, with when each was last used, to the minute.",
		"get-token":      "Whose it is, what it may do, and when it was last used, to the minute.",
	}
}

// propertyTexts says what a property is that has the same name in many answers.
func propertyTexts() map[string]string {
	return map[string]string{
		"id": "Its id", "name": "Its name", "label": "Who has it: for people", "publisher": "The publisher's name",
		"stream": "The stream's name", "recording": "The recording's id", "cluster": "The cluster's name",
		"state": "Where it is in its life", "created_at": "When it was made", "updated_at": "When it was changed last",
		"started_at": "When it began", "ended_at": "When it ended; null while it goes on", "since": "When it began",
		"archived_at": "When the archive had all of it; null is not yet", "due": "When it is done", "bytes": "Its size",
		"total_bytes": "Bytes that the archive will have", "duration_ms": "Its length in milliseconds",
		"items": "The page", "next": "The cursor of the page that follows; empty on the last", "url": "Where it is",
		"dry_run": "Whether nothing was changed", "live": "Shows that are live", "mode": "When it is fetched",
		"enabled": "Whether it is in use", "kind": "What it is", "codec": "What it is coded with",
		"frames": "How many frames came",
		"count":  "How many there were", "transport": "How it is published", "draining": "Whether it gives its streams up",
		"load": "What it does, between 0 and 1 where that can be said", "version": "Its Oxbow version",
		"received_packets": "Packets that came", "undecrypted_packets": "Packets that could not be decrypted",
		"delete_bytes": "Their size", "drop_bytes": "Their size", "idle_timeout": "How long it goes on unwatched",
		"type": "What happened", "at": "When it happened", "reason": "Why", "expires_at": "When it ends; null is never",
		"last_used_at": "When it was used last; null is never", "title": "The status in words",
		"status": "The HTTP status", "detail": "What is wrong, and what to do", "scopes": "What it may do",
	}
}
