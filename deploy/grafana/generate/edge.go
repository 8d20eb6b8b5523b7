package main

func edge() dashboard {
	return dashboard{
		role: "edge", title: "Oxbow: edge", about: "Viewers, the cache, and those whom it asks.", job: "edge",
		rows: []row{
			{"Viewers", []panel{
				{title: "Viewers", about: "Viewers that are there.", unit: "none", stacked: true,
					queries: []query{{`oxbow_viewing_viewers{$of}`, "{{instance}}"}}},
				{title: "Sent", about: "What viewers get, and what the edge may send.",
					unit: "Bps", runbook: "edge-over-capacity",
					queries: []query{
						{`rate(oxbow_cacheproxy_sent_bytes_total{$of}[$__rate_interval])`, "{{instance}}"},
						{`oxbow_edge_capacity_bytes_per_second{$of} > 0`, "{{instance}} capacity"},
					}},
				{title: "Requests", about: "How requests were answered.", unit: "reqps", stacked: true,
					queries: []query{{
						`sum by (result) (rate(oxbow_cacheproxy_requests_total{$of}[$__rate_interval]))`,
						"{{result}}",
					}}},
				{title: "Hit ratio", about: "Which share of requests needed no fetch of its own.", unit: "percentunit",
					runbook: "edge-hit-ratio", queries: []query{{`oxbow:edge_hits:ratio5m{$of}`, "{{instance}}"}}},
				{title: "Errors", about: "Answers that were not what was asked for: 4xx are the requests' fault.", unit: "reqps",
					runbook: "edge-errors",
					queries: []query{{`sum by (class) (rate(oxbow_cacheproxy_errors_total{$of}[$__rate_interval]))`, "{{class}}"}}},
				{title: "Stalls", about: "Stalls for each hour that players with CMCD watched.", unit: "none",
					queries: []query{{
						"3600 * sum(rate(oxbow_viewing_stalls_total{$of}[15m]))" +
							" / sum(rate(oxbow_viewing_cmcd_watch_seconds_total{$of}[15m]))",
						"stalls an hour",
					}}},
			}},
			{"Cache", []panel{
				{title: "Memory", about: "What memory holds.", unit: "bytes",
					queries: []query{
						{`oxbow_cacheproxy_cache_bytes{$of}`, "{{instance}} live"},
						{`oxbow_blocks_held_bytes{$of}`, "{{instance}} archived"},
					}},
				{title: "Disk", about: "What the disk cache holds, and whether it fails.",
					unit: "bytes", runbook: "edge-disk-cache",
					queries: []query{
						{`oxbow_diskcache_bytes{$of}`, "{{instance}}"}, {`oxbow_diskcache_queue_bytes{$of}`, "{{instance}} waits"},
					}},
				{title: "Archived blocks", about: "How blocks of archived files were found.", unit: "ops",
					queries: []query{{`sum by (result) (rate(oxbow_blocks_lookups_total{$of}[$__rate_interval]))`, "{{result}}"}}},
				{title: "Disk cache errors", about: "Reads and writes that failed, and entries that did not verify.",
					unit:    "none",
					runbook: "edge-disk-cache",
					queries: []query{
						{`sum by (act) (increase(oxbow_diskcache_errors_total{$of}[5m]))`, "{{act}}"},
						{`sum(increase(oxbow_diskcache_corrupt_entries_total{$of}[5m]))`, "corrupt"},
					}},
			}},
			{"Upstreams", []panel{
				{title: "Fetches", about: "What is fetched, by kind.", unit: "reqps",
					queries: []query{{
						`sum by (kind) (rate(oxbow_cacheproxy_upstream_requests_total{$of}[$__rate_interval]))`,
						"{{kind}}",
					}}},
				{title: "Upstream faults", about: "What went wrong with nodes and archives, by how.",
					unit: "none", runbook: "edge-errors",
					queries: []query{{`sum by (fault) (increase(oxbow_upstream_faults_total{$of}[5m]))`, "{{fault}}"}}},
				{title: "Errors by upstream", about: "Who fails.", unit: "none", runbook: "edge-errors",
					queries: []query{{
						`sum by (upstream) (increase(oxbow_cacheproxy_upstream_errors_total{$of}[5m]))`,
						"{{upstream}}",
					}}},
				{title: "Upstreams that are out", about: "Upstreams that are asked last, since they failed.", unit: "none",
					queries: []query{{`oxbow_upstream_ejected{$of}`, "{{instance}}"}}},
			}},
			{"Directory", []panel{
				{title: "Events", about: "1 while the edge is told of every change.", unit: "none", runbook: "edge-events-lost",
					queries: []query{{`oxbow_cacheproxy_events_sure{$of}`, "{{instance}}"}}},
				{title: "Beats", about: "Whether a directory takes the edge's beats.", unit: "none", runbook: "edge-unlisted",
					queries: []query{{
						`sum by (instance, outcome) (increase(oxbow_edge_beats_total{$of}[1m]))`,
						"{{instance}} {{outcome}}",
					}}},
				{title: "Trouble", about: "1 while the edge wants its viewers to be elsewhere.", unit: "none",
					queries: []query{{`oxbow_edge_trouble{$of}`, "{{instance}}"}}},
				{title: "Certificates", about: "How long they last.", unit: "s", runbook: "certificate-expires",
					queries: []query{{`oxbow_https_certificate_expiry_timestamp_seconds{$of} - time()`, "{{instance}} {{name}}"}}},
				tokens(),
			}},
			process(),
		},
	}
}
