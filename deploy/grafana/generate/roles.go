package main

func ingest() dashboard {
	return dashboard{
		role: "ingest", title: "Oxbow: ingest", about: "Publishers, what is packaged of them, and their leases.",
		job: "ingest", clusters: true,
		rows: []row{
			{"Publishers", []panel{
				{title: "Sessions", about: "Who is connected: live, standing by, sources by state.", unit: "none", stacked: true,
					queries: []query{
						{`sum(oxbow_ingest_publishers{$of})`, "live"}, {`sum(oxbow_ingest_standbys{$of})`, "standby"},
						{`sum by (state) (oxbow_ingest_sources{$of})`, "source {{state}}"},
					}},
				{title: "Shows", about: "How many are live, and how many wait for their publisher.", unit: "none", stacked: true,
					runbook: "stream-interrupted",
					queries: []query{{`sum by (state) (oxbow_packager_shows{$of})`, "{{state}}"}}},
				{title: "Interruptions", about: "How often publishers are lost, and how long the longest has been away.",
					unit:    "none",
					runbook: "many-streams-interrupted",
					queries: []query{
						{`sum by (instance) (increase(oxbow_packager_interruptions_total{$of}[5m]))`, "{{instance}} in 5 min"},
						{`oxbow_packager_longest_interruption_seconds{$of}`, "{{instance}} longest, s"},
					}},
				{title: "Refused", about: "Who was not let in, and why.", unit: "none", runbook: "ingest-refusing",
					queries: []query{{`sum by (reason) (increase(oxbow_ingest_refused_total{$of}[5m]))`, "{{reason}}"}}},
				{title: "Received", about: "What comes, by protocol.", unit: "Bps", stacked: true,
					queries: []query{{
						`sum by (protocol) (rate(oxbow_ingest_received_bytes_total{$of}[$__rate_interval]))`,
						"{{protocol}}",
					}}},
				{title: "Warnings", about: "What encoders should do better.",
					unit: "none", stacked: true, runbook: "encoder-warnings",
					queries: []query{{`sum by (code) (oxbow_ingest_warnings{$of})`, "{{code}}"}}},
				{title: "SRT packets lost", about: "What lines lose, and what is missing in the end.", unit: "pps",
					queries: []query{{
						`sum by (what) (rate(oxbow_ingest_srt_packets_total{$of, what=~"lost|missing|overflow"}[$__rate_interval]))`,
						"{{what}}",
					}}},
				{title: "Repairs", about: "Faults of streams that were made good.", unit: "none",
					queries: []query{{`sum by (what) (increase(oxbow_ingest_repairs_total{$of}[5m]))`, "{{what}}"}}},
			}},
			{"Recording", []panel{
				{title: "Not recorded", about: "Shows that go on from memory because the volume fails.",
					unit: "none", thresholds: few,
					runbook: "recording-fails", queries: []query{{`oxbow_packager_degraded_shows{$of}`, "{{instance}}"}}},
				{title: "Lost segments", about: "Segments that recordings lack.",
					unit: "none", thresholds: few, runbook: "recording-gap",
					queries: []query{{`increase(oxbow_packager_lost_segments_total{$of}[5m])`, "{{instance}}"}}},
				{title: "Segments", about: "What is made, by kind.", unit: "ops",
					queries: []query{{`sum by (kind) (rate(oxbow_packager_segments_total{$of}[$__rate_interval]))`, "{{kind}}"}}},
				{title: "Storage errors", about: "Failures of the recording log and of rows.",
					unit: "none", runbook: "recording-fails",
					queries: []query{
						{`sum by (instance) (increase(oxbow_packager_storage_errors_total{$of}[5m]))`, "{{instance}} log"},
						{`sum by (instance) (increase(oxbow_packager_save_errors_total{$of}[5m]))`, "{{instance}} rows"},
					}},
			}},
			{"Ownership and services", []panel{
				{title: "Leases", about: "Streams that each node owns.", unit: "none", stacked: true,
					queries: []query{{`oxbow_leases_held{$of}`, "{{instance}}"}}},
				{title: "Lease changes", about: "What becomes of leases: many lost ones are churn.",
					unit: "none", runbook: "lease-churn",
					queries: []query{{`sum by (change) (increase(oxbow_leases_changes_total{$of}[5m]))`, "{{change}}"}}},
				{title: "Latency of registry and catalog", about: "How fast they answer, in 95 % of the cases.", unit: "s",
					runbook: "registry-away",
					queries: []query{{
						latency,
						"{{dependency}}",
					}}},
				{title: "Beats that failed", about: "Heartbeats that the registry did not take.",
					unit: "none", runbook: "registry-away",
					queries: []query{{`increase(oxbow_leases_failed_beats_total{$of}[5m])`, "{{instance}}"}}},
			}},
			{"Origin", []panel{
				{title: "Requests", about: "What edges ask, by status.", unit: "reqps", stacked: true, runbook: "origin-errors",
					queries: []query{{`sum by (status) (rate(oxbow_origin_requests_total{$of}[$__rate_interval]))`, "{{status}}"}}},
				{title: "Waiting", about: "Requests held until a part is there, and readings that the volume is late with.",
					unit:    "none",
					runbook: "volume-stalled",
					queries: []query{
						{`sum by (instance) (oxbow_origin_waiters{$of})`, "{{instance}} held"},
						{`sum by (instance) (oxbow_origin_late_readings{$of})`, "{{instance}} late readings"},
					}},
				tokens(),
			}},
			process(),
		},
	}
}

