package main

// dashboards are all of them, in the order in which they link to each other.
func dashboards() []dashboard {
	return []dashboard{overview(), ingest(), archiver(), edge(), api()}
}

var (
	// some is a threshold for what should not be at all.
	some = []threshold{{1, "red"}}
	// few warns of what should not be.
	few = []threshold{{1, "orange"}}
	// full has the marks of the recordings' volume.
	full = []threshold{{0.85, "yellow"}, {0.90, "orange"}, {0.95, "red"}}
	// errs is for shares of answers.
	errs = []threshold{{0.01, "orange"}, {0.05, "red"}}
)

func overview() dashboard {
	return dashboard{
		role: "overview", title: "Oxbow: overview", about: "Whether all is well, and where to look if not.",
		job: "ingest|archiver|edge|api",
		rows: []row{
			{"Now", []panel{
				{title: "Alerts", about: "Alerts that somebody should look at.", unit: "none", stat: true, thresholds: some,
					queries: []query{{
						`count(ALERTS{alertname=~"Oxbow.*", alertstate="firing", severity=~"critical|warning"}) or vector(0)`,
						"",
					}}},
				{title: "Processes away", about: "Processes that Prometheus does not reach.", unit: "none", stat: true,
					thresholds: some, runbook: "target-down",
					queries: []query{{`count(up{$of} == 0) or vector(0)`, ""}}},
				{title: "Live streams", about: "Shows with a publisher.", unit: "none", stat: true,
					queries: []query{{`sum(oxbow_packager_shows{$of, state="live"})`, ""}}},
				{title: "Interrupted", about: "Shows that wait for their publisher.", unit: "none", stat: true, thresholds: few,
					runbook: "stream-interrupted",
					queries: []query{{`sum(oxbow_packager_shows{$of, state="interrupted"})`, ""}}},
				{title: "Viewers", about: "Viewers at all edges.", unit: "none", stat: true,
					queries: []query{{`sum(oxbow_viewing_viewers{$of})`, ""}}},
				{title: "Not recorded", about: "Shows whose recording fails.", unit: "none", stat: true, thresholds: some,
					runbook: "recording-fails", queries: []query{{`sum(oxbow_packager_degraded_shows{$of})`, ""}}},
			}},
			{"Streams and viewers", []panel{
				{title: "Streams", about: "How many shows there are, by cluster and state.", unit: "none", stacked: true,
					queries: []query{{`sum by (cluster, state) (oxbow_packager_shows{$of})`, "{{cluster}} {{state}}"}}},
				{title: "Viewers", about: "Where the viewers are.", unit: "none", stacked: true,
					queries: []query{{`sum by (instance) (oxbow_viewing_viewers{$of})`, "{{instance}}"}}},
				{title: "Sent to viewers", about: "How much each edge sends.", unit: "Bps", stacked: true,
					queries: []query{{
						`sum by (instance) (rate(oxbow_cacheproxy_sent_bytes_total{$of}[$__rate_interval]))`,
						"{{instance}}",
					}}},
				{title: "Errors", about: "Which share of answers is a 5xx.",
					unit: "percentunit", thresholds: errs, runbook: "edge-errors",
					queries: []query{{`oxbow:edge_errors:ratio5m{instance=~"$instance"}`, "{{instance}}"}}},
			}},
			{"Stores", []panel{
				{title: "Volume used", about: "How full each cluster's volume is: at 85, 90 and 95 % it is relieved more and more.",
					unit: "percentunit", thresholds: full, runbook: "disk-watermark",
					queries: []query{{`max by (cluster) (oxbow_archiver_volume_used_ratio{$of})`, "{{cluster}}"}}},
				{title: "Archive lag", about: "How long the oldest recording has been due for the archive.", unit: "s",
					thresholds: []threshold{{1800, "orange"}}, runbook: "archive-lag",
					queries: []query{{
						`max by (cluster) (oxbow_archiver_oldest_due_seconds{$of, action="archive"})`,
						"{{cluster}}",
					}}},
				{title: "Registry and catalog", about: "Whether Redis and SQL answer each process.", unit: "none",
					runbook: "registry-away",
					queries: []query{{`min by (dependency, job) (oxbow_dependency_up{$of})`, "{{dependency}} from {{job}}"}}},
				{title: "Versions", about: "What runs.", unit: "none", stacked: true,
					queries: []query{{`count by (version, commit) (oxbow_build_info{$of})`, "{{version}} {{commit}}"}}},
			}},
		},
	}
}

// latency is how long the registry and the catalog take to answer.
const latency = "histogram_quantile(0.95, " +
	"sum by (dependency, le) (rate(oxbow_dependency_ping_duration_seconds_bucket{$of}[5m])))"

// tokens tells of requests to --internal that did not show the cluster's token.
func tokens() panel {
	return panel{
		title: "Cluster token", about: "Requests to --internal that were refused, let in without a token, or held back.",
		unit: "reqps", runbook: "cluster-token",
		queries: []query{
			{
				`sum by (instance, token) (rate(oxbow_internal_refused_total{$of}[$__rate_interval]))`,
				"{{instance}} refuses: {{token}}",
			},
			{`rate(oxbow_internal_tokenless_total{$of}[$__rate_interval])`, "{{instance}} lets in without"},
			{`rate(oxbow_internal_delayed_total{$of}[$__rate_interval])`, "{{instance}} holds back"},
		},
	}
}

// process is the row that every role has.
func process() row {
	return row{"Process", []panel{
		{title: "Processor", about: "Cores in use.", unit: "none",
			queries: []query{{`rate(process_cpu_seconds_total{$of}[$__rate_interval])`, "{{instance}}"}}},
		{title: "Memory", about: "What the process holds, and the Go heap of it.", unit: "bytes",
			queries: []query{
				{`process_resident_memory_bytes{$of}`, "{{instance}}"},
				{`go_memstats_heap_inuse_bytes{$of}`, "{{instance}} heap"},
			}},
		{title: "Goroutines and files", about: "What grows where something leaks.", unit: "none",
			queries: []query{
				{`go_goroutines{$of}`, "{{instance}} goroutines"}, {`process_open_fds{$of}`, "{{instance}} files"},
			}},
		{title: "Ready", about: "Whether it can do its work.", unit: "none", runbook: "not-ready",
			queries: []query{{`oxbow_node_ready{$of}`, "{{instance}}"}}},
	}}
}
