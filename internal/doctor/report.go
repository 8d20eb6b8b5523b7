package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// Level is the outcome of a check.
type Level string

// The levels.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Fail Level = "FAIL"
)

// Check is one line of the report.
type Check struct {
	// Name is stable: "directory rename", "clock registry".
	Name  string `json:"name"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	// Do is what to do, if it is not ok.
	Do string `json:"do,omitempty"`
}

// Report is the checks in the order in which they were made.
type Report struct {
	Checks []Check `json:"checks"`
	Warned int     `json:"warned"`
	Failed int     `json:"failed"`
}

func (r *Report) add(level Level, name, do, format string, args ...any) {
	switch level {
	case Warn:
		r.Warned++
	case Fail:
		r.Failed++
	}
	r.Checks = append(r.Checks, Check{Name: name, Level: level, Text: fmt.Sprintf(format, args...), Do: do})
}

func (r *Report) ok(name, format string, args ...any) { r.add(OK, name, "", format, args...) }

// Print writes the report for people.
func (r *Report) Print(w io.Writer) error {
	b := &strings.Builder{}
	table := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	for _, c := range r.Checks {
		text := strings.ReplaceAll(strings.ReplaceAll(c.Text, "\n", "; "), "\t", " ")
		if c.Do != "" {
			text += ": " + c.Do
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", c.Level, c.Name, text)
	}
	_ = table.Flush()
	fmt.Fprintf(b, "%d checks, %d warnings, %d failures\n", len(r.Checks), r.Warned, r.Failed)
	_, err := io.WriteString(w, b.String())
	return err
}

// Config says what is checked; what is zero is not.
type Config struct {
	// Secrets says how secrets are kept.
	Secrets Secrets
	// Recordings is the cluster's directory.
	Recordings string
	// LockElsewhere tries, in another process, to lock the file that is locked here: it says whether it got it. Nil
	// leaves the check out. ProbeLock is what that process calls.
	LockElsewhere func(ctx context.Context, file string) (got bool, err error)
	// Holder says who has the directory for itself, or nothing. Shared says that the nodes of a cluster are to have it.
	Holder func(dir string) (string, error)
	Shared bool
	Ports  []Port
	// Node is the ingest node that runs here, or will.
	Node *Node
	// Edge is the edge that runs here, or the API's port for its viewers' players.
	Edge *Edge
	// Directories are the API's base URLs that an edge asks.
	Directories []string
	Archives    []Archive
	Registry    *Registry
	Catalog     *Catalog
	// ReceiveBuffer is the bytes of socket buffer that SRT asks for; zero is no SRT.
	ReceiveBuffer int
	// Progress is told what is checked now; nil is fine.
	Progress func(group string)
}

// checkTimeout bounds a group of checks: a hanging file server or service must not hang the doctor.
const checkTimeout = time.Minute

// cutPatience is how long a group that is cut off may take to tidy up.
const cutPatience = 5 * time.Second

// Run makes the checks. When ctx ends before, the report has those that were made.
func Run(ctx context.Context, cfg Config) *Report {
	r := &Report{Checks: []Check{}}
	type group struct {
		name string
		run  func(context.Context, *Report)
	}
	groups := []group{
		{"secrets", func(_ context.Context, r *Report) { cfg.Secrets.check(r) }},
		{"ports", func(ctx context.Context, r *Report) { checkPorts(ctx, r, cfg.Ports) }},
		{"directory", func(ctx context.Context, r *Report) { checkDirectory(ctx, r, cfg) }},
		{"node", func(ctx context.Context, r *Report) { cfg.Node.check(ctx, r) }},
		{"edge", func(ctx context.Context, r *Report) { cfg.Edge.check(ctx, r) }},
		{"directory service", func(ctx context.Context, r *Report) { checkAPIs(ctx, r, cfg.Directories) }},
		{"clock", func(ctx context.Context, r *Report) { checkClocks(ctx, r, cfg) }},
		{"registry", func(ctx context.Context, r *Report) { cfg.Registry.check(ctx, r) }},
		{"catalog", func(ctx context.Context, r *Report) { cfg.Catalog.check(ctx, r) }},
	}
	for _, a := range cfg.Archives {
		groups = append(groups, group{a.title(), a.check})
	}
	groups = append(groups, group{"kernel", func(_ context.Context, r *Report) { checkKernel(r, cfg.ReceiveBuffer) }})
	for _, g := range groups {
		if ctx.Err() != nil {
			break
		}
		if cfg.Progress != nil {
			cfg.Progress(g.name)
		}
		r.group(ctx, g.name, g.run)
	}
	return r
}

// group runs checks that may hang in the kernel, where no context reaches them.
func (r *Report) group(whole context.Context, name string, run func(context.Context, *Report)) {
	ctx, cancel := context.WithTimeout(whole, checkTimeout)
	defer cancel()
	done := make(chan *Report, 1)
	go func() {
		part := &Report{}
		run(ctx, part)
		done <- part
	}()
	select {
	case part := <-done:
		r.Checks = append(r.Checks, part.Checks...)
		r.Warned, r.Failed = r.Warned+part.Warned, r.Failed+part.Failed
	case <-ctx.Done():
		if whole.Err() != nil {
			select { // what it came to then is that it was cut off; but it takes back what it made
			case <-done:
			case <-time.After(cutPatience):
			}
			return
		}
		// A group that only watches the context answers at once; one in the kernel does not.
		select {
		case part := <-done:
			r.Checks = append(r.Checks, part.Checks...)
			r.Warned, r.Failed = r.Warned+part.Warned, r.Failed+part.Failed
		case <-time.After(time.Second):
			r.add(Fail, name, "look at the mounts and services that it uses", "it hangs: %v", context.Cause(ctx))
		}
	}
}

// reason is an error in one line, without what only repeats the check's name.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
