package api

// exampleBodies are the bodies that docs/rest.md shows, by operation. "{}" is where every field may be left out.
func exampleBodies() map[string]string {
	return map[string]string{
		"create-publisher": `{"name":"acme","archive_delay":"10m","retention":"720h"}`,
		"change-publisher": `{"retention":"2160h","reset":["archive_delay"]}`,
		"create-stream":    `{"name":"show","latency":"low"}`,
		"change-stream":    `{"dvr_window":"10m"}`,
		"create-key":       `{"label":"truck","expires_at":"2027-06-30T00:00:00Z"}`,
		"rotate-key":       `{"grace":"1h"}`,
		"put-source":       `{"url":"https://example.com/live/index.m3u8","mode":"on_demand"}`,
		"switch-feed":      `{"feed":"primary"}`,
		"add-event":        `{"id":"ad-1","class":"com.example.ad","duration_s":30}`,
		"complete-event":   `{"duration_s":15}`,
		"change-recording": `{"keep":true,"labels":{"league":"first"}}`,
		"create-clip":      `{"start":90.5,"end":120,"name":"goal"}`,

		"create-playback-key":   `{"label":"our site"}`,
		"create-playback-token": `{"stream":"show","expires_in":"2h"}`,
		"create-webhook": `{"publisher":"acme","url":"https://example.com/hooks/oxbow",` +
			`"events":["recording.archived"]}`,
		"update-webhook":    `{"enabled":false}`,
		"rotate-webhook":    `{"overlap":"24h"}`,
		"replay-events":     `{"since":"2026-11-20T00:00:00Z"}`,
		"create-token":      `{"label":"acme studio","publisher":"acme","scopes":["write"]}`,
		"put-steering-rule": `{"choices":[{"region":"eu"}],"reason":"fibre cut"}`,
	}
}
