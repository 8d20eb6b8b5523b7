package ingest

// Away is an error of a service without which nobody can publish, with what the publisher's user reads of it in the
// encoder: the error's own text may name hosts, and is for the log.
func Away(err error, say string) error {
	return &refusal{err: err, reason: "unavailable", code: codeDenied, srt: srtOverload, say: say}
}