func archiver() dashboard {
	return dashboard{
		role: "archiver", title: "Oxbow: archiver", about: "What becomes of recordings, the archive, and the volume.",
		job: "archiver", clusters: true,
		rows: []row{
			{"Archive", []panel{
				{title: "Oldest due", about: "How late the archiver is, by what is to be done.", unit: "s",
					thresholds: []threshold{{1800, "orange"}}, runbook: "archive-lag",
					queries: []query{{
						`max by (cluster, action) (oxbow_archiver_oldest_due_seconds{$of})`,
						"{{cluster}} {{action}}",
					}}},
				{title: "Archive works", about: "Whether each store is of use.", unit: "none", runbook: "archive-down",
					queries: []query{{`min by (cluster, archive) (oxbow_archiver_archive_up{$of})`, "{{cluster}} {{archive}}"}}},
				{title: "Actions", about: "What was done, and how it went.", unit: "none",
					queries: []query{{
						`sum by (action, result) (increase(oxbow_archiver_actions_total{$of}[5m]))`,
						"{{action}} {{result}}",
					}}},
				{title: "Stored", about: "What is sent into the archive.", unit: "Bps", stacked: true,
					queries: []query{{
						`sum by (instance) (rate(oxbow_archiver_stored_bytes_total{$of}[$__rate_interval]))`,
						"{{instance}}",
					}}},
				{title: "Under way", about: "Actions under way, and publishers that wait for their turn.", unit: "none",
					queries: []query{
						{`sum by (instance) (oxbow_archiver_busy{$of})`, "{{instance}} busy"},
						{`sum by (instance, lane) (oxbow_archiver_waiting_publishers{$of})`, "{{instance}} waits to {{lane}}"},
					}},
				{title: "Uploads of live shows", about: "How far continuous uploads are behind their shows.", unit: "s",
					queries: []query{{`max by (instance) (oxbow_archiver_growing_lag_seconds{$of})`, "{{instance}}"}}},
			}},
			{"Volume", []panel{
				{title: "Used", about: "How full the volume is.",
					unit: "percentunit", thresholds: full, runbook: "disk-watermark",
					queries: []query{{`max by (cluster) (oxbow_archiver_volume_used_ratio{$of})`, "{{cluster}}"}}},
				{title: "Watermark", about: "The rung: 2 archives early, 3 drops archived copies, 4 refuses new shows.",
					unit:       "none",
					thresholds: []threshold{{2, "yellow"}, {3, "orange"}, {4, "red"}}, runbook: "disk-watermark",
					queries: []query{{`max by (cluster) (oxbow_archiver_pressure_level{$of})`, "{{cluster}}"}}},
				{title: "Stalled", about: "Whether the volume answers.",
					unit: "none", thresholds: some, runbook: "volume-stalled",
					queries: []query{{`max by (cluster) (oxbow_archiver_volume_stalled{$of})`, "{{cluster}}"}}},
				{title: "Hastened", about: "Recordings that the watermark made due early.",
					unit: "none", runbook: "disk-watermark",
					queries: []query{{
						`sum by (cluster, action) (increase(oxbow_archiver_hastened_recordings_total{$of}[5m]))`,
						"{{cluster}} {{action}}",
					}}},
			}},
			{"Retention and recovery", []panel{
				{title: "Since retention succeeded", about: "How long ago bounds were judged last.", unit: "s",
					thresholds: []threshold{{3600, "orange"}}, runbook: "retention-stalled",
					queries: []query{{
						`time() - max by (cluster) (oxbow_archiver_retention_last_success_seconds{$of})`,
						"{{cluster}}",
					}}},
				{title: "Orphans", about: "Growing recordings that nobody owns.", unit: "none",
					queries: []query{{`max by (cluster) (oxbow_archiver_orphans{$of})`, "{{cluster}}"}}},
				{title: "Recovered", about: "Recordings that were ended in their owners' place.", unit: "none",
					queries: []query{{`sum by (kind) (increase(oxbow_archiver_recovered_recordings_total{$of}[1h]))`, "{{kind}}"}}},
				{title: "Damaged, repaired", about: "Recordings archived with damage, and archives found incomplete.",
					unit: "none",
					queries: []query{
						{`sum(increase(oxbow_archiver_damaged_recordings_total{$of}[1h]))`, "damaged"},
						{`sum(increase(oxbow_archiver_repaired_archives_total{$of}[1h]))`, "repaired"},
					}},
			}},
			process(),
		},
	}
}

