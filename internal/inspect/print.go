package inspect

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s\n", r.Source)
	if r.Recording != "" {
		fmt.Fprintf(b, "recording %s/%s/%s, %s, begun %s", r.Publisher, r.Stream, r.Recording, r.State,
			r.StartedAt.UTC().Format(time.RFC3339))
		if !r.EndedAt.IsZero() {
			fmt.Fprintf(b, ", ended %s", r.EndedAt.UTC().Format(time.RFC3339))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(b, "length %s, %s", span(r.Seconds), size(r.Bytes))
	if r.Seconds > 0 {
		fmt.Fprintf(b, ", %s on average", rate(int64(float64(r.Bytes)*8/r.Seconds)))
	}
	if r.Metadata > 0 {
		fmt.Fprintf(b, ", %d pieces of timed metadata", r.Metadata)
	}
	b.WriteByte('\n')
	for i := range r.Takes {
		r.Takes[i].print(b)
	}
	if len(r.Gaps) > 0 {
		b.WriteString("\ngaps and fillers\n")
		table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
		for _, g := range r.Gaps {
			kind, date := "gap", ""
			if g.Filler {
				kind = "filler"
			}
			if !g.Date.IsZero() {
				date = g.Date.UTC().Format(time.RFC3339)
			}
			_, _ = fmt.Fprintf(table, "  %s\ttake %d %s\tsegments %d-%d\tat %s\t%s\t%s\n",
				kind, g.Take, g.Track, g.From, g.To, span(g.Start), span(g.Seconds), date)
		}
		_ = table.Flush()
	}
	r.printFindings(b)
	_, err := io.WriteString(w, strings.Map(forTerminal, b.String()))
	return err
}

// forTerminal takes out what could move a terminal's cursor or set its title: names of files and answers of servers are
// others' words.
func forTerminal(r rune) rune {
	if r == '\n' || unicode.IsPrint(r) {
		return r
	}
	return unicode.ReplacementChar
}

func (t *Take) print(b *strings.Builder) {
	fmt.Fprintf(b, "\ntake %d", t.Number)
	if t.Epoch > 0 {
		fmt.Fprintf(b, ", epoch %d", t.Epoch)
	}
	if !t.StartedAt.IsZero() {
		fmt.Fprintf(b, ", begun %s", t.StartedAt.UTC().Format(time.RFC3339))
	}
	if !t.Sealed {
		b.WriteString(", not sealed")
	}
	fmt.Fprintf(b, ", tracks at most %.0f ms apart\n", t.Skew*1000)
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table,
		"  track\tcodec\tpicture\tsegments\tgaps\tfillers\tparts\tfrom\tlength\tsize\trate\tkey frames")
	for _, tr := range t.Tracks {
		picture, keys := "", ""
		if tr.Width > 0 {
			picture = fmt.Sprintf("%dx%d", tr.Width, tr.Height)
		}
		if tr.KeyMax > 0 {
			keys = fmt.Sprintf("every %.2f s, %.2f s at most", tr.KeyAverage, tr.KeyMax)
		}
		_, _ = fmt.Fprintf(table, "  %s\t%s\t%s\t%d-%d\t%d\t%d\t%d\t%s\t%s\t%s\t%s\t%s\n", tr.Name, tr.Codec, picture,
			tr.FirstMSN, tr.LastMSN, tr.Gaps, tr.Fillers, tr.Parts, span(tr.Start), span(tr.Seconds), size(tr.Bytes),
			rate(tr.Rate), keys)
	}
	_ = table.Flush()
}

func (r *Report) printFindings(b *strings.Builder) {
	b.WriteByte('\n')
	for _, want := range []Severity{Error, Warning, Info} {
		for _, f := range r.Findings {
			if f.Severity != want {
				continue
			}
			fmt.Fprintf(b, "%s %s: ", f.Severity, f.Name)
			if f.Where != "" {
				fmt.Fprintf(b, "%s: ", f.Where)
			}
			fmt.Fprintf(b, "%s\n", f.Text)
			if f.Do != "" {
				fmt.Fprintf(b, "    -> %s\n", f.Do)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.More)) {
		fmt.Fprintf(b, "and %d more of %s\n", r.More[name], name)
	}
	what := "everything was read"
	if !r.MediaRead {
		what = "the media itself was not read (--fast)"
	}
	if r.Interrupted {
		what = "interrupted: the rest was not looked at"
	}
	fmt.Fprintf(b, "%d errors, %d warnings; %s\n", r.Errors, r.Warnings, what)
}

func span(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Millisecond).String()
}

func size(n int64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.2f GB", float64(n)/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.2f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f kB", float64(n)/1e3)
}

func rate(n int64) string { return fmt.Sprintf("%.0f kbit/s", float64(n)/1e3) }
