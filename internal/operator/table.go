package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// table says how a list is shown.
type table struct {
	// columns are "HEAD=field"; a field is a path with dots, or several joined by slashes. A + before it is for --wide.
	// A ~ before the field is for times of day that are shown as how long ago: for eyes, in few columns.
	columns []string
	id      func(object) string
	// whole lists have no pages.
	whole bool
}

// Paging is the flags of a list.
type Paging struct {
	Limit int  `name:"limit" default:"50" placeholder:"N" help:"Most items to print (default: ${default})."`
	All   bool `name:"all" help:"Print all items, however many."`
}

const (
	defaultPage = 50  // items of a page that is not asked for a number
	maxPage     = 500 // that every list allows
)

// page is one page of a list.
type page struct {
	Items       []json.RawMessage `json:"items"`
	Next        string            `json:"next"`
	Unreachable []string          `json:"unreachable"`
}

// list prints the items of a list, page by page.
func (c *Call) list(path string, query url.Values, paging Paging, t table) error {
	if paging.Limit < 1 {
		return usage("--limit %d: use 1 or more, or --all", paging.Limit)
	}
	out := c.newRows(t)
	left := paging.Limit
	for cursor := ""; ; {
		p, err := c.page(path, query, cursor, paging, left, t)
		if err != nil {
			return err
		}
		if cursor == "" && len(p.Items) == 0 && p.Next == "" {
			if err := c.nobody(query); err != nil {
				return err
			}
		}
		items := p.Items
		if !paging.All {
			items = items[:min(left, len(items))]
		}
		left -= len(items)
		if err := out.write(items); err != nil {
			return err
		}
		if len(p.Unreachable) > 0 {
			c.warn("no answer from %s: what they know is missing", clean(strings.Join(p.Unreachable, ", "), maxText))
		}
		more := p.Next != "" || len(items) < len(p.Items)
		if !more || !paging.All && left == 0 {
			if err := out.end(); err != nil {
				return err
			}
			if more {
				c.note("There are more: use --limit N or --all.")
			}
			return nil
		}
		if p.Next == cursor {
			return fmt.Errorf("GET %s: the list does not go on behind its cursor %q", path, clean(cursor, maxCell))
		}
		cursor = p.Next
	}
}

// nobody gives the API's error if a list is empty because there is no such publisher or stream: whoever mistyped a name
// is to learn that. What a stream left behind outlives it, so only lists of nothing are asked about.
func (c *Call) nobody(query url.Values) error {
	publisher, stream := query.Get("publisher"), query.Get("stream")
	if publisher == "" {
		return nil
	}
	path := place("/v1/publishers/", publisher)
	if stream != "" {
		path = place("/v1/publishers/", publisher, "/streams/", stream)
	}
	_, err := c.do(Request{Method: http.MethodGet, Path: path})
	var refused *APIError
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return err
	}
	return nil // a token that may list, but not look, or an API that went away since
}

func (c *Call) page(path string, query url.Values, cursor string, paging Paging, left int, t table) (page, error) {
	q := url.Values{}
	for name, values := range query {
		q[name] = values
	}
	size := min(left, maxPage)
	if paging.All {
		size = maxPage
	}
	if !t.whole && size != defaultPage {
		q.Set("limit", strconv.Itoa(size))
	}
	if cursor != "" {
		q.Set("cursor", cursor)
	}
	var p page
	answer, err := c.do(Request{Method: http.MethodGet, Path: path, Query: q})
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal(answer, &p); err != nil {
		return p, errors.Join(errShape, err)
	}
	return p, nil
}

// warn tells what is missing from the data, on stderr, also beside JSON.
func (c *Call) warn(format string, args ...any) {
	_, _ = fmt.Fprintf(c.process.Stderr, "oxbow: "+format+"\n", args...)
}

// rows prints the items of a list. Columns are as wide as a page of them needs, so that --all holds one page at a time.
type rows struct {
	call  *Call
	table table
	heads []string
	paths []string
	wrote bool
}

func (c *Call) newRows(t table) *rows {
	r := &rows{call: c, table: t}
	for _, spec := range t.columns {
		spec, wide := strings.CutPrefix(spec, "+")
		if wide && !c.Wide {
			continue
		}
		head, path, _ := strings.Cut(spec, "=")
		r.heads, r.paths = append(r.heads, head), append(r.paths, path)
	}
	return r
}