func api() dashboard {
	return dashboard{
		role: "api", title: "Oxbow: API", about: "REST API, directory, event feed and webhooks.", job: "api",
		rows: []row{
			{"Requests", []panel{
				{title: "Requests", about: "What is asked, by status.", unit: "reqps", stacked: true, runbook: "api-errors",
					queries: []query{{`sum by (status) (rate(oxbow_api_requests_total{$of}[$__rate_interval]))`, "{{status}}"}}},
				{title: "Slowest routes", about: "How long answers take, in 95 % of the cases.", unit: "s",
					queries: []query{{
						`topk(8, histogram_quantile(0.95, sum by (route, le) (rate(oxbow_api_request_seconds_bucket{$of}[5m]))))`,
						"{{route}}",
					}}},
				{title: "Errors by route", about: "Which routes answer 5xx.", unit: "reqps", runbook: "api-errors",
					queries: []query{{
						`sum by (route) (rate(oxbow_api_requests_total{$of, status=~"5.."}[$__rate_interval]))`,
						"{{route}}",
					}}},
				{title: "Audit rows lost", about: "Changes that no audit log has.",
					unit: "none", thresholds: some, runbook: "audit-lost",
					queries: []query{{`increase(oxbow_api_audit_lost_total{$of}[15m])`, "{{instance}}"}}},
			}},
			{"Edges and events", []panel{
				{title: "Edges that follow", about: "Edges on the event stream of each process.", unit: "none", stacked: true,
					runbook: "edge-events-lost",
					queries: []query{{`oxbow_api_event_streams{$of}`, "{{instance}}"}}},
				{title: "Steering", about: "Edges that viewers are steered to, and not.", unit: "none", runbook: "edge-unlisted",
					queries: []query{{`max by (state) (oxbow_api_steering_edges{$of})`, "{{state}}"}}},
				{title: "Event log", about: "What happened, by type.", unit: "none",
					queries: []query{{`sum by (type) (increase(oxbow_api_log_events_total{$of}[5m]))`, "{{type}}"}}},
				{title: "Followers of the log", about: "Who follows, and who was cut for being slow.", unit: "none",
					queries: []query{
						{`sum(oxbow_api_log_followers{$of})`, "followers"},
						{`sum(increase(oxbow_api_log_followers_cut_total{$of}[5m]))`, "cut"},
					}},
			}},
			{"Webhooks", []panel{
				{title: "Oldest waiting", about: "How late deliveries are.",
					unit: "s", thresholds: []threshold{{1800, "orange"}},
					runbook: "webhook-backlog",
					queries: []query{{`max(oxbow_webhook_oldest_waiting_seconds{$of})`, "oldest"}}},
				{title: "Tries", about: "What came of deliveries.", unit: "none", runbook: "webhook-backlog",
					queries: []query{{`sum by (result) (increase(oxbow_webhook_tries_total{$of}[5m]))`, "{{result}}"}}},
			}},
			{"Services", []panel{
				{title: "Latency of registry and catalog", about: "How fast they answer, in 95 % of the cases.", unit: "s",
					runbook: "catalog-away",
					queries: []query{{
						latency,
						"{{dependency}}",
					}}},
				{title: "Without an answer", about: "How often they did not.", unit: "none", runbook: "catalog-away",
					queries: []query{{
						`sum by (dependency) (increase(oxbow_dependency_failures_total{$of}[5m]))`,
						"{{dependency}}",
					}}},
				tokens(),
			}},
			process(),
		},
	}
}
