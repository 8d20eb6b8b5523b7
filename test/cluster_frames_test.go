package test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// frameCount is what became of the pictures that an encoder sent.
type frameCount struct {
	sent, recorded, missing int
	// tails says of each connection how many of its last pictures are missing, and since when they were sent.
	tails []frameTail
}

type frameTail struct {
	missing int
	span    time.Duration // from the first missing picture's sending to the connection's end
}

// judgeFrames holds a recording's pictures against what was sent: of each connection it must have a head in the order of
// decoding, each picture once, and nothing else. Only the open part, and what was under way, may be missing at its end.
func judgeFrames(tb testing.TB, connections []connection, recorded []int) frameCount {
	tb.Helper()
	count := frameCount{recorded: len(recorded)}
	times := map[int]int{}
	for _, number := range recorded {
		times[number]++
	}
	for _, number := range slices.Sorted(maps.Keys(times)) {
		if number < 0 {
			tb.Errorf("%d pictures are damaged: their number can't be read", times[number])
		} else if times[number] > 1 {
			tb.Errorf("picture %d is recorded %d times", number, times[number])
		}
	}
	for i, c := range connections {
		count.sent += len(c.sent)
		cut := len(c.sent)
		for j, p := range c.sent {
			if times[p.number] == 0 {
				cut = min(cut, j)
			} else if j > cut {
				tb.Errorf("connection %d: picture %d is missing and %d, which was sent later, is recorded",
					i, c.sent[cut].number, p.number)
				break
			}
			delete(times, p.number)
		}
		tail := frameTail{missing: len(c.sent) - cut}
		if tail.missing > 0 {
			tail.span = c.sent[len(c.sent)-1].at.Sub(c.sent[cut].at)
		}
		count.missing += tail.missing
		count.tails = append(count.tails, tail)
	}
	for number := range times {
		if number >= 0 {
			tb.Errorf("picture %d is recorded and was never sent", number)
		}
	}
	return count
}

func (f frameCount) String() string {
	text := fmt.Sprintf("%d pictures sent, %d recorded, %d missing", f.sent, f.recorded, f.missing)
	for i, t := range f.tails {
		if t.missing > 0 {
			text += fmt.Sprintf("; the last %d of connection %d (sent within %d ms)", t.missing, i, t.span.Milliseconds())
		}
	}
	return text
}

// faultTable collects what the fault tests measured, for test/out/faults.md.
var faultTable struct {
	sync.Mutex
	lines []string
}

// figure logs a measured figure and enters it into the table.
func figure(tb testing.TB, row, format string, args ...any) {
	tb.Helper()
	text := fmt.Sprintf(format, args...)
	tb.Logf("figure: %s: %s", row, text)
	faultTable.Lock()
	defer faultTable.Unlock()
	faultTable.lines = append(faultTable.lines, "| "+row+" | "+strings.ReplaceAll(text, "|", "/")+" |")
	slices.Sort(faultTable.lines)
	table := "| fault | measured |\n|---|---|\n" + strings.Join(faultTable.lines, "\n") + "\n"
	mustWrite(tb, outFile(tb, "faults.md"), []byte(table))
}

// msUntil gives the milliseconds from an instant until the first part that was listed after it.
func msUntil(w *witness, instant time.Time) int64 {
	part, _ := w.firstListed(instant)
	return part.Sub(instant).Milliseconds()
}
