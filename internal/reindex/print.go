package reindex

import (
	"fmt"
	"io"
	"strings"
)

// maxItems is the most items of a list that are printed; the JSON has all.
const maxItems = 50

// Print writes the report for people, with the API calls that make what the catalog lacks.
func (r *Report) Print(w io.Writer) error {
	b := &strings.Builder{}
	would := ""
	if r.DryRun {
		would = "would be "
	}
	fmt.Fprintf(b, "storage: %d recordings in the cluster's directory, %d in the archive\n", r.Local, r.Archived)
	fmt.Fprintf(b, "rows: %d %sadded, %d %schanged, %d left as they are\n", r.Added, would, r.Changed, would, r.Left)
	list := func(title string, items []Item) {
		if len(items) == 0 {
			return
		}
		fmt.Fprintf(b, "\n%d %s\n", len(items), title)
		for i, item := range items {
			if i == maxItems {
				fmt.Fprintf(b, "  and %d more: see --json\n", len(items)-i)
				break
			}
			fmt.Fprintf(b, "  %s: %s\n", item.Recording, item.Reason)
		}
	}
	list("still grow, and were left to their nodes", r.Growing)
	list("are damaged, see `oxbow inspect`", r.Damaged)
	list("were left", r.Others)
	if len(r.Publishers)+len(r.Streams) > 0 {
		b.WriteString("\nThe catalog lacks these. Their settings, keys and tokens are not on storage; make them with:\n")
		call := func(path, name string) {
			fmt.Fprintf(b, "  curl -X POST \"$OXBOW/v1/publishers%s\" -H \"Authorization: Bearer $TOKEN\" "+
				"-H 'Content-Type: application/json' "+
				"-d '{\"name\": \"%s\"}'\n", path, name)
		}
		for _, name := range r.Publishers {
			call("", name)
		}
		for _, s := range r.Streams {
			call("/"+s.Publisher+"/streams", s.Stream)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