func (r *rows) write(items []json.RawMessage) error {
	out := r.call.process.Stdout
	if r.call.JSON {
		for _, item := range items {
			before := ",\n"
			if !r.wrote {
				before, r.wrote = "[\n", true
			}
			if _, err := fmt.Fprintf(out, "%s%s", before, item); err != nil {
				return err
			}
		}
		return nil
	}
	objects := make([]object, 0, len(items))
	for _, item := range items {
		o, err := decodeObject(item)
		if err != nil {
			return errors.Join(errShape, err)
		}
		objects = append(objects, o)
	}
	return r.show(objects)
}

// show writes rows for people, with the head before the first.
func (r *rows) show(objects []object) error {
	w := tabwriter.NewWriter(r.call.process.Stdout, 0, 8, 2, ' ', 0)
	if !r.wrote && !r.call.Quiet {
		r.wrote = true
		_, _ = fmt.Fprintln(w, strings.Join(r.heads, "\t")) // Flush gives the error
	}
	for _, o := range objects {
		if r.call.Quiet {
			_, _ = fmt.Fprintln(w, clean(r.table.id(o), maxText))
			continue
		}
		cells := make([]string, len(r.paths))
		for i, path := range r.paths {
			limit := 60
			if r.call.Wide || i == len(r.paths)-1 {
				limit = maxCell
			}
			path, ago := strings.CutPrefix(path, "~")
			if ago && !r.call.Wide {
				cells[i] = shortAge(o.text(path), time.Now())
				continue
			}
			cells[i] = cell(o, path, limit)
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	return w.Flush()
}

// cell gives what a column shows of a thing, in at most limit bytes.
func cell(o object, path string, limit int) string {
	var parts []string
	for name := range strings.SplitSeq(path, "/") {
		if value := o.get(name); value != nil && value != "" || !strings.Contains(path, "/") {
			parts = append(parts, human(name, value))
		}
	}
	if len(parts) == 0 {
		return "-"
	}
	return clean(strings.Join(parts, "/"), limit)
}

// shortAge says how far from now a time is, in one unit; the day where that is far.
func shortAge(text string, now time.Time) string {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return "-"
	}
	const day = 24 * time.Hour
	d := now.Sub(t)
	var span string
	switch a := d.Abs(); {
	case a < time.Second:
		return "now"
	case a < 2*time.Minute:
		span = fmt.Sprintf("%ds", a/time.Second)
	case a < 2*time.Hour:
		span = fmt.Sprintf("%dm", a/time.Minute)
	case a < 2*day:
		span = fmt.Sprintf("%dh", a/time.Hour)
	case a < 100*day:
		span = fmt.Sprintf("%dd", a/day)
	default:
		return t.Local().Format(time.DateOnly)
	}
	if d < 0 {
		return "in " + span
	}
	return span + " ago"
}

func (r *rows) end() error {
	if !r.call.JSON {
		return nil
	}
	text := "\n]\n"
	if !r.wrote {
		text = "[]\n"
	}
	_, err := io.WriteString(r.call.process.Stdout, text)
	return err
}

// showAll prints every field of a thing, a line each.
func showAll(out io.Writer, o object) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	writeFields(w, "", o)
	return w.Flush()
}

func writeFields(w io.Writer, prefix string, o object) {
	hasSettings := o.get("reconnect_window") != nil
	for _, f := range o {
		name := clean(prefix+f.name, maxCell) // the whole: each line is as wide as the longest
		switch v := f.value.(type) {
		case object:
			if len(v) > 0 {
				writeFields(w, name+".", v)
				continue
			}
		case []any:
			if things, ok := objects(v); ok {
				for i, thing := range things {
					writeFields(w, name+"."+strconv.Itoa(i)+".", thing)
				}
				continue
			}
		}
		if text, ok := f.value.(string); ok && strings.HasPrefix(text, "-----BEGIN ") {
			_, _ = fmt.Fprintf(w, "%s\n%s\n", name, lines(text)) // to be copied as it is
			continue
		}
		text := human(name, f.value)
		if moment, ok := f.value.(string); ok && isMoment(name) {
			text += relative(moment)
		}
		if hasSettings {
			text += whatZeroIs(f)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\n", name, text) // Flush gives the error
	}
}

// objects gives a list that has objects alone, and at least one.
func objects(list []any) ([]object, bool) {
	var all []object
	for _, item := range list {
		o, ok := item.(object)
		if !ok {
			return nil, false
		}
		all = append(all, o)
	}
	return all, len(all) > 0
}

// relative says how far from now a time is, with a blank before; nothing where the text is no time.
func relative(text string) string {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return ""
	}
	d := time.Since(t)
	switch {
	case d.Abs() > 10000*time.Hour:
		return ""
	case d.Abs() < time.Second:
		return " (now)"
	case d < 0:
		return " (in " + humanSpan(-d) + ")"
	}
	return " (" + humanSpan(d) + " ago)"
}
