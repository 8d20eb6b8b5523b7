package reindex

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"strconv"
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
	list("are nowhere: deleted since the catalog's backup, or lost. `oxbow recording delete ID` takes them from it",
		r.Lost)
	if len(r.Publishers)+len(r.Streams) > 0 {
		b.WriteString("\nThe catalog lacks these. Their settings are those of the newest recordings, but for " +
			strings.Join(deleting(), ", ") + ", which delete: set them when all is back. Keys and tokens are not on " +
			"storage. Make them with:\n")
		call := func(path, name string, settings Settings) {
			body := maps.Clone(settings)
			if body == nil {
				body = Settings{}
			}
			body["name"] = json.RawMessage(strconv.Quote(name))
			text, err := json.Marshal(body)
			if err != nil {
				panic("BUG: settings are no JSON: " + err.Error())
			}
			fmt.Fprintf(b, "  curl -sS -X POST \"$OXBOW/v1/publishers%s\" -H \"Authorization: Bearer $TOKEN\" "+
				"-H 'Content-Type: application/json' "+
				"-d '%s'\n", path, strings.ReplaceAll(string(text), "'", `'\''`))
		}
		for _, name := range r.Publishers {
			call("", name, r.PublisherSettings[name])
		}
		for _, s := range r.Streams {
			call("/"+s.Publisher+"/streams", s.Stream, r.StreamSettings[s.String()])
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
