package hlscheck

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Violation is one broken rule.
type Violation struct {
	Rule   string // an id of Rules
	URL    string
	Detail string
	At     time.Time // of the answer that showed it
}

func (v Violation) String() string {
	return fmt.Sprintf("%s %s: %s (%s)", v.Rule, v.URL, v.Detail, v.At.UTC().Format("15:04:05.000"))
}

// Report is what a check found.
type Report struct {
	Violations []Violation    // of rules that must hold
	Warnings   []Violation    // of rules that should hold
	Seen       map[string]int // rule -> how often something was held against it; a rule that is absent was not exercised
	Answers    int            // answers that were judged
}

// Unseen gives the rules among the wanted ones that nothing was held against.
func (r *Report) Unseen(wanted ...string) []string {
	var unseen []string
	for _, rule := range wanted {
		if r.Seen[rule] == 0 {
			unseen = append(unseen, rule)
		}
	}
	return unseen
}

// Broken gives the ids of all broken rules in order, warnings too.
func (r *Report) Broken() []string {
	ids := map[string]bool{}
	for _, v := range slices.Concat(r.Violations, r.Warnings) {
		ids[v.Rule] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

// String gives the findings and the count of each rule that was exercised.
func (r *Report) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d answers, %d violations, %d warnings\n", r.Answers, len(r.Violations), len(r.Warnings))
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "  M %s\n", v)
	}
	for _, v := range r.Warnings {
		fmt.Fprintf(&b, "  S %s\n", v)
	}
	for _, rule := range slices.Sorted(maps.Keys(r.Seen)) {
		fmt.Fprintf(&b, " %s:%d", rule, r.Seen[rule])
	}
	return b.String()
}

// findings collects what the judging functions say. It belongs to one goroutine.
type findings struct {
	url    string
	at     time.Time
	list   []Violation
	seen   map[string]int
	counts map[string]int // violations by rule
	told   map[string]bool
}

// perRule bounds the violations that are kept of one rule: the first ones tell.
const perRule = 20

func newFindings() *findings {
	return &findings{seen: map[string]int{}, counts: map[string]int{}, told: map[string]bool{}}
}

// about names what the following findings are about.
func (f *findings) about(url string, at time.Time) { f.url, f.at = url, at }

// check holds one fact against a rule and gives the fact back.
func (f *findings) check(rule string, ok bool, format string, args ...any) bool {
	f.seen[rule]++
	if !ok {
		detail := fmt.Sprintf(format, args...)
		key := strings.Join([]string{rule, f.url, detail}, " ")
		if f.counts[rule] < perRule && !f.told[key] {
			f.told[key] = true
			f.counts[rule]++
			f.list = append(f.list, Violation{Rule: rule, URL: f.url, Detail: detail, At: f.at})
		}
	}
	return ok
}

// report sorts the findings by the level of their rules.
func (f *findings) report(answers int) *Report {
	r := &Report{Seen: maps.Clone(f.seen), Answers: answers}
	levels := map[string]Level{}
	for _, rule := range Rules() {
		levels[rule.ID] = rule.Level
	}
	for _, v := range f.list {
		level, known := levels[v.Rule]
		if !known {
			panic("BUG: rule " + v.Rule + " is not in the table")
		}
		if level == Must {
			r.Violations = append(r.Violations, v)
		} else {
			r.Warnings = append(r.Warnings, v)
		}
	}
	slices.SortStableFunc(r.Violations, func(a, b Violation) int { return cmp.Compare(a.At.UnixNano(), b.At.UnixNano()) })
	return r
}
