// Command generate writes Grafana's dashboards, so that all of them have the same variables, units, colours and links:
//
//	go run ./deploy/grafana/generate
//
// The panels are in the tables of this package; the JSON beside it is what Grafana is given, and is never edited.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", "deploy/grafana/dashboards", "where the dashboards are written")
	flag.Parse()
	for _, d := range dashboards() {
		if err := os.WriteFile(filepath.Join(*dir, d.file()), d.json(), 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
