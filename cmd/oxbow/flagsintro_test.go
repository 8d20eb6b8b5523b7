package main

// configIntro is what docs/flags.md says of the configuration file. TestConfigExamplesLoad reads the examples.
const configIntro = `## The configuration file

A key is a flag's name without its dashes, a value is written as on the command line. Lists are one text with commas; a text
that begins with a colon, or has one in it, wants quotes. The file may have keys of other commands than the one that reads it, so
that all processes of a machine can share one. Each process reads it once, at its start. Keep secrets out
of it, for whoever copies it to a colleague copies them too: OXBOW_CATALOG_FILE, and so on, names a file that has the value.

` + "```yaml" + `
http: ":80"
archive: "s3://shows/live?region=eu-central-1"
archive-parallel: 4
cache-size: 1GiB
min-free: 10%
` + "```" + `

Whole files: [serve](examples/serve.yaml), [ingest](examples/ingest.yaml), [edge](examples/edge.yaml). Units: durations
are like ` + "`90s` or `1h30m`" + `; sizes like ` + "`500MiB` or `500GiB`" + `; rates of media like ` + "`10G`" + ` are bits a
second; shares like ` + "`10%`" + `. An address without a host (` + "`:80`" + `) is every address of the machine.

`
