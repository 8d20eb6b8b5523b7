package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/oxbow-video/oxbow/internal/loadgen"
	"github.com/oxbow-video/oxbow/internal/progress"
)

// benchOutput is the flags of every measurement that say what becomes of its result.
type benchOutput struct {
	JSON      bool     `name:"json" help:"Print the result as JSON."`
	FailIf    []string `sep:"none" placeholder:"FIELD>N" help:"Exit with code 1 if a field of the JSON result is above (or, with <, below) a number, like lag_p99_ms>100; of one that counts by reason, the sum. May be repeated."`
	quietFlag `embed:""`
}

// condition is one of --fail-if.
type condition struct {
	field string
	above bool
	limit float64
}

// conditions reads --fail-if for a result of some type.
func (o benchOutput) conditions(result any) (all []condition, err error) {
	fields := numbersOf(reflect.TypeOf(result))
	for _, text := range o.FailIf {
		at := strings.IndexAny(text, "<>")
		if at < 0 {
			return nil, usageError{fmt.Errorf("--fail-if %.80q: write FIELD>NUMBER or FIELD<NUMBER", text)}
		}
		c := condition{field: strings.TrimSpace(text[:at]), above: text[at] == '>'}
		if !slices.Contains(fields, c.field) {
			return nil, usageError{fmt.Errorf("--fail-if %.80q: use one of %s", text, strings.Join(fields, ", "))}
		}
		if c.limit, err = strconv.ParseFloat(strings.TrimSpace(text[at+1:]), 64); err != nil {
			return nil, usageError{fmt.Errorf("--fail-if %.80q: behind > or < comes a number, without its unit", text)}
		}
		all = append(all, c)
	}
	return all, nil
}

// numbersOf names the fields of a result, in JSON, that are numbers or count by reason.
func numbersOf(of reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(of) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch f.Type.Kind() { //nolint:exhaustive // others are no numbers
		case reflect.Int, reflect.Int64, reflect.Float64, reflect.Map:
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return names
}

// broken says which conditions a result meets.
func broken(result any, conditions []condition) error {
	text, err := json.Marshal(result)
	if err != nil {
		return err
	}
	var fields map[string]any
	if err := json.Unmarshal(text, &fields); err != nil {
		return err
	}
	var errs []string
	for _, c := range conditions {
		var value float64
		switch v := fields[c.field].(type) { // one that is left out is zero
		case float64:
			value = v
		case map[string]any:
			for _, n := range v {
				count, _ := n.(float64)
				value += count
			}
		}
		if c.above && value > c.limit || !c.above && value < c.limit {
			sign := map[bool]string{true: ">", false: "<"}[c.above]
			errs = append(errs, fmt.Sprintf("%s is %g, and --fail-if %s%s%g", c.field, value, c.field, sign, c.limit))
		}
	}
	if len(errs) > 0 {
		return errors.New(strings.Join(errs, "; "))
	}
	return nil
}

// finish prints a result, and says what it came to: a threshold that it broke, that it was cut off, or else empty, the
// error of a measurement of nothing.
func (o benchOutput) finish(
	ctx runContext, result any, own loadgen.Own, show func(io.Writer) error, limits []condition, empty error,
) error {
	write := show
	if o.JSON {
		write = func(io.Writer) error { return printJSON(ctx, result) }
	}
	if err := write(ctx.stdout); err != nil {
		return err
	}
	if own.Bottleneck != "" && !o.JSON {
		_, _ = fmt.Fprintf(ctx.stderr, "oxbow: warning: %s\n", own.Bottleneck)
	}
	if err := broken(result, limits); err != nil {
		return err
	}
	return cmp.Or(ctx.cutOff(), empty)
}

// follow shows how a measurement of a length goes. Its watch is what the measurement gets; stop ends it.
func (o benchOutput) follow(
	ctx runContext, name, things string, of int, length time.Duration,
) (watch func(ask func() loadgen.Live), stop func()) {
	shown := func() {}
	watch = func(ask func() loadgen.Live) {
		var before loadgen.Live
		shown = ctx.show(o.quietFlag, name, func() progress.State {
			now := ask()
			text := fmt.Sprintf("%d of %d %s", now.Active, of, things)
			if passed := (now.Passed - before.Passed).Seconds(); now.Bytes > 0 && passed > 0 {
				text += fmt.Sprintf(", %.1f Mbit/s", float64(8*(now.Bytes-before.Bytes))/1e6/passed)
			}
			if now.Lag > 0 {
				text += fmt.Sprintf(", %.0f ms late at p99", now.Lag)
			}
			if now.Failed > 0 {
				text += fmt.Sprintf(", %d failed", now.Failed)
			}
			before = now
			return progress.State{Of: now.Passed, For: length, Text: text}
		})
	}
	return watch, func() { shown() }
}

// resultTable is a result for people: a name and what there is to be said in each line.
type resultTable struct{ out *tabwriter.Writer }

func newResultTable(w io.Writer) resultTable {
	return resultTable{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
}

func (t resultTable) row(name, format string, values ...any) {
	_, _ = fmt.Fprintf(t.out, name+"\t"+format+"\n", values...) // Flush gives the error
}

// counts writes a row for each reason.
func (t resultTable) counts(name string, of map[string]int) {
	for _, reason := range slices.Sorted(maps.Keys(of)) {
		t.row(name, "%d: %s", of[reason], reason)
	}
}

func (t resultTable) own(own loadgen.Own, seconds float64) {
	t.row("own CPU", "%.2f s in %.1f s, %.0f%% of its cores; own timers %.1f ms late at p99", own.CPU, seconds,
		100*own.CPUShare, own.Late)
}
